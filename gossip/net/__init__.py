"""Sockets under trio: UDP and streams, and the driver that feeds core and carries out its effects."""
