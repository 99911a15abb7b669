"""How often gossip alone misses somebody: the law, the shipped limit, and the rule of the peers.

    scripts/bench misses

The real core in virtual time, without probes (whose pings carry news too), repair, or loss. The law: if
every node that carries an item sends it L times, to peers drawn at random, each node is missed with a
chance of e^-L, so that n x e^-L nodes are missed on average. That is its limit for large n. What is
checked is the exact law of what the core does, which differs in two ways that matter in a small cluster:
the L peers are all different, and the one who brought the item is not among them.

Exact: let k of n nodes be reached, of whom j have sent. The next to send draws L of the n - 2 others (the
originator: of n - 1), among whom all n - k unreached are, so that hypergeometrically many of these are
reached. In which order they send makes no difference, since every draw is uniform. It ends when j = k.
"""

from __future__ import annotations

import argparse
import functools
import gc
import math
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from msgspec import Struct
from msgspec.structs import replace

from bench.arguments import counted, share
from bench.report import Table, save_table
from bench.stats import table
from gossip.core.members import Member
from gossip.core.params import LAN, Params
from gossip.core.types import Status
from sim.world import World

__all__ = [
    "ALONE",
    "SUMMARY",
    "Law",
    "Row",
    "add_arguments",
    "gossip_law",
    "law",
    "limit_of_peers",
    "main",
    "measure",
    "misses_of_peers",
    "sending",
    "settled",
]

SUMMARY = "How many updates somebody misses, by gossip alone and in virtual time."
NEVER = 1e9
"""Seconds."""
ALONE = replace(LAN, period=NEVER, sync_wait=NEVER, coordinates=False)
"""The shipped settings, without probes and repair."""
LAW = ((9, 2, 6_000), (9, 3, 6_000), (9, 4, 6_000), (99, 3, 600), (99, 5, 600), (999, 5, 60), (999, 7, 120))
"""Where the law is shown: nodes, sends, updates."""
SHIPPED = ((9, 30_000), (99, 30_000), (999, 2_000))
"""Where the shipped limit is: nodes, updates."""
SPACING = 0.500
"""Seconds from one update to the next: after the last tick of the one before, with which it would share
packets, and thereby its fate."""
PATIENCE = 3.0
"""Seconds after which whoever has not heard of an update will not."""
NEGLIGIBLE = 1e-18

Rounds = Sequence[tuple[int, int]]
"""Draws in turn: from how many peers, how many different ones."""


class Law(Struct, frozen=True):
    """How many nodes one update misses."""

    mean: float
    deviation: float
    """Standard deviation."""
    some: float
    """The chance that it misses anybody."""


class Row(Struct, frozen=True):
    """What became of some updates."""

    nodes: int
    limit: int
    """How often a node sends an item."""
    updates: int
    missed: int
    """Nodes that never heard of one, over all updates."""
    missing: int
    """Updates of which somebody never heard."""
    packets: int

    @property
    def packets_each(self) -> float:
        """Sent by each node for each update."""
        return self.packets / (self.nodes * self.updates)


# The law


def law(nodes: int, own: Rounds, relayed: Rounds) -> Law:
    """The exact law, if who originates an update draws as in `own`, and all others as in `relayed`."""
    reached = {1: 1.0}
    ended: dict[int, float] = {}
    for turn in range(nodes):
        if turn in reached:
            ended[turn] = reached.pop(turn)
        for population, draws in own if turn == 0 else relayed:
            after: dict[int, float] = {}
            for count, chance in reached.items():
                for new, part in enumerate(_chances(population, nodes - count, draws)):
                    after[count + new] = after.get(count + new, 0.0) + chance * part
            reached = {count: chance for count, chance in after.items() if chance > NEGLIGIBLE}
    ended[nodes] = reached.get(nodes, 0.0)
    mean = sum((nodes - count) * chance for count, chance in ended.items())
    square = sum((nodes - count) ** 2 * chance for count, chance in ended.items())
    some = sum(chance for count, chance in ended.items() if count < nodes)
    return Law(mean, math.sqrt(max(0.0, square - mean**2)), some)


def gossip_law(nodes: int, sends: int) -> Law:
    """The law of the core, if all sends leave at once."""
    return law(nodes, [(nodes - 1, min(sends, nodes - 1))], [(nodes - 2, min(sends, nodes - 2))])


def limit_of_peers(nodes: int) -> int:
    """How often memberlist, and so serf and consul, send an item (`RetransmitMult` 4)."""
    return 4 * math.ceil(math.log10(nodes + 1))


def misses_of_peers(nodes: int) -> float:
    """The chance that an update misses somebody by that rule: three different peers in each tick."""
    full, rest = divmod(limit_of_peers(nodes), 3)
    ticks = [(nodes - 1, 3)] * full + [(nodes - 1, rest)] * (rest > 0)
    return law(nodes, ticks, ticks).some


@functools.lru_cache(maxsize=1 << 14)
def _chances(population: int, unreached: int, draws: int) -> list[float]:
    """The chance of 0, 1, 2... unreached peers among `draws` different ones."""
    everything = math.comb(population, draws)
    return [
        math.comb(unreached, new) * math.comb(population - unreached, draws - new) / everything
        for new in range(min(draws, unreached) + 1)
    ]


# The core


def sending(nodes: int, sends: int) -> Params:
    """Settings with which an item is sent so often, and all at once when it is first heard."""
    extra = sends - math.ceil(math.log(nodes))
    return replace(ALONE, send_extra=extra, eager_extra=max(extra, ALONE.eager_extra))


def settled(nodes: int, params: Params, seed: int = 0) -> World:
    """A world of nodes that know each other, as if they had joined long ago."""
    world = World(seed, codec=False, params=params, keep_events=False)
    for _ in range(nodes):
        world.add(seeds=())
    # What a node announces before it knows anybody is gone with its first tick.
    world.run(1.0)
    collects = gc.isenabled()
    gc.disable()  # a million members, none of them garbage
    for host in world.hosts:
        members = host.node.members
        for other in world.hosts:
            if other is not host:
                members._cursor = len(members._ring)  # noqa: SLF001 - or each would be sought in the round
                members.add(Member(other.node.me.fact, Status.ALIVE, world.now))
    if collects:
        gc.enable()
    return world


def measure(nodes: int, updates: int, params: Params, seed: int = 0, spacing: float = SPACING) -> Row:
    """Make updates at random nodes, and count who never hears of them.

    An update is a change of tags. All nodes take turns, in an order drawn by chance; after each round it is
    waited until everybody has heard, or will not.
    """
    world = settled(nodes, params, seed)
    before = sum(host.sent.count("Gossip") for host in world.hosts)
    missed = missing = 0
    made: list[tuple[bytes, bytes]] = []
    order = list(world.hosts)
    world.rng.shuffle(order)
    for number in range(updates):
        host = order[number % nodes]
        host.do(lambda node, now: node.set_tags({"update": str(number)}, now))  # noqa: B023 - called at once
        made.append((host.id, host.node.me.fact.raw))
        world.run(spacing)
        if len(made) == nodes or number == updates - 1:
            world.run(PATIENCE)
            for owner, raw in made:
                lacking = sum(not _has(other.node.members.get(owner), raw) for other in world.hosts)
                missed += lacking
                missing += lacking > 0
            made.clear()
    sent = sum(host.sent.count("Gossip") for host in world.hosts) - before
    limit = world.hosts[0].node._spread.queue.limit(nodes - 1)  # noqa: SLF001 - the one place that knows
    return Row(nodes, limit, updates, missed, missing, sent)


def _has(member: Member | None, raw: bytes) -> bool:
    """Whether the member is held with this record; the owner itself is not in its table."""
    return member is None or member.fact.raw == raw


# The report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How much to do, and on how many processors."""
    parser.add_argument("--share", type=share, default=1.0, help="do this share of the updates only")
    parser.add_argument("--workers", type=counted, default=os.cpu_count() or 1, help="processes to use")


def main(arguments: argparse.Namespace) -> int:
    """Print the tables; the exit status is 1 if the law is off by 3 sigma, or somebody missed an update.

    All of it takes about half an hour of processor time. Only whole tables go to the report.
    """
    laws = [(n, updates, sending(n, sends)) for n, sends, updates in LAW]
    rows = _measure_all(
        [*laws, *((n, updates, ALONE) for n, updates in SHIPPED)], arguments.workers, arguments.share
    )
    law_rows, shipped_rows = rows[: len(laws)], rows[len(laws) :]
    for name, content in (("misses-law", _law_table(law_rows)), ("misses", _shipped_table(shipped_rows))):
        print(content.title, "", table(content.header, content.rows), "", content.note, "", sep="\n")
        if arguments.share >= 1.0:
            save_table(name, content)
    return int(any(abs(_sigmas(row)) > 3 for row in law_rows) or any(row.missing for row in shipped_rows))


def _measure_all(jobs: Sequence[tuple[int, int, Params]], workers: int, share: float) -> list[Row]:
    """Each job in as many parts as there are workers, every part with a seed of its own."""
    parts = [
        (nodes, math.ceil(share * updates / workers), params, part)
        for nodes, updates, params in jobs
        for part in range(workers)
    ]
    with ProcessPoolExecutor(workers) as pool:
        rows = list(pool.map(measure, *zip(*parts, strict=True)))
    return [_sum(rows[at : at + workers]) for at in range(0, len(rows), workers)]


def _sum(rows: Sequence[Row]) -> Row:
    updates, missed, missing, packets = (
        sum(getattr(row, field) for row in rows) for field in ("updates", "missed", "missing", "packets")
    )
    return Row(rows[0].nodes, rows[0].limit, updates, missed, missing, packets)


def _sigmas(row: Row) -> float:
    """How far the mean is from the exact law, in standard deviations of the mean."""
    exact = gossip_law(row.nodes, row.limit)
    return (row.missed / row.updates - exact.mean) / (exact.deviation / math.sqrt(row.updates))


def _law_table(rows: Sequence[Row]) -> Table:
    return Table(
        "The law of misses, where they are common",
        ("nodes, sends L", "updates", "n x e^-L", "exact law", "missed", "sigmas off"),
        [
            (
                f"{row.nodes}, {row.limit}",
                f"{row.updates:,}",
                f"{row.nodes * math.exp(-row.limit):.3f}",
                f"{gossip_law(row.nodes, row.limit).mean:.3f}",
                f"{row.missed / row.updates:.3f}",
                f"{_sigmas(row):+.1f}",
            )
            for row in rows
        ],
        "Nodes that never hear of an update, on average: the real core in virtual time, gossip alone.",
    )


def _shipped_table(rows: Sequence[Row]) -> Table:
    return Table(
        "Misses with the shipped limit, gossip alone",
        ("nodes", "limit", "updates", "missed", "sends a node", "limit of peers", "they miss"),
        [
            (
                f"{row.nodes}",
                f"{row.limit}",
                f"{row.updates:,}",
                f"{row.missing:,}",
                f"{row.packets_each:.1f}",
                f"{limit_of_peers(row.nodes)}",
                f"{100 * misses_of_peers(row.nodes):.2g} %",
            )
            for row in rows
        ],
        "Updates of which somebody never hears, without loss; and how often each node sends one. "
        "Peers (memberlist, and so serf and consul) send 4 x ceil(log10(n + 1)) times, to three different "
        "peers in each tick: their misses are computed from that rule.",
    )
