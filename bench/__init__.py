"""Measures gossip on loopback beside two peers: Debian's serf and PyPI's kinship.

Not part of the distribution. `scripts/bench` runs it; `python -m bench --help` tells the commands.
"""
