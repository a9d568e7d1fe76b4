"""One capacity test: what both ends say to each other, how they move bytes, and what the bytes prove.

The collector's responder uses ``wire``, ``tcp`` and ``cpu`` too, so that both ends count alike.
"""
