"""The parts of one node that invariants look into: the one module that knows core's private names.

They are taken once for each life, since a check after every input must cost next to nothing. What core
replaces now and then, instead of changing it in place, is asked of the part that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from gossip.core.conversation import Opener, Server
from gossip.core.members import Member
from gossip.core.node import Node
from gossip.core.records import Key, ServiceRecord
from gossip.core.timers import Timer
from gossip.core.types import NodeId, StreamId

if TYPE_CHECKING:
    from gossip.core.repair import Repair

__all__ = ["Inside", "awaits_pages"]


class Inside:
    """One node, opened."""

    __slots__ = (
        "_admission",
        "_coordinates",
        "_events",
        "_favours",
        "_floors",
        "_gate",
        "_health",
        "_intake",
        "_joining",
        "_pings",
        "_probes",
        "_repair",
        "_sessions",
        "_strangers",
        "_timers",
        "catalog",
        "looks",
        "members",
        "names",
        "node",
        "queue",
        "table",
    )

    def __init__(self, node: Node) -> None:
        self.node = node
        self.table = node.members
        self.catalog = node.catalog
        self.members: Mapping[NodeId, Member] = self.table._by_id
        self.names: Mapping[str, Mapping[tuple[NodeId, Key], tuple[Member, ServiceRecord]]]
        self.names = self.catalog._by_name
        self.looks: Mapping[NodeId, Any] = node._detector._looks._looks
        """Last looks under way, by whom they are at."""
        self.queue = node._spread.queue
        self._health = node._health
        self._intake = node._intake
        self._repair: Repair = node._repair
        self._admission = node._admission
        self._joining = node._joining
        self._timers = node._ctx.timers
        self._pings = node._pings._expected
        self._strangers = node._pings._backs
        self._sessions = node._sessions._handlers
        self._probes = node._prober._running
        self._favours = node._helping._favours
        self._events = node._events._recent
        self._floors = node._events._floors
        self._gate = node._gate
        self._coordinates = node._coordinates

    def has_clock(self, member: NodeId) -> bool:
        """Whether a suspicion of it is running."""
        return self._timers.is_set(Timer.SUSPICION, member)

    def has_last_look(self, member: NodeId) -> bool:
        """Whether the end of a last look at it is set."""
        return self._timers.is_set(Timer.LAST_LOOK, member)

    def serving(self) -> tuple[int, int]:
        """Conversations that others opened: as counted, and as there are."""
        return self._repair.served, sum(isinstance(handler, Server) for handler in self._sessions.values())

    def sizes(self) -> dict[str, int]:
        """How much there is of everything that may grow."""
        return {
            "members": len(self.members),
            "relays": self.queue._relays,
            "queue": len(self.queue),
            "pings": len(self._pings),
            "strangers": len(self._strangers),
            "probes": len(self._probes),
            "looks": len(self.looks),
            "favours": len(self._favours),
            "introductions": len(self._admission._introductions),
            "attempts": len(self._joining._attempts),
            "addresses": len(self._joining._remembered),
            "callers": len(self._joining._strangers),
            "streams": len(self._sessions),
            "served": self._repair.served,
            "disagreeing": len(self._repair._disagreeing),
            "rests": len(self._repair._backoff),
            "slow": len(self._repair._slow),
            "events": len(self._events),
            "event floors": len(self._floors),
            "bans": len(self.table.bans),
            "warrants": len(self._gate._warrants),
            "holders": len(self._gate._holders) + len(self._gate._hearsay),
            "refusals told": len(self._gate._told),
            "given": len(self.queue._given),
            "coordinates": len(self._coordinates._samples),
            "recent": len(self._intake._recent) + len(self._intake._older),
            "accusers of this node": len(self._health._refuted_by),
            "timers": len(self._timers),
            "stale timers": len(self._timers._heap) - len(self._timers),
        }


def awaits_pages(node: Node, stream: StreamId) -> bool:
    """Whether the node opened a repair on this stream and has said what it wants, so that pages are due."""
    handler = node._sessions.get(stream)
    return isinstance(handler, Opener) and handler.awaited > 0
