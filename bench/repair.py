"""What a repair costs: two nodes that differ in d of 10,000 records, in virtual time, with real bytes.

    scripts/bench repair

Both nodes own half of the records, so each difference is between an owner and one who fell behind:
records that one side lacks, holds in an older version, or holds alive though they were deleted. Bytes
are those of all frames in both directions, headers included, and of every datagram that is neither
ping nor ack.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from gossip.core.node import Node
from gossip.core.params import LAN
from gossip.core.records import Deletion, Fact, ServiceRecord
from sim.host import Host
from sim.world import World

__all__ = ["BASE_BYTES", "DIFFERENCES", "DIFFERENCE_BYTES", "RECORDS", "SUMMARY", "Row", "measure", "rows"]

SUMMARY = "What a repair costs between two nodes that differ in d of 10,000 records."
RECORDS = 10_000
DIFFERENCES = (0, 1, 10, 100, 1_000)
BASE_BYTES = 4_096
"""What a repair may cost besides the records themselves: so much,"""
DIFFERENCE_BYTES = 600
"""and so much for each record that differs."""
LIMIT = 60.0
"""Virtual seconds in which the two must agree."""
CALM = 10.0
"""Virtual seconds that are counted beyond, in which nothing more may happen."""


class Row(Struct, frozen=True):
    """One line of the table."""

    differences: int
    seconds: float
    """Virtual time until both hold the same."""
    repairs: int
    """Conversations opened, by either side."""
    record_bytes: int
    """The records that had to travel."""
    overhead_bytes: int
    """All else but pings and acks."""

    @property
    def allowed_bytes(self) -> int:
        """The promise; for no difference it is nothing at all."""
        return BASE_BYTES + DIFFERENCE_BYTES * self.differences if self.differences else 0


def measure(differences: int, records: int = RECORDS, *, seed: int = 0, real_keys: bool = False) -> Row:
    """Have two nodes of `records` records in all differ in `differences` of them, and repair.

    Raises:
        AssertionError: if they do not hold the same within `LIMIT` virtual seconds.
    """
    # The limit of services is a node's own; here two nodes stand for a cluster of owners.
    world = World(seed, real_keys=real_keys, params=replace(LAN, services_max=records), keep_events=False)
    first, second = hosts = world.grow(2)
    world.run_until(world.converged, LIMIT)
    world.run(CALM)
    facts = {host: list(_issue(host.node, records // 2)) for host in hosts}
    lag = _choose(world, facts, differences)
    travels = 0
    for owner, other in ((first, second), (second, first)):
        newest = [lag[fact.raw][1] if fact.raw in lag else fact for fact in facts[owner]]
        behind = [lag[fact.raw][0] if fact.raw in lag else fact for fact in facts[owner]]
        travels += sum(len(new.raw) for new, old in zip(newest, behind, strict=True) if new is not old)
        _give(owner, newest)
        _give(other, [fact for fact in behind if fact is not None])
    before, opened = _bytes(hosts), _repairs(hosts)
    seconds = world.run_until(world.converged, LIMIT)
    if _records(first) != _records(second):
        raise AssertionError(f"one view, two sets of records\n{world.describe()}")
    world.run(CALM)
    spent = _bytes(hosts) - before
    return Row(differences, seconds, _repairs(hosts) - opened, travels, spent - travels)


def rows(real_keys: bool = True) -> list[Row]:
    """The whole table."""
    return [measure(differences, real_keys=real_keys) for differences in DIFFERENCES]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has none."""


def main(_arguments: argparse.Namespace | None = None) -> int:
    """Print the table; the exit status is 1 if a line breaks the promise."""
    print("| d of 10,000 | agreed after | repairs | the records | beyond them | allowed |")
    print("|---:|---:|---:|---:|---:|---:|")
    broken = False
    for row in rows():
        broken |= row.overhead_bytes > row.allowed_bytes
        print(
            f"| {row.differences} | {row.seconds:.1f} s | {row.repairs} | {row.record_bytes} B "
            f"| {row.overhead_bytes} B | {row.allowed_bytes} B |"
        )
    return int(broken)


def _issue(node: Node, count: int) -> Iterator[Fact]:
    for number in range(count):
        key = f"service-{number}"
        yield node.prepare_service(key, f"name-{number % 50}", "", 1_024 + number, ("v1",), {"zone": "a"}, 1)


def _choose(
    world: World, facts: dict[Host, list[Fact]], differences: int
) -> dict[bytes, tuple[Fact | None, Fact]]:
    """For each record that shall differ, by its bytes: what the other holds, and what its owner holds."""
    lag: dict[bytes, tuple[Fact | None, Fact]] = {}
    pool = [(host, fact) for host, held in facts.items() for fact in held]
    for turn, (host, fact) in enumerate(world.rng.sample(pool, differences)):
        notary, version = host.node._ctx.notary, host.node._own.next_version()  # noqa: SLF001 - no other way to lag
        body = cast("ServiceRecord", fact.body)
        if turn % 3 == 0:
            lag[fact.raw] = (None, fact)
        elif turn % 3 == 1:
            lag[fact.raw] = (fact, notary.issue(replace(body, version=version, port=80)))
        else:
            lag[fact.raw] = (fact, notary.issue(Deletion(body.owner, version, body.key)))
    return lag


def _give(host: Host, facts: list[Fact]) -> None:
    """Have the node hold these facts, as if it had heard them long ago."""
    node = host.node
    if facts and facts[0].body.owner == node.id:
        node._own.load(facts)  # noqa: SLF001 - as at its start
    else:
        node._intake.take([fact.raw for fact in facts], None, host.agent.now, quiet=True)  # noqa: SLF001
    node.drain()


def _records(host: Host) -> set[bytes]:
    """Every service record and deletion that the node holds."""
    return {fact.raw for member in host.node for fact in member.services.values()}


def _bytes(hosts: list[Host]) -> int:
    return sum(
        size for host in hosts for kind, (_, size) in host.sent.kinds.items() if kind not in ("Ping", "Ack")
    )


def _repairs(hosts: list[Host]) -> int:
    return sum(host.node.counters["repairs"] for host in hosts)
