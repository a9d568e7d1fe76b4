"""How agents come to the county, keep their tokens fresh, and are told what to measure."""
