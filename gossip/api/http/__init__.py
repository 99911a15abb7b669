"""The HTTP face: a small server on h11, and what it serves."""
