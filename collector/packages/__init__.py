"""The county's own store of agent packages, and which agents take which version when."""
