"""The life of one instance's health, and that no sequence of calls breaks its rules."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gossip.calling.health import Health, Policy

POLICY = Policy()


def fail(health: Health, now: float, times: int, others: tuple[int, int] = (100, 0)) -> bool:
    return sum(health.failed(now, others) for _ in range(times)) > 0


def test_failures_in_a_row_leave_it_out_and_it_returns_by_tenths() -> None:
    health = Health(POLICY)
    assert not fail(health, 0.0, 4)
    health.succeeded(0.0)
    assert not fail(health, 0.0, 4)
    assert fail(health, 0.0, 1)
    assert (health.share(0.0), health.changes_at(0.0)) == (0.0, 10.0)
    assert (health.share(10.0), health.changes_at(10.0)) == (0.1, 11.0)
    assert (health.share(14.5), health.changes_at(14.5)) == (0.5, 15.0)
    assert (health.share(20.0), health.changes_at(20.0)) == (1.0, math.inf)


def test_a_share_of_failures_leaves_it_out_if_the_others_fare_better() -> None:
    for others, out in [((100, 0), True), ((100, 20), True), ((100, 40), False), ((0, 0), True)]:
        health = Health(POLICY)
        outs = []
        for _ in range(20):
            health.succeeded(0.0)
            outs.append(health.failed(0.0, others))
        assert any(outs) is out, others


def test_each_time_takes_twice_as_long_until_it_has_been_well() -> None:
    health, now, spans = Health(POLICY), 0.0, []
    for _ in range(8):
        assert fail(health, now, 5)
        spans.append(health.returns_at - now)
        now = health.returns_at
    assert spans == [10, 20, 40, 80, 160, 300, 300, 300]
    now = health.whole_at
    health.succeeded(now + 299)
    assert health.times == 8
    health.succeeded(now + 301)
    assert health.times == 0
    assert fail(health, now + 301, 5)
    assert health.returns_at == now + 311


def test_who_returns_is_judged_by_fewer_calls() -> None:
    health = Health(POLICY)
    assert fail(health, 0.0, 5)
    assert fail(health, 11.0, 2)
    assert health.returns_at == 31.0


def test_what_is_old_is_forgotten() -> None:
    health = Health(POLICY)
    for second in range(0, 400, 40):
        assert not fail(health, float(second), 1)
        health.succeeded(float(second))
    assert health.window.total == (2, 1)


class Life(RuleBasedStateMachine):
    """Calls of any outcome, at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.health = Health(POLICY)
        self.failed_since_success = 0

    @rule(seconds=st.floats(0.0, 400.0))
    def wait(self, seconds: float) -> None:
        before, change = self.health.share(self.now), self.health.changes_at(self.now)
        assert change > self.now
        self.now += seconds
        if self.now < change:
            assert self.health.share(self.now) == before
        else:
            assert self.health.share(self.now) >= before, "left alone it only gets better"

    @rule()
    def succeed(self) -> None:
        before = self.health.share(self.now)
        self.health.succeeded(self.now)
        self.failed_since_success = 0
        assert self.health.share(self.now) == before

    @rule(others=st.sampled_from([(0, 0), (50, 0), (50, 25)]))
    def fail(self, others: tuple[int, int]) -> None:
        before = self.health.share(self.now)
        out = self.health.failed(self.now, others)
        self.failed_since_success += 1
        if out:
            assert before > 0.0, "who is out is not put out again"
            assert POLICY.ejection <= self.health.returns_at - self.now <= POLICY.longest
            assert self.health.share(self.now) == 0.0
        else:
            assert self.health.share(self.now) == before

    @precondition(lambda self: self.health.share(self.now) == 1.0)
    @rule()
    def a_lone_failure_after_a_success_is_forgiven(self) -> None:
        self.health.window.clear()
        self.succeed()
        assert not self.health.failed(self.now, (0, 0))
        self.failed_since_success = 1

    @invariant()
    def shares_are_shares(self) -> None:
        assert self.health.share(self.now) in {0.0, *(tenth / 10 for tenth in range(1, 11))}
        calls, failed = self.health.window.total
        assert 0 <= failed <= calls


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
