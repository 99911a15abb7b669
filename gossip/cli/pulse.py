"""What `gossip top` shows: one look at the agent, and how fast its counters rise between two."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from gossip.client.channel import Channel
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from typing import Self

    from gossip.client.framing import Message

__all__ = ["MAX_SERVICES", "Look", "Pulse", "ServiceRow"]

MAX_SERVICES = 64
"""Services whose instances are looked up: more than any screen shows."""
CALL_SECONDS = 2.0

TRAFFIC = ("datagrams_sent", "bytes_sent", "datagrams_received", "bytes_received")


class ServiceRow(NamedTuple):
    """One service: how many instances there are of each status."""

    name: str
    counts: dict[str, int]


class Look(NamedTuple):
    """What the agent said at one time."""

    at: float
    """Monotonic seconds."""
    info: Message
    members: list[Message]
    services: list[ServiceRow]
    more_services: int
    """How many there are beside these."""
    checks: list[Message]
    rates: dict[str, float]
    """Of the names in `TRAFFIC`, per second; since the look before, at first since the agent's start."""


class Pulse:
    """Looks at an agent, again and again; `fileno` is readable when something has changed meanwhile.

    Every method raises `UnreachableError` when the agent is away; `connect` then tries again.
    """

    def __init__(self, path: str | None) -> None:
        self._path = path
        self._calls: Channel | None = None
        self._wakes: Channel | None = None
        self._last: Look | None = None

    def connect(self) -> None:
        """Opens the connections, if they are not."""
        if self._wakes is not None:
            return
        self._last = None
        self._calls = Channel(self._path, CALL_SECONDS)
        self._wakes = Channel(self._path, CALL_SECONDS)
        self._wakes.call_all([("members.watch", {}), ("services.watch", {})])

    def close(self) -> None:
        """Ends the connections."""
        for channel in (self._calls, self._wakes):
            if channel is not None:
                channel.close()
        self._calls = self._wakes = None

    def fileno(self) -> int:
        """For `select`; -1 while there is no connection."""
        return -1 if self._wakes is None else self._wakes.fileno()

    def settle(self) -> None:
        """Takes the notifications that have arrived: they say no more than that a look is due."""
        if self._wakes is not None:
            while self._wakes.notification(0) is not None:
                pass

    def look(self) -> Look:
        """How the agent is now."""
        try:
            self.connect()
            look = self._look()
        except UnreachableError:
            self.close()
            raise
        self._last = look
        return look

    def _look(self) -> Look:
        assert self._calls is not None  # noqa: S101 - `connect` came before
        info, members, services = self._calls.call_all(
            [("agent.info", {}), ("members.list", {}), ("services.list", {})]
        )
        names = [each["name"] for each in services["services"]]
        shown = names[:MAX_SERVICES]
        asked = [("services.lookup", {"service": name, "any": True}) for name in shown]
        answers = self._calls.call_all(asked) if asked else []
        now = time.monotonic()
        return Look(
            now,
            info,
            members["members"],
            [ServiceRow(name, _tally(answer)) for name, answer in zip(shown, answers, strict=True)],
            len(names) - len(shown),
            self._checks(),
            self._rates(info, now),
        )

    def _checks(self) -> list[Message]:
        assert self._calls is not None  # noqa: S101 - as above
        try:
            found: list[Message] = self._calls.call("checks.list")["checks"]
        except UnreachableError:
            raise
        except GossipError:
            return []  # an agent of a release without checks
        return found

    def _rates(self, info: Message, now: float) -> dict[str, float]:
        counters: dict[str, int] = info["counters"]
        before: dict[str, int] = {}
        span = info["uptime_s"]
        if self._last is not None:
            before, span = self._last.info["counters"], now - self._last.at
        return {
            name: (counters[name] - before.get(name, 0)) / span
            for name in TRAFFIC
            if name in counters and span > 0
        }

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close()


def _tally(answer: Message) -> dict[str, int]:
    counts: dict[str, int] = {}
    for each in answer["instances"]:
        counts[each["status"]] = counts.get(each["status"], 0) + 1
    return counts
