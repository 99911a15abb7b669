"""Curves out of tables: thinned without losing spikes, distributions that tell who never heard."""

from __future__ import annotations

import msgspec
import pytest

from sim.draw.story import Curves, begun_before, curves_of, lives_of, spread, thinned
from tests.sim.draw.runs import event, made, real


def test_a_long_curve_is_thinned_and_keeps_its_spikes_and_ends() -> None:
    y = [1.0] * 100_000
    y[31_337], y[77_777] = 50.0, 0.0
    curve = thinned(range(100_000), y, points=200)
    assert len(curve.x) <= 202
    assert (max(curve.y), min(curve.y)) == (50.0, 0.0)
    assert (curve.x[0], curve.x[-1]) == (0, 99_999)
    assert curve.x == sorted(curve.x)


def test_a_short_curve_stays_as_it_is() -> None:
    curve = thinned([0.0, 1.0], [3, 4])
    assert (curve.x, curve.y) == ([0.0, 1.0], [3.0, 4.0])


def test_a_distribution_keeps_its_ends_and_counts_who_never_heard() -> None:
    many = spread(range(10_000, 0, -1), cases=20_000, points=100)
    assert len(many.delays) == 100
    assert (many.delays[0], many.delays[-1]) == (1e-6, 1e-2)
    assert (many.share, many.cases) == (0.5, 20_000)
    assert spread([], cases=0).share == 0.0


def test_lives_are_read_from_starts_and_ends() -> None:
    tables = made(
        nodes=[
            {"number": 0, "lives": 1},
            {"number": 1, "lives": 2},
            {"number": 2, "lives": 1},
            {"number": 3, "lives": 0},
        ],
        events=[event(2, 1, "ended"), event(3, 2, "started"), event(4, 1, "started")],
    ).tables()
    assert begun_before(tables) == {0, 1}
    assert lives_of(tables, 10_000_000) == {
        0: [(0, 10_000_000)],
        1: [(0, 2_000_000), (4_000_000, 10_000_000)],
        2: [(3_000_000, 10_000_000)],
        3: [],
    }


def test_a_detection_is_of_the_failure_before_it_and_none_of_who_came_back_too_soon() -> None:
    def failed(subject: int, at_s: int, outcome: str) -> dict[str, object]:
        return {"subject": subject, "at_us": at_s * 1_000_000, "observers": 2, "outcome": outcome}

    def death(subject: int, at_s: int, verdict: str = "gone") -> dict[str, object]:
        return {"subject": subject, "at_us": at_s * 1_000_000, "kind": "death", "verdict": verdict}

    result = made(
        detections=[failed(1, 1, "all"), failed(1, 5, "some"), failed(2, 1, "returned")],
        verdicts=[death(1, 3), death(1, 4), death(1, 6), death(2, 2), death(1, 7, "false")],
    )
    detection = curves_of(result).detection
    assert detection is not None
    assert detection.delays == [1.0, 2.0, 3.0]
    assert (detection.cases, detection.share) == (4, 0.75)
    assert curves_of(made()).detection is None


def test_news_is_told_apart_by_what_it_is_about_and_the_young_does_not_count() -> None:
    facts = [
        {"fact": 0, "kind": "registered", "at_us": 1_000_000, "observers": 2},
        {"fact": 1, "kind": "joined", "at_us": 2_000_000, "observers": 1},
        {"fact": 2, "kind": "changed", "at_us": 9_000_000, "observers": 2, "young": True},
        {"fact": 3, "kind": "tags", "at_us": 3_000_000, "observers": 1},
    ]
    rumours = [
        {"fact": 0, "at_us": 1_500_000},
        {"fact": 1, "at_us": 2_250_000},
        {"fact": 2, "at_us": 9_500_000},
    ]
    spreads = curves_of(made(facts=facts, rumours=rumours)).dissemination
    assert {label: (each.delays, each.share) for label, each in spreads.items()} == {
        "services": ([0.5], 0.5),
        "joins": ([0.25], 1.0),
        "member records": ([], 0.0),
    }


def test_load_is_per_running_node() -> None:
    curves = curves_of(made(load=[{"at_us": 0, "running": 4, "messages": 10, "bytes": 1_000}]))
    assert (curves.messages.y, curves.bytes.y) == ([2.5], [250.0])


def test_curves_survive_json() -> None:
    curves = curves_of(real())
    assert Curves.of(msgspec.json.decode(msgspec.json.encode(curves))) == curves
    assert curves.end_s == 30.0
    assert curves.agreement.y[0] == pytest.approx(1.0)
    assert curves.detection is not None
    assert curves.detection.cases == 12
