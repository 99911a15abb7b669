"""What was done, a line a moment."""

from __future__ import annotations

from sim.draw.deeds import deeds_of, news_of
from tests.sim.draw.runs import event, made


def test_what_is_done_to_many_at_one_moment_is_one_deed() -> None:
    rows = [event(1, host, "crash", host) for host in range(5)]
    rows += [event(2, -1, "partition", detail="full"), event(3, 4, "pause", 4)]
    deeds = deeds_of(made(5, events=rows).tables())
    assert [(deed.at_s, deed.text, deed.short) for deed in deeds] == [
        (1.0, "crash n0, n1, n2 and 2 more", "crash (5)"),
        (2.0, "partition: full", "partition"),
        (3.0, "pause n4", "pause n4"),
    ]


def test_lives_and_what_nodes_tell_are_no_deeds() -> None:
    rows = [event(1, 0, "started", 0), event(2, 0, "member_failed", 1), event(3, 0, "service_changed", 1)]
    assert deeds_of(made(2, events=rows).tables()) == []


def test_only_the_first_to_say_something_is_news() -> None:
    rows = [
        event(1, 0, "member_suspected", 2),
        event(2, 1, "member_suspected", 2),
        event(3, 0, "member_failed", 2),
        event(4, 1, "member_failed", 2),
        event(5, 1, "member_joined", 2),
    ]
    assert [text for _, text, _ in news_of(made(3, events=rows).tables())] == [
        "n0 holds n2 suspect",
        "n0 holds n2 dead",
        "n1 holds n2 alive",
    ]
