"""The HTTP face of an agent, composed: what it serves, of which parts, and where."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from gossip.api.http.metrics import Metrics, Node, Sources
from gossip.api.http.own import Own
from gossip.api.http.routes import Routes
from gossip.api.http.server import HttpServer, listen
from gossip.api.http.sse import EventStreams
from gossip.api.http.values import Request, Response
from gossip.api.lookups import Lookups
from gossip.errors import TransportError

if TYPE_CHECKING:
    import socket

    from gossip.api.dns.face import DnsFace
    from gossip.api.socket import LocalSocket
    from gossip.core.types import Address
    from gossip.net.driver import Driver

__all__ = ["HttpFace", "listen_or_move"]

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


class HttpFace:
    """What an agent serves over HTTP.

    Args:
        sock: from `listen_or_move`; closed by `close`.
        local: whose agent is asked, and whose watches are shared.
        host: the name that was configured.
        dns: the other face, if there is one; what it counts is told by metrics.
    """

    def __init__(
        self,
        sock: socket.socket,
        node: Node,
        driver: Driver,
        local: LocalSocket,
        host: str = "",
        dns: DnsFace | None = None,
    ) -> None:
        routes = Routes()
        lookups = Lookups(local.agent)
        streams = EventStreams(local.watches)
        self.server = HttpServer(
            routes, sock, host=host, gossip_first=driver.gossip_first, count=driver.node.count
        )
        self._metrics = Metrics(Sources(node, driver, local, self.server, lookups, streams, dns))
        Own(local.agent, lookups, streams).add_to(routes)
        routes.add("GET", "/metrics", self._serve_metrics)

    @property
    def address(self) -> Address:
        """Where it really listens."""
        return self.server.address

    async def serve(self) -> None:
        """Answers until cancelled."""
        await self.server.serve()

    async def drain(self) -> None:
        """Takes nothing new; returns when what is under way has been answered."""
        await self.server.drain()

    def close(self) -> None:
        """Stops listening. May be called twice."""
        self.server.close()

    async def _serve_metrics(self, _asked: Request) -> Response:
        return Response(200, self._metrics.render(), self._metrics.content_type)
