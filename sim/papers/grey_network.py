"""Experiment 9: faults that are neither life nor death, and who keeps his head.

A thousand members; ten crash, or hear nothing every other twenty seconds, or lose four of five packets
that they send (or that are sent to them). Every member's idea of how many there are is read once a second.
memberlist and Rapid are made as published; the shipped core goes through the same, and is not judged.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Literal

from msgspec import Struct

from gossip.core.events import Event, EventKind
from gossip.core.types import NodeId
from sim.chance import derive
from sim.host import Host
from sim.latency import Uniform
from sim.papers.cuts import conflict_rate
from sim.papers.paper import Budget, Curve, Figure, Outcome, Paper, Row, holds, near, told
from sim.papers.peer import Peer, crowd, maker, peer_of
from sim.papers.rapid import RapidPeer, rapid_crowd
from sim.papers.variant import memberlist
from sim.world import World

__all__ = ["PAPER"]

N, FAULTY = 1_000, 10
LATENCY = Uniform(350, 650)
BEFORE_S = 20.0
FAULT_S = {"crash": 60, "flip-flop": 900, "egress": 900, "ingress": 900}
RAPID_S = 120
"""Rapid is done long before; its view is read as often."""
FLIP_S = 20
LOSS = 0.8
SETTLED_S = 200
"""From here on changes of the view count."""
CONFLICTS = {(6, 4): (36.7, 3.0), (7, 4): (18.3, 2.0), (9, 4): (2.0, 0.6), (9, 3): (0.53, 0.3)}
"""By (H, L), two members failed, K = 10: Rapid's figure 11 in percent, digitised, and the tolerance."""
PROCESSES = 20_000
Engine = Literal["memberlist", "rapid", "shipped", "conflicts"]
Count = Callable[[Host], int]


class Task(Struct, frozen=True):
    """One engine under one fault; or the conflicts of one (H, L), as `fault` "H L"."""

    engine: Engine
    fault: str
    n: int
    seconds: int
    seed: int

    @property
    def key(self) -> str:
        return f"{self.engine} {self.fault} n={self.n} seconds={self.seconds} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """The longest first."""
    engines: tuple[Engine, ...] = ("shipped", "memberlist", "rapid")
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


def work(task: Task) -> dict[str, Any]:
    """What healthy members hold, second by second after the fault begins.

    `smallest`, `middle`, `largest`: how many members they count; `changes`: how often the middle one of
    them changed its count after `SETTLED_S`; `listed`: the share of seconds then in which it listed a faulty
    member; `wrong`: how often a healthy one was removed at a healthy one; `gone_s`: when all of them had
    removed all faulty ones for the first time, or None; `steps`: different counts that were seen.
    """
    rng = derive(task.seed, "grey", task.engine, task.fault)
    if task.engine == "conflicts":
        high, low = map(int, task.fault.split())
        return {"rate": conflict_rate(high, low, 2, task.n, rng)}
    world, count, wrong = _start(task, rng)
    faulty = rng.sample(world.hosts[1:], max(1, task.n * FAULTY // N))
    world.run(BEFORE_S)
    healthy = [host for host in world.hosts if host not in faulty]
    wrong.watch(faulty)
    return {**_suffer(world, task, faulty, healthy, count), "wrong": wrong.count}


class _Wrong:
    """Counts healthy members that are removed at healthy ones."""

    def __init__(self) -> None:
        self.count = 0
        self._faulty: set[NodeId] | None = None

    def watch(self, faulty: Sequence[Host]) -> None:
        """From now on, of all but these."""
        self._faulty = {host.id for host in faulty}

    def at(self, observer: NodeId, subject: NodeId) -> None:
        if self._faulty is not None and observer not in self._faulty and subject not in self._faulty:
            self.count += 1

    def at_peer(self, peer: Peer, what: str, subject: NodeId, _now: float) -> None:
        if what == "dead":
            self.at(peer.id, subject)

    def at_node(self, host: Host, _now: float, event: Event) -> None:
        if event.kind in (EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT):
            self.at(host.id, event.id)


def _start(task: Task, rng: random.Random) -> tuple[World, Count, _Wrong]:
    """All members know all."""
    seed, wrong = rng.getrandbits(63), _Wrong()
    if task.engine == "shipped":
        world = World(seed, codec=False, keep_events=False, latency=LATENCY)
        world.grow(task.n)
        world.run_until(world.converged, 120.0, 0.25)
        world.listeners.append(wrong.at_node)
        return world, lambda host: host.node.members.n, wrong
    if task.engine == "rapid":
        world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=RapidPeer)
        rapid_crowd(world, task.n)
        return world, lambda host: len(host.agent.node.view), wrong
    world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=maker(memberlist()))
    crowd(world, task.n, watch=wrong.at_peer)
    return world, lambda host: peer_of(host).table.n, wrong


def _suffer(
    world: World, task: Task, faulty: Sequence[Host], healthy: Sequence[Host], count: Count
) -> dict[str, Any]:
    smallest, middle, largest = [], [], []
    steps: set[int] = set()
    gone_s = None
    for second in range(task.seconds):
        _afflict(world, task.fault, faulty, second)
        world.run(1.0)
        counts = sorted(count(host) for host in healthy)
        steps.update(counts)
        smallest.append(counts[0])
        middle.append(counts[len(counts) // 2])
        largest.append(counts[-1])
        if gone_s is None and counts[-1] == len(healthy):
            gone_s = second + 1
    late = middle[SETTLED_S:]
    return {
        "smallest": smallest,
        "middle": middle,
        "largest": largest,
        "changes": sum(a != b for a, b in pairwise(late)),
        "listed": sum(value > len(healthy) for value in late) / len(late) if late else 0.0,
        "gone_s": gone_s,
        "steps": len(steps),
    }


def _afflict(world: World, fault: str, faulty: Sequence[Host], second: int) -> None:
    """What this second brings to the faulty."""
    for host in faulty:
        if fault == "flip-flop":
            host.deaf = second // FLIP_S % 2 == 0
        elif second == 0 and fault == "crash":
            world.crash(host, machine=True)
        elif second == 0 and fault == "egress":
            world.set_loss(host, outgoing=LOSS)
        elif second == 0 and fault == "ingress":
            world.set_loss(host, incoming=LOSS)


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
    rows += _tell_shipped(groups)
    return Outcome(rows, [_draw(groups, fault) for fault in ("flip-flop", "egress")], list(NOTES))


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


def _tell_shipped(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]]) -> list[Row]:
    rows = [told("shipped core, crash: seconds", _middle(groups["shipped", "crash"], "gone_s"))]
    for fault in ("flip-flop", "egress", "ingress"):
        found = groups["shipped", fault]
        rows += [
            told(f"shipped core, {fault}: changes of a view after 200 s", _middle(found, "changes")),
            told(
                f"shipped core, {fault}: share of seconds with a faulty one listed", _middle(found, "listed")
            ),
        ]
    wrong = [one["wrong"] for (engine, _), found in groups.items() if engine == "shipped" for one in found]
    rows.append(
        told("shipped core: healthy members removed at healthy ones", float(sum(wrong)) if wrong else None)
    )
    return rows


def _draw(groups: Mapping[tuple[Engine, str], Sequence[Mapping[str, Any]]], fault: str) -> Figure:
    curves = []
    for (engine, what), found in groups.items():
        if what == fault and found:
            middle = found[0]["middle"]
            curves.append(
                Curve(engine, [float(second) for second in range(1, len(middle) + 1)], [*map(float, middle)])
            )
    titles = {"flip-flop": "Ten of 1,000 hear nothing every other 20 s", "egress": "Ten of 1,000 lose 80 %"}
    return Figure(titles[fault], "seconds", "members that the middle healthy member counts", curves)


NOTES = (
    (
        "A view is that of the middle healthy member: its count is the median of the healthy members' counts."
        " The paper draws every process's."
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
    cost="40 minutes",
    tasks=tasks,
    work=work,
    judge=judge,
    engine="variants of core's parts; the shipped core beside them",
)
