"""The table of a member's life: as data, and as what a node does about each cell of it."""

from __future__ import annotations

import itertools

import pytest

from gossip.core.effects import Dial
from gossip.core.events import EventKind
from gossip.core.records import Fact
from gossip.core.transitions import TABLE, UNKNOWN, Action, Age, News, judge
from gossip.core.types import Kind, Phase, Status
from tests.core.rig import Peer, Rig

A, S, D, L = Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.LEFT

# Written down from the rules, not from the code: (news, age), and what is done to alive, suspect, dead, left.
RULES = """
    record      newer   update   refuted  back   back
    record      same    drop     drop     drop   drop
    record      older   drop     drop     drop   drop
    leaving     newer   left     left     left   update
    leaving     same    left     left     left   drop
    leaving     older   drop     drop     drop   drop
    accusation  newer   fetch    fetch    fetch  fetch
    accusation  same    suspect  confirm  drop   drop
    accusation  older   drop     drop     drop   drop
"""
WORDS = {"record": News.RECORD, "leaving": News.LEAVING, "accusation": News.ACCUSATION}


def test_the_table_is_that_of_the_rules() -> None:
    rows = [line.split() for line in RULES.strip().splitlines()]
    expected = {
        (WORDS[news], Age(age)): dict(zip((A, S, D, L), map(Action, actions), strict=True))
        for news, age, *actions in rows
    }
    assert expected == TABLE


def test_the_table_is_whole() -> None:
    assert set(TABLE) == set(itertools.product(News, Age))
    assert all(set(row) == set(Status) for row in TABLE.values())
    assert set(UNKNOWN) == set(News)


def test_no_news_but_the_members_own_makes_it_gone() -> None:
    """There is no death by hearsay: an accusation starts a clock, and nothing else."""
    for (news, _), row in TABLE.items():
        if news is News.ACCUSATION:
            assert set(row.values()) <= {Action.DROP, Action.FETCH, Action.SUSPECT, Action.CONFIRM}


def test_a_member_is_judged_by_the_incarnation_that_is_held() -> None:
    assert judge(News.RECORD, D, 7, 8) is Action.REVIVE
    assert judge(News.RECORD, D, 7, 7) is Action.DROP
    assert judge(News.RECORD, D, 7, 6) is Action.DROP
    assert judge(News.ACCUSATION, None, 0, 7) is Action.DROP
    assert judge(News.LEAVING, None, 0, 7) is Action.BURY
    assert judge(News.RECORD, None, 0, 7) is Action.ADD


class Life:
    """A node that holds one member in a given status, at an incarnation with room on both sides."""

    def __init__(self, status: Status) -> None:
        self.rig = rig = Rig()
        self.accuser, self.other, self.x = rig.members(3)
        x = self.x
        rig.hear(x, x.say(version=x.version + 10))
        match status:
            case Status.SUSPECT:
                rig.hear(self.accuser, self.accuser.accuse(x))
            case Status.DEAD:
                x.acks = False
                rig.run_until(lambda: rig.status(x) is D)
            case Status.LEFT:
                rig.hear(x, x.say(phase=Phase.LEAVING))
        assert rig.status(x) is status
        rig.quieten()
        # Whoever agreed just now is asked nothing.
        rig.node._repair._agreed_at = float("-inf")
        self.told = len(rig.events)
        self.held = rig.member(x).fact

    def fact(self, news: News, age: Age) -> Fact:
        at = self.x.version + {Age.NEWER: 1, Age.SAME: 0, Age.OLDER: -1}[age]
        match news:
            case News.RECORD:
                return self.x.say(version=at)
            case News.LEAVING:
                return self.x.say(version=at, phase=Phase.LEAVING)
            case News.ACCUSATION:
                return self.other.accuse(self.x, incarnation=at)

    def events(self) -> list[EventKind]:
        return [event.kind for _, event in self.rig.events[self.told :]]


EVENTS = {
    Action.LEAVE: [EventKind.MEMBER_LEFT],
    Action.REFUTE: [EventKind.MEMBER_REFUTED],
    Action.REVIVE: [EventKind.MEMBER_JOINED],
    Action.SUSPECT: [EventKind.MEMBER_SUSPECTED],
}
ENDS = {Action.LEAVE: L, Action.REFUTE: A, Action.REVIVE: A, Action.SUSPECT: S}
ADOPTED = {Action.UPDATE, Action.REFUTE, Action.REVIVE, Action.LEAVE}
RELAYED = ADOPTED | {Action.SUSPECT, Action.CONFIRM}


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("age", Age)
@pytest.mark.parametrize("news", News)
def test_a_node_does_what_the_table_says(news: News, age: Age, status: Status) -> None:
    """Scenarios 21-24, 27, 31-33, 37, 46 and 47 in one: every cell, on a real node."""
    life = Life(status)
    rig, x = life.rig, life.x
    action = TABLE[news, age][status]
    if news is not News.LEAVING and age is Age.SAME and status is L:
        return  # its record of that version *is* the leaving one
    fact = life.fact(news, age)
    relayer: Peer = life.other
    effects = rig.hear(relayer, fact)

    assert rig.status(x) is ENDS.get(action, status)
    assert life.events() == EVENTS.get(action, [])
    assert rig.member(x).fact is (fact if action in ADOPTED else life.held)
    # Who is accused may be probed, over a stream as well.
    dialled = [effect for effect in effects if isinstance(effect, Dial) and effect.address != x.address]
    assert bool(dialled) == (action is Action.FETCH)
    assert (life.other.id in rig.member(x).accusations) == (action in {Action.SUSPECT, Action.CONFIRM})
    rig.run(0.5)
    assert (fact.raw in life.accuser.got_news()) == (action in RELAYED)


@pytest.mark.parametrize("status", [A, S, D])
def test_the_accused_of_the_past_is_told_only_by_what_is_newer(status: Status) -> None:
    """Scenario 37: an accusation of an older incarnation changes nothing, also not the accusers."""
    life = Life(status)
    before = dict(life.rig.member(life.x).accusations)
    life.rig.hear(life.other, life.other.accuse(life.x, Kind.REFUSED, incarnation=life.x.version - 1))
    assert life.rig.member(life.x).accusations == before


def test_unknown_members() -> None:
    """Scenarios 21 and 31: a record adds, a leaving record leaves a tombstone, an accusation does nothing."""
    rig = Rig()
    (a,) = rig.members(1)
    x, y = rig.peer("x"), rig.peer("y")
    rig.hear(a, a.accuse(x))
    assert rig.status(x) is None
    rig.hear(a, x.current)
    assert rig.status(x) is A
    rig.hear(a, y.say(phase=Phase.LEAVING))
    assert rig.status(y) is L
    assert rig.about(y) == []
    rig.hear(a, y.say(version=y.version - 1))
    assert rig.status(y) is L
