"""DNS over UDP: every query answered at once, or handed to whoever asks others."""

from __future__ import annotations

import functools
import logging
from ipaddress import ip_address
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

import trio

from gossip.api.dns.message import MAX_BYTES, Rcode, error
from gossip.api.dns.recursion import Recursion
from gossip.api.dns.responder import MAX_UDP_BYTES, Channel, Further, Responder
from gossip.api.dns.sockets import MAX_QUERY_BYTES, Sockets, receive_there, send_from
from gossip.api.dns.tcp import TcpServer
from gossip.api.rates import Rates

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.core.types import Address

__all__ = ["DnsServer"]

SLIP: Final = 3
"""Of the queries over UDP beyond the rate, one in so many is told that its answer is cut, in no more bytes
than it has itself: a client that is really there then comes over TCP. The others are told nothing."""
STREAM_FACTOR: Final = 10
"""Over TCP a source is proven, and those who ask too often are sent there: it is answered so much oftener."""

BATCH: Final = 256
TURN_SECONDS: Final = 0.002
"""A turn of answering ends after so many queries or so much time: whoever else has work goes on then.
Twice what a connection of another face has, since all clients over UDP have one task."""
MAX_DELAY_SECONDS: Final = 5.0
"""As long as a client may wait for others to be asked, about; then its connection is closed."""

_log = logging.getLogger("gossip.api")


class DnsServer:
    """Serves DNS at a pair of sockets.

    Args:
        sockets: from `bind`; closed when `serve` ends, or by `close`.
        udp_size: bytes of an answer over UDP to another host: its address is not proven, and may be that of
            somebody who is to be flooded.
        recursors: who is asked what is not ours.
        rate: answers a second over UDP to one source other than this host, which may be somebody who is to
            be flooded; 0: as many as are asked for.
        gossip_first: called before each query, so that clients never keep the agent from gossip.
        count: counts our own faults (`internal_error`).
    """

    def __init__(
        self,
        responder: Responder,
        sockets: Sockets,
        *,
        udp_size: int,
        recursors: Sequence[Address] = (),
        rate: int = 0,
        gossip_first: Callable[[], None] = lambda: None,
        count: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.address: Address = sockets.address
        self.responder = responder
        self.here = Channel(MAX_UDP_BYTES)
        """Datagrams from this host, whose address nobody else can have written."""
        self.afar = Channel(udp_size)
        """Datagrams from others."""
        self.stream = Channel(MAX_BYTES)
        self.unsent = 0
        """Answers that the system did not take."""
        self.recursion = Recursion(recursors)
        self._sockets = sockets
        self._gossip_first = gossip_first
        self._count = count
        self._nursery: trio.Nursery | None = None
        self.limited = {"dropped": 0, "truncated": 0, "delayed": 0}
        """Queries of sources that asked more than one may, by what became of them."""
        self._rates: Rates | None = None
        """Of datagrams. They prove no source: what comes in somebody's name leaves him his streams."""
        self._stream_rates: Rates | None = None
        self._over = 0
        self._all_here = _is_here(self.address[0])
        self._wildcard = self.address[0] in ("0.0.0.0", "::")  # noqa: S104 - a comparison
        if rate and not self._all_here:
            self._rates, self._stream_rates = Rates(rate), Rates(rate * STREAM_FACTOR)
        self.tcp = TcpServer(
            sockets.tcp, self.answer_stream, self._turn_of, gossip_first=gossip_first, count=count
        )

    async def serve(self) -> None:
        """Answers until cancelled."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self.tcp.serve)
                while True:
                    await trio.lowlevel.wait_readable(self._sockets.udp)
                    while not self._turn():
                        await trio.lowlevel.checkpoint()
        finally:
            self._nursery = None
            self.close()

    def close(self) -> None:
        """Stops listening. May be called twice."""
        self._sockets.close()

    # ------------------------------------------------------------------------------------------ datagrams

    def _turn(self) -> bool:
        """Answers what has come, for a while; whether that is all."""
        receive = self._receive_there if self._wildcard else self._receive
        end = perf_counter() + TURN_SECONDS
        for _ in range(BATCH):
            self._gossip_first()
            try:
                data, source, way = receive()
            except BlockingIOError:
                return True
            except OSError:
                # An error about something sent before, read here: the socket is as good as it was.
                continue
            self._take(data, source, way)
            if perf_counter() > end:
                break
        return False

    def _receive(self) -> tuple[bytes, Any, Any]:
        data, source = self._sockets.udp.recvfrom(MAX_QUERY_BYTES + 1)
        return data, source, None

    def _receive_there(self) -> tuple[bytes, Any, Any]:
        return receive_there(self._sockets.udp)

    def _take(self, data: bytes, source: Any, way: Any) -> None:
        channel = self.here if self._all_here or _is_here(source[0]) else self.afar
        try:
            answer: bytes | Further | None
            if channel is self.afar and self._is_over(source[0]):
                answer = self._slip(data)
            elif len(data) > MAX_QUERY_BYTES:
                channel.count(Rcode.FORMERR)
                answer = error(data, Rcode.FORMERR)
            else:
                answer = self.responder.answer(data, channel)
        except Exception:  # noqa: BLE001 - a fault of our own costs this query only
            self._count("internal_error")
            _log.exception("dns_failed")
            return
        if isinstance(answer, bytes):
            self._send(answer, source, way)
        elif answer is not None and self._nursery is not None:
            self._nursery.start_soon(self._ask_further, data, answer, channel, source, way)

    def _is_over(self, host: str) -> bool:
        return self._rates is not None and not self._rates.take(host, trio.current_time())

    def _slip(self, data: bytes) -> bytes | None:
        """What is said to a source that asks too often: mostly nothing."""
        self._over += 1
        answer = None if self._over % SLIP else self.responder.cut(data, self.afar)
        self.limited["dropped" if answer is None else "truncated"] += 1
        return answer

    def _send(self, answer: bytes, source: Any, way: Any) -> None:
        try:
            if way:
                send_from(self._sockets.udp, answer, source, way)
            else:
                self._sockets.udp.sendto(answer, source)
        except OSError:
            # As if it had been lost on the way: it is asked for again.
            self.unsent += 1

    async def _ask_further(
        self, data: bytes, further: Further, channel: Channel, source: Any, way: Any
    ) -> None:
        try:
            answer = await self._further(data, further, channel, source[0], tcp=False)
        except Exception:  # noqa: BLE001 - a fault of our own ends this query only
            self._count("internal_error")
            _log.exception("dns_failed")
            return
        self._send(answer, source, way)

    # -------------------------------------------------------------------------------------------- streams

    async def answer_stream(self, data: bytes, host: str) -> bytes | None:
        """The answer to a query that came over TCP; None: there must be none."""
        answer = self.responder.answer(data, self.stream)
        if isinstance(answer, Further):
            return await self._further(data, answer, self.stream, host, tcp=True)
        return answer

    def _turn_of(self, host: str) -> float | None:
        """Seconds until a query over TCP has its turn; None: too far away, since too many were given up."""
        if self._stream_rates is None or _is_here(host):
            return 0.0
        now = trio.current_time()
        late = self._stream_rates.wait(host, now)
        if late > MAX_DELAY_SECONDS:
            self.limited["dropped"] += 1
            return None
        self._stream_rates.use(host, now)
        self.limited["delayed"] += late > 0.0
        return late

    async def _further(
        self, data: bytes, further: Further, channel: Channel, host: str, *, tcp: bool
    ) -> bytes:
        """Ask others, for whoever may have that done."""
        query, answer = further
        responder = self.responder
        if not _is_near(host):
            if answer is None:
                return responder.refuse(data, query, Rcode.REFUSED, channel)
            return responder.finish(data, query, answer, channel)
        if answer is not None:
            answer = await self.recursion.chase(query, answer, tcp=tcp)
            return responder.finish(data, query, answer, channel)
        found = await self.recursion.forward(data, query, tcp=tcp)
        if found is None:
            return responder.refuse(data, query, Rcode.SERVFAIL, channel)
        return responder.pass_on(found, query, channel)


def _is_here(host: str) -> bool:
    """Whether it is of loopback, as the kernel writes it: to parse it costs several times an answer."""
    return host.startswith("127.") or host == "::1"


@functools.lru_cache(maxsize=1_024)
def _is_near(host: str) -> bool:
    """Whether others are asked for a client there: for strangers, this would be an open resolver."""
    return ip_address(host.partition("%")[0]).is_private
