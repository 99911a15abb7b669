"""What one datagram costs a node, from its bytes to the bytes of the answer, in microseconds.

    scripts/bench packets

One real node that knows `--members` others takes datagrams as its driver would: open, decode, receive,
drain, encode, seal; with real keys, and without sockets, which cost the same whoever uses them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Iterator
from statistics import median

from bench import report
from bench.arguments import counted
from gossip.core.effects import Send
from gossip.core.messages import Gossip, Ping
from gossip.core.node import Node, Self
from gossip.core.params import LAN, PROTOCOL_MAX, PROTOCOL_MIN
from gossip.core.records import Fact, MemberRecord, ServiceRecord
from gossip.wire import codec
from gossip.wire.identity import Identity
from gossip.wire.seal import ClearSealer

__all__ = ["SUMMARY", "add_arguments", "main", "measure"]

SUMMARY = "What one datagram costs a node, bytes in to bytes out."
BUDGET_US = 50.0
"""For a packet without news: what news costs is the checking of its signatures."""
CLUSTER = "bench"
VERSION = 1_000


class Bench:
    """A node among others whose keys are at hand."""

    def __init__(self, members: int) -> None:
        rng = random.Random(1)
        self.now = 1.0
        self.identity = Identity(b"\x01" * 32, CLUSTER)
        self.node = Node(
            self.identity, Self("n0", ("10.0.0.1", 7946), CLUSTER), LAN, rng, self.now, VERSION, 10**9, 0
        )
        self.others = [Identity(bytes([2 + i % 250, i // 250]) * 16, CLUSTER) for i in range(members)]
        self.facts = [self._record(i, other) for i, other in enumerate(self.others)]
        self.sealer = ClearSealer(CLUSTER, b"\x01" * 16)
        self.far = ClearSealer(CLUSTER, b"\x02" * 16)
        self.node.start(self.now)
        usher = b"\x00" * 16
        for fact in self.facts:
            self.node.receive(Gossip(usher, (fact.raw,)), ("10.0.0.2", 7946), self.now)
        # Let the news of the beginning run out, so that what is measured is the packet alone.
        for _ in range(2_000):
            self.now += 0.05
            self.node.tick(self.now)
            self.node.drain()

    def _record(self, number: int, who: Identity) -> Fact:
        record = MemberRecord(
            owner=who.id,
            version=VERSION,
            public_key=who.public_key,
            exchange_key=b"",
            name=f"n{number + 1}",
            host=f"10.1.{number // 250}.{number % 250 + 1}",
            port=7946,
            tags={},
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            boot=7,
            floor=0,
            birth=VERSION,
            phase=0,
            ephemeral=False,
        )
        return who.issue(record)

    def pings(self, count: int) -> Iterator[bytes]:
        """Pings of members, one after the other, that carry no news."""
        view = self.node.fingerprint.to_bytes(8, "big")
        for i in range(count):
            who = self.others[i % len(self.others)]
            ping = Ping(i, who.id, self.identity.id, self.node.address, view, b"", ())
            yield self.far.seal(codec.encode(ping))

    def news(self, count: int, *, fresh: bool) -> Iterator[bytes]:
        """Gossip with one service record each: a new one every time, or one that is known."""
        who = self.others[0]
        for i in range(count):
            version = VERSION + 1 + (i if fresh else 0)
            record = ServiceRecord(who.id, version, "web", "web", "", 80 + (i % 2 if fresh else 0), (), {}, 1)
            yield self.far.seal(codec.encode(Gossip(self.others[1].id, (who.issue(record).raw,))))

    def take(self, datagram: bytes) -> None:
        """What a driver does with one datagram."""
        message = codec.decode_packet(self.sealer.open(datagram))
        self.now += 0.000_1
        self.node.receive(message, ("10.1.0.1", 7946), self.now)
        for effect in self.node.drain():
            if isinstance(effect, Send):
                self.sealer.seal(codec.encode(effect.message))


def measure(members: int, count: int) -> list[tuple[str, float]]:
    """Microseconds per packet, by kind; medians of five rounds."""
    kinds: list[tuple[str, Callable[[Bench], Iterator[bytes]]]] = [
        ("a ping, and its ack", lambda bench: bench.pings(count)),
        ("gossip of what is known", lambda bench: bench.news(count, fresh=False)),
        ("gossip of one new record, passed on", lambda bench: bench.news(count, fresh=True)),
    ]
    results = []
    for name, make in kinds:
        rounds = []
        for _ in range(5):
            bench = Bench(members)
            datagrams = list(make(bench))
            began = time.perf_counter()
            for datagram in datagrams:
                bench.take(datagram)
            rounds.append((time.perf_counter() - began) / len(datagrams) * 1e6)
        results.append((name, median(rounds)))
    return results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `scripts/bench packets`."""
    parser.add_argument("--members", type=counted, default=48, help="how many others the node knows")
    parser.add_argument("--count", type=counted, default=2_000, help="datagrams of each kind and round")


def main(arguments: argparse.Namespace) -> int:
    """Measure, print and keep the table; 1 if a packet without news is over its budget."""
    results = measure(arguments.members, arguments.count)
    rows = [[name, f"{us:.0f}"] for name, us in results]
    for name, us in rows:
        print(f"{name:40} {us:>6} us")
    note = (
        f"Open, decode, receive, drain, encode, seal; no socket. The node knows {arguments.members} "
        f"others; medians of five rounds of {arguments.count}. The budget is {BUDGET_US:.0f} us for a "
        "packet without news; a new record costs the check of its signature besides, and the packets "
        "that pass it on."
    )
    report.save_table("packets", report.Table("What a datagram costs", ["datagram", "us"], rows, note))
    return int(results[0][1] > BUDGET_US)
