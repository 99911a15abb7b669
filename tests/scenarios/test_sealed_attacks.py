"""What somebody on the network can do to sealed agents, in virtual time and with real bytes.

The attacker hears and writes every packet, and has no key where it is not said.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from gossip.core.events import EventKind
from gossip.core.keys import KeyState
from gossip.core.messages import Gossip
from gossip.core.params import LAN, Params
from gossip.core.records import ServiceRecord
from gossip.core.types import Address, Status
from gossip.errors import RemoteProtocolError
from gossip.wire.codec import decode_packet, encode
from gossip.wire.keyring import KeyRing
from gossip.wire.seal import ClearSealer
from gossip.wire.sealing import RingSealer
from sim.host import Host
from sim.keys import real
from sim.process import Process
from sim.streams import End, Sign, Streams
from sim.world import World

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))


class Talk:
    """One stream: who called whom, and the frames of either."""

    def __init__(self, caller: Host, called: Host) -> None:
        self.caller = caller
        self.called = called
        self.said: list[bytes] = []
        self.answered: list[bytes] = []


class Wires(Streams):
    """Streams, with somebody on the line, who may also call by himself."""

    __slots__ = ("_own", "_talks", "bend", "talks")

    def __init__(self, world: World) -> None:
        super().__init__(world.clock, world.network, world.params.stream_timeout)
        self.talks: list[Talk] = []
        """All of them, in order."""
        self.bend: Callable[[Talk, bytes], bytes] = lambda _talk, frame: frame
        """What is made on its way of each frame that a caller writes."""
        self._talks: dict[End, Talk] = {}
        self._own: dict[End, list[bytes]] = {}

    def _arrive(self, item: tuple[End, Any, int]) -> None:
        end, content, size = item
        if end in self._own:
            if isinstance(content, bytes):
                self._own[end].append(content)
            return
        if isinstance(content, bytes):
            talk = self._talk(end)
            (talk.answered if end.dialled else talk.said).append(content)
            if not end.dialled:
                item = (end, self.bend(talk, content), size)
        super()._arrive(item)

    def _talk(self, end: End) -> Talk:
        assert end.peer is not None
        caller, called = (end, end.peer) if end.dialled else (end.peer, end)
        if caller not in self._talks:
            self._talks[caller] = Talk(caller.process.host, called.process.host)
            self.talks.append(self._talks[caller])
        return self._talks[caller]

    def call(self, victim: Host, caller: Host, frames: list[bytes]) -> list[bytes]:
        """Open a stream from where a caller is, and say this: what comes back, which is still to come."""
        process = victim.process
        assert process is not None
        mine = End(process, victim.address, -1, dialled=True)
        theirs = End(process, caller.address, -1, dialled=False)
        theirs.peer, theirs.out = mine, self._pipe(theirs, caller)
        self._own[mine] = []
        for content in (Sign.OPEN, *frames):
            process.handle(self._take, (theirs, content, 0))
        return self._own[mine]


class Tap:
    """The network, with somebody on it."""

    def __init__(self, world: World) -> None:
        self.sent: list[tuple[Address, Address, bytes]] = []
        """Everything that was sent: (from, to, bytes), in order."""
        self.bend: Callable[[bytes], bytes] = bytes
        """What is made of each datagram on its way."""
        self.wires = Wires(world)
        self._network: Any = world.network
        world.network = self  # type: ignore[assignment]
        world.streams = self.wires

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

    def call_again(self, victim: Host, talks: list[Talk]) -> list[list[bytes]]:
        """Open each of these streams again, to this victim, and say in it what its caller said."""
        return [self.wires.call(victim, talk.caller, talk.said) for talk in talks]


def talks_to(tap: Tap, host: Host) -> list[Talk]:
    return [talk for talk in tap.wires.talks if talk.called is host]


def cluster(
    count: int, *, secret: bytes = KEY, name: str = "sim", seed: int = 1, params: Params = LAN
) -> tuple[World, Tap]:
    world = World(seed, keys=real(secret), cluster=name, params=params)
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
    world.restart(world.hosts[3])
    world.run(5)
    everything = b"".join(data for _, _, data in tap.sent)
    streams = b"".join(b"".join(talk.said + talk.answered) for talk in tap.wires.talks)
    assert len(everything) > 10_000
    assert len(streams) > 10_000
    for word in (b"payroll", b"secret plan", world.hosts[1].id, KEY):
        assert word not in everything
        assert word not in streams
    # The same bytes in clear would have told.
    clear = World(1)
    tapped = Tap(clear)
    clear.grow(2)
    clear.run(2)
    clear.hosts[0].register("payroll-database")
    clear.run(2)
    clear.restart(clear.hosts[1])
    clear.run(2)
    assert b"payroll" in b"".join(data for _, _, data in tapped.sent)
    assert b"payroll" in b"".join(b"".join(talk.said + talk.answered) for talk in tapped.wires.talks)


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


def test_bits_that_flip_in_streams_end_those_streams_and_nothing_else() -> None:
    """Of a call's first frame, wherever; of its length it is not known when the rest is to come."""
    world, tap = cluster(5)
    flipped = 0

    def bent(talk: Talk, frame: bytes) -> bytes:
        nonlocal flipped
        if len(talk.said) > 1 or world.rng.random() >= 0.5:
            return frame
        flipped += 1
        at = world.rng.randrange(32, 8 * len(frame))
        return frame[: at // 8] + bytes((frame[at // 8] ^ 1 << at % 8,)) + frame[at // 8 + 1 :]

    before = [state(host) for host in world.hosts]
    tap.wires.bend = bent
    for _ in range(10):
        for host in world.hosts[1:]:
            host.join(world.hosts[0])
        world.run(1)
    reasons = ("cluster", "sealed", "version", "clear")
    refused = sum(host.node.counters[reason] for host in world.hosts for reason in reasons)
    assert flipped > 15
    assert refused == flipped
    assert [state(host) for host in world.hosts] == before
    assert all(member.status is Status.ALIVE for host in world.hosts for member in host.node.members)


def test_a_stream_again_in_the_same_session_changes_nothing() -> None:
    world, tap = cluster(4)
    world.hosts[1].register("web")
    world.run(3)
    world.hosts[1].deregister("web")
    for host in world.hosts[1:]:
        host.join(world.hosts[0])
    world.run(3)
    victim = world.hosts[0]
    talks = talks_to(tap, victim)
    before = state(victim)
    answers = tap.call_again(victim, talks)
    assert victim.node.counters["replayed"] == len(talks) >= 6
    world.run(3)
    assert not any(answers)
    assert state(victim) == before
    assert victim.lookup("web") == []


def test_a_stream_again_to_who_has_just_restarted_or_to_another_changes_nothing() -> None:
    """Neither has met how it begins: that is answered, to who cannot read it, and what follows is refused."""
    world, tap = cluster(5)
    gone, victim, other = world.hosts[4], world.hosts[0], world.hosts[3]
    gone.register("web")
    for host in world.hosts[1:]:
        world.restart(host)
        world.run(2)
    gone.deregister("web")
    world.run(3)
    world.leave(gone)
    world.run(5)
    long = [talk for talk in talks_to(tap, victim) if len(talk.said) > 1]
    assert len(long) >= 4
    world.restart(victim)
    for target in (victim, other):
        count = target.node.counters["stream"]
        told = len(target.events)
        others = [talk for talk in long if talk.caller is not target]
        for talk in others:
            # One at a time: who is busy would say so, and listen to no more.
            tap.call_again(target, [talk])
            world.run(2)
        assert target.node.counters["stream"] == count + len(others), "the second frame answers another"
        world.run(10)
        before, count = state(target), target.node.counters["replayed"]
        tap.call_again(target, others)
        assert target.node.counters["replayed"] == count + len(others)
        world.run(5)
        assert state(target) == before
        assert target.lookup("web") == []
        kinds = [event.kind for _, event in target.events[told:]]
        assert EventKind.SERVICE_REGISTERED not in kinds
        assert EventKind.MEMBER_FAILED not in kinds
    for host in world.hosts[:4]:
        assert {host.name} | {each.name for each in host.node.members if each.is_live} == {
            "n0",
            "n1",
            "n2",
            "n3",
        }


def test_what_was_said_in_a_stream_is_no_answer_and_no_call_to_who_said_it() -> None:
    world, tap = cluster(3)
    caller, victim = world.hosts[1], world.hosts[0]
    caller.join(victim)
    world.run(3)
    (talk, *_) = [each for each in talks_to(tap, victim) if each.caller is caller and len(each.said) > 1]
    before = state(caller)
    tap.wires.call(caller, victim, talk.said)
    world.run(3)
    assert state(caller) == before

    def mirrored(each: Talk, frame: bytes) -> bytes:
        if each.caller is caller:
            # In the place of the answer, and before it.
            (end,) = [end for end in caller.agent.ends.values() if end.dialled]
            end.process.handle(tap.wires._take, (end, frame, len(frame)))
        return frame

    tap.wires.bend = mirrored
    caller.join(victim)
    world.run(3)
    assert caller.node.counters["own"] == 1
    assert state(caller) == before


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


class Muter:
    """Who has the key alone: says that members are far ahead of what they will ever reach."""

    def __init__(self, world: World, tap: Tap) -> None:
        self._world = world
        self._tap = tap
        self._ring = KeyRing()
        self._ring.add(KEY, "stolen", KeyState.SENDING)
        self._counter = 2**63

    def mute(self, muted: Host) -> None:
        """At all others: one datagram each, from elsewhere, under the session of the last that it sent."""
        session = next(data[2:18] for source, _, data in reversed(self._tap.sent) if source == muted.address)
        self._counter += 5_000
        sealer = RingSealer(self._ring, "sim", session, b"thief")
        sealer._counter = self._counter
        datagram = sealer.seal(encode(Gossip(b"nobody at all..", ())))
        for host in self._world.hosts:
            if host is not muted:
                assert host.process is not None
                host.process.arrive(("10.66.6.6", 1), datagram, len(datagram))


DATAGRAMS_ONLY = msgspec.structs.replace(LAN, stream_probe=False)


def failures(world: World) -> list[EventKind]:
    wrong = (EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_FAILED)
    return [event.kind for host in world.hosts for _, event in host.events if event.kind in wrong]


@pytest.mark.parametrize("everybody", [False, True])
@pytest.mark.parametrize("params", [LAN, DATAGRAMS_ONLY], ids=["streams", "no streams"])
def test_a_member_that_is_made_to_look_old_is_heard_again_once_it_is_asked(
    params: Params, everybody: bool
) -> None:
    """One forged datagram at each other: of one member, or of all of them at the same time."""
    world, tap = cluster(6, params=params)
    muter = Muter(world, tap)
    for host in world.hosts if everybody else world.hosts[2:3]:
        muter.mute(host)
    # Each is asked by each within two rounds.
    world.run(2 * 5 * params.period)
    counted = [host.node.counters["replayed"] for host in world.hosts]
    world.hosts[2].register("web")
    world.run_until(lambda: all(host.lookup("web") for host in world.hosts), 5)
    world.run(60)
    assert [host.node.counters["replayed"] for host in world.hosts] == counted
    assert failures(world) == []
    assert not any(member.degraded for host in world.hosts for member in host.node.members)


@pytest.mark.parametrize("everybody", [False, True])
def test_nor_is_anybody_held_dead_who_is_made_to_look_old_again_and_again(everybody: bool) -> None:
    """Ten times a second, and nothing passes over streams but repairs."""
    world, tap = cluster(6, params=DATAGRAMS_ONLY)
    muter = Muter(world, tap)
    for tenth in range(600):
        for host in world.hosts if everybody else world.hosts[2:3]:
            muter.mute(host)
        if tenth == 100:
            world.hosts[2].register("web")
        world.run(0.1)
        if tenth == 250:
            assert all(host.lookup("web") for host in world.hosts)
    assert failures(world) == []


def test_what_was_recorded_is_of_no_use_to_others_when_a_window_begins_anew() -> None:
    world, tap = cluster(4)
    world.hosts[1].register("web")
    world.run(3)
    world.hosts[1].deregister("web")
    world.run(3)
    recorded = len(tap.sent)
    muter = Muter(world, tap)
    for host in world.hosts:
        muter.mute(host)
    world.run(10)
    victim = world.hosts[0]
    before, counted = state(victim), victim.node.counters["replayed"]
    tap.sent = tap.sent[:recorded]
    count = tap.replay(victim)
    assert victim.node.counters["replayed"] - counted == count > 20
    world.run(1)
    assert state(victim) == before


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
    answers = tap.call_again(victim, tap.wires.talks)
    assert victim.node.counters[reason] == len(tap.sent) + len(answers) > len(tap.sent)
    world.run(3)
    assert not any(answers)
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
    thief = RingSealer(stolen, "sim", b"\x09" * 16, b"thief")
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
