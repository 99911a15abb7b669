"""gRPC: what a server's `grpc.health.v1.Health/Check` says of a service, or (no name) of itself.

Two tiny messages and one call do not need a gRPC library: HTTP/2 comes from `h2`, the messages are
written out here. `HealthCheckRequest` is `string service = 1`; `HealthCheckResponse` is
`ServingStatus status = 1`, a varint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError

from gossip.checks.dial import open_stream, split_address
from gossip.checks.finding import Finding, critical, reason_of
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from gossip.config.checks import CheckDefinition

__all__ = ["look"]

MAX_ANSWER_BYTES: Final = 4_096
"""Far above the two bytes that are expected."""
RECEIVE_BYTES: Final = 16_384
STREAM: Final = 1
_SERVING: Final = 1
_STATUSES: Final = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
_ERRORS: Final = {
    "5": "the server does not know this service",
    "12": "the server has no health service",
    "14": "the server is not available",
    "16": "the server wants credentials",
}


class _Answer:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.is_whole = False
        self.broken = ""


async def look(check: CheckDefinition) -> Finding:
    """Asks once."""
    address, _, service = check.target.partition("/")
    said = f"gRPC {check.target}"
    try:
        async with open_stream(
            *split_address(address), tls=check.tls, verify=not check.tls_skip_verify, protocols=("h2",)
        ) as stream:
            answer = await _ask(stream, address, service, "https" if check.tls else "http")
    except ProtocolError as error:
        return critical(f"{said}: no HTTP/2: {error}")
    except (OSError, trio.BrokenResourceError) as error:
        return critical(f"{said}: {reason_of(error)}")
    return _judge(answer, said)


async def _ask(stream: trio.abc.Stream, authority: str, service: str, scheme: str) -> _Answer:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", scheme),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "gossip-check"),
    ]
    connection.send_headers(STREAM, headers)
    request = _request(service)
    connection.send_data(STREAM, b"\0" + len(request).to_bytes(4, "big") + request, end_stream=True)
    answer = _Answer()
    while not (answer.is_whole or answer.broken):
        await stream.send_all(connection.data_to_send())
        data = bytes(await stream.receive_some(RECEIVE_BYTES))
        if not data:
            answer.broken = "the connection was closed"
        for event in connection.receive_data(data) if data else ():
            _take(connection, event, answer)
    return answer


def _take(connection: H2Connection, event: Event, answer: _Answer) -> None:
    match event:
        case ResponseReceived() | TrailersReceived():
            for name, value in event.headers or ():
                answer.headers[_text(name)] = _text(value)
        case DataReceived():
            answer.body += event.data or b""
            connection.acknowledge_received_data(event.flow_controlled_length or 0, STREAM)
            if len(answer.body) > MAX_ANSWER_BYTES:
                answer.broken = f"an answer of more than {MAX_ANSWER_BYTES} bytes"
        case StreamEnded():
            answer.is_whole = True
        case StreamReset() | ConnectionTerminated():
            answer.broken = f"the server broke off (HTTP/2 error {event.error_code})"


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _judge(answer: _Answer, said: str) -> Finding:
    if answer.broken:
        return critical(f"{said}: {answer.broken}")
    headers = answer.headers
    if headers.get(":status") != "200":
        return critical(f"{said}: HTTP status {headers.get(':status')}")
    code = headers.get("grpc-status", "missing")
    if code != "0":
        reason = unquote(headers.get("grpc-message", "")) or _ERRORS.get(code, "")
        return critical(f"{said}: gRPC status {code}" + (f": {reason}" if reason else ""))
    status = _status(bytes(answer.body))
    if status is None:
        return critical(f"{said}: the answer cannot be read")
    word = _STATUSES[status] if status < len(_STATUSES) else str(status)
    return Finding(Verdict.PASSING if status == _SERVING else Verdict.CRITICAL, f"{said}: {word}")


def _request(service: str) -> bytes:
    name = service.encode()
    return b"\x0a" + _varint(len(name)) + name if name else b""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _status(body: bytes) -> int | None:
    """Field 1 of the message in `body`; 0 if it is left out; None if there is no message or field.

    Fields of later versions are skipped as far as they are varints or have a length.
    """
    if len(body) < 5 or body[0] != 0 or len(body) - 5 != int.from_bytes(body[1:5], "big"):
        return None
    status, place, data = 0, 0, body[5:]
    while place < len(data):
        tag, place = _read_varint(data, place)
        value, place = _read_varint(data, place)
        if tag & 7 == 2:
            place += value
        elif tag & 7 != 0:
            return None
        elif tag >> 3 == 1:
            status = value
    return status if place == len(data) else None


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number, shift = 0, 0
    while place < len(data) and shift < 64:
        byte = data[place]
        number |= (byte & 0x7F) << shift
        place += 1
        shift += 7
        if byte < 0x80:
            return number, place
    return number, len(data) + 1
