"""What happened, as watchers and logs are told. One struct, a fixed set of kinds."""

from __future__ import annotations

import enum

from msgspec import Struct

from gossip.core.types import NodeId

__all__ = ["Event", "EventKind"]


class EventKind(enum.StrEnum):
    """The words that logs and watches use."""

    MEMBER_JOINED = "member_joined"
    MEMBER_UPDATED = "member_updated"
    MEMBER_SUSPECTED = "member_suspected"
    MEMBER_REFUTED = "member_refuted"
    MEMBER_FAILED = "member_failed"
    MEMBER_LEFT = "member_left"
    MEMBER_FLAGGED = "member_flagged"
    """A flag went up or down: `detail` is `+degraded`, `-degraded`, `+name_conflict`, ..."""
    MEMBER_REFUSED = "member_refused"
    """A node was not let in, for want of the authority's word; `detail` is the reason."""
    MEMBER_BANNED = "member_banned"
    """The authority has banned a node; `detail` is its reason."""
    SERVICE_REGISTERED = "service_registered"
    SERVICE_CHANGED = "service_changed"
    SERVICE_DEREGISTERED = "service_deregistered"
    EVENT_RECEIVED = "event_received"
    JOIN_DONE = "join_done"
    """The outcome of one join address: `name` is the address as asked for."""
    EXAMINED = "examined"
    """The examination that was asked for is done: `Node.examined` has what came of it."""
    LEAVE_DONE = "leave_done"
    """The leaving record has been handed to enough peers, or there is nobody to tell."""
    KEYS_CHANGED = "keys_changed"
    """A cluster key was taken, is sealed with, or was retired here; `detail` says which."""
    DUPLICATE_IDENTITY = "duplicate_identity"
    ISOLATED = "isolated"
    RECONNECTED = "reconnected"
    DOUBT = "doubt"
    """This node noticed that it was not running; `detail` says how long."""


class Event(Struct, frozen=True, gc=False):
    """One happening.

    `id` is the subject's: the node's for members and user events, the owner's for services.
    """

    kind: EventKind
    id: NodeId = b""
    name: str = ""
    """The member's, service's or user event's name, or the join address."""
    key: str = ""
    """The service's instance id."""
    node: str = ""
    """The owner's name, for services and user events."""
    ok: bool = True
    detail: str = ""
    payload: bytes = b""
    index: int = 0
    """The catalog's or member table's change index after it."""
