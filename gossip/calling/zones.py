"""How much of its calls a zone keeps, and where the rest goes.

Each zone asks for as much as it has members, and has as much to give as its instances weigh. A zone with
enough keeps all its calls; one with less keeps what it can answer, and spills the rest over to the zones
that have more than they need, in proportion to how much more. If all zones do so, every instance gets its
share of the whole, and no more calls than necessary cross a border. "Enough" is meant with a fifth of
tolerance, as nobody's calls need go far for the sake of a small difference; so an instance may get a
quarter more than its share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TOLERANCE", "shares"]

TOLERANCE = 0.2
"""The part of its demand that a zone may lack and still keeps all its calls."""


def shares(own: str, members: Mapping[str, int], weights: Mapping[str, float]) -> dict[str, float]:
    """The part of the calls from zone `own` that goes to each zone; they add up to 1.

    Args:
        own: the caller's zone.
        members: how many members each zone has, as a measure of how much it asks for.
        weights: what the instances of each zone weigh that may be called; not all 0.
    """
    total = sum(weights.values())
    everybody = sum(members.values())
    supply = {zone: weight / total for zone, weight in weights.items()}
    demand = {zone: count / everybody for zone, count in members.items()} if everybody else {}
    have, want = supply.get(own, 0.0), demand.get(own, 0.0)
    kept = 1.0 if want <= 0.0 < have else min(have / (want * (1 - TOLERANCE)), 1.0) if want else 0.0
    result = {own: kept}
    if kept < 1.0:
        spare = {
            zone: max(share - demand.get(zone, 0.0), 0.0) for zone, share in supply.items() if zone != own
        }
        if not sum(spare.values()):
            spare = {zone: share for zone, share in supply.items() if zone != own}
        room = sum(spare.values())
        for zone, share in spare.items():
            result[zone] = (1.0 - kept) * share / room
    return result
