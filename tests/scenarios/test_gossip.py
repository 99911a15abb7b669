"""How news travels: at once, in full packets, often enough, and no longer than that."""

from __future__ import annotations

import pytest
from msgspec import structs
from msgspec.structs import replace

from gossip.core.effects import Send
from gossip.core.messages import Ack, Gossip, Ping
from gossip.core.params import LAN
from gossip.core.types import Phase, Status
from gossip.errors import RemoteProtocolError
from gossip.wire.codec import decode_packet, encode
from gossip.wire.seal import ClearSealer
from tests.core.rig import INCARNATION, Rig
from tests.world import Traffic, all_see, cluster


def sends(rig: Rig, raw: bytes) -> list[bytes]:
    """To whom the node sent this fact, in order, by id."""
    return [peer.id for peer in rig.peers for message in peer.heard if raw in getattr(message, "news", ())]


def test_an_item_stops_being_told_after_its_limit_and_a_new_change_starts_anew() -> None:
    """Scenario 57."""
    rig = Rig()
    a, *_ = rig.members(50)
    first, second = a.service("web", 2_000), a.service("web", 2_001, port=81)
    rig.hear(a, first)
    rig.run(10)
    assert len(sends(rig, first.raw)) == LAN.send_limit(51)
    assert rig.node.queue == 0
    rig.hear(a, second)
    rig.run(10)
    told = sends(rig, second.raw)
    assert len(told) == LAN.send_limit(51) == len(set(told))
    assert a.id not in told
    assert len(sends(rig, first.raw)) == LAN.send_limit(51)


def test_what_changes_nothing_here_is_never_passed_on() -> None:
    """Scenario 57: copies, older versions and what is refused."""
    rig = Rig()
    a, b, *_ = rig.members(20)
    rig.hear(a, a.service("web", 2_000))
    rig.run(10)
    for peer in rig.peers:
        peer.heard.clear()
    again = [a.service("web", 2_000), a.service("web", 1_999), a.current, a.deletion("web", 1_500)]
    rig.hear(b, *again)
    rig.run(10)
    for fact in again:
        assert sends(rig, fact.raw) == []


def test_news_of_one_subject_replaces_what_was_under_way() -> None:
    """Scenario 58: the older word is not told any more, from the moment that the newer one is known."""
    rig = Rig()
    a, *_ = rig.members(50)
    old, new = a.again(), a.again()
    rig.hear(a, old)
    before = len(sends(rig, old.raw))
    assert before < LAN.send_limit(51)
    rig.hear(a, new)
    rig.run(10)
    assert len(sends(rig, old.raw)) == before
    assert len(sends(rig, new.raw)) == LAN.send_limit(51)


def test_a_refutation_ends_what_was_told_of_the_suspicion() -> None:
    """Scenario 58: the slot of a suspect is its accusations; its own newer word clears them."""
    rig = Rig()
    a, b, c, *_ = rig.members(50)
    accusation = a.accuse(c)
    rig.hear(a, accusation)
    rig.hear(c, c.again())
    told = len(sends(rig, accusation.raw))
    rig.run(10)
    assert len(sends(rig, accusation.raw)) == told
    assert rig.status(b) is Status.ALIVE


@pytest.mark.parametrize("kind", ["ticks and eager packets", "pings and acks"])
def test_no_datagram_is_over_its_budget_all_included(kind: str) -> None:
    """Scenario 59: sealed, with header and tag; and a full queue fills it to within one fact."""
    rig = Rig()
    peers = rig.members(30)
    for peer in peers:
        # Who never acks has proven no larger datagram.
        peer.acks = not kind.startswith("ticks")
    limit = LAN.packet_bytes
    for number in range(120):
        size = 40 + number * 7 % 400
        owner = peers[number % 30]
        service = owner.service(f"key-{number}", INCARNATION + 1 + number, name="n" * (size % 60 + 1))
        tagged = owner.again(tags={"t": "x" * size})
        rig.hear(owner, service, tagged)
    effects = list(rig.effects)
    for peer in peers:
        # Of another view: where all agree, nobody is told of records any more.
        effects += rig.feed(structs.replace(peer.ping(seq=9), view=b"another!"), peer)
    effects += rig.run(2)
    sealer = ClearSealer("rig", b"\x01" * 16)
    wanted: tuple[type, ...] = (Gossip,) if kind.startswith("ticks") else (Ping, Ack)
    messages = [e.message for e in effects if isinstance(e, Send) and isinstance(e.message, wanted)]
    sizes = [len(sealer.seal(encode(message))) for message in messages]
    proven = LAN.packet_bytes_proven if Ping in wanted else limit
    assert max(sizes) <= max(limit, proven)
    assert max(sizes) > limit - 60
    if Ack in wanted:
        acks = [len(sealer.seal(encode(m))) for m in messages if isinstance(m, Ack)]
        assert max(acks) <= limit, "nobody has shown yet that larger ones pass"


def test_one_tick_tells_nobody_the_same_thing_twice() -> None:
    """Scenario 59: also where so few are there that all are told again."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.hear(a, a.service("web", 2_000))
    rig.run(LAN.gossip_interval / 2)
    for peer in (a, b, c):
        peer.heard.clear()
    rig.run(LAN.gossip_interval)
    told = [[raw for gossip in peer.got(Gossip) for raw in gossip.news] for peer in (b, c)]
    assert any(told)
    assert all(len(news) == len(set(news)) for news in told)


def test_a_small_cluster_is_told_again_of_everything_within_a_few_ticks() -> None:
    """Scenario 57: repeats do not wait for one another, and the cluster is idle soon."""
    rig = Rig()
    a, b = rig.members(2)
    facts = [a.service(f"key-{number}", 2_000 + number) for number in range(40)]
    rig.hear(a, *facts)
    rig.run(10 * LAN.gossip_interval)
    assert rig.node.queue == 0
    assert all(b.got_news().count(fact.raw) > 1 for fact in facts)


def test_a_storm_of_news_leaves_in_a_bounded_number_of_eager_packets() -> None:
    """Scenario 60: beyond the allowance it waits, and what does not fit the queue is left to repair."""
    rig = Rig()
    a, *_ = rig.members(50)
    effects = []
    for number in range(600):
        effects += rig.hear(a, a.service(f"key-{number}", 2_000 + number))
    assert len([e for e in effects if isinstance(e, Send)]) <= LAN.eager_budget
    assert rig.node.queue <= 512
    rig.run(60)
    assert rig.node.queue == 0


def test_a_newcomer_is_not_told_of_the_dead_and_the_left() -> None:
    """Scenario 61: a tombstone that was handed on from node to node would never end."""
    world = cluster(4)
    a, b, c, _ = world.hosts
    for host in (a, b, c):
        for number in range(150):
            host.register("web", key=f"{number}")
    world.run(20)
    world.crash(b, machine=True)
    world.leave(c)
    world.run_until(lambda: all_see(world, b, Status.DEAD) and all_see(world, c, Status.LEFT), limit=90)
    newcomer = world.add()
    world.run_until(world.converged, limit=30)
    world.run(60)
    assert newcomer.sees(b) is newcomer.sees(c) is None
    assert {event.id for _, event in newcomer.events}.isdisjoint({b.id, c.id})
    assert set(newcomer.lookup("web")) == {a.name}


def test_tombstones_end_though_nodes_repair_with_each_other() -> None:
    """Scenario 61: each forgets in its own time, and has it back from nobody."""
    world = cluster(4, params=replace(LAN, retention=100.0))
    a, b, c, d = world.hosts
    for number in range(400):
        a.register("api", key=f"{number}")
    world.run(10)
    world.leave(b)
    world.run_until(lambda: all_see(world, b, Status.LEFT), limit=5)
    begun = world.now
    while world.now < begun + 400:
        world.partition([[d]])
        for number in range(60):
            d.register("x", key=f"{world.now}-{number}")
        world.run(8)
        world.heal()
        world.run(20)
    assert [host.sees(b) for host in (a, c, d)] == [None, None, None]
    for host in (a, c, d):
        assert host.node.counters["repairs"] + host.node.counters["introduced"] > 0


def test_a_packet_is_one_message_and_its_news_is_counted_by_the_codec() -> None:
    """Scenario 62: no compound packets; more news than 64, none, or a cut one end as msgpack ends them."""
    sender = bytes(16)
    news = tuple(bytes([number]) * 65 for number in range(20))
    body = encode(Gossip(sender, news))
    assert decode_packet(body) == Gossip(sender, news)
    assert decode_packet(encode(Gossip(sender, ()))) == Gossip(sender, ())
    for broken in (
        encode(Gossip(sender, (bytes(64),))),
        encode(Gossip(sender, tuple([b""] * 300))),
        encode(Gossip(sender, tuple([bytes(65)] * 65))),
        body[:-1],
        body[:40],
        body + b"\x00",
        encode(Gossip(sender, (b"",))),
    ):
        with pytest.raises(RemoteProtocolError):
            decode_packet(broken)


def test_news_that_is_no_fact_is_counted_and_the_rest_of_the_packet_counts() -> None:
    """Scenario 62."""
    rig = Rig()
    a, b = rig.members(2)
    message = Gossip(a.id, (b"\xff" * 70, a.service("web", 2_000).raw, bytes(65)))
    rig.feed(message, a)
    assert rig.node.counters["malformed"] == 2
    assert [instance.node for instance in rig.node.catalog.lookup("web")] == [a.name]
    assert rig.status(b) is Status.ALIVE


def test_a_forged_fact_is_refused_and_counted() -> None:
    rig = Rig()
    a, b = rig.members(2)
    true = a.service("web", 2_000)
    forged = b"\x00" * 64 + true.raw[64:]
    rig.feed(Gossip(b.id, (forged,)), b)
    assert rig.node.counters["signature"] == 1
    assert rig.node.catalog.lookup("web") == []
    rig.hear(b, true)
    assert len(rig.node.catalog.lookup("web")) == 1


def test_a_dead_member_hears_no_gossip_but_is_knocked_at_and_told_when_it_answers() -> None:
    """Scenario 64: instead of gossip for a while, small pings with the accusations, for ever."""
    rig = Rig()
    a, _, c = rig.members(3)
    c.acks = False
    rig.hear(a, a.accuse(c))
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 90)
    rig.run(3)
    c.heard.clear()
    rig.hear(a, a.service("web", 2_000))
    rig.run(60)
    assert c.got(Gossip) == []
    assert {type(message) for message in c.heard} == {Ping}
    assert 5 <= len(c.heard) <= 31
    for ping in c.got(Ping):
        assert {rig.notary.parse(raw).body.owner for raw in ping.news} >= {a.id}
    rig.hear(c, c.again())
    assert rig.status(c) is Status.ALIVE


def test_a_member_that_left_hears_nothing_any_more() -> None:
    """Scenario 64."""
    rig = Rig()
    a, _, c = rig.members(3)
    rig.hear(c, c.again(phase=int(Phase.LEAVING)))
    rig.run(3)
    c.heard.clear()
    rig.hear(a, a.service("web", 2_000))
    rig.run(60)
    assert c.heard == []


def test_a_registration_is_everywhere_within_milliseconds() -> None:
    """Scenario 57: news does not wait for a tick."""
    world = cluster(48, codec=False)
    world.run(20)
    host = world.hosts[7]
    host.register("web")
    took = world.run_until(lambda: all(h.lookup("web") for h in world.hosts), limit=5, step=0.001)
    assert took < 0.1


def test_an_idle_cluster_sends_pings_and_acks_whose_number_follows_the_members() -> None:
    """Scenario 57: a ping and an ack per node and period, whatever n is."""
    for count in (4, 32):
        world = cluster(count, codec=False)
        world.run(30)
        traffic = Traffic(world.hosts)
        world.run(30)
        sent = traffic.sent()
        assert set(sent) == {"Ping", "Ack"}
        assert sent["Ping"] == sent["Ack"] == pytest.approx(30 * count, abs=count)
