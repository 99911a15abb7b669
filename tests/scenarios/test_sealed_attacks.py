"""What somebody on the network can do to sealed agents, in virtual time and with real bytes.

The attacker hears and writes every packet, and has no key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gossip.core.events import EventKind
from gossip.core.keys import KeyState
from gossip.core.messages import Gossip
from gossip.core.records import ServiceRecord
from gossip.core.types import Address, Status
from gossip.errors import RemoteProtocolError
from gossip.wire.codec import decode_packet
from gossip.wire.keyring import KeyRing
from gossip.wire.seal import ClearSealer
from gossip.wire.sealing import RingSealer
from sim.host import Host
from sim.keys import real
from sim.process import Process
from sim.world import World

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


class Tap:
    """The network, with somebody on it."""

    def __init__(self, world: World) -> None:
        self.sent: list[tuple[Address, Address, bytes]] = []
        """Everything that was sent: (from, to, bytes), in order."""
        self.bend: Callable[[bytes], bytes] = bytes
        """What is made of each datagram on its way."""
        self._network: Any = world.network
        world.network = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def send(self, process: Process, address: Address, payload: bytes, size: int) -> None:
        self.sent.append((process.host.address, address, payload))
        self._network.send(process, address, self.bend(payload), size)

    def replay(self, victim: Host, start: int = 0) -> int:
        """Give the victim again all that was ever sent to it, from where it came; how many datagrams."""
        again = [(source, data) for source, to, data in self.sent[start:] if to == victim.address]
        for source, data in again:
            assert victim.process is not None
            victim.process.arrive(source, data, len(data))
        return len(again)


def cluster(count: int, *, secret: bytes = KEY, name: str = "sim", seed: int = 1) -> tuple[World, Tap]:
    world = World(seed, keys=real(secret), cluster=name)
    tap = Tap(world)
    world.grow(count)
    world.run_until(lambda: all(host.node.members.n == count for host in world.hosts), 30)
    world.run(3)
    return world, tap


def state(host: Host) -> tuple[object, ...]:
    """What a node holds, and what it was told."""
    node = host.node
    return (
        node.fingerprint,
        sorted((member.name, member.status) for member in node.members),
        sorted(host.lookup("web")),
        [event.payload for _, event in host.events if event.kind is EventKind.EVENT_RECEIVED],
    )


def test_an_eavesdropper_reads_nothing() -> None:
    world, tap = cluster(4)
    world.hosts[1].register("payroll-database")
    world.hosts[2].do(lambda node, now: node.send_event("deploy", b"the secret plan", now))
    world.run(5)
    everything = b"".join(data for _, _, data in tap.sent)
    assert len(everything) > 10_000
    assert b"payroll" not in everything
    assert b"secret plan" not in everything
    # The same bytes in clear would have told.
    clear = World(1)
    tapped = Tap(clear)
    clear.grow(2)
    clear.run(2)
    clear.hosts[0].register("payroll-database")
    clear.run(2)
    assert b"payroll" in b"".join(data for _, _, data in tapped.sent)


def test_bits_that_flip_on_the_way_are_lost_packets_and_nothing_else() -> None:
    world, tap = cluster(5)
    flipped = 0

    def bent(data: bytes) -> bytes:
        nonlocal flipped
        if world.rng.random() >= 0.1:
            return data
        flipped += 1
        at = world.rng.randrange(8 * len(data))
        return data[: at // 8] + bytes((data[at // 8] ^ 1 << at % 8,)) + data[at // 8 + 1 :]

    tap.bend = bent
    world.run(60)
    tap.bend = bytes
    world.run(1)
    refused = sum(
        host.node.counters[reason]
        for host in world.hosts
        for reason in ("cluster", "sealed", "version", "clear", "replayed", "own")
    )
    assert flipped > 50
    assert refused == flipped
    assert sum(host.node.counters["malformed"] for host in world.hosts) == 0
    assert all(member.status is Status.ALIVE for host in world.hosts for member in host.node.members)


def test_a_replay_in_the_same_session_changes_nothing() -> None:
    world, tap = cluster(4)
    world.hosts[1].register("web")
    world.hosts[2].do(lambda node, now: node.send_event("deploy", b"1", now))
    world.run(3)
    victim = world.hosts[0]
    before = state(victim)
    counted = victim.node.counters["replayed"]
    count = tap.replay(victim)
    assert victim.node.counters["replayed"] - counted == count > 20
    assert state(victim) == before


def test_a_replay_of_an_old_session_changes_nothing() -> None:
    """All of them restarted since, so the windows know nothing of what was recorded."""
    world, tap = cluster(4)
    world.hosts[1].register("web")
    world.hosts[2].do(lambda node, now: node.send_event("deploy", b"1", now))
    world.run(3)
    old = len(tap.sent)
    world.hosts[1].deregister("web")
    for host in world.hosts[1:]:
        world.restart(host)
    world.run(10)
    victim = world.hosts[0]
    before = state(victim)
    recorded = tap.sent[:old]
    tap.sent = recorded
    assert tap.replay(victim) > 20
    world.run(0.1)
    assert state(victim) == before
    world.run(10)
    assert state(victim) == before


def test_a_replay_to_a_receiver_that_has_just_restarted_changes_nothing() -> None:
    """Its windows are empty; what it believes comes from those who answer it."""
    world, tap = cluster(5)
    gone = world.hosts[4]
    gone.register("web")
    world.hosts[2].do(lambda node, now: node.send_event("deploy", b"1", now))
    world.run(3)
    gone.deregister("web")
    world.run(3)
    world.leave(gone)
    world.run(5)
    victim = world.hosts[3]
    world.restart(victim)
    told = len(victim.events)
    tap.replay(victim)
    world.run(20)
    tap.replay(victim)
    world.run(5)
    assert state(victim)[2] == []
    assert sorted(each.name for each in victim.node.members if each.is_live) == ["n0", "n1", "n2"]
    kinds = [event.kind for _, event in victim.events[told:]]
    assert EventKind.EVENT_RECEIVED not in kinds
    assert EventKind.SERVICE_REGISTERED not in kinds
    assert all(host.lookup("web") == [] for host in world.hosts[:4])


def test_reflection_is_refused() -> None:
    world, tap = cluster(3)
    victim = world.hosts[0]
    before = state(victim)
    own = [(to, data) for source, to, data in tap.sent if source == victim.address]
    assert victim.process is not None
    for to, data in own:
        victim.process.arrive(to, data, len(data))
    assert victim.node.counters["own"] == len(own) > 10
    assert state(victim) == before


@pytest.mark.parametrize(("secret", "name", "reason"), [(KEY, "other", "cluster"), (OTHER, "sim", "sealed")])
def test_two_clusters_never_merge(secret: bytes, name: str, reason: str) -> None:
    """One key and two names, or one name and two keys: what each says is noise to the other."""
    world, _ = cluster(3)
    stranger, tap = cluster(3, secret=secret, name=name, seed=2)
    victim = world.hosts[0]
    before = state(victim)
    for source, _, data in tap.sent:
        assert victim.process is not None
        victim.process.arrive(source, data, len(data))
    assert victim.node.counters[reason] == len(tap.sent)
    assert state(victim) == before
    assert stranger.hosts[0].node.members.n == 3


def test_nobody_is_talked_down_to_clear() -> None:
    world, tap = cluster(3)
    victim = world.hosts[0]
    before = state(victim)
    clear = World(1)
    talk = Tap(clear)
    clear.grow(3)
    clear.run(5)
    assert victim.process is not None
    for source, _, data in talk.sent:
        victim.process.arrive(source, data, len(data))
    forged = ClearSealer("sim", b"\x01" * 16).seal(b"\x96\x06")
    victim.process.arrive(world.hosts[1].address, forged, len(forged))
    assert victim.node.counters["clear"] == len(talk.sent) + 1
    assert state(victim) == before
    assert all(data[1] != 0 for _, _, data in tap.sent)


def test_who_recorded_everything_and_then_steals_the_old_key_does_not_learn_the_new_one() -> None:
    """The new key was never sealed under the old one alone."""
    world, tap = cluster(4)
    host = world.hosts[0]
    assert host.process is not None
    safe = host.process.safe
    assert safe is not None
    new = safe.add("next")
    host.disk.keys = safe.save()
    host.do(lambda node, now: node.rotate(new, now))
    world.run(30)
    assert all(each.agent.safe is not None for each in world.hosts)
    secrets = {row[0]: bytes.fromhex(row[3]) for row in safe.save()}  # type: ignore[attr-defined]
    assert secrets["first"] == b""
    read = 0
    stolen = KeyRing()
    stolen.add(KEY, "stolen", KeyState.SENDING)
    thief = RingSealer(stolen, "sim", b"\x09" * 16)
    after = 0
    for _, _, data in tap.sent:
        try:
            decode_packet(thief.open(data))
            read += 1
            assert secrets["next"] not in data
        except RemoteProtocolError as problem:
            after += problem.reason == "sealed"
    # No forward secrecy: what was said under the stolen key is read. What was said since is not.
    assert read > 100
    assert after > 100


def test_a_service_that_is_forged_or_bent_is_refused() -> None:
    """A member that relays: it can repeat what others signed, and write nothing for them."""
    world, _ = cluster(3)
    victim, liar = world.hosts[0], world.hosts[1]
    record = ServiceRecord(world.hosts[2].id, 2**52, "web", "web", "", 1, (), {}, 1)
    forged = bytes(64) + msgspec.msgpack.encode(record)
    victim.node.receive(Gossip(liar.id, (forged,)), liar.address, world.now)
    assert victim.node.counters["signature"] == 1
    assert victim.lookup("web") == []
