"""Experiment 10: how long a thousand members take to find each other, and what it costs.

One seed; ten seconds later all others join through it at once. Every member's idea of how many there are is
read once a second, as Rapid's authors did. memberlist as it is today, made of core's parts, is what is
judged; the shipped core's own start is told beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Literal

from msgspec import Struct, structs

from sim.chance import derive
from sim.host import Host
from sim.latency import Uniform
from sim.meters import total
from sim.papers.paper import MINUTE, Budget, Curve, Figure, Outcome, Paper, Row, holds, told
from sim.papers.peer import maker, peer_of
from sim.papers.variant import memberlist
from sim.world import World

__all__ = ["PAPER"]

THEIRS_S = {1_000: 46.0, 1_500: 69.0, 2_000: 98.0}
"""Rapid's figure 5, memberlist's means, digitised."""
THEIRS_SIZES = {1_000: 901, 1_500: 1_383, 2_000: 1_858}
"""Rapid's table 1."""
WITHOUT = 1_000
"""The size that is also started without push-pull."""
LIMIT_S = 300
GIVE_UP_S = 150
ALONE_S = 10.0
"""How long the seed is alone."""
LATENCY = Uniform(350, 650)
CRASHED = 10
CRASH_SIZE = 1_000
QUIET_S = 300.0
"""After all know all, until the news of it is told as often as it is; then ten crash."""
CRASH_S = 60
STATE_BYTES = 79
"""A member in memberlist's messages, without metadata: a map of seven names and values."""
PACKED = 8
"""memberlist compresses what it sends by default: push-pulls with names as regular as ours to an eighth."""
FACTOR = 2.0
Kind = Literal["memberlist", "no push-pull", "shipped"]


class Task(Struct, frozen=True):
    """One start."""

    kind: Kind
    n: int
    seed: int

    @property
    def key(self) -> str:
        return f"{self.kind} n={self.n} seed={self.seed}"


def tasks(budget: Budget) -> Sequence[Task]:
    """The largest first."""
    sizes = (40, 30, 20) if budget.quick else tuple(sorted(THEIRS_S, reverse=True))
    result = []
    for seed in budget.seeds:
        result += [Task("memberlist", n, seed) for n in sizes]
        without = 40 if budget.quick else WITHOUT
        result += [Task("no push-pull", without, seed), Task("shipped", without, seed)]
    return result


def work(task: Task) -> dict[str, Any]:
    """`seconds` from the joins until all count all (or None), how many `sizes` were counted, the `curve`.

    Of a crash of ten after it, at 1,000 members: bytes per second and member, `mean_bytes` and `p99_bytes`;
    with push-pulls compressed, `mean_packed` and `p99_packed`.
    """
    seed = derive(task.seed, "bootstrap", task.kind, task.n).getrandbits(63)
    if task.kind == "shipped":
        world = World(seed, codec=False, keep_events=False, latency=LATENCY)
    else:
        variant = structs.replace(memberlist(), cost_alive=STATE_BYTES)
        if task.kind == "no push-pull":
            variant = structs.replace(variant, push_pull=None)
        world = World(seed, codec=False, keep_events=False, latency=LATENCY, maker=maker(variant))
    world.grow(1)
    world.run(ALONE_S)
    world.grow(task.n - 1)
    result = _watch(world, GIVE_UP_S if task.kind == "no push-pull" else LIMIT_S)
    if task.kind == "memberlist" and task.n == CRASH_SIZE and result["seconds"] is not None:
        result.update(_crash(world))
    if task.kind == "shipped":
        result["messages"] = total(host.sent for host in world.hosts).messages / task.n
    return result


def _watch(world: World, limit: int) -> dict[str, Any]:
    """Read every member's count, once a second."""
    seen: set[int] = set()
    curve: list[tuple[int, int, int]] = []
    for second in range(1, limit + 1):
        world.run(1.0)
        counts = sorted(_counted(host) for host in world.hosts)
        seen.update(counts)
        curve.append((second, counts[0], counts[len(counts) // 2]))
        if counts[0] == len(world.hosts):
            return {"seconds": second, "sizes": len(seen), "curve": curve}
    return {"seconds": None, "sizes": len(seen), "curve": curve}


def _counted(host: Host) -> int:
    return host.node.members.n if host.is_shipped else peer_of(host).table.n


def _crash(world: World) -> dict[str, Any]:
    """Kill ten machines, and weigh what each of the others sends in each second after it."""
    world.run(QUIET_S)
    for host in world.rng.sample(world.hosts[1:], CRASHED):
        world.crash(host, machine=True)
    left = world.running()
    before = [_sent(host) for host in left]
    plain: list[int] = []
    packed: list[int] = []
    for _ in range(CRASH_S):
        world.run(1.0)
        now = [_sent(host) for host in left]
        for (datagrams, views), (old_datagrams, old_views) in zip(now, before, strict=True):
            plain.append(datagrams - old_datagrams + views - old_views)
            packed.append(datagrams - old_datagrams + (views - old_views) // PACKED)
        before = now
    return {
        "mean_bytes": fmean(plain),
        "p99_bytes": _p99(plain),
        "mean_packed": fmean(packed),
        "p99_packed": _p99(packed),
    }


def _p99(weighed: Sequence[int]) -> int:
    return sorted(weighed)[len(weighed) * 99 // 100]


def _sent(host: Host) -> tuple[int, int]:
    """Bytes of datagrams, and of push-pulls, so far."""
    peer = peer_of(host)
    return peer.sent_bytes, STATE_BYTES * peer.exchange.told


def judge(budget: Budget, results: Mapping[str, Any]) -> Outcome:
    """Medians over seeds."""
    groups: dict[tuple[Kind, int], list[Mapping[str, Any]]] = {}
    for task in tasks(budget):
        found = groups.setdefault((task.kind, task.n), [])
        if task.key in results:
            found.append(results[task.key])
    rows: list[Row] = []
    times: dict[int, float | None] = {}
    for (kind, n), found in sorted(groups.items(), key=lambda group: group[0][1]):
        if kind == "memberlist":
            times[n] = _seconds(found)
            rows += _judge_size(n, times[n], found)
    known = [times[n] for n in sorted(times)]
    rising = all(a is not None and b is not None and a < b for a, b in pairwise(known))
    rows.append(
        holds("time grows with N", float(rising) if None not in known else None, 1.0, "at each step", rising)
    )
    for (kind, n), found in groups.items():
        if kind == "no push-pull":
            rows.append(_judge_without(n, found))
        elif kind == "shipped" and found:
            note = "the project's own core, from the same start"
            rows.append(told(f"shipped core: seconds to one view, N={n}", _seconds(found), None, note))
    rows += _judge_crash(groups)
    return Outcome(rows, [_draw(groups)], list(NOTES))


def _seconds(found: Sequence[Mapping[str, Any]]) -> float | None:
    """The median; None if one never came to one view, which a median of the rest would hide."""
    values = [one["seconds"] for one in found]
    return median(values) if values and None not in values else None


def _judge_size(n: int, seconds: float | None, found: Sequence[Mapping[str, Any]]) -> list[Row]:
    theirs, sizes = THEIRS_S.get(n), THEIRS_SIZES.get(n)
    note = "seeds: " + ", ".join(str(one["seconds"]) for one in found)
    near = theirs is not None and seconds is not None and theirs / FACTOR <= seconds <= theirs * FACTOR
    distinct = median(one["sizes"] for one in found) if found else None
    return [
        holds(f"seconds until all count {n}", seconds, theirs, f"within x{FACTOR:g}", near, note),
        holds(
            f"different sizes counted, N={n}",
            distinct,
            sizes,
            f"at least {n // 2}",
            distinct is not None and distinct >= n / 2,
        ),
    ]


def _judge_without(n: int, found: Sequence[Mapping[str, Any]]) -> Row:
    failed = sum(one["seconds"] is None for one in found)
    return holds(
        f"starts of {n} without push-pull that are not done after {GIVE_UP_S} s",
        failed / len(found) if found else None,
        None,
        "some",
        failed > 0,
    )


def _judge_crash(groups: Mapping[tuple[Kind, int], Sequence[Mapping[str, Any]]]) -> list[Row]:
    found = [one for one in groups.get(("memberlist", CRASH_SIZE), ()) if "mean_bytes" in one]
    mean, p99, mean_packed, p99_packed = (
        fmean(one[field] for one in found) / 1_000 if found else None
        for field in ("mean_bytes", "p99_bytes", "mean_packed", "p99_packed")
    )
    note = f"1 byte for {PACKED} of them"
    return [
        holds(
            "KB/s sent per member while 10 of 1,000 crash, mean",
            mean,
            0.64,
            "0.3 to 1.2",
            mean is not None and 0.3 <= mean <= 1.2,
        ),
        holds(
            "KB/s sent per member, p99 over seconds and members",
            p99,
            6.40,
            "at most 12",
            p99 is not None and p99 <= 12.0,
        ),
        told("the same with push-pulls compressed, mean", mean_packed, 0.64, note),
        told("the same with push-pulls compressed, p99", p99_packed, 6.40, note),
    ]


def _draw(groups: Mapping[tuple[Kind, int], Sequence[Mapping[str, Any]]]) -> Figure:
    curves = []
    for (kind, n), found in groups.items():
        if found:
            curve = found[0]["curve"]
            label = f"{kind}, N={n}"
            curves.append(Curve(label, [float(p[0]) for p in curve], [p[1] / n for p in curve]))
    return Figure(
        "From one seed to one view (the worst informed member)",
        "seconds since the others joined",
        "share of the members that it counts",
        curves,
    )


NOTES = (
    "Seconds are counted from the joins, as the seed is alone before; the paper does not say from when.",
    (
        "Kilobytes are those of datagrams by memberlist's encoding, without metadata, and"
        f" {STATE_BYTES} bytes a member in each push-pull, uncompressed. memberlist compresses by default, to"
        " about an eighth with names as regular as ours; what the paper's names gave is not known."
    ),
)

PAPER = Paper(
    name="bootstrap",
    number=10,
    title="Bootstrap and anti-entropy",
    source="Rapid (Suresh et al. 2018), figure 5, tables 1 and 2",
    cost_s=30 * MINUTE,
    tasks=tasks,
    work=work,
    judge=judge,
    engine="a variant of core's parts; the shipped core beside it",
)
