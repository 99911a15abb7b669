"""One HTTP request and its answer, with nothing of a client's own opinions in between."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.agent.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Answer", "ask", "get", "put"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came: header names in small letters, as HTTP compares them, and also as they were spelt."""

    status: int
    headers: dict[str, str]
    spelt: tuple[str, ...]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def index(self) -> int:
        return int(self.headers["x-consul-index"])


def ask(
    address: str,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    timeout: float = PATIENCE,
) -> Answer:
    """`body` is sent as it is if it is bytes or text, else as JSON; a Content-Type is not sent."""
    if body is not None and not isinstance(body, bytes | str):
        body = json.dumps(body)
    sent = body.encode() if isinstance(body, str) else body
    connection = http.client.HTTPConnection(address, timeout=timeout)
    try:
        connection.request(method, path, sent, dict(headers or {}))
        got = connection.getresponse()
        found = got.getheaders()
        return Answer(
            got.status,
            {name.lower(): value for name, value in found},
            tuple(name for name, _ in found),
            got.read(),
        )
    finally:
        connection.close()


def get(address: str, path: str, timeout: float = PATIENCE) -> Answer:
    return ask(address, "GET", path, timeout=timeout)


def put(address: str, path: str, body: object = None) -> Answer:
    """A write that has to work."""
    answer = ask(address, "PUT", path, body)
    assert answer.status == 200, f"PUT {path} {body!r}: {answer.status} {answer.text}"
    return answer
