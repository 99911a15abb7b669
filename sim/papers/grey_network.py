"""Experiment 9: faults that are neither life nor death, and who keeps his head.

memberlist and Rapid are made as published. The shipped core goes through the same twice: with its own
settings, and with memberlist's; with its own it shall change its view less often.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean, median
from typing import Any

from sim.papers.grey_faults import Engine, N, Task, work
from sim.papers.paper import HOUR, Budget, Curve, Figure, Outcome, Paper, Row, holds, near, told

__all__ = ["PAPER"]

FAULT_S = {"flip-flop": 900, "egress": 900, "ingress": 900, "crash": 60}
RAPID_S = 120
"""Rapid is done long before; its view is read as often."""
CONFLICTS = {(6, 4): (36.7, 3.0), (7, 4): (18.3, 2.0), (9, 4): (2.0, 0.6), (9, 3): (0.53, 0.3)}
"""By (H, L), two members failed, K = 10: Rapid's figure 11 in percent, digitised, and the tolerance."""
PROCESSES = 20_000
PUBLISHED = {
    "flip-flop": ("memberlist, figure 9: between", [(200, 995), (900, 995), (200, 1_000), (900, 1_000)]),
    "egress": ("memberlist, figure 10", [(0, 1_000), (310, 992), (600, 996)]),
}
"""(seconds since the fault, members counted), read off the figures: what they hold to, not each point."""
TITLES = {
    "flip-flop": "Ten of 1,000 hear nothing every other 20 s",
    "egress": "Ten of 1,000 lose 80 % of what they send",
    "ingress": "Ten of 1,000 lose 80 % of what is sent to them",
    "crash": "Ten of 1,000 crash",
}


def tasks(budget: Budget) -> Sequence[Task]:
    """The longest first."""
    engines: tuple[Engine, ...] = ("shipped", "shipped as memberlist", "memberlist", "rapid")
    result = []
    for seed in budget.seeds:
        for engine in engines:
            for fault, usual in FAULT_S.items():
                seconds = min(usual, RAPID_S) if engine == "rapid" else usual
                size, length = (40, 30) if budget.quick else (N, seconds)
                result.append(Task(engine, fault, size, length, seed))
        processes = 500 if budget.quick else PROCESSES
        result += [Task("conflicts", f"{high} {low}", processes, 0, seed) for high, low in CONFLICTS]
    return result


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Medians over blocks; what must never happen, over all of them."""
    groups: dict[tuple[Engine, str], list[Mapping[str, Any]]] = {}
    for task in tasks(budget):
        found = groups.setdefault((task.engine, task.fault), [])
        if task.key in results:
            found.append(results[task.key])
    rows = [*_judge_memberlist(groups), *_judge_rapid(groups)]
    for (high, low), (theirs, within) in CONFLICTS.items():
        rates = [100 * one["rate"] for one in groups["conflicts", f"{high} {low}"]]
        rows.append(
            near(
                f"conflicting cuts, %, H={high} L={low} F=2", fmean(rates) if rates else None, theirs, within
            )
        )
    rows += _judge_shipped(groups)
    return Outcome(rows, [_draw(groups, fault) for fault in FAULT_S], list(NOTES))


def _middle(found: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [one[name] for one in found]
    return None if not values or None in values else float(median(values))


def _judge_memberlist(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]]) -> list[Row]:
    crash, flip = groups["memberlist", "crash"], groups["memberlist", "flip-flop"]
    gone, changes, listed = _middle(crash, "gone_s"), _middle(flip, "changes"), _middle(flip, "listed")
    rows = [
        holds(
            "memberlist, crash: seconds until all have removed all ten",
            gone,
            None,
            "12 to 25",
            gone is not None and 12 <= gone <= 25,
        ),
        holds(
            "memberlist, flip-flop: changes of a view after 200 s",
            changes,
            None,
            "at least 20",
            changes is not None and changes >= 20,
        ),
        holds(
            "memberlist, flip-flop: share of seconds with a faulty member listed",
            listed,
            None,
            "at least 0.5",
            listed is not None and listed >= 0.5,
            "figure 9: to the end",
        ),
    ]
    for fault in ("egress", "ingress"):
        found = groups["memberlist", fault]
        removed = [max(one["largest"][0] - low for low in one["middle"]) for one in found]
        ours = float(median(removed)) if removed else None
        # By how many members the middle view shrank at most: some were removed, and some were not.
        partly = ours is not None and ours > 0 and _middle(found, "gone_s") is None
        note = "" if fault == "egress" else "the text says outgoing, the caption incoming"
        rows.append(
            holds(
                f"memberlist, 80 % {fault} loss: of ten, at most removed at once",
                ours,
                8.0 if fault == "egress" else None,
                "some, never all at all",
                partly,
                note,
            )
        )
    wrong = [one["wrong"] for (engine, _), found in groups.items() if engine == "memberlist" for one in found]
    rows.append(
        holds(
            "memberlist: healthy members removed at healthy ones",
            float(sum(wrong)) if wrong else None,
            0.0,
            "none",
            not any(wrong),
        )
    )
    return rows


def _judge_rapid(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]]) -> list[Row]:
    rows = []
    for fault in FAULT_S:
        found = groups["rapid", fault]
        ours = float(max(one["steps"] - 1 for one in found)) if found else None
        done = bool(found) and all(one["gone_s"] is not None for one in found)
        at = _middle(found, "gone_s")
        note = f"after {at:g} s" if at is not None else ""
        rows.append(holds(f"Rapid, {fault}: steps to 990", ours, 1.0, "one", done and ours == 1.0, note))
    return rows


def _judge_shipped(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]]) -> Iterator[Row]:
    """The shipped core, beside itself with memberlist's settings."""
    for fault in FAULT_S:
        ours, theirs = groups["shipped", fault], groups["shipped as memberlist", fault]
        moves, others = _middle(ours, "moves"), _middle(theirs, "moves")
        quantity = f"shipped core, {fault}: view changes at a healthy member"
        note = "theirs: the same core with memberlist's settings"
        if fault == "crash":
            yield told(quantity, moves, others, note)
        else:
            fewer = moves is not None and others is not None and moves < others
            yield holds(quantity, None if others is None else moves, others, "fewer", fewer, note)
        yield told(
            f"memberlist, {fault}: view changes at a healthy member",
            _middle(groups["memberlist", fault], "moves"),
        )
        for engine in ("shipped", "shipped as memberlist"):
            found = groups[engine, fault]
            yield told(f"{engine}, {fault}: seconds until all have removed all", _middle(found, "gone_s"))
            yield told(
                f"{engine}, {fault}: share of seconds with a faulty one listed", _middle(found, "listed")
            )
    sums = [
        [_middle(groups[engine, fault], "moves") for fault in FAULT_S]
        for engine in ("shipped", "shipped as memberlist")
    ]
    ours_all, theirs_all = (None if None in each else sum(filter(None, each)) for each in sums)
    fewer = ours_all is not None and theirs_all is not None and ours_all < theirs_all
    yield holds(
        "shipped core, all four faults: view changes at a healthy member",
        None if theirs_all is None else ours_all,
        theirs_all,
        "fewer",
        fewer,
    )
    wrong = [one["wrong"] for fault in FAULT_S for one in groups["shipped", fault]]
    yield holds(
        "shipped core: healthy members removed at healthy ones",
        float(sum(wrong)) if wrong else None,
        0.0,
        "none",
        not any(wrong),
    )


def _draw(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]], fault: str) -> Figure:
    curves = []
    for (engine, what), found in groups.items():
        if what == fault and found:
            middle = found[0]["middle"]
            curves.append(
                Curve(engine, [float(second) for second in range(1, len(middle) + 1)], [*map(float, middle)])
            )
    if fault in PUBLISHED:
        label, points = PUBLISHED[fault]
        curves.append(Curve(label, [float(x) for x, _ in points], [float(y) for _, y in points], theirs=True))
    return Figure(TITLES[fault], "seconds", "members that the middle healthy member counts", curves)


NOTES = (
    (
        "A view is that of the middle healthy member: its count is the median of the healthy members' counts."
        " The paper draws every process's."
    ),
    (
        "With memberlist's settings a clock among a thousand runs for 12 to 72 s, with ours for 3 to 9: fewer"
        " refutations are late for it, and who is dead is listed for longer."
    ),
    (
        "Rapid's vote is the fast path of Fast Paxos alone; a vote without three quarters would stay open,"
        " and none did where one step is told."
    ),
)

PAPER = Paper(
    name="grey-network",
    number=9,
    title="Grey network faults",
    source="Rapid (Suresh et al. 2018), figures 8 to 11",
    cost_s=3 * HOUR,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="variants of core's parts; the shipped core beside them",
)
