"""Each rule fires: core is broken on purpose, and a handful of seeds finds it, by the name of the rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gossip.core import intake, transitions
from gossip.core.catalog import Catalog
from gossip.core.detector import Detector
from gossip.core.intake import Intake
from gossip.core.joining import Joining
from gossip.core.members import MemberTable
from gossip.core.own import Own
from gossip.core.pings import Pings
from gossip.core.records import Deletion, Fact, ServiceRecord
from gossip.core.repair import Repair
from gossip.core.roster import Roster
from gossip.core.timers import Timer, Timers
from gossip.core.transitions import Action, Age, News
from gossip.core.types import Phase, Status
from gossip.core.user_events import UserEvents
from sim import birth
from sim.hunt.draws import draw
from sim.hunt.rules import Rule
from sim.hunt.trial import Outcome, attempt

Patch = pytest.MonkeyPatch
SEEDS = range(16, 28)
STEPS = 600

BREAKS: dict[Rule, Callable[[Patch], None]] = {}
"""By rule: what breaks it."""


def breaks(rule: Rule) -> Callable[[Callable[[Patch], None]], None]:
    def note(function: Callable[[Patch], None]) -> None:
        BREAKS[rule] = function

    return note


def wrap(patch: Patch, owner: Any, name: str, around: Callable[..., Any]) -> None:
    """Replace a method by `around(original, self, ...)`."""
    original = getattr(owner, name)
    patch.setattr(owner, name, lambda *given, **more: around(original, *given, **more))


@breaks(Rule.INCARNATION)
def _(patch: Patch) -> None:
    """An older record replaces a newer one."""
    patch.setitem(transitions.TABLE[News.RECORD, Age.OLDER], Status.ALIVE, Action.UPDATE)


@breaks(Rule.FINAL)
def _(patch: Patch) -> None:
    """Who is dead can be suspected again."""
    patch.setitem(transitions.TABLE[News.ACCUSATION, Age.SAME], Status.DEAD, Action.SUSPECT)


@breaks(Rule.ONE_VALUE)
def _(patch: Patch) -> None:
    """The counter stands still."""
    patch.setattr(Own, "next_version", lambda own, above=0: max(own._counter, above))


@breaks(Rule.OWNERS)
def _(patch: Patch) -> None:
    """A service is changed on its way."""

    def put(original: Any, roster: Any, member: Any, fact: Fact) -> None:
        if isinstance(fact.body, ServiceRecord) and member.id != roster._table.me.id:
            body = msgspec.structs.replace(fact.body, port=fact.body.port + 1)
            fact = Fact(fact.raw + b"!", body, fact.hash ^ 1)
        original(roster, member, fact)

    wrap(patch, Roster, "put", put)


def let_old_services_win(patch: Patch, over: type) -> None:
    """Any other service beats what is held, if that is of this kind; nobody remembers what was settled."""
    beats = intake._beats

    def wins(version: int, fact: Fact, held: Fact) -> bool:
        other = fact.raw != held.raw and isinstance(fact.body, ServiceRecord)
        return (other and isinstance(held.body, over)) or beats(version, fact, held)

    patch.setattr(intake, "_beats", wins)
    patch.setattr(Intake, "_remember", lambda *_: None)


@breaks(Rule.TOMBSTONES)
def _(patch: Patch) -> None:
    """An old service beats its deletion."""
    let_old_services_win(patch, Deletion)


@breaks(Rule.NEWEST)
def _(patch: Patch) -> None:
    """An old service beats a newer one."""
    let_old_services_win(patch, ServiceRecord)


@breaks(Rule.KEPT)
def _(patch: Patch) -> None:
    """What the disk kept is not read."""
    patch.setattr(Own, "load", lambda *_: None)


@breaks(Rule.LEASED)
def _(patch: Patch) -> None:
    """The disk is not told how far the counter goes."""
    patch.setattr(Own, "_lease", lambda _: None)
    patch.setattr(birth, "RESERVE", 0)


@breaks(Rule.OWN_ID)
def _(patch: Patch) -> None:
    """Who is accused leaves."""
    patch.setattr(Own, "accused", lambda own, *_, **__: own.restate(phase=int(Phase.LEAVING)) or True)


@breaks(Rule.DOUBT)
def _(patch: Patch) -> None:
    """The detector is never in doubt."""

    class Sure:
        doubting = False

        def __init__(self, health: Any) -> None:
            self._health = health

        def __getattr__(self, name: str) -> Any:
            return getattr(self._health, name)

    def init(original: Any, detector: Any, *given: Any, **more: Any) -> None:
        original(detector, *given, **more)
        detector._health = Sure(detector._health)

    wrap(patch, Detector, "__init__", init)


@breaks(Rule.CLOCKS)
def _(patch: Patch) -> None:
    """Suspicions are not timed."""

    def set_timer(original: Any, timers: Any, at: float, what: Timer, *about: Any) -> None:
        if what is not Timer.SUSPICION:
            original(timers, at, what, *about)

    wrap(patch, Timers, "set", set_timer)


@breaks(Rule.INDEXES)
def _(patch: Patch) -> None:
    """Nobody is counted twice in earnest."""

    def set_status(original: Any, table: Any, member: Any, status: Status, *given: Any) -> None:
        table.counts[status] += status is Status.SUSPECT
        original(table, member, status, *given)

    wrap(patch, MemberTable, "set_status", set_status)


@breaks(Rule.FINGERPRINT)
def _(patch: Patch) -> None:
    """Services are in the fingerprint twice, which is not at all."""

    def set_service(original: Any, table: Any, *given: Any) -> None:
        before = table.fingerprint
        original(table, *given)
        table.fingerprint = before

    wrap(patch, MemberTable, "set_service", set_service)


@breaks(Rule.CATALOG)
def _(patch: Patch) -> None:
    """What was taken away is still found."""
    patch.setattr(Catalog, "remove", lambda *_: None)


@breaks(Rule.REVISION)
def _(patch: Patch) -> None:
    """Services change unseen."""

    def set_service(original: Any, table: Any, *given: Any) -> None:
        before = table.revision
        original(table, *given)
        table.revision = before

    wrap(patch, MemberTable, "set_service", set_service)


@breaks(Rule.ONCE)
def _(patch: Patch) -> None:
    """Every copy of an event is news, and nobody remembers what was settled."""
    patch.setattr(Intake, "_remember", lambda *_: None)
    patch.setattr(UserEvents, "is_news", lambda *_: True)


@breaks(Rule.BOUNDED)
def _(patch: Patch) -> None:
    """Pings that nobody waits for any more stay."""
    patch.setattr(Pings, "forget", lambda *_: None)


@breaks(Rule.CONVERGENCE)
def _(patch: Patch) -> None:
    """Whoever is lost stays lost, and what differs is left so."""
    patch.setattr(Repair, "consider", lambda *_: None)
    patch.setattr(Repair, "fetch", lambda *_: None)
    patch.setattr(Repair, "polled", lambda *_: None)
    patch.setattr(Joining, "consider", lambda *_: None)


@breaks(Rule.CRASH)
def _(patch: Patch) -> None:
    """A rare path fails."""

    def refuted(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of that")

    patch.setattr(Own, "accused", refuted)


def first_failure() -> Outcome | None:
    """The first of the seeds that breaks a rule."""
    return next((found for seed in SEEDS if not (found := attempt(draw(seed, STEPS))).passed), None)


@pytest.mark.slow
def test_unbroken_all_rules_hold() -> None:
    assert first_failure() is None


def test_every_rule_is_broken_here() -> None:
    assert set(BREAKS) == set(Rule)


@pytest.mark.parametrize("rule", list(Rule), ids=lambda rule: rule.name.lower())
def test_a_handful_of_seeds_finds_what_breaks_a_rule(rule: Rule, monkeypatch: Patch) -> None:
    BREAKS[rule](monkeypatch)
    found = first_failure()
    assert found is not None
    assert found.rule == rule, f"{found.rule}: {found.detail}"
