"""One HTTP/1.1 request and its answer over a stream that is there, with a bound on what is kept."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import h11

if TYPE_CHECKING:
    from collections.abc import Mapping

    import trio

__all__ = ["MAX_BODY_BYTES", "Reply", "ask"]

MAX_BODY_BYTES: Final = 65_536
MAX_HEAD_BYTES: Final = 32_768
RECEIVE_BYTES: Final = 16_384


class Reply(NamedTuple):
    """The answer; of a longer body its beginning."""

    status: int
    reason: str
    body: bytes

    @property
    def line(self) -> str:
        """`200 OK`, in our words if the server gave none."""
        if self.reason:
            return f"{self.status} {self.reason}"
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


async def ask(
    stream: trio.abc.Stream,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    limit: int = MAX_BODY_BYTES,
) -> Reply:
    """Ask once, and keep `limit` bytes of the answer's body; the stream is of no use afterwards.

    Raises:
        h11.RemoteProtocolError: what answers does not speak HTTP/1.1.
        trio.BrokenResourceError: the connection broke.
    """
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
    lines = [(name.encode(), value.encode()) for name, value in headers.items()]
    lines.append((b"Connection", b"close"))
    if body:
        lines.append((b"Content-Length", b"%d" % len(body)))
    data = connection.send(h11.Request(method=method, target=path, headers=lines)) or b""
    if body:
        data += connection.send(h11.Data(data=body)) or b""
    data += connection.send(h11.EndOfMessage()) or b""
    await stream.send_all(data)
    status, reason, received = 0, "", bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
        elif isinstance(event, h11.Response):
            status, reason = event.status_code, event.reason.decode("latin-1")
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) >= limit:
                break
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    return Reply(status, reason, bytes(received[:limit]))
