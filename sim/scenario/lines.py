"""From what a scenario says of its network to a link, as the world has it."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from sim.links import Burst, Link, link
from sim.scenario.schema import NetworkTable

__all__ = ["line_of"]


def line_of(network: NetworkTable, **changes: Any) -> Link:
    """The link of `[network]` with changes to keys of that table; None changes nothing.

    Raises:
        ValueError: if nothing could ever pass, or a burst never end.
    """
    given = {key: value for key, value in changes.items() if value is not None}
    table = structs.replace(network, **given)
    burst = table.burst
    return link(
        table.latency.latency,
        table.loss,
        table.duplication,
        burst=None if burst is None else Burst(burst.enter, burst.leave, burst.loss),
        reordering=table.reordering,
        reorder_us=table.reorder,
        bandwidth=table.bandwidth,
        backlog=table.backlog,
        mtu=table.mtu,
    )
