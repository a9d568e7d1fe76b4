"""Messages to people: written with the incident, sent at least once, each with a key that tells a repeat."""
