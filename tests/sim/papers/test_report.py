"""Rows are judged as they say, and reports come back as they were stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossip.errors import StoreError
from sim.papers.paper import Budget, Curve, Figure, Outcome, Paper, Row, holds, near, share, told
from sim.papers.report import Report, json_rows, load, make, markdown, overview, store, text

PAPER = Paper(
    name="toy",
    number=3,
    title="A toy",
    source="nobody, table 1",
    cost_s=1,
    tasks=lambda _budget: [],
    work=repr,
    judge=lambda _budget, _results: Outcome([]),
    engine="theory",
)
OUTCOME = Outcome(
    [
        near("close", 1.0, 1.05, 0.1),
        share("far", 2.0, 1.0, 0.05, "so it goes"),
        told("seen | heard", 123_456.7),
        holds("never came", None, None, "at most 3", condition=True),
    ],
    [Figure("t", "x", "y", [Curve("ours", [1.0], [2.0])])],
    ["A note."],
)


def report(done: int = 4, total: int = 4, *, quick: bool = False) -> Report:
    return make(PAPER, Budget(2, 7, quick), done, total, OUTCOME)


def test_rows_pass_and_fail_by_their_tolerances() -> None:
    assert near("q", 1.0, 1.1, 0.1000001).passed is True
    assert near("q", 1.0, 1.2, 0.1).passed is False
    assert share("q", 95.0, 100.0, 0.05).passed is True
    assert share("q", -94.0, -100.0, 0.05).passed is False
    assert holds("q", 3.0, None, "odd", condition=True).passed is True
    assert told("q", 3.0).passed is None


def test_what_did_not_come_about_is_not_judged() -> None:
    for row in (
        near("q", None, 1.0, 1.0),
        share("q", None, 1.0, 1.0),
        holds("q", None, 1.0, "", condition=True),
    ):
        assert row.ours is None
        assert row.passed is None


def test_a_whole_run_is_judged() -> None:
    assert report().judged == [True, False]
    assert "1 of 2 judged rows pass" in text(report())


@pytest.mark.parametrize(
    ("done", "quick", "why"), [(3, False, "3 of 4 tasks are done"), (4, True, "A quick run")]
)
def test_half_a_run_and_a_quick_one_judge_nothing(done: int, quick: bool, why: str) -> None:
    some = report(done, quick=quick)
    assert some.judged == []
    assert [row.ours for row in some.outcome.rows] == [1.0, 2.0, 123_456.7, None]
    assert why in some.outcome.notes[0]
    assert "nothing judged" in text(some)


def test_the_table_for_people_is_aligned() -> None:
    lines = text(report()).splitlines()
    assert (
        lines[0] == "3. A toy (nobody, table 1); run on theory, 2 blocks from seed 7: 1 of 2 judged rows pass"
    )
    head = lines[2]
    assert lines[3].index("pass") == lines[4].index("FAIL") == head.index("tolerance") + len("at most 3  ")
    assert lines[4].endswith("(so it goes)")
    assert "123457" in lines[5]


def test_json_rows_have_the_promised_fields() -> None:
    assert json_rows(report())[1] == {
        "quantity": "far",
        "ours": 2.0,
        "theirs": 1.0,
        "tolerance": "± 5 %",
        "pass": False,
        "note": "so it goes",
    }


def test_markdown_escapes_what_would_break_a_table() -> None:
    assert "| seen \\| heard | 123457 | - |  | - |  |" in markdown(report())


def test_a_report_is_stored_whole(tmp_path: Path) -> None:
    store(report(), tmp_path)
    assert load(tmp_path / "toy.json") == report()
    assert (tmp_path / "toy.md").read_text(encoding="utf-8") == markdown(report())


def test_another_file_is_no_report(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("[]")
    with pytest.raises(StoreError, match="is no report"):
        load(path)


def test_the_overview_is_in_the_order_of_the_experiments() -> None:
    first = make(PAPER, Budget(), 1, 1, Outcome([Row("only", 1.0, 1.0, "equal", passed=True)]))
    later = Report(
        **{**{name: getattr(first, name) for name in first.__struct_fields__}, "number": 12, "name": "late"}
    )
    page = overview([later, first])
    assert (
        page.index("| 3 | [A toy](#toy)") < page.index("| 12 | [A toy](#late)") < page.index('<a id="toy">')
    )
    assert "| 1 | 1 of 1 |" in page
