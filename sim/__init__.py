"""Virtual time for the real protocol: many cores, one heap, a network with faults, a seed."""

from __future__ import annotations

from sim.host import Host
from sim.latency import Constant, Uniform
from sim.network import Link, link
from sim.world import World

__all__ = ["Constant", "Host", "Link", "Uniform", "World", "link"]
