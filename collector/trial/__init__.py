"""The whole product on one machine: a sample school, the real collector, a real agent, and a live table."""
