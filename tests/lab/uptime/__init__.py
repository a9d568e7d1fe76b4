"""Outages of a county in network namespaces: what is cut, when, and what must be said of it."""
