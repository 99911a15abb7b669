"""What the doctor says of clusters in virtual time: each fault by its word, else nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, cast

import pytest
from msgspec.structs import replace

from gossip.core.dialback import REST
from gossip.core.events import EventKind
from gossip.core.messages import Busy
from gossip.core.params import LAN
from gossip.core.stability import RAISE_AT
from gossip.core.types import Outcome, Reach, Status
from gossip.diagnosing import DOUBTFUL_MAX, Diagnosing
from gossip.diagnosis import Finding, diagnose, summary
from gossip.diagnosis.facts import Facts
from gossip.gathering import gather
from gossip.net.lag import Lag
from gossip.net.strangers import Strangers
from sim.host import Host
from sim.latency import Constant
from sim.network import Link, link
from sim.world import World
from tests.world import Traffic, all_see, cluster

if TYPE_CHECKING:
    from gossip.net.driver import Driver

PATIENCE = 4.0
WALL = link(Constant(500), mtu=68)
"""Lets no datagram through: streams cut their segments to fit."""
TUNNEL = link(Constant(500), mtu=1_400)
"""Too small for a datagram of full size with its headers, and silent about it."""


class Senses:
    """A driver that has noticed nothing."""

    def __init__(self, host: Host) -> None:
        self.lag = Lag()
        self.strangers = Strangers()
        self._host = host

    def now(self) -> float:
        return self._host.agent.now


def examine(world: World, host: Host, subjects: Sequence[Host], doubtful: Sequence[Host] = ()) -> float:
    """Have `host` examine others; how long it took. Nothing is left of it afterwards."""
    before = len(host.told(EventKind.EXAMINED))
    ids, doubted = [each.id for each in subjects], [each.id for each in doubtful]
    host.do(lambda node, now: node.examine(ids, doubted, PATIENCE, now))
    took = world.run_until(lambda: len(host.told(EventKind.EXAMINED)) > before, limit=PATIENCE + 1)
    world.run(1.0)
    for each in world.running():
        assert not each.node._examiner.is_trying
        assert not each.node._examiner._dialbacks._callers
    assert len(host.told(EventKind.EXAMINED)) == before + 1
    return took


def facts_of(host: Host, only: Host | None = None) -> Facts:
    """As the agent there gathers them after an examination."""
    members = [found for each in host.node.examined if (found := host.node.members.get(each.member))]
    return gather(host.node, Senses(host), "sim", members, 0, None if only is None else only.id)


def say(host: Host, only: Host | None = None) -> list[Finding]:
    return diagnose(facts_of(host, only))


def codes(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    """Of the problems: (word, member)."""
    return [(each.code, each.member) for each in findings if each.severity == "problem"]


def test_a_healthy_cluster_is_well_and_the_ways_are_told() -> None:
    world = cluster(5, seed=1)
    a, b, c, *_ = world.hosts
    took = examine(world, a, [b, c])
    assert took < 0.1
    assert say(a) == []
    assert summary(facts_of(a), []) == (
        "All is well: 5 members are alive; by UDP, full-size datagrams too, and TCP this agent reaches n1 and"
        " n2 and they reach it."
    )
    for each in a.node.examined:
        assert (each.small, each.full, each.stream) == (Reach.ACKED,) * 3
        assert each.back is not None
        assert (each.back.small, each.back.full, each.back.stream) == (Reach.ACKED,) * 3
        assert (each.back.tried, each.back.heard) == (a.address, True)


def test_it_is_the_same_where_messages_travel_as_objects() -> None:
    world = cluster(3, seed=1, codec=False)
    a, b, c = world.hosts
    examine(world, a, [b, c], [b])
    assert say(a) == []
    assert [(each.full, each.back and each.back.full) for each in a.node.examined] == [(0, 0), (0, 0)]


def test_an_examination_changes_nobodys_mind_and_ends_for_strangers_too() -> None:
    world = cluster(4, seed=2, params=replace(LAN, suspicion_alpha=60.0))
    a, b, *_ = world.hosts
    world.crash(b, machine=True)
    world.run_until(lambda: all_see(world, b, Status.SUSPECT), limit=20)
    world.run(20)  # until all have said so
    before = [host.node.members.revision for host in world.running()]
    health = a.node.health
    a.do(lambda node, now: node.examine([b.id, b"nobody that I kno"], [b.id], 0.5, now))
    world.run(0.5)
    assert [each.member for each in a.node.examined] == [b.id]
    assert a.told(EventKind.EXAMINED)
    assert a.node.health == health
    assert [host.node.members.revision for host in world.running()] == before
    a.do(lambda node, now: node.examine([], [], 0.5, now))
    assert len(a.told(EventKind.EXAMINED)) == 2


def blocked(first: Link | None, back: Link | None) -> Callable[[World, Host, Host], None]:
    def set_links(world: World, a: Host, b: Host) -> None:
        world.set_link(a, b, first)
        world.set_link(b, a, back)

    return set_links


def both_cut(world: World, a: Host, b: Host) -> None:
    world.network.cut(a, b, both=True)


def one_way(world: World, a: Host, b: Host) -> None:
    world.network.cut(a, b)


def killed(world: World, _a: Host, b: Host) -> None:
    world.crash(b)


def firewalled(world: World, _a: Host, b: Host) -> None:
    world.crash(b)
    b.refuses = False


def stopped(world: World, _a: Host, b: Host) -> None:
    world.pause(b)


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        (blocked(WALL, None), "udp_to", "datagrams from here do not reach it, though its own arrive here"),
        (blocked(None, WALL), "udp_from", "datagrams from here reach it, but its own do not arrive here"),
        (blocked(WALL, WALL), "udp_both", "no datagram passes between it and this host in either direction"),
        (blocked(TUNNEL, None), "mtu_out", "full size (1,400 bytes) do not reach"),
        (blocked(None, TUNNEL), "mtu_in", "full size (1,400 bytes) from n1 do not reach"),
        (both_cut, "unreachable", "neither UDP nor TCP to 10.0.0.2:7946 is answered from here"),
        (one_way, "unreachable", "datagrams arrive here, and nothing sent to 10.0.0.2:7946 is answered"),
        (killed, "port_closed", "nothing listens at 10.0.0.2:7946, its host refuses UDP and TCP"),
        (firewalled, "unreachable", "Its host is down or cut off, or a firewall drops both"),
        (stopped, "stuck", "takes connections at 10.0.0.2:7946, and its agent answers nothing"),
    ],
)
def test_a_fault_between_two_is_called_by_its_name(
    fault: Callable[[World, Host, Host], None], code: str, words: str
) -> None:
    world = cluster(5, seed=3)
    a, b, c, d, _ = world.hosts
    fault(world, a, b)
    examine(world, a, [b, c, d], [b])
    findings = say(a)
    assert codes(findings) == [(code, b.name)], findings
    (found,) = findings
    assert words in f"{found.text} {found.advice}"
    assert codes(say(a, only=c)) == []


def test_what_others_meet_tells_a_cut_way_from_a_dead_host() -> None:
    world = cluster(5, seed=3)
    a, b, *_ = world.hosts
    world.network.cut(a, b, both=True)
    examine(world, a, [b], [b])
    (found,) = say(a)
    assert found.text.endswith("reach it by UDP.")
    assert all(name in found.text for name in ("n2", "n3", "n4"))
    assert found.advice.startswith("The way between this host and that one is cut")
    (examined,) = a.node.examined
    assert set(examined.witnesses.values()) == {Outcome.ACKED}


def test_others_that_a_member_answers_over_streams_only_are_not_said_to_reach_it_by_udp() -> None:
    """Its own host keeps all datagrams out: the way from here is no more at fault than any other."""
    world = cluster(4, seed=3)
    a, b, *others = world.hosts
    for other in (a, *others):
        world.set_link(other, b, WALL)
    world.run_until(lambda: all("degraded" in flags_of(other, b) for other in (a, *others)), limit=60)
    examine(world, a, [b], [b])
    (found,) = [each for each in say(a) if each.severity == "problem"]
    assert found.code == "udp_to"
    assert found.text.endswith("reach it, maybe by TCP only.")


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (blocked(WALL, None), "udp_to"),
        (blocked(None, WALL), "udp_from"),
        (blocked(WALL, WALL), "udp_both"),
        (blocked(TUNNEL, None), "mtu_out"),
        (blocked(None, TUNNEL), "mtu_in"),
    ],
)
def test_what_every_member_shows_is_told_once_as_the_agents_own(
    fault: Callable[[World, Host, Host], None], code: str
) -> None:
    world = cluster(4, seed=4)
    a, *others = world.hosts
    for each in others:
        fault(world, a, each)
    examine(world, a, others, others)
    findings = say(a)
    assert codes(findings) == [(code, "")], findings
    assert all(each.name in findings[0].text for each in others)


def test_a_wrong_advertised_address_is_told_with_the_one_that_is_seen() -> None:
    """As behind NAT: datagrams and connections come from an address that is not advertised."""
    world = World(seed=5)
    a = world.add("a", advertise=("10.9.9.9", 7_946), seeds=())
    b = world.add("b", seeds=())
    # Its seed would not let it in, so it is its own seed: b joins by the address where it really is.
    a.do(lambda node, now: node.join([b.spot], now))
    world.run(5)
    assert a.sees(b) is None
    assert [event.ok for _, event in a.events if event.kind is EventKind.JOIN_DONE] == [False]
    b.do(lambda node, now: node.join(["10.0.0.1:7946"], now))
    world.run_until(lambda: a.sees(b) is Status.ALIVE, limit=10)
    examine(world, a, [b], [b])
    (found,) = [each for each in say(a) if each.code == "advertise"]
    assert "10.9.9.9:7946" in found.text
    assert "10.0.0.1" in found.text
    assert found.advice.startswith("Set --advertise")


def test_another_who_lives_there_is_told_from_one_who_is_gone() -> None:
    world = cluster(4, seed=6)
    a, b, c, d = world.hosts
    world.restart(b, identity="new")
    old = next(member.id for member in a.node.members if member.name == b.name)
    world.run(0.1)
    a.do(lambda node, now: node.examine([old], [], PATIENCE, now))
    world.run(PATIENCE)
    (found,) = [each for each in say(a) if each.severity == "problem"]
    assert found.code == "not_me"
    assert "another agent answers at 10.0.0.2:7946" in found.text
    assert c.is_running
    assert d.is_running


def test_a_suspect_that_answers_is_said_to_refute() -> None:
    world = cluster(4, seed=7)
    a, b, c, d = world.hosts
    world.network.cut(b, a)
    world.network.cut(b, c)
    world.network.cut(b, d)
    world.run_until(lambda: a.sees(b) is Status.SUSPECT, limit=30)
    world.heal()
    a.do(lambda node, now: node.examine([b.id], [], 1.0, now))
    world.run_until(lambda: not a.node._examiner.is_busy, limit=2)
    assert a.sees(b) is Status.SUSPECT
    (found,) = say(a)
    assert found.code == "answers_now"


def test_what_is_lost_by_chance_is_not_called_blocked() -> None:
    for seed in range(12):
        world = cluster(3, seed=seed, loss=0.05)
        a, b, c = world.hosts
        examine(world, a, [b, c])
        assert codes(say(a)) == []


def test_who_is_asked_too_often_is_busy_and_says_so() -> None:
    world = cluster(2, seed=8)
    a, b = world.hosts
    traffic = Traffic(world.hosts)
    for _ in range(2):
        a.do(lambda node, now: node.examine([b.id], [], PATIENCE, now))
        world.run(0.1)
    assert [each.no_back for each in a.node.examined] == ["busy"]
    assert traffic.sent(b).get(Busy.__name__) == 1
    assert b.node.counters["dial_back_busy"] == 1
    assert codes(say(a)) == []
    world.run(REST)
    examine(world, a, [b])
    assert [each.no_back for each in a.node.examined] == [""]


def test_silence_while_the_agent_did_not_run_says_nothing() -> None:
    world = cluster(4, seed=9)
    a, b, c, d = world.hosts
    a.do(lambda node, now: node.examine([b.id], [b.id], PATIENCE, now))
    world.pause(a)
    world.run(PATIENCE + 2)
    world.resume(a)
    world.run_until(lambda: a.told(EventKind.EXAMINED), limit=5)
    (examined,) = a.node.examined
    assert Reach.SILENT not in (examined.small, examined.full, examined.stream)
    findings = say(a)
    assert "starved" in [each.code for each in findings]
    assert c.is_running
    assert d.is_running


def test_two_of_one_name_are_told_by_both_ids() -> None:
    world = cluster(3, seed=10)
    a, b, c = world.hosts
    twin = world.add(b.name, seeds=[a])
    world.run_until(lambda: a.sees(twin) is Status.ALIVE, limit=10)
    examine(world, a, [b, twin, c])
    (found,) = say(a)
    assert found.code == "name_conflict"
    assert b.id.hex()[:8] in found.text
    assert twin.id.hex()[:8] in found.text
    assert found.advice == "Give one of them another --name."


def flags_of(host: Host, other: Host) -> tuple[str, ...]:
    member = host.node.members.get(other.id)
    return () if member is None else member.flags


def test_a_dead_member_whose_name_another_has_is_evicted_by_its_id() -> None:
    """The name stands for the other, which is alive."""
    world = cluster(3, seed=10)
    a, b, _ = world.hosts
    gone = world.add(b.name, seeds=[a])
    world.run_until(lambda: a.sees(gone) is Status.ALIVE, limit=10)
    world.crash(gone)
    world.run_until(lambda: a.sees(gone) is Status.DEAD, limit=30)
    examine(world, a, [b, gone])
    (found,) = say(a)
    assert found.advice.endswith(f"gossip evict {gone.id.hex()[:8]}.")
    assert a.node.find(gone.id.hex()[:8]).id == gone.id
    assert [each.handle for each in facts_of(a).peers if each.id == b.id.hex()] == [""]


def test_who_falls_silent_again_and_again_is_said_to_be_unstable() -> None:
    """While it is well again it is a note: what stood against it last, and that nobody accuses it now."""
    world = cluster(5, seed=11)
    a, b, *others = world.hosts
    while "unstable" not in flags_of(a, b):
        world.pause(b)
        world.run_until(lambda: all_see(world, b, Status.DEAD), limit=120)
        world.resume(b)
        world.run_until(lambda: all_see(world, b, Status.ALIVE), limit=30)
        world.run(10)
    examine(world, a, [b, others[0]], [b])
    findings = say(a)
    assert codes(findings) == []
    (found,) = [each for each in findings if each.code == "unstable"]
    assert (found.severity, found.member) == ("note", b.name)
    assert "had accused it of silence" in found.text
    assert found.text.endswith("Now nobody accuses it.")
    world.pause(b)
    world.run_until(lambda: a.sees(b) is Status.SUSPECT, limit=30)
    examine(world, a, [b], [])
    assert [each.text[-19:] for each in say(a) if each.code == "unstable"] == [" Now it is suspect."]
    world.resume(b)


def test_who_is_merely_unstable_takes_nobodys_place_among_those_that_are_tried() -> None:
    world = cluster(14, seed=12)
    a, *others, gone = world.hosts
    world.crash(gone, machine=True)
    world.run_until(lambda: a.sees(gone) is Status.DEAD, limit=60)
    for each in others:
        member = a.node.members.get(each.id)
        assert member is not None
        a.node._detector.stability._relapsed(member, RAISE_AT, a.agent.now)
    tried, untried, more = Diagnosing(a.node, cast("Driver", None), "sim")._choose(None)
    assert tried[0].id == gone.id
    assert len(tried) == DOUBTFUL_MAX
    assert {each.id for each in (*tried, *untried)} == {each.id for each in (*others, gone)}
    assert more == 0
    said = diagnose(gather(a.node, Senses(a), "sim", [*tried, *untried], more, None))
    assert len([each for each in said if each.code == "unstable"]) == len(others)
