"""Messages to bytes and back: msgpack arrays `[kind, field, ...]`, every bound checked.

Fields that a later version adds at the end are ignored; a kind that this version does not know
is told apart from rubbish, so that a cluster can be upgraded one node at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from msgspec import Struct

from gossip.core.messages import (
    Ack,
    Busy,
    DialBack,
    DialledBack,
    Frame,
    Gossip,
    Hello,
    KeyAsk,
    KeyGrant,
    Listing,
    Message,
    NotMe,
    Offer,
    Packet,
    Page,
    Ping,
    PingRequest,
    Report,
    Turned,
    Used,
    Verdict,
)
from gossip.errors import RemoteProtocolError
from gossip.wire.bounds import host_problem, is_printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_FRAME_BODY", "MAX_PACKET_BODY", "decode_frame", "decode_packet", "encode"]

MAX_PACKET_BODY = 2_048
"""Bytes in a datagram's body. This version sends at most 1,400 with everything; there is room
for a later one to send more, and none for a datagram that costs a millisecond to read."""
MAX_FRAME_BODY = 1_048_576
"""Bytes in a frame's body; what a stream accepts is a little less (`seal.FRAME_MAX`)."""

_Message = TypeVar("_Message")


class _Header(Struct, array_like=True, gc=False):
    kind: int


_KINDS = frozenset(
    kind.__struct_config__.tag
    for kind in (
        Ping,
        Ack,
        PingRequest,
        Report,
        NotMe,
        Gossip,
        Hello,
        Listing,
        Offer,
        Page,
        Busy,
        Verdict,
        Turned,
        DialBack,
        DialledBack,
        KeyAsk,
        KeyGrant,
        Used,
    )
)
_read_packet: Callable[[bytes], Packet] = msgspec.msgpack.Decoder(Packet).decode
_read_frame: Callable[[bytes], Frame] = msgspec.msgpack.Decoder(Frame).decode
_read_header = msgspec.msgpack.Decoder(_Header).decode

encode: Callable[[Message], bytes] = msgspec.msgpack.Encoder().encode
"""The bytes of a message. Bounds are the reader's to check: what core makes is within them."""


def decode_packet(body: bytes) -> Packet:
    """The message in the body of a datagram.

    Raises:
        RemoteProtocolError: `malformed`, `unknown_kind` or `oversized`; nothing else, whatever
            the bytes are.
    """
    if len(body) > MAX_PACKET_BODY:
        raise RemoteProtocolError("oversized", f"{len(body)} bytes in a datagram")
    return _decode(_read_packet, body)


def decode_frame(body: bytes) -> Frame:
    """The message in the body of a frame of a stream.

    Raises:
        RemoteProtocolError: as `decode_packet`.
    """
    if len(body) > MAX_FRAME_BODY:
        raise RemoteProtocolError("oversized", f"{len(body)} bytes in a frame")
    return _decode(_read_frame, body)


def _decode(read: Callable[[bytes], _Message], body: bytes) -> _Message:
    try:
        message = read(body)
    # UnicodeDecodeError is no msgspec error, and deep nesting a RecursionError.
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(_why(body), str(error)) from None
    check = _CHECKS.get(type(message))
    if check is not None:
        check(message)
    return message


def _check_address(message: Ping | Ack | PingRequest | NotMe) -> None:
    host, port = message.address
    _check_target(host, port)


def _check_verdict(verdict: Verdict | DialledBack) -> None:
    _check_target(*verdict.address)
    _check_target(*verdict.seen)


def _check_busy(busy: Busy) -> None:
    for host, port in busy.others:
        _check_target(host, port)


def _check_grant(grant: KeyGrant) -> None:
    if not grant.name or not is_printable(grant.name):
        raise RemoteProtocolError("malformed", "a key without a name that can be shown")


def _check_turned(turned: Turned) -> None:
    if not is_printable(turned.reason):
        raise RemoteProtocolError("malformed", "a reason with a control character")


_CHECKS: dict[type, Callable[[Any], None]] = {
    Ping: _check_address,
    Ack: _check_address,
    PingRequest: _check_address,
    NotMe: _check_address,
    Verdict: _check_verdict,
    DialledBack: _check_verdict,
    Busy: _check_busy,
    Turned: _check_turned,
    KeyGrant: _check_grant,
}
"""What msgspec cannot check."""


def _check_target(host: str, port: int) -> None:
    # A host is an address, never a name: what is sent to it may not cost a look-up.
    problem = host_problem(host)
    if problem or port == 0:
        raise RemoteProtocolError("malformed", f"address {host!r} {problem or 'has no port'}")


def _why(body: bytes) -> str:
    try:
        kind = _read_header(body).kind
    except (ValueError, RecursionError):
        return "malformed"
    return "malformed" if kind in _KINDS or kind < 0 else "unknown_kind"
