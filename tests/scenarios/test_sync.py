"""Repair: two views that differ become one, whatever they differ in and wherever it is cut."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gossip.core import sync
from gossip.core.conversation import Server
from gossip.core.effects import Close, Dial, Write
from gossip.core.events import EventKind
from gossip.core.messages import Gossip, Hello, Listing, Offer, Page, Turned
from gossip.core.node import Node
from gossip.core.params import LAN
from gossip.core.records import Accusation, Deletion, Fact, Key
from gossip.core.types import MAX_VERSION, Kind, Phase, Status, StreamId
from sim.host import Host
from sim.notary import StandIn
from sim.world import World
from tests.core.rig import Peer, Rig
from tests.world import about, all_see, cluster, none_sees


def hold(host: Host, other: Host, status: Status, left: Fact) -> None:
    """Have a node hold another, alive until now, as that; `left` is the other's own last word."""

    def change(node: Node, now: float) -> None:
        member = node.members.get(other.id)
        assert member is not None
        if status in (Status.SUSPECT, Status.DEAD):
            word = node._ctx.notary.issue(Accusation(node.id, other.id, member.incarnation, int(Kind.SILENT)))
            node._detector.suspect(member, word, None, now)
        if status is Status.DEAD:
            node._detector._bury(member, now)
        elif status is Status.LEFT:
            node._intake.take([left.raw], None, now, quiet=True)

    host.do(change)
    assert host.sees(other) is status


def settled(world: World, other: Host) -> None:
    """Let time pass until all agree, and nobody suspects the other any more."""
    world.run_until(lambda: world.converged() and none_sees(world, other, Status.SUSPECT), limit=200)


def reached(world: World, raw: bytes, limit: float) -> None:
    """Let time pass until every node holds this record live."""
    world.run_until(lambda: all(raw in records(host) for host in world.hosts), limit)


def records(host: Host) -> set[bytes]:
    """All live records that the node holds."""
    return {
        fact.raw
        for member in host.node
        if member.is_live
        for fact in (member.fact, *member.services.values())
        if not isinstance(fact.body, Deletion)
    }


@pytest.mark.parametrize("here", list(Status))
@pytest.mark.parametrize("there", list(Status))
def test_a_repair_ends_what_two_nodes_hold_differently_of_a_third(here: Status, there: Status) -> None:
    """Scenario 67: alive, suspect, dead and left against each other, the third one being alive, and gone."""
    for really in ("alive", "gone"):
        world = cluster(3)
        a, b, third = world.hosts
        third.register("web")
        world.run(3)
        record = third.node.me.record
        left = StandIn(third.disk.secret, world._archive).issue(
            replace(record, version=record.version + 1, phase=int(Phase.LEAVING))
        )
        if really == "gone":
            world.crash(third, machine=True)
        hold(a, third, here, left)
        hold(b, third, there, left)
        settled(world, third)
        assert records(a) == records(b)
        alive = really == "alive"
        assert (a.sees(third) is Status.ALIVE) == (b.sees(third) is Status.ALIVE) == alive
        assert (a.lookup("web") == [third.name]) == alive


def place(rig: Rig, owner: Peer, key: Key = (1, "")) -> bytes:
    """Where a record stands, as an offer names it."""
    return rig.notary.place(owner.id, key).to_bytes(8, "big")


def served(rig: Rig, caller: Peer) -> StreamId:
    """A repair that `caller` has opened; its view is another in every bucket, so that all is listed."""
    stream = rig.node.stream_accepted(caller.address, rig.now)
    assert stream is not None
    rig.frame(stream, Hello(caller.id, caller.current.raw, False, bytes(8), b"\xff" * 2_048))
    return stream


def offered(rig: Rig, stream: StreamId, offer: Offer) -> tuple[list[bytes], bytes]:
    """What the node answers an offer: the facts that it gives, and what it wants."""
    pages = [effect.frame for effect in rig.frame(stream, offer) if isinstance(effect, Write)]
    assert all(isinstance(page, Page) for page in pages)
    news = [raw for page in pages if isinstance(page, Page) for raw in page.news]
    return news, b"".join(page.wants for page in pages if isinstance(page, Page))


def test_a_tombstone_is_wanted_only_by_who_holds_something_older() -> None:
    """Scenario 67: an offer tells records of the dead and the left apart."""
    rig = Rig()
    a, b = rig.members(2)
    stranger = rig.peer()
    one, two = b"1" * 8, b"2" * 8
    graves = ((place(rig, b), b.version + 1, one), (place(rig, stranger), 5_000, two))
    assert offered(rig, served(rig, a), Offer(b"", (), (), graves)) == ([], one)
    haves = ((place(rig, stranger), 5_000, two),)
    assert offered(rig, served(rig, a), Offer(b"", haves, (), ())) == ([], two)


def test_who_holds_an_older_record_of_a_dead_member_gets_the_newer_and_the_accusations() -> None:
    """Scenario 67: so that it suspects it at once, and takes nothing on trust."""
    rig = Rig()
    a, b, c = rig.members(3)
    c.acks = False
    rig.hear(a, a.accuse(c), c.service("web", 2_000))
    rig.hear(b, b.accuse(c))
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 90)
    older = ((place(rig, c), c.version - 1, b"1" * 8),)
    news, wants = offered(rig, served(rig, a), Offer(b"", older, (), ()))
    assert news[0] == c.current.raw
    enough = list(rig.member(c).accusations.values())[: LAN.suspicion_k + 1]
    assert set(news[1:]) == {fact.raw for fact in enough}
    assert wants == b""


def test_what_a_dead_member_said_is_offered_apart() -> None:
    """Scenario 67: by the side that opens the repair as well."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.hear(a, a.service("web", 2_000), c.service("web", 2_000), c.again(phase=int(Phase.LEAVING)))
    effects = rig.do(lambda now: rig.node._repair.open(rig.member(b), now))
    (stream,) = [effect.stream for effect in effects if isinstance(effect, Dial)]
    everything = tuple((bucket, b"", b"") for bucket in range(256))
    listing = Listing(b.id, b.current.raw, bytes(8), everything, ())
    (offer,) = [effect.frame for effect in rig.frame(stream, listing) if isinstance(effect, Write)]
    assert isinstance(offer, Offer)
    assert {have[0] for have in offer.graves} == {place(rig, c), place(rig, c, (2, "web"))}
    assert {place(rig, a), place(rig, a, (2, "web"))} <= {have[0] for have in offer.haves}


def test_a_death_elsewhere_is_only_a_suspicion_here() -> None:
    """Scenario 68: what a repair brings is records and accusations, and the clock is one's own."""
    world = cluster(2, params=replace(LAN, helpers=0))
    a, b = world.hosts
    c = world.add()
    world.run_until(world.converged, limit=20)
    world.network.cut(a, c, both=True)
    world.run_until(lambda: a.sees(c) is Status.DEAD, limit=120)
    assert b.sees(c) in (Status.ALIVE, Status.SUSPECT)
    assert EventKind.MEMBER_FAILED not in about(b, c)
    world.run(60)
    assert EventKind.MEMBER_FAILED not in about(b, c)


def test_a_member_that_only_one_node_holds_dead_is_not_buried_by_those_who_reach_it() -> None:
    """Scenario 68, among more."""
    world = cluster(6)
    victim = world.hosts[4]
    for host in world.hosts[:1]:
        world.network.cut(host, victim, both=True)
    world.run(200)
    assert all(EventKind.MEMBER_FAILED not in about(host, victim) for host in world.hosts[1:4])


def test_an_update_reaches_all_of_nine_by_gossip_or_repair(seed: int) -> None:
    """Scenario 69: none is missed for ever, with loss or without."""
    for loss, updates, bound in ((0.0, 200, 1.0), (0.3, 40, 30.0)):
        world = cluster(9, seed=seed, loss=loss, codec=False)
        world.run(10)
        for number in range(updates):
            host = world.rng.choice(world.hosts)
            fact = host.register("web", port=number + 1)
            reached(world, fact.raw, bound)


@pytest.mark.parametrize(("low", "high"), [(2, 9), (0, 0)])
def test_a_joiner_of_another_protocol_version_is_refused_with_the_reason(low: int, high: int) -> None:
    """Scenario 70."""
    rig = Rig()
    stranger = rig.peer()
    stranger.fields = {"protocol_min": low, "protocol_max": high}
    hello = Hello(stranger.id, stranger.say().raw, True, bytes(8), bytes(2_048))
    stream = rig.node.stream_accepted(stranger.address, rig.now)
    assert stream is not None
    effects = rig.frame(stream, hello)
    (turned,) = [effect.frame for effect in effects if hasattr(effect, "frame")]
    assert isinstance(turned, Turned)
    assert "no common protocol version" in turned.reason
    assert f"{low} to {high} there" in turned.reason
    assert rig.status(stranger) is None


def test_the_reason_of_a_refusal_reaches_who_asked_to_join() -> None:
    """Scenario 70: it is the outcome of the join, in words."""
    world = cluster(2)
    a, b = world.hosts
    world.leave(a, stop=False)
    world.run(3)
    late = world.add(seeds=())
    late.join(a)
    world.run_until(lambda: late.told(EventKind.JOIN_DONE), limit=30)
    (done,) = [event for _, event in late.events if event.kind is EventKind.JOIN_DONE]
    assert not done.ok
    assert a.spot in done.detail or "leaving" in done.detail
    assert b.sees(late) is None


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_a_transfer_that_is_cut_leaves_a_valid_prefix_and_the_next_round_goes_on(pages: int) -> None:
    """Scenario 71: what came counts, and only the rest is asked for again."""
    rig = Rig()
    (a,) = rig.members(1)
    # All in one bucket, so that the listing is one, in order.
    keys = [f"{number}" for number in range(10_000)]
    bucket = sync.bucket_of(a.id, (2, keys[0])) >> 8
    keys = [key for key in keys if sync.bucket_of(a.id, (2, key)) >> 8 == bucket][:36]
    facts = [a.service(key, 2_000 + number) for number, key in enumerate(keys)]
    hashes = b"".join(fact.hash.to_bytes(8, "big") for fact in facts)
    listing = Listing(a.id, a.current.raw, bytes(8), ((bucket, hashes, b""),), ())

    def begin() -> tuple[int, list[int]]:
        """Open a repair and hear the listing; the stream, and the hashes that are wanted."""
        effects = rig.do(lambda now: rig.node._repair.open(rig.member(a), now))
        (stream,) = [effect.stream for effect in effects if isinstance(effect, Dial)]
        (offer,) = [e.frame for e in rig.frame(stream, listing) if isinstance(e, Write)]
        assert isinstance(offer, Offer)
        wants = offer.wants
        return stream, [int.from_bytes(wants[at : at + 8], "big") for at in range(0, len(wants), 8)]

    stream, wants = begin()
    assert wants == [fact.hash for fact in facts]
    for number in range(pages):
        rig.frame(stream, Page(tuple(f.raw for f in facts[9 * number : 9 * number + 9]), b"", last=False))
    rig.do(lambda now: rig.node.stream_closed(stream, "reset", now))
    assert len(rig.node.catalog.lookup("web")) == 9 * pages

    stream, wants = begin()
    assert wants == [fact.hash for fact in facts[9 * pages :]]
    rest = tuple(fact.raw for fact in facts[9 * pages :])
    effects = rig.frame(stream, Page(rest, b"", last=True))
    assert any(isinstance(effect, Close) for effect in effects)
    assert len(rig.node.catalog.lookup("web")) == len(facts) == 36


def test_a_page_alone_is_taken_as_what_it_is() -> None:
    """Scenario 71: a record whose owner is not known yet waits for the next repair, the others count."""
    rig = Rig()
    (a,) = rig.members(1)
    stranger = rig.peer()
    stream = rig.node.stream_accepted(a.address, rig.now)
    assert stream is not None
    rig.frame(stream, Hello(a.id, a.current.raw, False, rig.view, bytes(2_048)))
    rig.frame(stream, Page((stranger.service("x", 5).raw, a.service("web", 2_000).raw), b"", last=False))
    assert [i.node for i in rig.node.catalog.lookup("web")] == [a.name]
    assert rig.node.counters["orphan"] == 1


def test_a_deletion_wins_over_the_older_value_of_a_lagging_peer() -> None:
    """Scenario 72."""
    world = cluster(3)
    a, b, c = world.hosts
    a.register("web", key="x")
    world.run(3)
    world.partition([[c]])
    a.deregister("x")
    world.run(3)
    world.heal()
    world.run_until(world.converged, limit=60)
    assert a.lookup("web") == b.lookup("web") == c.lookup("web") == []


def test_registrations_that_were_lost_with_a_disk_are_gone_for_all() -> None:
    """Scenario 72: the floor of the new life voids them."""
    world = cluster(4)
    a = world.hosts[1]
    a.register("web", key="x")
    a.register("web", key="y")
    world.run(3)
    world.restart(a, registrations="lost")
    a.register("web", key="y")
    world.run_until(world.converged, limit=60)
    for host in world.hosts:
        assert [i.key for i in host.node.catalog.lookup("web")] == ["y"]


def test_a_version_from_beyond_the_future_is_malformed() -> None:
    """Scenario 73: above 2^53 - 1, in whatever kind of record."""
    rig = Rig()
    (a,) = rig.members(1)
    sound = a.service("web", MAX_VERSION)
    rig.hear(a, sound)
    assert len(rig.node.catalog.lookup("web")) == 1
    large = (MAX_VERSION).to_bytes(8, "big")
    raw = sound.raw.replace(large, (MAX_VERSION + 1).to_bytes(8, "big"))
    assert raw != sound.raw
    rig.feed(Gossip(a.id, (raw,)), a)
    assert rig.node.counters["malformed"] == 1


def test_an_accusation_from_the_future_changes_nothing_and_is_counted() -> None:
    """Scenario 73: of others it only makes curious, of this node it is hostile."""
    rig = Rig()
    a, b, c = rig.members(3)
    before = rig.node.incarnation
    rig.hear(a, a.accuse(rig, incarnation=before + 10))
    assert rig.node.incarnation == before
    assert rig.node.counters["accusation_future"] == 1
    rig.hear(b, b.accuse(c, incarnation=c.version + 10))
    assert rig.status(c) is Status.ALIVE


def test_a_floor_counts_from_the_moment_that_it_is_known() -> None:
    """Scenario 73: what is below it goes, what comes later from below is refused, in any order."""
    for order in ((0, 1), (1, 0)):
        rig = Rig()
        (a,) = rig.members(1)
        below, above = a.service("old", 1_500), a.service("new", 2_500)
        words = [(below, above), (a.say(version=2_000, floor=2_000),)]
        for which in order:
            rig.hear(a, *words[which])
        rig.hear(a, below, above)
        assert [i.key for i in rig.node.catalog.lookup("web")] == ["new"]


def test_what_others_say_of_a_member_is_no_sign_of_its_life() -> None:
    """Scenario 74: no heartbeats; copies of its records, however many, do not keep it alive."""
    rig = Rig()
    a, _, c = rig.members(3)
    c.acks = False
    rig.run_until(lambda: rig.status(c) is Status.SUSPECT, 30)
    while rig.status(c) is Status.SUSPECT:
        rig.hear(a, c.current, c.service("web", 2_000))
        rig.run(1)
    assert rig.status(c) is Status.DEAD


def test_an_ack_at_an_older_incarnation_revives_nobody_only_a_newer_record_does() -> None:
    """Scenario 74."""
    rig = Rig()
    a, b, c = rig.members(3)
    c.acks = False
    rig.hear(a, a.accuse(c))
    rig.hear(b, b.accuse(c))
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 90)
    c.acks = True
    rig.run(10)
    assert rig.status(c) is Status.DEAD
    rig.hear(c, c.again())
    assert rig.status(c) is Status.ALIVE


def test_split_buckets_and_a_death_on_one_side_only_do_not_hold_up_a_repair(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where a bucket was split and nothing in it can be told by records, the answer is an empty offer."""
    monkeypatch.setattr(sync, "SPLIT_OVER", 2)
    world = cluster(3)
    a, b, c = world.hosts
    for number in range(900):
        c.register("web", key=f"{number}")
    world.run_until(world.converged, limit=60)
    world.network.cut(a, c, both=True)
    a.do(lambda node, now: node._detector._bury(node.members.get(c.id), now))  # type: ignore[arg-type]
    before = a.node.counters["repair_failed"] + b.node.counters["repair_failed"]
    a.do(lambda node, now: node._repair.open(node.members.get(b.id), now))  # type: ignore[arg-type]
    world.run_until(lambda: a.node._repair._opener is None, limit=2)
    assert a.node.counters["repair_failed"] + b.node.counters["repair_failed"] == before


def test_a_lone_service_of_a_stranger_is_dropped_and_comes_with_its_owner() -> None:
    world = cluster(3)
    a, b, c = world.hosts
    a.register("web")
    world.run_until(lambda: c.lookup("web"), limit=5)
    d = world.add()
    world.run_until(world.converged, limit=30)
    assert d.lookup("web") == [a.name]
    assert none_sees(world, b, Status.DEAD)
    assert all_see(world, d, Status.ALIVE)


def test_an_eviction_ends_a_membership_where_it_was_asked_for_and_nowhere_else() -> None:
    """Scenario 68 again: one holds it dead and evicts it; to the others, who reach it, it stays alive."""
    world = cluster(5, params=replace(LAN, helpers=0))
    victim, one = world.hosts[4], world.hosts[0]
    world.network.cut(one, victim, both=True)
    world.run_until(lambda: one.sees(victim) is Status.DEAD, limit=120)
    one.do(lambda node, now: node.evict(victim.id, now))
    assert one.sees(victim) is Status.LEFT
    world.run(60)
    for host in world.hosts[1:4]:
        assert host.sees(victim) is Status.ALIVE
        assert not {EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT} & set(about(host, victim))


@pytest.mark.parametrize("has_company", [False, True])
def test_a_joiner_that_is_told_midway_to_come_again_tells_no_view_to_those_who_have_it(
    has_company: bool,
) -> None:
    """It knew its seed by then. So all that it learnt when it came again was news, which it told everybody.

    That is right only if somebody has joined by it meanwhile.
    """
    world = cluster(12)
    world.run(20)
    seed = world.hosts[0]
    joiner = world.add()
    world.run_until(lambda: len(joiner.node.members), 5, step=0.0001)
    (server,) = (each for each in seed.node._sessions if isinstance(each, Server))
    seed.do(lambda _node, _now: server.give_way())
    assert len(joiner.node.members) == 1
    if has_company:
        world.add(seeds=[joiner])
    world.run_until(lambda: len(joiner.node.members) >= 12, 5, step=0.0001)
    told = {item.raw for item in joiner.node._spread.queue.items.values()}
    view = {host.node._own.me.fact.raw for host in world.hosts[1:12]}
    assert told & view == (view if has_company else set())
    world.run_until(world.converged, 5)
