"""What a real Consul answered to each request of a long list, and what this agent answers to the same list.

The list is in order, and what is registered early is read later, so it is asked from beginning to end. A
difference is a place and both values; `chance` decides some values in either program, whose kind is compared.
"""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ANSWERS", "Difference", "Golden", "differences", "golden"]

ANSWERS = ROOT / "tests" / "interop" / "oracle" / "answers.jsonl"

CHANCE = {
    *("ID", "NodeID", "id", "CreateIndex", "ModifyIndex", "X-Consul-Index", "X-Consul-Contenthash"),
    *("ContentHash", "LTime"),
}
"""Keys whose values are of one run only; a service's or check's id is none of those: it is given."""
GIVEN = {"Service", "ServiceID", "CheckID"}
MISSING = "(absent)"


class Golden(NamedTuple):
    """One request and what Consul answered."""

    method: str
    path: str
    body: str | None
    status: int
    headers: dict[str, str]
    said: Any
    """The value of JSON, or the text."""

    @property
    def what(self) -> str:
        return f"{self.method} {self.path}" + (f" {self.body}" if self.body else "")


class Difference(NamedTuple):
    """One place where the answers differ."""

    request: Golden
    place: str
    consul: Any
    ours: Any

    def __str__(self) -> str:
        return f"{self.request.what} | {self.place} | {self.consul!r} | {self.ours!r}"


def golden(path: Path = ANSWERS) -> list[Golden]:
    """All of them, in order."""
    found = []
    for line in path.read_text().splitlines():
        each = json.loads(line)
        said = each.get("json", each.get("text"))
        found.append(
            Golden(each["method"], each["path"], each["body"], each["status"], each["headers"], said)
        )
    return found


def ask(connection: http.client.HTTPConnection, request: Golden) -> Golden:
    """The same request, and what it is answered here."""
    body = None if request.body is None else request.body.encode()
    connection.request(request.method, request.path, body)
    answer = connection.getresponse()
    data = answer.read()
    headers = {name: value for name, value in answer.getheaders() if name in request.headers}
    telling = ("x-consul-", "allow", "content-type", "x-cache")
    headers |= {name: value for name, value in answer.getheaders() if name.lower().startswith(telling)}
    is_json = answer.headers.get("content-type") == "application/json" and data
    said: Any = json.loads(data) if is_json else data.decode()
    return request._replace(status=answer.status, headers=headers, said=said)


def differences(consul: Golden, ours: Golden) -> Iterator[Difference]:
    """Where they differ."""
    if consul.status != ours.status:
        yield Difference(consul, "status", consul.status, f"{ours.status} {str(ours.said)[:200]}")
        return
    for name in sorted({*consul.headers, *ours.headers}):
        pair = consul.headers.get(name, MISSING), ours.headers.get(name, MISSING)
        if pair[0] != pair[1] and not (name in CHANCE and MISSING not in pair):
            yield Difference(consul, name, *pair)
    yield from _compare(consul, "", consul.said, ours.said)


def _compare(request: Golden, place: str, consul: Any, ours: Any) -> Iterator[Difference]:
    if isinstance(consul, dict) and isinstance(ours, dict):
        for key in sorted({*consul, *ours}):
            here = f"{place}.{key}"
            pair = consul.get(key, MISSING), ours.get(key, MISSING)
            if MISSING in pair:
                yield Difference(request, here, *pair)
            elif not (key in CHANCE and _is_chance(key, consul) and type(pair[0]) is type(pair[1])):
                yield from _compare(request, here, *pair)
    elif isinstance(consul, list) and isinstance(ours, list):
        if len(consul) != len(ours):
            yield Difference(request, place + "[]", consul, ours)
            return
        for number, pair in enumerate(zip(consul, ours, strict=True)):
            yield from _compare(request, f"{place}[{number}]", *pair)
    elif consul != ours or _kind(consul) is not _kind(ours):
        yield Difference(request, place, consul, ours)


def _kind(value: Any) -> type:
    """JSON has one kind of number."""
    return float if type(value) is int else type(value)


def _is_chance(key: str, where: dict[str, Any]) -> bool:
    return not (key == "ID" and "Service" in where)
