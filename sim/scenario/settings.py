"""The `[settings]` table: a profile of the protocol, and what is different from it."""

from __future__ import annotations

import difflib
from typing import Any

import msgspec

from gossip.core.params import PROFILES, Params

__all__ = ["PROFILE", "read_settings"]

PROFILE = "profile"
POSITIVE = (
    "direct_min",
    "direct_max",
    "gossip_interval",
    "packet_bytes",
    "packet_bytes_proven",
    "stream_timeout",
    "suspicion_alpha",
    "suspicion_beta",
    "sync_wait",
    "agreement_window",
    "retention",
    "members_max",
)
"""Settings that mean nothing, or stop the protocol, when they are 0."""
PACKET_MIN = 512
"""Bytes: less does not hold an accusation beside a ping."""
PERIOD_MIN = 0.001
"""Seconds: with less than a microsecond, time would not go on."""
MOST = 1e9
"""Of anything: thirty years of seconds."""


def read_settings(table: dict[str, Any]) -> Params:
    """The settings that the table asks for.

    Raises:
        ValueError: in words, if there is no such setting, or it cannot be that.
    """
    changes = dict(table)
    profile = changes.pop(PROFILE, "lan")
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r}: write one of {', '.join(PROFILES)}")
    known = Params.__struct_fields__
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            raise ValueError(
                f"there is no setting {name!r}" + (f"; do you mean {near[0]!r}?" if near else "")
            )
    base = PROFILES[profile]
    asked = {**msgspec.structs.asdict(base), **changes}
    try:
        params = msgspec.convert(asked, Params)
    except msgspec.ValidationError as problem:
        what, _, where = str(problem).partition(" - at `$.")
        raise ValueError(f"{where.rstrip('`')}: {what}") from None
    _check(params)
    return params


def _check(params: Params) -> None:
    for name in params.__struct_fields__:
        value = getattr(params, name)
        if name == "period" and value < PERIOD_MIN:
            raise ValueError(f"period is {value}: write {PERIOD_MIN} (seconds) or more")
        if value < 0 or (value == 0 and name in POSITIVE):
            least = "a number above 0" if name in POSITIVE else "0 or more"
            raise ValueError(f"{name} is {value}: write {least}")
        if not value <= MOST:
            raise ValueError(f"{name} is {value}: write a number up to {MOST:g}")
    if params.direct_min > params.direct_max:
        raise ValueError(f"direct_min ({params.direct_min}) is above direct_max ({params.direct_max})")
    if params.packet_bytes < PACKET_MIN:
        raise ValueError(f"packet_bytes is {params.packet_bytes}: write {PACKET_MIN} or more")
    if params.packet_bytes > params.packet_bytes_proven:
        raise ValueError("packet_bytes is above packet_bytes_proven: write a larger packet_bytes_proven")
