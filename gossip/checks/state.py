"""The life of one health check, pure: what its results make of its status, and when it is due.

*Thresholds.* A status gets worse after `failures_before_warning` or `failures_before_critical` bad
results in a row, and better after `passes_before_passing` good ones. A result that is a warning makes
a passing check warn at once, and counts as good for one that is critical.

*Flapping.* Each time a status gets worse counts as a fall. The third fall within a window (a minute, or
six intervals if that is longer) doubles the good results that are wanted before the status gets better,
and so does each further one, up to eightfold; each window without a fall halves them again. A fall is
never delayed: a bad instance is left alone at once, and one that cannot make up its mind is kept out.
What a program says of itself (TTL) and what is only repeated (alias) is taken as it is.

*When.* The first run comes within a second, spread by chance; the second after a random part of the
interval, which parts the checks of a node for good; then every interval, a tenth more or less. A TTL
check has a deadline instead, which each report of its program puts off.

*Told.* Others are told the statuses of a service when they differ from what was told last, a first
few changes at once and further ones of the same service at most twice a second: the last one always is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from gossip.core.types import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from gossip.config.checks import CheckDefinition

__all__ = ["NOT_YET", "CheckState", "SavedCheck", "Statuses", "Telling", "cut", "worst"]

FIRST_RUN_SECONDS: Final = 1.0
RESUMED_SECONDS: Final = 2.0
"""After a restart all checks of a node are due at once: they get a little longer."""
JITTER: Final = 0.1
FALLS: Final = 3
WINDOW_SECONDS: Final = 60.0
WINDOW_INTERVALS: Final = 6
MAX_DAMPING: Final = 3
"""Doublings."""
GRACE_SHARE: Final = 0.5
GRACE_SECONDS: Final = 30.0
"""What a TTL has left at least after a restart, as a share of it and at most: nobody could report
meanwhile, and a program that reports in time has done so twice within its TTL."""
TELL_SECONDS: Final = 0.5
TELL_AT_ONCE: Final = 8
"""Changes after a quiet time that are told without delay: a program that reports, and looks, sees itself."""
NOT_YET: Final = "not checked yet"
"""What a check says before anything was found."""
MAX_OUTPUT_BYTES: Final = 4_096
SAVED_OUTPUT_BYTES: Final = 256

Statuses: TypeAlias = tuple[tuple[str, Verdict], ...]
"""(name, verdict) of each check of a service."""


@dataclass(frozen=True, slots=True)
class SavedCheck:
    """What of a check outlives the agent."""

    status: Verdict
    remaining: float | None
    """Seconds that a TTL had left when it was saved; None: nothing was running."""
    critical_for: float
    output: str


def cut(text: str, limit: int = MAX_OUTPUT_BYTES) -> str:
    """`text` within `limit` bytes, with a word that there was more."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return text
    tail = " [cut]"
    return data[: limit - len(tail)].decode(errors="ignore") + tail


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """What a service counts as; one without checks is passing."""
    return max(verdicts, default=Verdict.PASSING)


class CheckState:
    """One check. `now` is any clock that only goes forward, in seconds.

    Args:
        definition: what is looked at; only its numbers matter here.
        saved: what an earlier life of this agent left.
    """

    __slots__ = (
        "_bad",
        "_damping",
        "_falls",
        "_good",
        "_is_parted",
        "_not_before",
        "_passing",
        "_rng",
        "critical_since",
        "deadline",
        "definition",
        "next_run",
        "output",
        "since",
        "status",
    )

    def __init__(
        self, definition: CheckDefinition, now: float, rng: Random, saved: SavedCheck | None = None
    ) -> None:
        self.definition = definition
        self.status = Verdict[definition.start.upper()] if saved is None else saved.status
        self.output = NOT_YET if saved is None else saved.output
        self.since = now
        """When its status became what it is."""
        self.critical_since: float | None = None
        self.next_run: float | None = None
        """When it is run again; None: it does not run, or runs just now."""
        self.deadline: float | None = None
        """When a TTL lapses."""
        self._rng = rng
        self._good = self._passing = self._bad = 0
        self._is_parted = False
        self._not_before = now
        self._falls: list[float] = []
        self._damping = 0
        if self.status is Verdict.CRITICAL:
            self.critical_since = now - (saved.critical_for if saved else 0.0)
        if definition.runs:
            self.next_run = now + rng.random() * min(
                definition.interval, FIRST_RUN_SECONDS if saved is None else RESUMED_SECONDS
            )
        elif definition.kind == "ttl" and self.status is not Verdict.CRITICAL:
            left = definition.ttl
            if saved is not None:
                grace = min(definition.ttl * GRACE_SHARE, GRACE_SECONDS)
                left = min(max(saved.remaining or 0.0, grace), definition.ttl)
            self.deadline = now + left

    @property
    def deregister_at(self) -> float | None:
        """When its service is to be deregistered, if nothing changes until then."""
        after = self.definition.deregister_after
        if after is None or self.critical_since is None:
            return None
        return max(self.critical_since + after, self._not_before)

    def postpone(self, until: float) -> None:
        """Its service is being deregistered, which may fail: look again then."""
        self._not_before = until

    @property
    def wake_at(self) -> float | None:
        """The first moment at which anything is to be done."""
        times = (self.next_run, self.deadline, self.deregister_at)
        return min((time for time in times if time is not None), default=None)

    def begin(self, now: float) -> None:
        """A run begins: the next is counted from here, and comes after this one in any case."""
        interval = self.definition.interval
        if self._is_parted:
            pause = interval * self._rng.uniform(1 - JITTER, 1 + JITTER)
        else:
            self._is_parted = True
            pause = interval * self._rng.uniform(JITTER, 1.0)
        self.next_run = now + pause

    def result(self, verdict: Verdict, output: str, now: float) -> bool:
        """A run has ended; whether the status changed."""
        self.output = cut(output)
        if verdict is Verdict.CRITICAL:
            self._good = self._passing = 0
            self._bad += 1
            return self._fall_to(self._bad_enough_for(), now)
        self._bad = 0
        self._good += 1
        self._passing = self._passing + 1 if verdict is Verdict.PASSING else 0
        if verdict > self.status:
            return self._fall_to(verdict, now)
        wanted = self.passes_wanted(now)
        if self._passing >= wanted:
            return self._become(Verdict.PASSING, now)
        if self._good >= wanted and self.status is Verdict.CRITICAL:
            return self._become(Verdict.WARNING, now)
        return False

    def set(self, verdict: Verdict, output: str, now: float) -> bool:
        """What a program says of itself, or another check says; whether the status changed."""
        self.output = cut(output)
        if self.definition.kind == "ttl":
            # Critical is for good until the next report: there is nothing left to lapse.
            self.deadline = None if verdict is Verdict.CRITICAL else now + self.definition.ttl
        return self._become(verdict, now)

    def lapse(self, now: float) -> bool:
        """The deadline of a TTL, if it has passed; whether the status changed."""
        if self.deadline is None or now < self.deadline:
            return False
        self.deadline = None
        last = f"; the last one said: {self.output}" if self.output else ""
        self.output = cut(f"no report for {self.definition.ttl:g} s{last}")
        return self._become(Verdict.CRITICAL, now)

    def passes_wanted(self, now: float) -> int:
        """Good results in a row before the status gets better."""
        return self.definition.passes_before_passing << self._damping_at(now)

    def save(self, now: float) -> SavedCheck:
        """What is kept for the next start."""
        return SavedCheck(
            self.status,
            None if self.deadline is None else max(0.0, self.deadline - now),
            0.0 if self.critical_since is None else now - self.critical_since,
            cut(self.output, SAVED_OUTPUT_BYTES),
        )

    def _bad_enough_for(self) -> Verdict:
        definition = self.definition
        if self._bad >= definition.failures_before_critical:
            return Verdict.CRITICAL
        if 0 < definition.failures_before_warning <= self._bad:
            return Verdict.WARNING
        return Verdict.PASSING

    def _fall_to(self, verdict: Verdict, now: float) -> bool:
        if verdict <= self.status:
            return False
        damping = self._damping_at(now)
        recent = [time for time in self._falls if now - time < self._window]
        self._falls = [*recent, now][-FALLS:]
        self._damping = min(damping + (len(self._falls) >= FALLS), MAX_DAMPING)
        return self._become(verdict, now)

    @property
    def _window(self) -> float:
        return max(WINDOW_SECONDS, WINDOW_INTERVALS * self.definition.interval)

    def _damping_at(self, now: float) -> int:
        if not self._damping:
            return 0
        return max(0, self._damping - int((now - self._falls[-1]) // self._window))

    def _become(self, verdict: Verdict, now: float) -> bool:
        if verdict is self.status:
            return False
        self.status = verdict
        self.since = now
        self.critical_since = now if verdict is Verdict.CRITICAL else None
        return True


class Telling:
    """What others have been told of one service, and when they may be told again."""

    __slots__ = ("_paid_until", "told")

    def __init__(self, told: object = None) -> None:
        self.told = told
        self._paid_until = float("-inf")
        """What was told is paid for by this much time each; ahead of it by a few at most."""

    def due(self, word: object) -> float | None:
        """When `word` may be told; None if it has been, minus infinity if there was nothing before."""
        return None if word == self.told else self._paid_until - (TELL_AT_ONCE - 1) * TELL_SECONDS

    def tell(self, word: object, now: float) -> None:
        """It is being told."""
        self.told = word
        self._paid_until = max(now, self._paid_until) + TELL_SECONDS
