"""The probes: one file a measurement."""
