"""How a life begins: from what is on the disk and what the machine's clocks say."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from gossip.core.params import Params
from sim.clock import SECOND
from sim.life import Life
from sim.notary import Signer

if TYPE_CHECKING:
    from sim.host import Host

__all__ = ["RESERVE", "WALL_MS", "bear"]

WALL_MS = 1_700_000_000_000
"""The wall clock, in ms since 1970, when a world begins."""
RESERVE = 1_000
"""Versions that are reserved on disk at the start of a life, as the agent does."""


def bear(
    host: Host,
    notary: Signer,
    *,
    cluster: str,
    params: Params,
    rng: random.Random,
    now_us: int,
    invited_only: bool = False,
) -> Life:
    """The next life of the host's agent, whose first version is then used. `now_us` is true time."""
    disk = host.disk
    wall_ms = WALL_MS + (now_us + host.wall_shift_us) // 1_000
    incarnation = max(disk.ceiling + 1, wall_ms)
    disk.ceiling = incarnation + RESERVE
    disk.birth = disk.birth or incarnation
    if disk.lost:
        disk.floor, disk.lost = incarnation, False
    return Life(
        notary=notary,
        name=host.name,
        address=host.advertise or host.address,
        tags=host.tags,
        cluster=cluster,
        ephemeral=host.ephemeral,
        birth=disk.birth,
        wall_ms=wall_ms,
        params=params,
        rng=rng,
        now=host.clock.read(now_us) / SECOND,
        incarnation=incarnation,
        ceiling=disk.ceiling,
        floor=disk.floor,
        records=[notary.parse(raw) for raw in disk.records.values()],
        seeds=host.seeds,
        remembered=disk.addresses,
        warrant=disk.warrant,
        bans=[notary.parse(raw) for raw in disk.bans],
        used=disk.used,
        invited_only=invited_only,
    )
