"""Reports of a month for the county or one school: Excel, PDF, CSV, and by e-mail."""
