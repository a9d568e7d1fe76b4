"""Copies of what the collector keeps, taken while it runs, and brought back."""
