"""One check's life, without a clock: thresholds, damping, deadlines, what is told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.checks.state import MAX_OUTPUT_BYTES, CheckState, SavedCheck, Telling, cut, worst
from gossip.config import CheckDefinition, read_checks
from gossip.core.types import Verdict

PASSING, WARNING, CRITICAL = Verdict


def definition(**more: Any) -> CheckDefinition:
    if not {"ttl", "alias"} & more.keys():
        more.setdefault("tcp", "127.0.0.1:1")
    return read_checks([more], "web")[0]


def check(saved: SavedCheck | None = None, now: float = 0.0, **more: Any) -> CheckState:
    return CheckState(definition(**more), now, random.Random(1), saved)


def feed(state: CheckState, results: str, now: float = 0.0, step: float = 1.0) -> str:
    """What the status is after each of `results` (p, w, c), as letters."""
    seen = ""
    for number, letter in enumerate(results):
        state.result({"p": PASSING, "w": WARNING, "c": CRITICAL}[letter], letter, now + number * step)
        seen += state.status.label[0]
    return seen


def test_it_starts_critical_and_the_first_good_result_counts() -> None:
    state = check()
    assert (state.status, state.output) == (CRITICAL, "not checked yet")
    assert state.result(PASSING, "ok", 3.0)
    assert (state.status, state.output, state.since, state.critical_since) == (PASSING, "ok", 3.0, None)
    assert not state.result(PASSING, "fine", 4.0)
    assert (state.output, state.since) == ("fine", 3.0)


@pytest.mark.parametrize(
    ("settings", "results", "seen"),
    [
        ({}, "pcp", "pcp"),
        ({"passes_before_passing": 3}, "ppcppp", "cccccp"),
        ({"failures_before_critical": 3}, "pccpccc", "ppppppc"),
        ({"failures_before_warning": 1, "failures_before_critical": 3}, "pcccp", "pwwcp"),
        ({"failures_before_warning": 2, "failures_before_critical": 3}, "pcccp", "ppwcp"),
        # A warning is a bad sign for what is passing, and a good one for what is critical.
        ({}, "pwp", "pwp"),
        ({}, "wp", "wp"),
        ({"passes_before_passing": 2}, "wwpp", "cwwp"),
        ({"passes_before_passing": 2}, "pwp", "cww"),
        ({"start": "passing"}, "wpc", "wpc"),
        ({"start": "warning", "failures_before_critical": 2}, "cc", "wc"),
    ],
)
def test_thresholds(settings: dict[str, Any], results: str, seen: str) -> None:
    assert feed(check(**settings), results) == seen


def test_a_flapping_check_is_let_back_later_and_later_and_forgiven_in_time() -> None:
    state = check(interval="5s")
    assert feed(state, "pcpcpc") == "pcpcpc"
    # Three falls within the window: two good results are wanted, then four, then eight, and no more.
    assert state.passes_wanted(6.0) == 2
    assert feed(state, "ppc", 6.0) == "cpc"
    assert feed(state, "ppppc", 9.0) == "cccpc"
    assert feed(state, "p" * 8 + "c", 14.0) == "c" * 7 + "pc"
    assert state.passes_wanted(23.0) == 8
    # Each minute without a fall halves them.
    assert [state.passes_wanted(22.0 + minutes * 60) for minutes in (1, 2, 3, 9)] == [4, 2, 1, 1]
    assert feed(state, "pc", 22.0 + 600) == "pc"


def test_falls_that_are_far_apart_are_no_flapping() -> None:
    state = check(interval="5s")
    for minute in range(10):
        assert feed(state, "pc", minute * 40.0) == "pc"
    assert state.passes_wanted(400.0) == 1


def test_the_first_runs_are_spread_and_then_come_every_interval() -> None:
    firsts, seconds = [], []
    for seed in range(200):
        state = CheckState(definition(interval="10s"), 100.0, random.Random(seed))
        assert state.next_run is not None
        firsts.append(state.next_run - 100.0)
        state.begin(101.0)
        seconds.append(state.next_run - 101.0)
        state.begin(200.0)
        assert 9.0 <= state.next_run - 200.0 <= 11.0
    assert 0.0 <= min(firsts) < 0.1
    assert 0.9 < max(firsts) <= 1.0
    assert 1.0 <= min(seconds) < 1.5
    assert 9.5 < max(seconds) <= 10.0


def test_a_ttl_begins_with_the_first_report_and_lapses() -> None:
    state = check(ttl="15s")
    assert (state.status, state.wake_at) == (CRITICAL, None)
    assert state.set(PASSING, "well", 10.0)
    assert state.deadline == 25.0
    assert not state.set(PASSING, "well", 20.0)
    assert not state.lapse(34.9)
    assert state.lapse(35.0)
    assert (state.status, state.output) == (CRITICAL, "no report for 15 s; the last one said: well")
    assert state.wake_at is None
    assert state.set(WARNING, "slow", 40.0)
    assert state.set(CRITICAL, "down", 41.0)
    assert state.wake_at is None


def test_a_ttl_that_starts_passing_has_its_time() -> None:
    state = check(ttl="15s", start="passing", now=5.0)
    assert (state.status, state.deadline) == (PASSING, 20.0)


@pytest.mark.parametrize(
    ("remaining", "left"),
    [(12.0, 12.0), (9.0, 10.0), (0.0, 10.0), (25.0, 20.0), (None, 10.0)],
)
def test_a_ttl_survives_with_what_was_left_and_a_grace(remaining: float | None, left: float) -> None:
    saved = SavedCheck(PASSING, remaining, 0.0, "well")
    state = check(saved, 100.0, ttl="20s")
    assert (state.status, state.output, state.deadline) == (PASSING, "well", 100.0 + left)
    assert CheckState(state.definition, 0.0, random.Random(1), state.save(100.0)).deadline == left


def test_the_grace_of_a_long_ttl_is_half_a_minute() -> None:
    assert check(SavedCheck(PASSING, 1.0, 0.0, ""), ttl="24h").deadline == 30.0
    lapsed = check(SavedCheck(CRITICAL, None, 7.0, "no report"), 50.0, ttl="24h", deregister_after="10s")
    assert (lapsed.deadline, lapsed.deregister_at) == (None, 53.0)


def test_a_check_that_runs_resumes_where_it_was_and_looks_soon() -> None:
    state = check(SavedCheck(PASSING, None, 0.0, "ok"), 100.0, interval="1h")
    assert state.status is PASSING
    assert state.next_run is not None
    assert 100.0 <= state.next_run <= 102.0


def test_deregistration_is_due_after_critical_for_that_long() -> None:
    state = check(deregister_after="1m", now=10.0)
    assert state.deregister_at == 70.0
    state.result(PASSING, "", 20.0)
    assert state.deregister_at is None
    state.result(CRITICAL, "", 30.0)
    state.result(CRITICAL, "", 80.0)
    assert state.deregister_at == 90.0
    state.postpone(120.0)
    assert state.deregister_at == 120.0
    assert state.save(90.0).critical_for == 60.0


def test_output_is_cut_and_only_kept() -> None:
    state = check()
    state.result(PASSING, "ä" * 5_000, 0.0)
    assert len(state.output.encode()) <= MAX_OUTPUT_BYTES
    assert state.output.endswith("ä [cut]")
    assert len(state.save(1.0).output.encode()) <= 256
    assert cut("x" * 10, 10) == "x" * 10


def test_a_service_is_as_well_as_its_worst_check() -> None:
    assert worst([]) is PASSING
    assert worst([PASSING, WARNING]) is WARNING
    assert worst([CRITICAL, WARNING]) is CRITICAL


def test_first_changes_are_told_at_once_and_more_twice_a_second() -> None:
    telling = Telling("a")
    assert telling.due("a") is None
    assert telling.due("b") == float("-inf")
    telling.tell("b", 10.0)
    assert telling.due("b") is None
    for number, word in enumerate("abababa"):
        due = telling.due(word)
        assert due is not None
        assert due <= 10.0 + number * 0.1
        telling.tell(word, 10.0 + number * 0.1)
    assert telling.due("b") == 10.5
    telling.tell("b", 10.5)
    assert telling.due("a") == 11.0


@given(
    st.lists(st.tuples(st.sampled_from(list(Verdict)), st.floats(0.1, 90.0)), max_size=60),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_whatever_the_results(results: list[tuple[Verdict, float]], passes: int, failures: int) -> None:
    state = check(passes_before_passing=passes, failures_before_critical=failures)
    now, good, passing, bad = 0.0, 0, 0, 0
    for verdict, pause in results:
        now += pause
        before = state.status
        wanted = state.passes_wanted(now)
        assert passes <= wanted <= 8 * passes
        good, passing, bad = (
            (0, 0, bad + 1)
            if verdict is CRITICAL
            else (good + 1, passing + 1 if verdict is PASSING else 0, 0)
        )
        assert state.result(verdict, "", now) == (state.status is not before)
        if state.status < before:
            assert (passing if state.status is PASSING else good) >= wanted
        if state.status is CRITICAL is not before:
            assert bad == failures
        assert (state.critical_since is not None) == (state.status is CRITICAL)
