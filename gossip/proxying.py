"""The forwarders of an agent: what `[[proxy]]` tables ask for, fed from the node's own catalog."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, TypeAlias

import trio

from gossip.api import views
from gossip.calling.balancer import Places
from gossip.core.events import EventKind
from gossip.core.types import show_address
from gossip.errors import TransportError
from gossip.log import note
from gossip.proxy.forwarder import Forwarder, listen

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable

    from gossip.config.proxies import ProxyDefinition
    from gossip.core.events import Event
    from gossip.core.types import Address

__all__ = ["Proxying"]

WINDOW_SECONDS = 0.02
"""Changes within this are taken over together; the first one at once."""
PLACES_SECONDS = 30.0
"""How old the places may be: round trips drift without an event."""
SOON_SECONDS = 1.0
"""After members have come or gone: so much later the places are looked at."""

_MOVES = frozenset(
    {EventKind.MEMBER_JOINED, EventKind.MEMBER_UPDATED, EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT}
)
_CONCERNED = frozenset(
    {
        EventKind.MEMBER_JOINED,
        EventKind.MEMBER_UPDATED,
        EventKind.MEMBER_SUSPECTED,
        EventKind.MEMBER_REFUTED,
        EventKind.MEMBER_FAILED,
        EventKind.MEMBER_LEFT,
        EventKind.SERVICE_REGISTERED,
        EventKind.SERVICE_CHANGED,
        EventKind.SERVICE_DEREGISTERED,
    }
)


_Key: TypeAlias = tuple["Address", str, int]
"""By what a forwarder is found again at a reload: the address that was configured. If the system chose the
port, then the service too, and how many of that service came before it."""


def _by_key(wanted: Iterable[ProxyDefinition]) -> dict[_Key, ProxyDefinition]:
    found: dict[_Key, ProxyDefinition] = {}
    for each in wanted:
        name, number = "" if each.listen[1] else each.service, 0
        while (each.listen, name, number) in found:
            number += 1
        found[each.listen, name, number] = each
    return found


class Proxying:
    """See the module.

    Args:
        node: whose catalog is followed.
        first: called before each piece, so that gossip goes first.
        room: connections that there are descriptors for; the forwarders share them alike.
    """

    def __init__(self, node: views.Reads, first: Callable[[], None], room: int) -> None:
        self._node = node
        self._first = first
        self._room = room
        self._forwarders: dict[_Key, Forwarder] = {}
        """Those that only drain are not among them."""
        self._bound: list[tuple[ProxyDefinition, socket.socket]] = []
        self._changed = trio.lowlevel.ParkingLot()
        self._has_changed = True
        self._nursery: trio.Nursery
        self._places = Places()
        self._places_due = -math.inf

    def bind(self, wanted: Iterable[ProxyDefinition]) -> None:
        """Listens, before anything else is begun.

        Raises:
            TransportError: an address cannot be had; none is held then.
        """
        try:
            for each in wanted:
                self._bound.append((each, listen(each.listen)))
        except TransportError:
            self.close()
            raise

    def close(self) -> None:
        """Lets go what nothing was begun with."""
        for _, sock in self._bound:
            sock.close()
        self._bound.clear()

    def forwarders(self) -> list[Forwarder]:
        """Those that take connections."""
        return list(self._forwarders.values())

    def happened(self, event: Event) -> None:
        """The catalog may have changed."""
        if self._forwarders and event.kind in _CONCERNED:
            if event.kind in _MOVES:
                self._places_due = min(self._places_due, trio.current_time() + SOON_SECONDS)
            self._has_changed = True
            self._changed.unpark_all()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Forwards until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            keys = _by_key(each for each, _ in self._bound)
            for key, (definition, sock) in zip(keys, self._bound, strict=True):
                self._start(key, definition, sock)
            self._bound.clear()
            task_status.started()
            while True:
                if not self._has_changed:
                    with trio.move_on_at(self._places_due if self._forwarders else math.inf):
                        await self._changed.park()
                self._has_changed = False
                for each in self._forwarders.values():
                    each.room = max(self._room // len(self._forwarders), 1)
                    self._feed(each)
                await trio.sleep(WINDOW_SECONDS)

    def reload(self, wanted: Iterable[ProxyDefinition]) -> list[str]:
        """Adds, changes and removes what differs; what cannot be had, and why.

        Connections of a removed one may finish, for the time of its drain.
        """
        definitions, problems = _by_key(wanted), []
        for key in self._forwarders.keys() - definitions.keys():
            gone = self._forwarders.pop(key)
            note(logging.INFO, "proxy_removed", listen=show_address(gone.address), service=gone.service)
            gone.stop()
        for key, definition in definitions.items():
            running = self._forwarders.get(key)
            if running is None:
                try:
                    self._start(key, definition, listen(definition.listen))
                except TransportError as problem:
                    problems.append(str(problem))
            elif running.definition != definition:
                running.serve(definition)
                self._feed(running)
        self._has_changed = True
        self._changed.unpark_all()
        return problems

    async def drain(self) -> None:
        """Takes nothing new; returns when the last connection has ended."""
        forwarders = self.forwarders()
        for each in forwarders:
            each.stop()
        for each in forwarders:
            await each.finished.wait()

    def _start(self, key: _Key, definition: ProxyDefinition, sock: socket.socket) -> None:
        made = Forwarder(sock, definition, self._first)
        self._forwarders[key] = made
        self._feed(made)
        self._nursery.start_soon(made.run)
        note(logging.INFO, "proxy_started", listen=show_address(made.address), service=made.service)

    def _feed(self, forwarder: Forwarder) -> None:
        now = trio.current_time()
        if now >= self._places_due:
            self._places_due = now + PLACES_SECONDS
            found = views.places(self._node)
            self._places = Places(found.zone, found.zones, found.rtt_ms)
        forwarder.places = self._places
        found_now = self._node.catalog.lookup(forwarder.service, any=True)
        forwarder.offer([views.instance(each) for each in found_now])
