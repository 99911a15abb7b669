"""Answers that are kept, and wake who waits for them when they are no longer true.

An answer is what one question gives, whoever asks. It is made when it is asked for, kept, and made again only
after something that it shows may have changed: an event of the node touches *topics*, and an answer names
those that it is made of. Its index is that of its last difference, not of the store, so who waits for it is
woken by what changes it and by nothing else. While nothing changes, nothing runs, however many wait.

The index is never 0, and begins with the clock (seconds times 2^20, below 2^53), so that it seldom goes back
when an agent is started again; it rises with each event, so that an answer that was forgotten, and made anew,
never has an index that somebody holds for something else.

Bodies have `MAX_KEPT_BYTES` together. Beyond that, answers that nobody waits for are forgotten, then the
bodies of others, beginning with what was not asked for the longest. Of a body that is waited for a hash is
left, by which it is seen to change; it is made again for who is woken.

What changes in a row is told once: the first change at once, the next not before a pause, of 20 ms or twenty
times what the answer took to be made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from hashlib import blake2b
from heapq import heappop, heappush
from time import perf_counter
from typing import TYPE_CHECKING, Final, TypeAlias

import trio

from gossip.api.http.values import Kept

if TYPE_CHECKING:
    from collections.abc import Hashable

__all__ = ["Answer", "Answers"]

PAUSE_SECONDS: Final = 0.020
COST_FACTOR: Final = 20
TURN_SECONDS: Final = 0.001
MAX_KEPT: Final = 4_096
MAX_KEPT_BYTES: Final = 32 * 1_048_576

Make: TypeAlias = Callable[[], bytes]


class Answer:
    """What one question gives."""

    __slots__ = ("digest", "due", "index", "is_dirty", "kept", "key", "make", "topics", "waiting")

    def __init__(self, key: Hashable, topics: frozenset[str], make: Make, index: int) -> None:
        self.key = key
        self.topics = topics
        self.make = make
        self.index = index
        self.kept = Kept(b"")
        self.digest: bytes | None = None
        """Of the body, where that is no longer held."""
        self.is_dirty = True
        self.due = -math.inf
        """When who waits may be told of a further change."""
        self.waiting = trio.lowlevel.ParkingLot()


class Answers:
    """All that are kept.

    Args:
        now: seconds, of the clock that `run` sleeps by.
        wall: seconds since 1970, to begin the index with.
        gossip_first: called before each answer that is made for those who wait.
    """

    def __init__(
        self, now: Callable[[], float], wall: float, gossip_first: Callable[[], None] = lambda: None
    ) -> None:
        self._gossip_first = gossip_first
        self.index = max(1, int(wall)) << 20
        self.waiting = 0
        """Questions that wait."""
        self._now = now
        self._kept: dict[Hashable, Answer] = {}
        self._by_topic: dict[str, dict[Answer, None]] = {}
        self._bytes = 0
        self._heap: list[tuple[float, int, Answer]] = []
        self._order = 0
        self._scheduled: set[Answer] = set()
        self._wakes_at = math.inf
        self._sooner = trio.lowlevel.ParkingLot()

    def get(self, key: Hashable, topics: Iterable[str], make: Make) -> Answer:
        """The answer of that key, as it is now; `make` gives its body."""
        answer = self._kept.get(key)
        if answer is None:
            answer = Answer(key, frozenset(topics), make, self.index)
            self._refresh(answer)
            self._kept[key] = answer
            for topic in answer.topics:
                self._by_topic.setdefault(topic, {})[answer] = None
            self._shrink(answer)
        else:
            self._fill(answer)
            # Those that are asked for stay longest.
            self._kept[key] = self._kept.pop(key)
        return answer

    def fresh(self, answer: Answer) -> bool:
        """Make it anew if need be; False if it has been forgotten meanwhile."""
        if self._kept.get(answer.key) is not answer:
            return False
        self._fill(answer)
        return True

    def touch(self, topics: Iterable[str]) -> None:
        """What is told in these topics may have changed."""
        self.index += 1
        for topic in topics:
            for answer in self._by_topic.get(topic, ()):
                if not answer.is_dirty:
                    answer.is_dirty = True
                if answer.waiting:
                    self._schedule(answer)

    def doubt_all(self) -> None:
        """Anything may have changed, unseen: whoever asks is told, and who waits when his time is over."""
        self.index += 1
        for answer in self._kept.values():
            answer.is_dirty = True

    async def wait(self, answer: Answer, index: int, seconds: float) -> None:
        """Returns when the answer's index is another than that, or the time is over: ask again then."""
        self.waiting += 1
        try:
            with trio.move_on_after(seconds):
                while answer.index == index and self._kept.get(answer.key) is answer:
                    await answer.waiting.park()
        finally:
            self.waiting -= 1

    async def run(self) -> None:
        """Tell who waits, until cancelled."""
        while True:
            self._wakes_at = self._heap[0][0] if self._heap else math.inf
            with trio.move_on_at(self._wakes_at):
                await self._sooner.park()
            while self._tell_some():
                # A node with a thousand services that is gone changes a thousand answers.
                await trio.lowlevel.checkpoint()

    def _tell_some(self) -> bool:
        """Tell what is due by now, as far as a turn's time goes; whether there is more."""
        begun = perf_counter()
        while self._heap and self._heap[0][0] <= self._now():
            self._gossip_first()
            _, _, answer = heappop(self._heap)
            self._scheduled.discard(answer)
            if answer.is_dirty and answer.waiting:
                try:
                    self._refresh(answer)
                    self._shrink(answer)
                except Exception:  # noqa: BLE001 - whoever waits asks for it again, and is told what is wrong
                    self._drop(answer)
                    answer.waiting.unpark_all()
            if perf_counter() - begun > TURN_SECONDS:
                return True
        return False

    def _schedule(self, answer: Answer) -> None:
        if answer in self._scheduled:
            return
        self._scheduled.add(answer)
        self._order += 1
        at = max(self._now(), answer.due)
        heappush(self._heap, (at, self._order, answer))
        if at < self._wakes_at:
            # At most once for each time that `run` goes to sleep.
            self._wakes_at = at
            self._sooner.unpark()

    def _fill(self, answer: Answer) -> None:
        """Have its body as it is now."""
        if answer.is_dirty or answer.digest is not None:
            self._refresh(answer, fill=True)
            self._shrink(answer)

    def _refresh(self, answer: Answer, *, fill: bool = False) -> None:
        begun = perf_counter()
        body = answer.make()
        cost = perf_counter() - begun
        answer.is_dirty = False
        if answer.digest is None:
            is_new = body != answer.kept.body
        else:
            is_new = answer.digest != _digest(body)
            fill = fill or is_new
        if is_new or fill:
            self._hold(answer, body)
        if is_new:
            answer.index = self.index
            answer.due = self._now() + max(PAUSE_SECONDS, COST_FACTOR * cost)
            answer.waiting.unpark_all()

    def _hold(self, answer: Answer, body: bytes, digest: bytes | None = None) -> None:
        answer.digest = digest
        if body != answer.kept.body:
            self._bytes += len(body) - len(answer.kept.body)
            answer.kept = Kept(body)

    def _shrink(self, newest: Answer) -> None:
        if len(self._kept) <= MAX_KEPT and self._bytes <= MAX_KEPT_BYTES:
            return
        oldest_first = tuple(self._kept.values())
        for each in oldest_first:
            if not each.waiting and each is not newest:
                self._drop(each)
                if len(self._kept) <= MAX_KEPT and self._bytes <= MAX_KEPT_BYTES:
                    return
        for each in oldest_first:
            if self._bytes <= MAX_KEPT_BYTES:
                return
            if each.waiting and each is not newest and each.kept.body:
                self._hold(each, b"", _digest(each.kept.body))

    def _drop(self, answer: Answer) -> None:
        if self._kept.get(answer.key) is not answer:
            return
        del self._kept[answer.key]
        self._bytes -= len(answer.kept.body)
        for topic in answer.topics:
            group = self._by_topic[topic]
            del group[answer]
            if not group:
                del self._by_topic[topic]


def _digest(body: bytes) -> bytes:
    return blake2b(body, digest_size=16).digest()
