"""A malicious member among honest ones: what it does, and what must hold all the same."""
