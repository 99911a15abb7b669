"""Whatever may be done to a cluster, as one type."""

from __future__ import annotations

from typing import TypeAlias

from sim.hunt.faults import (
    Cut,
    FailSends,
    Heal,
    HostLoss,
    Mend,
    OneLine,
    Partition,
    Refuse,
    SetDeaf,
    SetLines,
    SetMute,
)
from sim.hunt.lives import (
    ClockRate,
    Crash,
    HandOver,
    JumpWall,
    Leave,
    Pause,
    Rejoin,
    Restart,
    Resume,
    Starve,
    Storm,
    Suspend,
)
from sim.hunt.users import Deregister, Evict, Flood, RaiseFloor, Register, Report, SetTag, Tell

__all__ = ["AnyAct"]

AnyAct: TypeAlias = (
    Crash
    | Restart
    | Storm
    | Leave
    | HandOver
    | Rejoin
    | Register
    | Deregister
    | Report
    | RaiseFloor
    | SetTag
    | Tell
    | Flood
    | Evict
    | Pause
    | Suspend
    | Resume
    | JumpWall
    | ClockRate
    | Starve
    | Partition
    | Heal
    | Cut
    | Mend
    | SetLines
    | OneLine
    | SetMute
    | SetDeaf
    | HostLoss
    | Refuse
    | FailSends
)
"""Whatever a plan may hold; `do` in its file says which."""
