"""What the kernel says of this host's network: pure parsers, and the few calls that read it."""
