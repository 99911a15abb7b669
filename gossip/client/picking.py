"""Choosing among a replica's instances, and remembering how calls of them went.

Every thread may pick: a lock of its own guards what is counted. Chance and time are given to
`gossip.calling`.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gossip.calling.balancer import Balancer, Places, Question
from gossip.calling.target import key_of
from gossip.client.values import Instance

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    from gossip.client.framing import Message

__all__ = ["Balance", "Picking", "Standing", "places_of"]

MAX_SERVICES = 1_024
"""Services whose balance is kept; the one that was made first goes first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one instance stands with this program."""

    instance: Instance
    under_way: int
    """Calls that have begun and not ended."""
    calls: int
    latency_ms: float | None
    """Smoothed; None before the first call that was timed."""
    share: float
    """The part of its weight that counts: 0 while it is ejected, less than 1 while it returns."""
    ejections: int


@dataclass(frozen=True, slots=True)
class Balance:
    """How the calls of one service are spread by this program."""

    standings: tuple[Standing, ...]
    panics: int
    """Picks for which nobody was left out, since most would have been."""
    ejections: int


class Picking:
    """The balances of all services that this program calls.

    Args:
        chance: gives numbers from 0 to below 1; None for the interpreter's own.
        clock: seconds that do not go back.
        name: what makes this program's subsets differ from those of others; None: drawn by chance.
    """

    def __init__(
        self, chance: Callable[[], float] | None, clock: Callable[[], float], name: str | None = None
    ) -> None:
        if chance is None:
            from random import random  # noqa: PLC0415 - a program that gives its own need not load it

            chance = random
        self._chance = chance
        self.clock = clock
        self._name = f"{chance():.17f}" if name is None else name
        self._lock = threading.Lock()
        self._services: dict[str, Balancer[Instance]] = {}

    def pick(
        self,
        name: str,
        offered: Sequence[Instance],
        question: Question,
        places: Places,
        avoid: Iterable[Instance],
        key: str | None,
    ) -> Instance | None:
        """See `Balancer.pick`."""
        if not offered:
            return None  # names of what there is not must not push out what is remembered of others
        tried: Collection[tuple[str, str, str, int]] = {key_of(each) for each in avoid} if avoid else ()
        with self._lock:
            return self._of(name).pick(offered, self.clock(), question, places, tried, key)

    def begin(self, instance: Instance) -> Callable[[bool | None, float | None], bool]:
        """A call has begun. What is returned is called once, when it has ended: (ok, seconds)."""
        with self._lock:
            balancer = self._of(instance.service)
            record = balancer.begin(instance)

        def end(ok: bool | None, seconds: float | None) -> bool:
            with self._lock:
                return balancer.end(record, self.clock(), ok, seconds)

        return end

    def report(self, instance: Instance, ok: bool, seconds: float | None) -> bool:
        """How a call went whose beginning nobody told."""
        with self._lock:
            balancer = self._of(instance.service)
            return balancer.told(balancer.record(instance), self.clock(), ok, seconds)

    @contextlib.contextmanager
    def calling(self, instance: Instance) -> Iterator[Instance]:
        """Counts the block as one call: an exception is a failure."""
        end, began = self.begin(instance), self.clock()
        ok: bool | None = None
        try:
            yield instance
            ok = True
        except Exception:
            ok = False
            raise
        finally:
            # Whatever else ends it, a cancellation or Ctrl-C, is no fault of the instance.
            end(ok, self.clock() - began)

    def balance(self, name: str, offered: Sequence[Instance]) -> Balance:
        """How things stand."""
        with self._lock:
            balancer, now = self._of(name), self.clock()
            rows = [(each, balancer.record(each)) for each in offered]
            standings = tuple(
                Standing(
                    each,
                    record.under_way,
                    record.calls,
                    round(record.latency * 1000, 3) if record.latency else None,
                    record.health.share(now),
                    record.health.ejections,
                )
                for each, record in rows
            )
            return Balance(standings, balancer.panics, balancer.ejections)

    def _of(self, name: str) -> Balancer[Instance]:
        found = self._services.get(name)
        if found is None:
            if len(self._services) >= MAX_SERVICES:
                del self._services[next(iter(self._services))]
            found = self._services[name] = Balancer(self._chance, name=self._name)
        return found


def places_of(answer: Message) -> Places:
    """What `members.places` says; of an agent that does not know it, nothing."""
    return Places(
        str(answer.get("zone", "")),
        {str(zone): int(count) for zone, count in dict(answer.get("zones", {})).items()},
        {str(node): float(rtt) for node, rtt in dict(answer.get("rtt_ms", {})).items()},
    )
