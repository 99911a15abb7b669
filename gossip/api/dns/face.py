"""The DNS face of an agent, composed: what it answers, of which parts, and where."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, NamedTuple

import trio

from gossip.api.dns.message import Rcode
from gossip.api.dns.responder import Responder
from gossip.api.dns.server import DnsServer
from gossip.api.dns.sockets import Sockets, bind
from gossip.api.dns.zone import Node, Settings, Zone
from gossip.core.types import show_address
from gossip.errors import TransportError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from gossip.core.types import Address

__all__ = ["DnsFace", "Options", "bind_or_move"]

_log = logging.getLogger("gossip.api")


def bind_or_move(address: Address, *, may_move: bool) -> Sockets:
    """Sockets at `address`; if it is taken and `may_move`, at any free port of that host.

    Raises:
        TransportError: they cannot be had.
    """
    try:
        return bind(address)
    except TransportError as error:
        if not may_move:
            raise
        sockets = bind((address[0], 0))
        place = show_address(sockets.address)
        _log.warning("dns", extra={"fields": {"detail": f"{error}; serving at {place} meanwhile"}})
        return sockets


class Options(NamedTuple):
    """What an agent is told of its DNS face."""

    zone: Settings
    udp_size: int
    recursors: Sequence[Address]
    rate: int = 0
    """Answers a second to one source, other than this host; 0: as many as it asks for."""


class DnsFace:
    """What an agent answers over DNS.

    Args:
        sockets: from `bind_or_move`; closed when `serve` ends.
        gossip_first: of the driver.
        count: of the node.
    """

    def __init__(
        self,
        sockets: Sockets,
        node: Node,
        options: Options,
        rng: random.Random,
        *,
        gossip_first: Callable[[], None],
        count: Callable[[str], None],
    ) -> None:
        began = int(time.time())
        zone = Zone(node, options.zone, rng, trio.current_time, lambda: began + zone.stamp)
        self.server = DnsServer(
            Responder(zone, may_recurse=bool(options.recursors)),
            sockets,
            udp_size=options.udp_size,
            recursors=options.recursors,
            rate=options.rate,
            gossip_first=gossip_first,
            count=count,
        )

    @property
    def address(self) -> Address:
        """Where it really answers."""
        return self.server.address

    async def serve(self) -> None:
        """Answers until cancelled."""
        await self.server.serve()

    # What is counted, for metrics.

    def queries(self) -> Iterator[tuple[str, str, int]]:
        """Transport, code and how many queries were answered so."""
        server = self.server
        for place, rcode in enumerate(Rcode):
            yield "udp", rcode.name, server.here.answered[place] + server.afar.answered[place]
            yield "tcp", rcode.name, server.stream.answered[place]

    def hits(self) -> int:
        """Answers that were ready."""
        server = self.server
        return sum(channel.hits for channel in (server.here, server.afar, server.stream))

    def cut(self) -> int:
        """Answers that did not fit."""
        server = self.server
        return sum(channel.cut for channel in (server.here, server.afar, server.stream))

    def limited(self) -> dict[str, int]:
        """What became of queries of sources that asked more than one may."""
        return self.server.limited

    def dropped(self) -> dict[str, int]:
        """What had no answer, or whose answer did not leave, and connections that made room for others."""
        server = self.server
        ignored = sum(channel.ignored for channel in (server.here, server.afar, server.stream))
        return {"no_query": ignored, "unsent": server.unsent, "displaced": server.tcp.displaced}
