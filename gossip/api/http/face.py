"""The HTTP face of an agent, composed: what it serves, of which parts, and where."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import trio

from gossip.api.consul.answers import Answers
from gossip.api.consul.face import ConsulFace
from gossip.api.http.guard import Guard
from gossip.api.http.guesses import BURST_SECONDS, Guesses
from gossip.api.http.metrics import Metrics, Node, Sources
from gossip.api.http.own import Own
from gossip.api.http.routes import Routes
from gossip.api.http.server import HttpServer, listen
from gossip.api.http.sse import EventStreams
from gossip.api.http.values import Request, Response
from gossip.api.lookups import Lookups
from gossip.api.rates import Rates
from gossip.config.access import Scope
from gossip.config.tls import TlsFiles, server_context
from gossip.errors import TransportError

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterable

    from gossip.api.consul.backend import Backend
    from gossip.api.dns.face import DnsFace
    from gossip.api.http.proxies import Forwarding
    from gossip.api.socket import LocalSocket
    from gossip.config.faces import Faces
    from gossip.core.events import Event
    from gossip.core.types import Address
    from gossip.net.driver import Driver

__all__ = ["HttpFace", "listen_or_move"]

WELCOME: Final = b"gossip: /gossip/v1/info, /v1/catalog/services (Consul's API), /metrics\n"

_log = logging.getLogger("gossip.api")


def listen_or_move(address: Address, *, may_move: bool) -> socket.socket:
    """A listening socket at `address`; if it is taken and `may_move`, at any free port of that host.

    Raises:
        TransportError: it cannot be had.
    """
    try:
        return listen(address)
    except TransportError as error:
        if not may_move:
            raise
        sock = listen((address[0], 0))
        place = f"{address[0]}:{sock.getsockname()[1]}"
        _log.warning("http", extra={"fields": {"detail": f"{error}; serving at {place} meanwhile"}})
        return sock


def _tls_of(faces: Faces) -> ssl.SSLContext | None:
    """What HTTP is served with, read from the files as they are now; None: in clear.

    Raises:
        ConfigError: they are no certificate and its key.
    """
    if faces.http_cert is None or faces.http_key is None:
        return None
    if faces.http_key.exists() and faces.http_key.stat().st_mode & 0o007:
        detail = f"{faces.http_key} is open to all users of this host: chmod 600 it"
        _log.warning("http", extra={"fields": {"detail": detail}})
    return server_context(TlsFiles(faces.http_cert, faces.http_key, faces.http_client_ca, faces.http_tls_min))


class HttpFace:
    """What an agent serves over HTTP.

    Args:
        sock: from `listen_or_move`; closed by `close`.
        local: whose agent is asked, and whose watches are shared.
        agent: whom Consul's API asks.
        faces: who may ask, and with which certificate it answers.
        self_as: the service as which Consul's API lists every agent; empty: none.
        dns: the other face, if there is one; what it counts is told by metrics.
        proxies: gives the forwarders that there are, for the same.

    Raises:
        ConfigError: what `faces` names is no certificate and its key.
    """

    def __init__(
        self,
        sock: socket.socket,
        node: Node,
        driver: Driver,
        local: LocalSocket,
        agent: Backend,
        faces: Faces,
        self_as: str = "",
        dns: DnsFace | None = None,
        proxies: Callable[[], Iterable[Forwarding]] = tuple,
    ) -> None:
        routes = Routes()
        lookups = Lookups(local.agent)
        streams = EventStreams(local.watches)
        self.server = HttpServer(
            routes,
            sock,
            host="" if faces.http is None else faces.http[0],
            gossip_first=driver.gossip_first,
            count=driver.node.count,
        )
        self._rates: tuple[int, int] = (0, 0)
        self._guesses: Guesses | None = None
        self.reload(faces)
        answers = Answers(trio.current_time, time.time(), driver.gossip_first)
        self._metrics = Metrics(
            Sources(node, driver, local, self.server, lookups, streams, answers, dns, proxies)
        )
        self._consul = ConsulFace(agent, answers, self._metrics, self_as)
        routes.mount(self._consul.table)
        routes.add("GET", "/", self._serve_root)
        # What HAProxy asks for where it is told nothing but to check by HTTP; Consul lets it pass, too.
        routes.add("OPTIONS", "/", self._serve_options, scope=Scope.NONE)
        Own(local.agent, lookups, streams).add_to(routes)
        routes.add("GET", "/metrics", self._serve_metrics)

    def reload(self, faces: Faces) -> None:
        """Go by these settings from now on; open connections keep the certificate that they began with.

        Raises:
            ConfigError: what they name is no certificate and its key; nothing has changed.
        """
        tls = _tls_of(faces)
        setting = "http_anonymous"
        if faces.http_anonymous is None and faces.http_tokens is None:
            setting = f"{faces.allowed.setting(Scope(min(faces.anonymous + 1, Scope.ADMIN)))}, http_anonymous"
        self._set_rates(faces)
        self.server.guard = Guard(faces.http_tokens, faces.anonymous, setting, self._guesses)
        self.server.tls = tls
        self.server.shortcuts.forget()

    def _set_rates(self, faces: Faces) -> None:
        """Whoever has used up his own keeps to that, unless they have changed."""
        wanted = (faces.http_rate, faces.http_token_rate)
        if self.server.checks_host or wanted == self._rates:
            return
        self._rates = wanted
        requests, tokens = wanted
        self.server.rates = Rates(requests) if requests else None
        self._guesses = None
        if tokens:
            self._guesses = Guesses(Rates(tokens, BURST_SECONDS), trio.current_time, self.server.count)

    @property
    def address(self) -> Address:
        """Where it really listens."""
        return self.server.address

    def happened(self, event: Event) -> None:
        """The node tells of something, and has already changed."""
        self._consul.happened(event)

    async def serve(self) -> None:
        """Answers until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._consul.run)
            await self.server.serve()

    async def drain(self) -> None:
        """Takes nothing new; returns when what is under way has been answered."""
        await self.server.drain()

    def close(self) -> None:
        """Stops listening. May be called twice."""
        self.server.close()

    async def _serve_root(self, _asked: Request) -> Response:
        return Response(200, WELCOME, "text/plain; charset=utf-8")

    async def _serve_options(self, _asked: Request) -> Response:
        return Response(200, b"", "", [("Allow", "GET, HEAD, OPTIONS")])

    async def _serve_metrics(self, _asked: Request) -> Response:
        return Response(200, self._metrics.render(), self._metrics.content_type)
