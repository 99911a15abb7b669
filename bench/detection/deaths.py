"""Which deaths were said, and which of them rightly.

A death is said by one agent (the observer) of another (the subject). While agents are stopped and
continued, it counts, by its subject, as

- **of a stop**, if the subject was stopped at that time or had been within the last ten seconds: a clock
  that the stop has started may end a little after it. It is put down to the last stop of that subject.
- **of the well**, otherwise. This is never right.

A stop that was meant to last two seconds or less is short: so both systems have the same short stops, whoever
sends SIGCONT a little late. Among deaths of the well, those that were said by an observer which
itself was stopped then, or had been within the last ten seconds, are told apart: it had not heard for a
while, which says nothing about others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["SHORT", "WINDOW", "Account", "Death", "Stop", "account", "detection"]

WINDOW = 10.0
"""Seconds after a stop in which a death is put down to it. Two stops of one agent lie further apart."""
SHORT = 2.0
"""Seconds."""


class Death(NamedTuple):
    """That `observer` begins to show `subject` as dead."""

    at: float
    observer: str
    subject: str


class Stop(NamedTuple):
    """That `member` did not run from `begin` to `end`."""

    member: str
    begin: float
    end: float
    meant: float
    """Its length by the plan, in seconds."""


def detection(
    deaths: Iterable[Death], victim: str, observers: Collection[str], began: float
) -> tuple[float | None, float | None]:
    """Seconds from `began` until the first and until all of `observers` have said that `victim` is dead.

    None stands for what has not come.
    """
    said: dict[str, float] = {}
    for death in sorted(deaths):
        if death.subject == victim and death.observer in observers and death.at >= began:
            said.setdefault(death.observer, death.at - began)
    if not said:
        return None, None
    return min(said.values()), max(said.values()) if len(said) == len(observers) else None


@dataclass(frozen=True, slots=True)
class Account:
    """What became of some stops."""

    well: int
    """Deaths of the well."""
    well_members: int
    """Of how many different subjects."""
    well_by_stopped: int
    """How many of these deaths by observers that were, or had lately been, stopped themselves."""
    short: int
    """Stops of two seconds or less."""
    short_dead: int
    """How many of them have led to any death."""
    long: int
    """Longer stops."""
    long_dead: int
    """How many of them have led to any death."""


def account(deaths: Sequence[Death], stops: Sequence[Stop]) -> Account:
    """Put each death down to what it comes from."""
    well: list[Death] = []
    deadly: set[Stop] = set()
    for death in deaths:
        stop = _stop_of(death.subject, death.at, stops)
        if stop is None:
            well.append(death)
        else:
            deadly.add(stop)
    short = {stop for stop in stops if stop.meant <= SHORT}
    return Account(
        well=len(well),
        well_members=len({death.subject for death in well}),
        well_by_stopped=sum(_stop_of(death.observer, death.at, stops) is not None for death in well),
        short=len(short),
        short_dead=len(deadly & short),
        long=len(set(stops) - short),
        long_dead=len(deadly - short),
    )


def _stop_of(member: str, at: float, stops: Iterable[Stop]) -> Stop | None:
    """The last stop of `member` that reaches to `at`, with the window after it."""
    return max(
        (stop for stop in stops if stop.member == member and stop.begin <= at <= stop.end + WINDOW),
        key=lambda stop: stop.begin,
        default=None,
    )
