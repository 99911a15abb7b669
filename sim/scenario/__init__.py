"""Scenarios: what happens to a cluster, read from TOML, checked, and directed on a world."""

from __future__ import annotations
