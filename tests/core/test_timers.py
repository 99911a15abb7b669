"""Timers as values: what is stale means nothing."""

from __future__ import annotations

import math
import random

from gossip.core.timers import Timer, Timers

X, Y = b"x" * 16, b"y" * 16


def test_due_timers_come_in_the_order_of_their_times() -> None:
    timers = Timers()
    timers.set(3.0, Timer.PERIOD)
    timers.set(1.0, Timer.SUSPICION, X)
    timers.set(2.0, Timer.SUSPICION, Y)
    assert timers.next_deadline() == 1.0
    assert timers.pop_due(0.5) is None
    assert timers.pop_due(2.0) == (Timer.SUSPICION, X)
    assert timers.pop_due(2.0) == (Timer.SUSPICION, Y)
    assert timers.pop_due(2.0) is None
    assert timers.next_deadline() == 3.0


def test_at_one_instant_hearing_comes_before_judging() -> None:
    timers = Timers()
    for what in reversed(Timer):
        timers.set(1.0, what)
    order = []
    while (due := timers.pop_due(1.0)) is not None:
        order.append(due[0])
    assert order == list(Timer)
    assert order.index(Timer.LAST_LOOK) < order.index(Timer.SUSPICION) < order.index(Timer.PERIOD)


def test_a_timer_that_is_set_again_fires_once_at_the_new_time() -> None:
    """Scenario 20: the old one is void."""
    timers = Timers()
    timers.set(1.0, Timer.SUSPICION, X)
    timers.set(5.0, Timer.SUSPICION, X)
    assert len(timers) == 1
    assert timers.pop_due(4.0) is None
    timers.set(2.0, Timer.SUSPICION, X)
    assert timers.pop_due(9.0) == (Timer.SUSPICION, X)
    assert timers.pop_due(9.0) is None


def test_a_cleared_timer_does_not_fire() -> None:
    timers = Timers()
    timers.set(1.0, Timer.DIRECT, X)
    timers.set(1.0, Timer.DIRECT, Y)
    timers.clear(Timer.DIRECT, X)
    assert not timers.is_set(Timer.DIRECT, X)
    assert timers.pop_due(9.0) == (Timer.DIRECT, Y)
    assert timers.next_deadline() == math.inf


def test_all_of_a_kind_are_postponed_and_no_others() -> None:
    timers = Timers()
    timers.set(1.0, Timer.SUSPICION, X)
    timers.set(2.0, Timer.SUSPICION, Y)
    timers.set(1.5, Timer.PERIOD)
    timers.postpone(Timer.SUSPICION, 10.0)
    assert timers.pop_due(5.0) == (Timer.PERIOD, 0)
    assert timers.pop_due(11.0) == (Timer.SUSPICION, X)
    assert timers.pop_due(11.5) is None
    assert timers.next_deadline() == 12.0


def test_any_schedule_behaves_like_a_plain_table(rng: random.Random) -> None:
    """The heap with its stale entries, against a dictionary that is searched."""
    timers, model = Timers(), dict[tuple[Timer, bytes], float]()
    now = 0.0
    for _ in range(5_000):
        key = rng.choice((Timer.DIRECT, Timer.SUSPICION)), rng.choice((X, Y, X + Y))
        match rng.randrange(4):
            case 0 | 1:
                model[key] = now + rng.randrange(10)
                timers.set(model[key], *key)
            case 2:
                model.pop(key, None)
                timers.clear(*key)
            case _:
                now += rng.randrange(4)
                fired = []
                while (due := timers.pop_due(now)) is not None:
                    fired.append(due)
                assert sorted(fired) == sorted(key for key, at in model.items() if at <= now)
                model = {key: at for key, at in model.items() if at > now}
        assert timers.next_deadline() == min(model.values(), default=math.inf)
