"""Whoever is no member here is no company, and uses up nothing that is meant for members."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gossip.core.effects import Dial, Send
from gossip.core.events import EventKind
from gossip.core.messages import Ack, Busy, Gossip, Hello, Ping, PingRequest, Report
from gossip.core.params import LAN
from gossip.core.pings import STRANGERS_MAX
from gossip.core.strangers import STRANGERS_MAX as STRANGERS_KEPT
from gossip.core.types import Address, Status
from tests.core.rig import HOME, Peer, Rig

SOON = 30
FOREIGN: Address = ("10.9.9.9", 4_000)
SEED: Address = ("10.0.7.7", 7_946)


# -- who is heard


def on_stream(rig: Rig, frame: Ping | Gossip | Hello) -> None:
    stream = rig.node.stream_accepted(FOREIGN, rig.now)
    assert stream is not None
    rig.frame(stream, frame)


NOISE: dict[str, Callable[[Rig, Peer], object]] = {
    "gossip": lambda rig, who: rig.feed(Gossip(who.id, ()), who),
    "ping": lambda rig, who: rig.feed(who.ping(), who),
    "ack": lambda rig, who: rig.feed(Ack(1, who.id, HOME, rig.view, b"", ()), who),
    "request": lambda rig, who: rig.feed(PingRequest(1, who.id, bytes(16), HOME, 500), who),
    "report": lambda rig, who: rig.feed(Report(1, who.id, 0), who),
    "ping on a stream": lambda rig, who: on_stream(rig, who.ping()),
    "gossip on a stream": lambda rig, who: on_stream(rig, Gossip(who.id, ())),
    "hello": lambda rig, who: on_stream(rig, Hello(who.id, who.current.raw, True, rig.view, bytes(2_048))),
    "refusal": lambda rig, who: rig.do(lambda now: rig.node.refused(who.address, now)),
}


def deaf() -> tuple[Rig, list[Peer]]:
    """A node where one is let in only by invitation, and whose members answer nothing any more."""
    rig = Rig(invited_only=True)
    peers = [rig.peer() for _ in range(4)]
    for peer in peers:
        peer.fields["warrant"] = rig.authority.vouch(peer.id)
        peer.say()
        rig.introduce(peer)
        peer.acks, peer.helps = False, None
    rig.quieten()
    return rig, peers


@pytest.mark.parametrize("what", NOISE)
def test_a_stranger_does_not_keep_a_node_from_seeing_that_it_is_cut_off(what: str) -> None:
    rig, _ = deaf()
    stranger = rig.peer()
    for _ in range(SOON):
        NOISE[what](rig, stranger)
        rig.run(1)
    assert rig.told(EventKind.ISOLATED) == [rig.node.name]
    NOISE[what](rig, stranger)
    assert rig.node.is_isolated
    assert rig.told(EventKind.RECONNECTED) == []


def test_nor_does_who_was_a_member_and_is_banned() -> None:
    rig, peers = deaf()
    rig.hear(peers[0], rig.authority.ban(peers[1].id, version=5))
    assert rig.status(peers[1]) is Status.LEFT
    for _ in range(SOON):
        for noise in NOISE.values():
            noise(rig, peers[1])
        rig.run(1)
    assert rig.node.is_isolated


@pytest.mark.parametrize("what", NOISE)
def test_a_member_does_by_whatever_it_says(what: str) -> None:
    rig, (member, *_) = deaf()
    for _ in range(SOON):
        NOISE[what](rig, member)
        rig.run(1)
    assert rig.told(EventKind.ISOLATED) == []


# -- what is used up


def with_news() -> tuple[Rig, list[Peer], bytes]:
    rig = Rig()
    peers = rig.members(30)
    fact = rig.node.prepare_service("web", "web", "", 80, (), {}, 1)
    rig.do(lambda now: rig.node.publish(fact, now))
    return rig, peers, fact.raw


def sends(rig: Rig) -> list[int]:
    return [item.sends for item in rig.node._spread.queue.items.values()]


def pinged(rig: Rig, source: Address, *senders: bytes) -> list[Ack]:
    """One stream's pings under these names; the acks."""
    stream = rig.node.stream_accepted(source, rig.now)
    assert stream is not None
    for number, sender in enumerate(senders, 1):
        rig.frame(stream, Ping(number, sender, rig.id, HOME, rig.view, b"", ()))
    return [frame for frame in rig.frames(stream) if isinstance(frame, Ack)]


@pytest.mark.parametrize("names", ["made up", "of members"])
def test_pings_on_a_stream_under_other_names_use_up_no_news(names: str) -> None:
    rig, peers, _ = with_news()
    before = sends(rig)
    senders = [bytes([n]) * 16 for n in range(40)] if names == "made up" else [peer.id for peer in peers]
    acks = pinged(rig, FOREIGN, *senders)
    assert len(acks) == len(senders)
    assert not any(ack.news for ack in acks)
    assert sends(rig) == before


def test_a_member_is_told_on_its_own_stream() -> None:
    rig, peers, fact = with_news()
    untold = next(peer for peer in peers if fact not in peer.got_news())
    before = sum(sends(rig))
    (ack,) = pinged(rig, (untold.address[0], 50_000), untold.id)
    assert fact in ack.news
    assert sum(sends(rig)) > before


# -- whom a joiner asks


@pytest.mark.parametrize(("seed", "is_asked"), [(SEED, False), (("127.0.0.1", 7_947), True)])
def test_a_busy_seed_sends_nobody_to_the_joiners_own_machine(seed: Address, is_asked: bool) -> None:
    rig = Rig()
    other: Address = ("127.0.0.1", 6_379)
    rig.do(lambda now: rig.node.join(["seed"], now))
    rig.do(lambda now: rig.node.resolved("seed", [seed], "", now))
    rig.frame(rig.dialled(seed), Busy(100, (("10.0.7.8", 7_946), other)))
    rig.run(60)
    asked = {each.address for each in rig.effects if isinstance(each, Dial)}
    assert ("10.0.7.8", 7_946) in asked
    assert (other in asked) == is_asked


def joining(rig: Rig, *addresses: Address) -> None:
    rig.do(lambda now: rig.node.join(["seed"], now))
    rig.do(lambda now: rig.node.resolved("seed", list(addresses), "", now))


def test_one_address_that_is_busy_keeps_nobody_from_the_others_of_its_seed() -> None:
    """It was believed for ten minutes eight times over, and asked again before the others."""
    rig = Rig()
    good, named = ("10.0.7.8", 7_946), ("10.0.7.9", 7_946)
    joining(rig, SEED, good)
    rig.frame(rig.dialled(SEED), Busy(600_000, (named,)))
    rig.run(2.5)
    assert (len(rig.dials(SEED)), len(rig.dials(good)), rig.dials(named)) == (1, 1, [])
    rig.do(lambda now: rig.node.stream_closed(rig.dialled(good), "refused", now))
    assert (len(rig.dials(SEED)), rig.dials(named)) == (2, [])
    rig.do(lambda now: rig.node.stream_closed(rig.dialled(SEED), "refused", now))
    assert rig.dials(named)


def test_the_only_address_that_is_busy_is_asked_again_before_those_that_it_names() -> None:
    rig = Rig()
    named = [(f"10.0.8.{n}", 7_946) for n in range(30)]
    joining(rig, SEED)
    for n in range(8):
        rig.frame(rig.dialled(SEED), Busy(1_000, tuple(named[3 * n : 3 * n + 3])))
        rig.run(0.9)
        assert len(rig.dials(SEED)) == n + 1
        rig.run(0.2)
        assert len(rig.dials(SEED)) == n + 2
    rig.do(lambda now: rig.node.stream_closed(rig.dialled(SEED), "refused", now))
    for address in named[:7]:
        rig.do(lambda now, at=address: rig.node.stream_closed(rig.dialled(at), "refused", now))  # type: ignore[misc]
    assert rig.told(EventKind.JOIN_DONE) == ["seed"]
    assert not rig.dials(named[7])


# -- what it is given a place for


def test_seeds_97_204_264_a_crowd_that_asks_for_another_pushes_out_no_ping_to_a_member() -> None:
    """Each is pinged back once, and none answers. So many were remembered that a member was no more."""
    rig = Rig()
    (member,) = rig.members(1)
    member.acks = False
    rig.run_until(lambda: member.got(Ping))
    asked = member.got(Ping)[-1]
    for n in range(5_000):
        who = n.to_bytes(16, "big")
        question = Ping(2**60 + n, who, b"lived here before", HOME, rig.view, bytes(64), ())
        (back,) = rig.feed(question, (f"10.9.{n >> 8}.{n & 255}", 4_000))
        assert isinstance(back, Send)
        assert isinstance(back.message, Ping)
    pings = rig.node._pings
    assert (len(pings._expected), len(pings._backs)) == (1, STRANGERS_MAX)
    rig.feed(member.ack(asked), member)
    assert rig.node.counters["ack_unexpected"] == 0
    assert not pings._expected


@pytest.mark.parametrize("count", [16, 500])
@pytest.mark.parametrize("kind", ["ports", "a network of IPv6"])
def test_a_host_of_strangers_does_not_keep_a_lone_node_from_those_who_knew_it(count: int, kind: str) -> None:
    """Sixteen datagrams took all places for addresses, and none was ever struck off."""
    rig = Rig()
    former = rig.peer()
    for n in range(count):
        source = ("10.9.9.9", 4_000 + n) if kind == "ports" else (f"2001:db8::{n + 1:x}", 7_946)
        rig.feed(Ping(n, n.to_bytes(16, "big"), rig.id, HOME, rig.view, b"", ()), source)
    assert len(rig.node._joining._strangers) == STRANGERS_KEPT
    rig.feed(former.ping(), former)
    rig.run(10)
    assert rig.dials(former.address)
    assert rig.node.remembered() == []


def test_a_lone_node_waits_while_it_joins_by_a_stranger_too() -> None:
    """It did until the join began, and then said that what it did not know was nowhere."""
    rig = Rig()
    stranger = rig.peer()
    assert not rig.node.is_waiting
    rig.feed(stranger.ping(), stranger)
    assert rig.node.is_waiting
    rig.run_until(lambda: rig.dials(stranger.address))
    assert rig.node.is_waiting
    rig.frame(rig.dialled(stranger.address), Busy(500, ()))
    assert rig.node.is_waiting, "it is to come again"
    rig.run(1)
    rig.do(lambda now: rig.node.stream_closed(rig.dialled(stranger.address), "refused", now))
    assert not rig.node.is_waiting


def pings_on(rig: Rig, peer: Peer, every: float, ports: int = 1) -> None:
    """From now on, from so many ports in turn."""
    host, first = peer.address

    def ping(turn: int) -> None:
        rig.feed(peer.ping(), (host, first + turn % ports))
        rig.later(every, lambda: ping(turn + 1))

    rig.later(every, lambda: ping(0))


@pytest.mark.parametrize("hosts", [("2001:db8::5", "2001:db8::9"), ("192.0.2.7", "192.0.2.7")])
@pytest.mark.parametrize("every", [0.05, 0.9, 1.1])
def test_nor_from_those_who_are_in_one_network_or_on_one_host_with_it(
    hosts: tuple[str, str], every: float
) -> None:
    """Of each network there was one address, the last: his, who pings most."""
    rig = Rig()
    former, noisy = (rig.peer(address=(host, 7_946 + n)) for n, host in enumerate(hosts))
    pings_on(rig, former, 1.0)
    pings_on(rig, noisy, every)
    rig.run(120)
    assert len(rig.dials(former.address)) > 20


def test_nor_by_many_ports_from_another_host_of_its_network() -> None:
    rig = Rig()
    former, noisy = rig.peer(address=("2001:db8::5", 7_946)), rig.peer(address=("2001:db8::9", 10_000))
    pings_on(rig, former, 1.0)
    pings_on(rig, noisy, 0.02, ports=40_000)
    rig.run(120)
    assert len(rig.dials(former.address)) > 20


def test_a_host_of_many_ports_leaves_turns_to_those_who_are_on_it_too() -> None:
    rig = Rig()
    former, noisy = rig.peer(address=("192.0.2.7", 7_946)), rig.peer(address=("192.0.2.7", 10_000))
    pings_on(rig, former, 1.0)
    pings_on(rig, noisy, 0.1, ports=40_000)
    rig.run(300)
    assert len(rig.dials(former.address)) > 5


def test_the_last_hosts_of_strangers_are_tried_once_for_each_time_that_they_ping() -> None:
    rig = Rig()
    hosts = [f"10.9.9.{n}" for n in range(3 * STRANGERS_KEPT)]
    for n, host in enumerate(hosts):
        rig.feed(Ping(n, n.to_bytes(16, "big"), rig.id, HOME, rig.view, b"", ()), (host, 7_946))
    rig.run(300)
    dials = [effect.address[0] for effect in rig.effects if isinstance(effect, Dial)]
    assert sorted(dials) == sorted(hosts[-STRANGERS_KEPT:])
    rig.feed(Ping(1, bytes(16), rig.id, HOME, rig.view, b"", ()), (hosts[-1], 7_946))
    rig.run(10)
    assert len(rig.dials((hosts[-1], 7_946))) == 2


@pytest.mark.parametrize("count", [50, LAN.addresses_max])
def test_invented_members_push_no_address_off_the_disk_where_somebody_was_met(count: int) -> None:
    """They claim to be the oldest, as each may, and the oldest were kept."""
    before: list[Address] = [("10.0.7.1", 7_946), ("10.0.7.2", 7_946)]
    rig = Rig(remembered=before)
    peers = rig.members(8)
    for peer in peers:
        rig.hear(peer, peer.again(birth=1_000))
    rig.prove(*peers)
    for n in range(count):
        rig.introduce(rig.peer(address=(f"10.77.{n >> 8}.{n & 255}", 1)))
    kept = rig.node.remembered()
    assert len(kept) == min(LAN.addresses_max, count + len(peers) + len(before))
    assert {peer.address for peer in peers} | set(before) <= set(kept)
    if count == 50:
        assert kept[count:] == [*(peer.address for peer in peers), *before], "all are kept, the oldest first"
