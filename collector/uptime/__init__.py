"""Minute states, outages with their causes, and availability."""
