"""Containers: what the engine beside this agent says of one, over its unix socket.

If the image has a health check, its word counts: `healthy` is passing, `starting` warning, else
critical. A container without one is passing while it runs.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import h11
import trio

from gossip.checks.dial import connect_unix
from gossip.checks.exchange import Reply, ask
from gossip.checks.finding import Finding, critical, reason_of
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gossip.config.checks import CheckDefinition

__all__ = ["engine_path", "look"]

DEFAULT_ENGINE: Final = "/var/run/docker.sock"
MAX_ANSWER_BYTES: Final = 1_048_576
"""All that an engine knows of a container, outputs of its health check included: some 10 KiB."""
_SCHEME = "unix://"
_HEALTH: Final = {"healthy": Verdict.PASSING, "starting": Verdict.WARNING, "unhealthy": Verdict.CRITICAL}


def engine_path(env: Mapping[str, str]) -> str | None:
    """The engine's socket: that of DOCKER_HOST, or the usual one. None if DOCKER_HOST is no unix socket."""
    host = env.get("DOCKER_HOST", "")
    if not host:
        return DEFAULT_ENGINE
    return host.removeprefix(_SCHEME) if host.startswith(_SCHEME) else None


async def look(check: CheckDefinition) -> Finding:
    """Asks the engine once."""
    path = engine_path(os.environ)
    if path is None:
        return critical("no container engine: DOCKER_HOST is no unix:// socket, and the check needs one")
    try:
        stream = await connect_unix(path)
    except OSError as error:
        return critical(f"no container engine at {path}: {reason_of(error)}")
    try:
        target = f"/containers/{quote(check.target, safe='')}/json"
        headers = {"Host": "engine", "Accept": "application/json"}
        reply = await ask(stream, "GET", target, headers, limit=MAX_ANSWER_BYTES)
    except (h11.RemoteProtocolError, OSError, trio.BrokenResourceError) as error:
        return critical(f"the container engine at {path} does not answer: {error}")
    finally:
        stream.socket.close()
    return _judge(check.target, reply)


def _judge(name: str, reply: Reply) -> Finding:
    if reply.status == 404:
        return critical(f"no container {name!r}")
    if reply.status != 200:
        return critical(f"the container engine answers {reply.line}")
    try:
        state: Any = json.loads(reply.body)["State"]
        running, status = state["Running"], str(state.get("Status", ""))
        health: Any = (state.get("Health") or {}).get("Status", "none")
    except (ValueError, LookupError, TypeError, AttributeError):
        return critical("the container engine's answer cannot be read")
    if running is not True:
        code = state.get("ExitCode")
        return critical(f"container {name!r} is not running: {status or 'stopped'}, exit status {code}")
    if health in _HEALTH:
        return Finding(_HEALTH[health], f"container {name!r} is {health}{_last_words(state['Health'])}")
    return Finding(Verdict.PASSING, f"container {name!r} is running, and has no health check of its own")


def _last_words(health: Mapping[str, Any]) -> str:
    match health.get("Log"):
        case [*_, {"Output": str(output)}] if output.strip():
            return f": {output.strip()}"
    return ""
