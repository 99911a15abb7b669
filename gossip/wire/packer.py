"""Packets to datagrams and back, and what a window cannot know: that an answer is of now.

A session's window goes by counters, and who has the key can seal a datagram under a member's session with a
counter that the member will not reach for years: all that the member sends from then on looks old. But an
ack names a number that this node drew for its ping. If the ping was sent after the window last rose, the ack
was sealed after all that the window has met; when its counter is lower all the same, then what raised the
window was not its sender's, and the window begins anew at the ack. Among the honest this never happens, as
counters only rise; so nobody without the key brings back by it anything that was met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gossip.core.messages import Ack, Ping
from gossip.errors import RemoteProtocolError
from gossip.wire.codec import decode_packet, encode
from gossip.wire.generations import Generations
from gossip.wire.seal import ReplayedError

if TYPE_CHECKING:
    from gossip.core.messages import Packet
    from gossip.wire.seal import Sealer

__all__ = ["Packer", "RepeatedError"]

PINGS_KEPT: Final = 1_024
"""Pings of which it is known when they were sent, in each of two generations; answers come within seconds."""


class RepeatedError(RemoteProtocolError):
    """A packet that may be a copy of one that was met: counted as `replayed`."""

    def __init__(self, packet: Packet) -> None:
        super().__init__("replayed")
        self.packet = packet


class Packer:
    """The datagrams of one node."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._pinged: Generations[int, int] = Generations(PINGS_KEPT)
        """The sealer's `moment` when the ping of this number was sent."""

    def pack(self, packet: Packet) -> bytes:
        """A whole datagram."""
        if isinstance(packet, Ping):
            self._pinged.put(packet.seq, self._sealer.moment)
        return self._sealer.seal(encode(packet))

    def unpack(self, datagram: bytes) -> Packet:
        """What a datagram says.

        Raises:
            RepeatedError: it may have been met before.
            RemoteProtocolError: as the sealer and the codec raise it.
        """
        try:
            body = self._sealer.open(datagram)
        except ReplayedError as replayed:
            packet = decode_packet(replayed.body)
        else:
            return decode_packet(body)
        if isinstance(packet, Ack):
            moment = self._pinged.get(packet.seq)
            if moment is not None and self._sealer.begin_anew(datagram, moment):
                return packet
        raise RepeatedError(packet)
