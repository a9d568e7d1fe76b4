"""Simulated agents that speak the real protocol, not the real probes: hundreds to ten thousand schools."""
