"""What nodes will say of themselves in a run, said once beforehand: what nobody would accept is found so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gossip.core.params import PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.records import Body, EventRecord, MemberRecord, ServiceRecord
from gossip.core.types import Phase
from gossip.errors import LocalProtocolError
from sim.birth import WALL_MS
from sim.notary import Archive, StandIn

__all__ = ["check_event", "check_service", "check_tags"]

SPEAKER = StandIn(bytes(32), Archive("sim", limit=1))
BOOT = (1 << 63) - 1
HOST, PORT = "10.255.255.255", 65_535
"""As long as an address of a world can be; no port is higher."""


def check_service(
    name: str, key: str, port: int, tags: Sequence[str], meta: Mapping[str, str], weight: int
) -> None:
    """Raise ValueError if no node could register this."""
    if not 0 <= port <= PORT:
        raise ValueError(f"port {port} is not between 1 and {PORT}, nor 0, for a service without one")
    _say(ServiceRecord(SPEAKER.id, WALL_MS, key, name, "", port, tuple(tags), dict(meta), weight, False))


def check_tags(tags: Mapping[str, str], node: str) -> None:
    """Raise ValueError if a node of that name could not have these tags."""
    _say(
        MemberRecord(
            owner=SPEAKER.id,
            version=WALL_MS,
            public_key=SPEAKER.public_key,
            exchange_key=b"",
            name=node,
            host=HOST,
            port=PORT,
            tags=dict(tags),
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            boot=BOOT,
            floor=WALL_MS,
            birth=WALL_MS,
            phase=Phase.RUNNING,
            ephemeral=False,
        )
    )


def check_event(name: str, size: int) -> None:
    """Raise ValueError if no node could send such an event, with a payload of so many bytes."""
    _say(EventRecord(SPEAKER.id, WALL_MS, name, bytes(size)))


def _say(body: Body) -> None:
    try:
        SPEAKER.issue(body)
    except LocalProtocolError as problem:
        raise ValueError(str(problem)) from None
