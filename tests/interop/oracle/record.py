"""Asks a real Consul 1.8.7 every request of `requests.txt` and keeps what it answers, as test data.

    scripts/peers consul
    .venv/bin/python -m tests.interop.oracle.record [ANSWERS]

A server by itself, with nothing registered, is asked in the order of the file. ANSWERS (`answers.jsonl` here)
has one line of JSON for each request:

    {"method", "path", "body" (text, or null), "status", "headers" (the telling ones, as they are spelt),
     "json" (what the body says, if its type is JSON) or "text" (the body as it is)}
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.agent.processes import until
from tests.interop.api import Answer, ask, get
from tests.interop.worlds import ConsulWorld

__all__ = ["ANSWERS", "Request", "alone", "line", "requests"]

HERE = Path(__file__).parent
ANSWERS = HERE / "answers.jsonl"
TELLING = ("allow", "content-type", "x-cache")
"""Besides all that begin with X-Consul-."""


class Request(NamedTuple):
    """One line of the file."""

    method: str
    path: str
    body: str | None


def requests() -> list[Request]:
    """What is asked, in order."""
    found = []
    for text in (HERE / "requests.txt").read_text().splitlines():
        if text and not text.startswith("#"):
            method, path, *rest = text.split(" ", 2)
            found.append(Request(method, path, rest[0] if rest else None))
    return found


def alone(folder: Path) -> ConsulWorld:
    """A Consul server by itself that knows of its own health. Skips a test where there is none."""
    world = ConsulWorld(folder, size=1)
    try:
        until("it leads itself", lambda: _settled(world))
    except BaseException:
        world.stop()
        raise
    return world


def _settled(world: ConsulWorld) -> bool:
    try:
        health = get(world.http(0), "/v1/health/state/passing")
        nodes = get(world.http(0), "/v1/catalog/nodes")
    except ConnectionRefusedError:
        return False
    # It lists itself before it has told itself all about itself.
    return health.status == 200 and bool(health.json) and bool(nodes.json[0]["TaggedAddresses"])


def line(request: Request, answer: Answer) -> dict[str, Any]:
    """What is kept of an answer."""
    spelt = dict(zip(answer.spelt, answer.headers.values(), strict=True))
    told = {
        name: value
        for name, value in sorted(spelt.items())
        if name.lower() in TELLING or name.lower().startswith("x-consul-")
    }
    kept: dict[str, Any] = {**request._asdict(), "status": answer.status, "headers": told}
    if answer.headers.get("content-type") == "application/json" and answer.body:
        kept["json"] = answer.json
        if request.path == "/v1/agent/self":
            kept["json"]["DebugConfig"] = {}  # 10 kB of its own settings
    else:
        kept["text"] = answer.text
    return kept


def asked(address: str) -> Iterator[dict[str, Any]]:
    """Each request's answer; one that it dies of (a connection that ends without a word) is left out."""
    for request in requests():
        try:
            answer = ask(address, request.method, request.path, request.body)
        except ConnectionError as error:
            print(f"no answer: {request.method} {request.path} {request.body or ''}: {error}")
            continue
        yield line(request, answer)
        if request.method == "PUT":
            until("the catalog follows the agent", lambda: _in_step(address))


def _in_step(address: str) -> bool:
    """Whether the catalog says of the server's services and checks what it says itself: it follows later."""
    services = {ident: _said(each) for ident, each in get(address, "/v1/agent/services").json.items()}
    node = get(address, "/v1/catalog/node/one").json["Services"]
    listed = {ident: _said(each) for ident, each in node.items() if ident != "consul"}
    checks = {ident: _state(each) for ident, each in get(address, "/v1/agent/checks").json.items()}
    known = {each["CheckID"]: _state(each) for each in get(address, "/v1/health/node/one").json}
    known.pop("serfHealth")
    return services == listed and checks == known


def _said(service: dict[str, Any]) -> list[Any]:
    said = [service[key] for key in ("Service", "Tags", "Port", "Address", "Weights", "EnableTagOverride")]
    return [*said, service["Meta"] or {}]


def _state(check: dict[str, Any]) -> list[Any]:
    # Not the output: while nothing else changes, the catalog hears of it after minutes.
    return [check["Status"], check["Notes"], check["ServiceTags"]]


def main(arguments: list[str]) -> None:
    """Record."""
    path = Path(arguments[0]) if arguments else ANSWERS
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder, alone(Path(folder)) as world:
        lines = [json.dumps(each, ensure_ascii=False) for each in asked(world.http(0))]
    path.write_text("\n".join(lines) + "\n")
    print(f"{len(lines)} answers are in {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
