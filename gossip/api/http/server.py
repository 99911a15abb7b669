"""An HTTP server: where it listens, how many it serves, and how it ends."""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import socket
from collections import Counter
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import trio

from gossip.api.http.connection import OTHER, Conversation
from gossip.api.http.guard import OPEN, Guard
from gossip.api.http.line import Clear, Sealed
from gossip.api.http.pace import Pace
from gossip.api.http.shortcuts import Shortcuts
from gossip.api.http.values import problem
from gossip.core.types import is_loopback, show_address
from gossip.errors import TransportError
from gossip.net.addresses import site

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from gossip.api.http.routes import Routes
    from gossip.api.rates import Rates
    from gossip.core.types import Address

__all__ = ["MAX_CONNECTIONS", "HttpServer", "listen"]

SHARE: Final = 2
"""One address may have one in so many of them, so that others get in whatever it does."""
MAX_CONNECTIONS: Final = 4_096
"""A Prometheus that follows a thousand services holds a thousand connections."""
OTHERS: Final = 1_280
"""Descriptors that the local socket, gossip and the disk may need beside them."""
MAX_LEAVING: Final = 32
"""Clients over the limit that are told so and given a moment to read it; further ones are just closed."""
LEAVING_SECONDS: Final = 1.0
BACKLOG: Final = 1_024
AT_ONCE: Final = 64
"""Connections taken in one turn of the loop: were it one, a newcomer would wait until all who are served
already have had an answer, once for each who came before it."""
PAUSE_SECONDS: Final = 0.1
"""After an accept that failed for want of descriptors: they are not back at once."""

_log = logging.getLogger("gossip.api")


def room() -> int:
    """How many connections this process has descriptors for; the soft limit is raised as far as that helps.

    The soft limit of 1,024 is for programs that use `select`, which this one does not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + OTHERS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, max(soft - OTHERS, soft // 2))


def listen(address: Address) -> socket.socket:
    """A listening socket at an IP address and port (0: any that is free).

    Raises:
        TransportError: naming the address, and what to do.
    """
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = show_address(address)
        if error.errno == errno.EADDRINUSE:
            raise TransportError(f"{where}: in use by another program: give another --http") from error
        raise TransportError(f"{where}: {error.strerror or error}: give another --http") from error
    return sock


class HttpServer:
    """Serves `routes` at a listening socket.

    Args:
        sock: from `listen`; closed when `serve` ends, or by `close`.
        host: a name by which clients may ask for it on loopback, besides `localhost` and IP addresses.
        gossip_first: called before each request, so that clients never keep the agent from gossip.
        count: counts our own faults (`internal_error`), handshakes that failed (`tls_failed`) or for
            which too many waited (`tls_refused`), and requests beyond `rates` (`http_rate`).
        guard, tls, rates: may be replaced while it serves; connections that are open keep their TLS.
        rates: of requests of one source, other than this host; None: as many as will.
    """

    def __init__(
        self,
        routes: Routes,
        sock: socket.socket,
        *,
        host: str = "",
        gossip_first: Callable[[], None] = lambda: None,
        count: Callable[[str], None] = lambda _reason: None,
        guard: Guard = OPEN,
        tls: ssl.SSLContext | None = None,
        rates: Rates | None = None,
        limit: int | None = None,
    ) -> None:
        self.routes = routes
        self.host = host
        self.gossip_first = gossip_first
        self.count = count
        self.guard = guard
        self.tls = tls
        self.rates = rates
        self.is_draining = False
        self.address: Address = sock.getsockname()[:2]
        self.checks_host = ip_address(self.address[0]).is_loopback
        self.requests: Counter[tuple[str, int]] = Counter()
        """Requests answered, by route and status."""
        self.shortcuts = Shortcuts(self.answered)
        self._sock = sock
        self._limit = room() if limit is None else limit
        self._leaving = 0
        self._open: set[Conversation] = set()
        self._peers: Counter[str] = Counter()
        """Connections by the address that they come from."""
        self._pace = Pace()
        self._ended = trio.lowlevel.ParkingLot()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def answered(self, route: str, status: int) -> None:
        """See `connection.Server`."""
        self.requests[route, status] += 1

    def has_room(self, source: str) -> bool:
        """See `connection.Server`."""
        return self.rates is None or not self.rates.wait(source, trio.current_time())

    def admits(self, source: str) -> bool:
        """See `connection.Server`."""
        if self.rates is None or self.rates.take(source, trio.current_time()):
            return True
        self.count("http_rate")
        return False

    async def serve(self) -> None:
        """Answers until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._pace.keep)
                await self._accept(nursery)
        finally:
            self.close()

    async def drain(self) -> None:
        """Takes no further connection or request; returns when those under way are answered."""
        self.is_draining = True
        for conversation in tuple(self._open):
            conversation.drain()
        while self._open:
            await self._ended.park()

    def close(self) -> None:
        """Stops listening. May be called twice."""
        if self._sock.fileno() >= 0:
            self._sock.close()

    async def _accept(self, nursery: trio.Nursery) -> None:
        taken = 0
        while True:
            if taken % AT_ONCE == 0:
                await trio.lowlevel.wait_readable(self._sock)
            taken += 1
            try:
                sock, source = self._sock.accept()
            except BlockingIOError:
                taken = 0
                continue
            except ConnectionAbortedError:
                continue
            except OSError as error:
                _log.warning("http", extra={"fields": {"detail": f"cannot accept: {error}"}})
                await trio.sleep(PAUSE_SECONDS)
                continue
            sock.setblocking(False)
            peer = str(source[0])
            if self.is_draining:
                sock.close()
            elif len(self._open) >= self._limit or self._has_his_share(peer):
                self._turn_away(sock, nursery)
            else:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                nursery.start_soon(self._run, self._begin(sock, peer), peer)

    def _has_his_share(self, peer: str) -> bool:
        # Loopback is many programs.
        return self._peers[site(peer)] >= self._limit // SHARE and not self.checks_host

    def _begin(self, sock: socket.socket, peer: str) -> Conversation:
        whose = site(peer)
        line = Clear(sock) if self.tls is None else Sealed(sock, self.tls, self._pace, self.count, whose)
        # Loopback is many programs, and limited by connections: gossip goes before each request anyway.
        conversation = Conversation(line, self, "" if self.checks_host or is_loopback(peer) else peer)
        self._open.add(conversation)
        self._peers[whose] += 1
        return conversation

    async def _run(self, conversation: Conversation, peer: str) -> None:
        try:
            await conversation.run()
        except Exception:  # noqa: BLE001 - a fault of our own ends this connection only
            self.count("internal_error")
            _log.exception("http_failed")
        finally:
            self._open.discard(conversation)
            whose = site(peer)
            self._peers[whose] -= 1
            if not self._peers[whose]:
                del self._peers[whose]
            self._ended.unpark_all()

    def _turn_away(self, sock: socket.socket, nursery: trio.Nursery) -> None:
        self.answered(OTHER, 503)
        if self._leaving >= MAX_LEAVING:
            sock.close()
            return
        if self.tls is not None:
            # To be told why would take a handshake, which is what there is too much of.
            sock.close()
            return
        answer = problem(503, "limit", f"{self._limit} connections are open already: close some")
        head = (
            "HTTP/1.1 503 Service Unavailable\r\n"
            f"content-type: {answer.content_type}\r\ncontent-length: {len(answer.body)}\r\n"
            "retry-after: 1\r\nconnection: close\r\n\r\n"
        )
        try:
            sock.send(head.encode() + answer.body)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            sock.close()
            return
        self._leaving += 1
        nursery.start_soon(self._see_off, sock)

    async def _see_off(self, sock: socket.socket) -> None:
        """A socket that is closed with unread data takes the answer away from the client again."""
        try:
            with sock, trio.move_on_after(LEAVING_SECONDS), contextlib.suppress(OSError):
                while True:
                    await trio.lowlevel.wait_readable(sock)
                    if not sock.recv(4_096):
                        return
        finally:
            self._leaving -= 1
