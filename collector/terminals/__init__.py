"""The terminals' speed test: any classroom's browser measures its way to the collector, without a login."""
