"""What core asks of the world. `Node.drain` returns them in order; the driver carries them out."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from gossip.core.events import Event
from gossip.core.messages import Frame, Packet
from gossip.core.types import Address, StreamId

__all__ = ["Close", "Dial", "Effect", "Notify", "Resolve", "SaveCounter", "SaveKeys", "Send", "Write"]


class Send(Struct, frozen=True, gc=False):
    """Send one datagram."""

    address: Address
    message: Packet
    asks: bool = False
    """A ping by which this node judges: that its host refuses it is evidence."""


class Dial(Struct, frozen=True, gc=False):
    """Open a stream within `timeout` seconds.

    Answered by `stream_opened`, or `stream_closed` with what went wrong.
    """

    stream: StreamId
    address: Address
    timeout: float


class Write(Struct, frozen=True, gc=False):
    """Send one frame on an open stream. Frames written before it opened are sent once it has."""

    stream: StreamId
    frame: Frame


class Close(Struct, frozen=True, gc=False):
    """Send what is written, then end the stream. The driver reports nothing more about it."""

    stream: StreamId


class Resolve(Struct, frozen=True, gc=False):
    """Turn a seed as the user wrote it into addresses: answered by `resolved`."""

    seed: str


class SaveCounter(Struct, frozen=True, gc=False):
    """Put `ceiling` on disk: versions up to it may be used afterwards, none above."""

    ceiling: int


class SaveKeys(Struct, frozen=True, gc=False):
    """Put the cluster's keys, and the change of them that is under way, on disk.

    Answered by `keys_saved` with this number, once they are there.
    """

    number: int


class Notify(Struct, frozen=True, gc=False):
    """Tell the watchers."""

    event: Event


Effect: TypeAlias = Send | Dial | Write | Close | Resolve | SaveCounter | SaveKeys | Notify
