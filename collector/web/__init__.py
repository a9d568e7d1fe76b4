"""Pages for people; the API for programs stands beside them."""
