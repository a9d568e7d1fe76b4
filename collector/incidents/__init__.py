"""Incidents: what is wrong, since when, and who is to hear of it. Messages are sent elsewhere."""
