"""One listening port and the service behind it.

A client's connection is given to an instance by `calling.Balancer`, whose load is the number of
connections; if one does not answer, another is tried before the client is turned away. When an instance is
not to be called any more, its connections may finish: for as long as they like if its check fails, for the
time of the drain if it was deregistered or is in maintenance. When its node is dead, they are cut: nobody
will ever answer them.
"""

from __future__ import annotations

import errno
import logging
import math
import random
import socket
from typing import TYPE_CHECKING, Final

import trio

from gossip.calling.balancer import Balancer, Places, Question
from gossip.calling.target import Key, Target, key_of
from gossip.errors import TransportError
from gossip.proxy.dial import dial, keep_alive
from gossip.proxy.figures import Figures
from gossip.proxy.header import header
from gossip.proxy.pump import Link, Pump, reset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gossip.calling.records import Record
    from gossip.config import Address
    from gossip.config.proxies import ProxyDefinition

__all__ = ["HIDDEN", "Forwarder", "listen"]

BACKLOG: Final = 1024
PAUSE_SECONDS: Final = 0.1
"""After an accept that failed for want of descriptors."""
TOLD_AGAIN_SECONDS: Final = 60.0
"""Until it is said again in the log that nothing can be accepted, if it is for the same reason."""
OUR_OWN_FAULT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)
"""Connecting fails with these for want of something here."""
HIDDEN: Final = frozenset(("critical", "maintenance", "dead", "left"))
"""Statuses of instances that are not to be called."""

_log = logging.getLogger("gossip.proxy")


def listen(address: Address) -> socket.socket:
    """A listening socket at an IP address and port (0: any that is free).

    Raises:
        TransportError: naming the address and the reason.
    """
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
        advice = (
            "; stop what listens there, or choose another port" if error.errno == errno.EADDRINUSE else ""
        )
        raise TransportError(f"proxy: cannot listen at {where}: {error.strerror or error}{advice}") from error
    return sock


class Forwarder:
    """See the module.

    Args:
        sock: from `listen`; closed when it ends.
        definition: what it does; may be replaced while it runs, for the connections from then on.
        first: called before each piece.
        chance: gives numbers from 0 to below 1.
    """

    def __init__(
        self,
        sock: socket.socket,
        definition: ProxyDefinition,
        first: Callable[[], None] = lambda: None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.definition = definition
        self.address: Address = sock.getsockname()[:2]
        self.places = Places()
        self.room = 1 << 20
        """Connections that this process has descriptors for, whatever the definition allows."""
        self._sock = sock
        self._pump = Pump(first)
        self._figures = Figures()
        self._chance = chance
        self._balancer: Balancer[Target] = Balancer(chance, name=f"{chance():.17f}")
        self._everybody: list[Target] = []
        self._offered: tuple[Target, ...] = ()
        self._called: frozenset[Key] = frozenset()
        self._mine: set[Key] = set()
        """Instances that are this very port: calling one would call it again, and again."""
        self._hidden: dict[Key, str] = {}
        self._links: dict[Key, set[Link]] = {}
        self._drains: dict[Key, float] = {}
        """When what is left of an instance's connections is cut, seconds of trio's clock."""
        self._dialling = 0
        self._told = ("", -math.inf)
        """Why nothing could be accepted, and when that was said."""
        self._changed = trio.lowlevel.ParkingLot()
        """Something has ended."""
        self._draining = trio.lowlevel.ParkingLot()
        self._is_stopping = trio.Event()
        self.finished = trio.Event()
        """Set when `run` has ended."""

    # -- what others say ----------------------------------------------------------------------------------

    def serve(self, definition: ProxyDefinition) -> None:
        """Does this from now on. Connections that are open stay."""
        if definition.service != self.definition.service:
            self._figures.ejections += self._balancer.ejections
            self._figures.panics += self._balancer.panics
            self._balancer = Balancer(self._chance, name=f"{self._chance():.17f}")
        self.definition = definition
        self._changed.unpark_all()

    def offer(self, instances: Iterable[Target]) -> None:
        """All instances of the service, those too that are not to be called."""
        # What has no port is only there to be seen.
        everybody = [each for each in instances if each.port]
        if everybody == self._everybody:
            return
        self._everybody = everybody
        self._mine &= set(map(key_of, everybody))
        self._offered = tuple(
            each for each in everybody if each.status not in HIDDEN and key_of(each) not in self._mine
        )
        self._hidden = {key_of(each): each.status for each in everybody if each.status in HIDDEN}
        self._called = frozenset(map(key_of, self._offered))
        for key in tuple(self._links):
            self._judge(key)

    @property
    def figures(self) -> Figures:
        """A copy, as things are."""
        found = Figures(**self._figures.as_dict())
        links = self._pump.links()
        found.active = len(links)
        found.up_bytes += sum(link.client.bytes for link in links)
        found.down_bytes += sum(link.instance.bytes for link in links)
        found.ejections += self._balancer.ejections
        found.panics += self._balancer.panics
        return found

    @property
    def service(self) -> str:
        return self.definition.service

    def counted(self) -> dict[str, int]:
        """The figures by name, and how many instances there are.

        `callable`, of which `ejected` are left out for failing; `hidden` are not to be called.
        """
        now = trio.current_time()
        out = sum(not self._balancer.record(each).health.share(now) for each in self._offered)
        return {
            **self.figures.as_dict(),
            "callable": len(self._offered),
            "ejected": out,
            "hidden": len(self._hidden),
        }

    # -- running ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Serves until `stop`, then until the last connection has ended, or the drain is over."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pump.run)
                nursery.start_soon(self._drain)
                nursery.start_soon(self._accept, nursery)
                await self._is_stopping.wait()
                with trio.move_on_after(self.definition.drain or float("inf")):
                    while self._busy:
                        await self._changed.park()
                self._figures.overstayed += self._busy
                nursery.cancel_scope.cancel()
        finally:
            self._sock.close()
            self.finished.set()

    def stop(self) -> None:
        """Takes no further connection. May be called twice."""
        self._is_stopping.set()
        if self._sock.fileno() >= 0:
            trio.lowlevel.notify_closing(self._sock)
            self._sock.close()

    @property
    def _busy(self) -> int:
        return self._dialling + sum(map(len, self._links.values()))

    async def _accept(self, nursery: trio.Nursery) -> None:
        while not self._is_stopping.is_set():
            if self._busy >= min(self.definition.max_connections, self.room):
                await self._changed.park()
                continue
            try:
                await trio.lowlevel.wait_readable(self._sock)
                sock, address = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue
            except trio.ClosedResourceError:
                return
            except OSError as error:
                self._tell(f"cannot accept: {error}")
                await trio.sleep(PAUSE_SECONDS)
                continue
            sock.setblocking(False)
            keep_alive(sock)
            self._figures.accepted += 1
            self._dialling += 1
            nursery.start_soon(self._connect, sock, address)

    def _tell(self, detail: str) -> None:
        text, at = self._told
        now = trio.current_time()
        if detail != text or now >= at + TOLD_AGAIN_SECONDS:
            self._told = (detail, now)
            _log.warning("proxy", extra={"fields": {"detail": detail}})

    async def _connect(self, client: socket.socket, address: Address) -> None:
        definition, balancer = self.definition, self._balancer
        tried: list[Key] = []
        linked = False
        try:
            while len(tried) < definition.attempts:
                target = self._pick(balancer, tried, definition, address)
                if target is None:
                    break
                tried.append(key_of(target))
                record = balancer.begin(target)
                try:
                    sock = await dial(target.address, target.port, definition.connect_timeout)
                    self._refuse_mine(sock, target)
                except OSError as error:
                    self._figures.attempts_failed += 1
                    is_ours = error.errno in OUR_OWN_FAULT
                    balancer.end(record, trio.current_time(), ok=None if is_ours else False)
                    _log.debug("proxy", extra={"fields": {"detail": f"{target.address}: {error}"}})
                    continue
                except BaseException:
                    balancer.end(record, trio.current_time(), ok=None)
                    raise
                self._figures.retried += len(tried) > 1
                self._link(client, sock, address, tried[-1], (balancer, record))
                linked = True
                return
            if tried:
                self._figures.unreachable += 1
            else:
                self._figures.no_instance += 1
        finally:
            self._dialling -= 1
            if not linked:
                reset(client)
            self._changed.unpark_all()

    def _refuse_mine(self, sock: socket.socket, target: Target) -> None:
        here, port = self.address
        if target.port != port:
            return
        there = sock.getpeername()[0]
        if there != sock.getsockname()[0] or here not in (there, "0.0.0.0", "::"):  # noqa: S104 - compared
            return
        sock.close()
        self._mine.add(key_of(target))
        self._offered = tuple(each for each in self._offered if key_of(each) not in self._mine)
        detail = f"{self.service} is registered at this very port, {target.address}:{port}: not called"
        _log.warning("proxy", extra={"fields": {"detail": detail}})
        raise OSError(errno.ELOOP, detail)

    def _pick(
        self, balancer: Balancer[Target], tried: list[Key], definition: ProxyDefinition, client: Address
    ) -> Target | None:
        question = Question(frozenset(definition.tags), definition.near, definition.zone, definition.subset)
        key = client[0] if definition.sticky else None
        return balancer.pick(self._offered, trio.current_time(), question, self.places, tried, key)

    def _link(
        self,
        client: socket.socket,
        sock: socket.socket,
        address: Address,
        key: Key,
        counted: tuple[Balancer[Target], Record],
    ) -> None:
        balancer, record = counted

        def done(link: Link, broken: bool) -> None:
            balancer.end(record, trio.current_time(), ok=not broken)
            figures = self._figures
            figures.broken += broken
            figures.up_bytes += link.client.bytes
            figures.down_bytes += link.instance.bytes
            mine = self._links[key]
            mine.discard(link)
            if not mine:
                del self._links[key]
                self._drains.pop(key, None)
            self._changed.unpark_all()

        version = self.definition.send_proxy
        greeting = header(version, address[:2], client.getsockname()[:2]) if version else b""
        link = Link(client, sock, greeting, key, done)
        self._figures.connected += 1
        self._links.setdefault(key, set()).add(link)
        self._pump.add(link)
        # It may have been deregistered, or have died, while it was dialled.
        self._judge(key)

    # -- draining -----------------------------------------------------------------------------------------

    def _judge(self, key: Key) -> None:
        """What becomes of the connections of an instance: they stay, have an end, or end now."""
        status = self._hidden.get(key, "gone")
        if key in self._called or status == "critical":
            self._drains.pop(key, None)
        elif status == "dead":
            self._cut(key, "cut")
        elif self.definition.drain and key not in self._drains:
            self._drains[key] = trio.current_time() + self.definition.drain
            self._draining.unpark_all()

    async def _drain(self) -> None:
        while True:
            now = trio.current_time()
            for key in [key for key, at in self._drains.items() if at <= now]:
                self._cut(key, "overstayed")
            next_at = min(self._drains.values(), default=float("inf"))
            with trio.move_on_at(next_at):
                await self._draining.park()

    def _cut(self, key: Key, counter: str) -> None:
        self._drains.pop(key, None)
        for link in tuple(self._links.get(key, ())):
            setattr(self._figures, counter, getattr(self._figures, counter) + 1)
            self._pump.cut(link)
