"""The measurement agent (RFC 7594): measures, spools, pushes. Imports nothing of the collector."""

__version__ = "0.1.0"
