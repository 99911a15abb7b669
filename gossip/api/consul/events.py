"""`event/*`: user events with Consul's filters, and the last that this agent heard of.

An event's filters travel in its payload, under a mark of their own, and each receiver judges for itself
whether it is meant, as the one that fires it does. Its id is made of who sent it and its version, so
all have the same. An event without filters, from here or from `gossip event`, travels as it is.
"""

from __future__ import annotations

import base64
import uuid
from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import trio

from gossip.api.consul import regex
from gossip.api.consul.words import Refusal
from gossip.api.http.values import JSON, Later, Response
from gossip.core.events import Event, EventKind

if TYPE_CHECKING:
    from gossip.api.consul.context import Context
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request
    from gossip.core.types import NodeId

__all__ = ["Events"]

MAX_HELD: Final = 256
MARK: Final = b"\x00consul\x00"
FILTERS: Final = ("node", "service", "tag")


class _Body(NamedTuple):
    """What travels."""

    payload: bytes
    filters: tuple[str, str, str]
    """Patterns of the node's name, of a service's, of one of its tags; empty: any."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(tuple[bytes, tuple[str, str, str]]).decode


class Events:
    """The handlers, and the events that are held."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._held: deque[dict[str, Any]] = deque(maxlen=MAX_HELD)
        self._came = trio.lowlevel.ParkingLot()

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        table.add("PUT", "event/fire/", self.fire)
        table.add("GET", "event/list", self.list)

    def happened(self, event: Event) -> None:
        """The node tells of something."""
        if event.kind is not EventKind.EVENT_RECEIVED:
            return
        body = _read(event.payload)
        if self._is_meant(body.filters):
            self._held.append(_object(event.id, event.name, body, event.index, event.index))
            self._came.unpark_all()

    def _is_meant(self, filters: tuple[str, str, str]) -> bool:
        node, service, tag = filters
        try:
            if node and not regex.compile(node).search(self._context.agent.node.name):
                return False
            if not service:
                return True
            wanted = regex.compile(service)
            tagged = regex.compile(tag) if tag else None
            return any(
                wanted.search(each.name) and (tagged is None or any(map(tagged.search, each.tags)))
                for each in self._context.holdings.own()
            )
        except regex.PatternError:
            # Another's pattern: it was told what is wrong with it, if its agent is no liar.
            return False

    async def fire(self, asked: Request) -> Response:
        """Tell everybody."""
        self._context.question(asked)
        name = asked.params["rest"]
        if not name:
            raise Refusal(400, "Missing name")
        node, service, tag = (asked.text(each) for each in FILTERS)
        for which, pattern in zip(FILTERS, (node, service, tag), strict=True):
            try:
                regex.compile(pattern)
            except regex.PatternError as error:
                raise Refusal(400, f"Invalid {which} filter: {error}") from error
        if tag and not service:
            raise Refusal(400, "Cannot provide tag filter without service filter")
        body = _Body(asked.body, (node, service, tag))
        agent = self._context.agent
        version = agent.send_event(name, _write(body))
        return self._context.kept(asked, _object(agent.node.id, name, body, version, 0))

    async def list(self, asked: Request) -> Response | Later:
        """The last events, oldest first; waits while the newest is the one that is named."""
        question = self._context.question(asked)
        name = asked.text("name")

        def found() -> list[dict[str, Any]]:
            return [each for each in self._held if not name or each["Name"] == name]

        def respond() -> Response:
            rows = found()
            answer = self._context.kept(asked, rows)
            return Response(200, answer.body, JSON, [("X-Consul-Index", str(_index(rows)))])

        if not question.index or question.index != _index(found()):
            return respond()

        async def wait() -> Response:
            with trio.move_on_after(self._context.patience(question)):
                while _index(found()) == question.index:
                    await self._came.park()
            return respond()

        return Later(wait)


def _index(rows: list[dict[str, Any]]) -> int:
    """Clients work it out themselves, from the id of the newest."""
    if not rows:
        return 1
    whole = uuid.UUID(rows[-1]["ID"]).bytes
    return int.from_bytes(whole[:8], "big") ^ int.from_bytes(whole[8:], "big") or 1


def _object(owner: NodeId, name: str, body: _Body, version: int, heard: int) -> dict[str, Any]:
    id = blake2b(bytes(owner) + version.to_bytes(8, "big"), digest_size=16).digest()
    node, service, tag = body.filters
    return {
        "ID": str(uuid.UUID(bytes=id)),
        "Name": name,
        "Payload": base64.b64encode(body.payload).decode() if body.payload else None,
        "NodeFilter": node,
        "ServiceFilter": service,
        "TagFilter": tag,
        "Version": 1,
        "LTime": heard,
    }


def _write(body: _Body) -> bytes:
    return MARK + _pack(body) if any(body.filters) or body.payload.startswith(MARK) else body.payload


def _read(payload: bytes) -> _Body:
    if payload.startswith(MARK):
        try:
            return _Body(*_unpack(payload[len(MARK) :]))
        except msgspec.DecodeError:
            pass
    return _Body(payload, ("", "", ""))
