"""The corpus replayed, and the fuzzer itself: it makes what is valid, bends it, finds what is planted."""

from __future__ import annotations

import random
import resource
import time
import tracemalloc
from importlib import import_module
from typing import TYPE_CHECKING

import msgspec
import pytest
import trio

from gossip.core.keys import KeyState
from gossip.core.messages import Frame, Gossip, Packet
from gossip.errors import RemoteProtocolError
from gossip.wire import codec
from tests.fuzz import bend, cast, corpus, turns
from tests.fuzz.__main__ import in_all
from tests.fuzz.cast import ADDRESSES, MARKS, PEERS, STRANGER
from tests.fuzz.cluster import Kind, World
from tests.fuzz.deeds import DEEDS, Scene
from tests.fuzz.schema import make
from tests.fuzz.targets import RENEW, TARGETS, Frames, Packets

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.fuzz.targets import Target

CPU_SECONDS = 1.0
HELD_BYTES = 32 << 20
NAMES = sorted(TARGETS)


def mixed(target: Target, rng: random.Random, count: int) -> list[bytes]:
    """Valid inputs, and bent ones of those before them."""
    found: list[bytes] = []
    for _ in range(count):
        near = found and rng.random() < 0.7
        found.append(target.bent(rng.choice(found), rng) if near else target.fresh(rng))
    return found


def run_all(target: Target, inputs: Iterable[bytes]) -> None:
    for data in inputs:
        target.run(data)


@pytest.mark.parametrize("name", NAMES)
def test_the_corpus_finds_nothing(name: str) -> None:
    inputs = corpus.kept(name)
    assert len(inputs) > 5
    corpus.replay(name, inputs)


@pytest.mark.parametrize("name", NAMES)
def test_no_input_of_the_corpus_costs_much(name: str) -> None:
    target = TARGETS[name]()
    inputs = corpus.kept(name)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, data in enumerate(inputs):
        if number % RENEW == 0:
            target.renew()
        began = time.process_time()
        target.run(data)
        assert time.process_time() - began < CPU_SECONDS, data.hex()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < HELD_BYTES // 1_024


@pytest.mark.parametrize("name", NAMES)
def test_a_short_run_without_guidance_finds_nothing(name: str, rng: random.Random) -> None:
    target = TARGETS[name]()
    for data in mixed(target, rng, 100 if name in ("http", "config", "filter") else 300):
        target.run(data)


def test_what_is_made_of_the_schema_is_mostly_read(rng: random.Random) -> None:
    """Blind bytes would see nothing of what stands behind the decoder."""
    world = World()
    for union, decode in ((Packet, codec.decode_packet), (Frame, codec.decode_frame)):
        read = 0
        for _ in range(300):
            body = codec.encode(make(union, world, rng))
            try:
                decode(body)
            except RemoteProtocolError:
                continue
            read += 1
        assert read > 200


def test_bent_facts_get_past_the_signature(rng: random.Random) -> None:
    world = World()
    before = world.node.revision
    changed = 0
    for _ in range(200):
        raw = world.bent(world.fact(rng), rng)
        world.datagram(codec.encode(make(Packet, world, rng)), ("10.0.0.2", 7_946))
        world.datagram(_gossip(world, raw), ("10.0.0.2", 7_946))
        changed += world.node.revision != before
        before = world.node.revision
    assert changed > 5


def _gossip(world: World, raw: bytes) -> bytes:
    return codec.encode(Gossip(world.me.id, (raw,)))


def test_a_planted_fault_is_found(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    """One that only a signed record with a certain field comes to."""
    from gossip.core import intake

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    target = TARGETS["packet"]()
    inputs = mixed(target, rng, 500)
    monkeypatch.setattr(intake.Intake, "_service", fail)
    with pytest.raises(ZeroDivisionError):
        run_all(target, inputs)


def scene(kind: Kind, said: list[bytes], *deeds: str) -> bytes:
    return msgspec.msgpack.encode(Scene(kind, bytes(map(list(DEEDS).index, deeds)), said))


def test_one_input_runs_a_change_of_keys_through() -> None:
    """To its end, at which the old key is retired: `rotation` is reached as a whole."""
    target = Packets()
    world = target.world(Kind.KEYS)
    target.run(
        scene(
            Kind.KEYS,
            [],
            *("rotate", "saved", "peers hold", "wait long", "saved"),
            *("peers seal", "wait long"),
        )
    )
    target.run(scene(Kind.KEYS, [], "wait long", "wait long"))
    assert [key.state for key in world.ring.held()] == [KeyState.RETIRED, KeyState.SENDING]
    assert world.node.plan.replaced == ()


def test_a_key_is_taken_where_the_node_has_asked_and_only_there(rng: random.Random) -> None:
    target = Frames()
    world = target.world(Kind.KEYS)
    sender, mark = PEERS[0], MARKS[2]
    record, wrapped = cast.facts_of(sender, ADDRESSES[0])[0], cast.box(sender, cast.SECRETS[2], mark)
    grant = codec.encode(cast.granted(sender, record, mark, "new", wrapped))
    target.run(scene(Kind.KEYS, [grant], "unreadable", "hear"))
    assert world.node.counters["frame_unexpected"] == 1
    assert len(world.ring) == 2
    target.run(scene(Kind.KEYS, [grant], "answer"))
    assert [key.mark for key in world.ring.held()] == list(MARKS[:3])


def test_who_is_not_invited_comes_into_one_kind_of_world_and_not_into_another() -> None:
    record = cast.member(STRANGER, "s", ("10.0.0.9", 7_946), b"")
    said = [codec.encode(Gossip(PEERS[0].id, (STRANGER.issue(record).raw,)))]
    target = Packets()
    for kind, enters in ((Kind.KEYS, True), (Kind.INVITED, False)):
        world = target.world(kind)
        target.run(scene(kind, said))
        assert (world.node.members.get(STRANGER.id) is not None) is enters
        assert world.node.counters["unwarranted"] == (not enters)


@pytest.mark.parametrize(
    ("part", "method", "name"),
    [
        ("rotation.Rotation", "insist", "packet"),
        ("rotation.Rotation", "_adopt", "packet"),
        ("handover.Handover", "_grant", "frame"),
        ("gate.Gate", "refused", "packet"),
        ("gate.Gate", "ban", "packet"),
    ],
)
def test_a_fault_in_what_keys_and_the_authority_bring_about_is_found(
    part: str, method: str, name: str, monkeypatch: pytest.MonkeyPatch, rng: random.Random
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    module, owner = part.split(".")
    monkeypatch.setattr(getattr(import_module(f"gossip.core.{module}"), owner), method, fail)
    target = TARGETS[name]()
    with pytest.raises(ZeroDivisionError):
        run_all(target, (target.fresh(rng) for _ in range(4_000)))


def test_of_many_inputs_the_few_that_reach_it_all_are_kept() -> None:
    target = TARGETS["packet"]()
    inputs = mixed(target, random.Random(3), 30)
    chosen, branches = corpus.shortest("packet", inputs)
    assert 0 < len(chosen) < 30
    assert corpus.shortest("packet", chosen) == (chosen, branches)


def test_bending_is_bounded_and_repeatable(rng: random.Random) -> None:
    seed = rng.random()
    data = codec.encode(make(Packet, World(), rng))
    one, other = (bend.tree(data, random.Random(seed), lambda raw: raw[:-1]) for _ in range(2))
    assert one == other
    tracemalloc.start()
    for _ in range(100):
        data = bend.tree(data, rng, lambda raw: raw[:-1])
        assert len(data) <= bend.MAX_BYTES + 100
    assert tracemalloc.get_traced_memory()[1] < HELD_BYTES
    tracemalloc.stop()


def test_inputs_that_share_a_run_are_run_one_after_the_other() -> None:
    """In virtual time, and what one of them raises is not the end of the run."""
    seen: list[float] = []

    async def wait(seconds: float) -> None:
        await trio.sleep(seconds)
        seen.append(trio.current_time())

    async def fail() -> None:
        await trio.sleep(1.0)
        raise ZeroDivisionError

    with turns.shared():
        turns.run(wait, 100.0)
        with pytest.raises(ZeroDivisionError):
            turns.run(fail)
        turns.run(wait, 100.0)
    assert [round(each - seen[0]) for each in seen] == [0, 101]
    turns.run(wait, 100.0)
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["http", "socket"])
def test_inputs_that_share_a_run_find_what_each_finds_alone(name: str) -> None:
    with turns.shared():
        corpus.replay(name, corpus.kept(name)[:20])


def test_a_report_adds_up_the_runs_before_it(tmp_path: Path) -> None:
    for number in (1, 2):
        found = in_all(tmp_path / "runs", {"executions": 100 * number, "seconds": 0.5, "branches": 9})
    assert found == {"runs": 2, "executions_in_all": 300, "seconds_in_all": 1.0, "most_branches": 9}


def test_a_window_that_forgets_is_found(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> None:
    from gossip.wire import sealing

    target = TARGETS["sealed"]()
    inputs = mixed(target, rng, 60)
    for data in inputs:
        target.run(data)
    monkeypatch.setattr(sealing.Window, "has_met", lambda *_: False)
    with pytest.raises(AssertionError, match="opened twice"):
        run_all(target, inputs)
