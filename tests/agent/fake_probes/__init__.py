"""Tiny probes for the tests of what runs probes."""
