"""A small cluster in every kind of trouble, in any order; then calm, and one view again.

What must hold at every moment is checked after every input to every node (`Invariants`). What must hold
in the end is checked in the teardown: all faults are undone, and within a time that follows from the
protocol's settings all nodes that run hold one view, with every registration that was acknowledged.

    scripts/test --hypothesis-profile=search tests/properties/test_machine.py
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from gossip.core.events import Event, EventKind
from gossip.core.node import Node
from gossip.core.params import LAN, Params
from gossip.core.records import Deletion, Key, MemberRecord, ServiceRecord, key_of
from gossip.core.timers import Timer
from gossip.core.types import NodeId, Phase, Status
from sim.host import Host
from sim.latency import Uniform
from sim.network import link
from sim.world import World
from tests.world import all_see, cluster

LATENCY = Uniform(100, 3_000)
QUEUE_MAX = 512 + 64
"""Relays, by the queue's own bound, and more than a node of this test has to say of itself."""
SETTLE = 10.0
"""Seconds for which one view must last."""
LEAVING = 3.0
"""Seconds after which whoever leaves has ended."""

EXERCISED: Counter[str] = Counter()
"""What the schedules of one run have led to: a machine in which nobody ever dies shows nothing."""
MUST_HAPPEN = (
    "alive to suspect",
    "suspect to alive",
    "suspect to dead",
    "alive to left",
    "dead to alive",
    "left to alive",
    "service",
    "deletion",
    "event",
    "doubt",
    "repair",
    "loss",
    "cut",
    "closed",
)


def calm_limit(params: Params, nodes: int, lost: int) -> float:
    """Seconds in which a cluster of `nodes` without any fault must come to one view.

    Whoever was stopped doubts itself for a while; whoever is gone is suspected, at worst by a node that
    hears nobody else; then one of the `lost` addresses is tried each `reconnect_interval`, by chance, so
    that the wait for the right one is a matter of luck: thirty times its mean is never too little.
    """
    slowest = params.period * (params.health_max + 1)
    doubt = 10 * slowest
    burial = 2 * params.suspicion_max(nodes) + slowest
    tries = max(params.reconnect_interval, params.period) * max(nodes, lost)
    return doubt + 2 * burial + 30 * tries + 4 * params.seed_interval


class Invariants:
    """What must hold after every input: a watcher of a world, and a listener to its events."""

    def __init__(self, world: World) -> None:
        self._said: dict[tuple[NodeId, Key, int], bytes] = {}
        """The one text of each version that anybody holds."""
        self._held: dict[tuple[int, int], dict[NodeId, tuple[int, Status]]] = {}
        """By host and life: incarnation and status of each member."""
        self._heard: Counter[tuple[int, int, NodeId, int]] = Counter()
        world.watchers.append(self.check)
        world.listeners.append(self.listen)

    def check(self, host: Host) -> None:
        node = host.node
        self._check_history(host, node)
        self._check_texts(node)
        check_table(node)
        check_suspicions(node)
        check_catalog(node)
        assert node.queue <= QUEUE_MAX

    def listen(self, host: Host, _now: float, event: Event) -> None:
        if event.kind is EventKind.EVENT_RECEIVED:
            EXERCISED["event"] += 1
            which = (host.number, host.lives, event.id, event.index)
            self._heard[which] += 1
            assert self._heard[which] == 1, f"{host.name} told its watchers twice of {event}"
        elif event.kind is EventKind.DOUBT:
            EXERCISED["doubt"] += 1

    def _check_history(self, host: Host, node: Node) -> None:
        held = self._held.setdefault((host.number, host.lives), {})
        for member in node.members:
            now = (member.incarnation, member.status)
            before = held.get(member.id)
            if before == now:
                continue
            held[member.id] = now
            if before is None:
                continue
            incarnation, status = before
            EXERCISED[f"{status.label} to {member.status.label}"] += status is not member.status
            assert member.incarnation >= incarnation, f"{host.name}: {member.name} went back in time"
            if status >= Status.DEAD and member.incarnation == incarnation:
                assert member.status >= status, f"{host.name}: {member.name} rose from {status.label}"

    def _check_texts(self, node: Node) -> None:
        for member in node:
            assert self._said.setdefault((member.id, (1, ""), member.incarnation), member.fact.raw) == (
                member.fact.raw
            )
            for key, fact in member.services.items():
                body = fact.body
                assert isinstance(body, ServiceRecord | Deletion)
                assert key_of(body) == key
                assert body.version >= member.record.floor, "void by the owner's floor"
                assert self._said.setdefault((member.id, key, body.version), fact.raw) == fact.raw
                EXERCISED["service" if isinstance(body, ServiceRecord) else "deletion"] += 1


def check_table(node: Node) -> None:
    """The member table and its indexes say the same; the fingerprint is that of what is held."""
    table = node.members
    assert table.get(node.id) is None, "a member of its own table"
    live = [member for member in table if member.is_live]
    assert sorted(table.live) == sorted(member.id for member in live)
    assert table.n == len(live) + 1
    for status in Status:
        assert table.counts[status] == sum(member.status is status for member in table)
    for member in table:
        assert member in table.named(member.name)
        assert (member in table.at(member.address)) is member.is_live
        assert isinstance(member.fact.body, MemberRecord)
        assert member.fact.body is member.record
    fingerprint = 0
    for member in [node.me, *live]:
        fingerprint ^= member.fact.hash
        for fact in member.services.values():
            fingerprint ^= 0 if isinstance(fact.body, Deletion) else fact.hash
    assert node.fingerprint == fingerprint


def check_suspicions(node: Node) -> None:
    """Every suspect has accusers of this life of it and a clock that runs; nobody else has a clock."""
    for member in node.members:
        for accuser, fact in member.accusations.items():
            assert fact.body.owner == accuser
            assert getattr(fact.body, "subject", None) == member.id
            assert getattr(fact.body, "incarnation", None) == member.incarnation
        clocks = node._ctx.timers.is_set(Timer.SUSPICION, member.id)
        looked = member.id in node._detector._looks
        assert not looked or node._ctx.timers.is_set(Timer.LAST_LOOK, member.id)
        if member.status is Status.SUSPECT:
            assert member.accusations
            assert member.suspicion is not None
            assert clocks or looked, f"{node.name} would suspect {member.name} for ever"
        else:
            assert member.suspicion is None
            assert not clocks
            assert not looked


def check_catalog(node: Node) -> None:
    """The catalog holds what the members do; a lookup finds what live members offer."""
    expected: dict[str, set[tuple[NodeId, str, int]]] = {}
    visible: dict[str, set[tuple[NodeId, str, int]]] = {}
    for member in node:
        for fact in member.services.values():
            body = fact.body
            if isinstance(body, ServiceRecord):
                what = (member.id, body.key, body.port)
                expected.setdefault(body.name, set()).add(what)
                if member.is_live:
                    visible.setdefault(body.name, set()).add(what)
    assert set(node.catalog._by_name) == set(expected)
    assert node.catalog.names() == sorted(visible)
    for name, everything in expected.items():
        assert {(i.owner, i.key, i.port) for i in node.catalog.lookup(name, any=True)} == everything
        found = {(i.owner, i.key, i.port) for i in node.catalog.lookup(name)}
        assert found == visible.get(name, set())


places = st.integers(0, 59)
"""Which host, among those that something can be done to: taken modulo their number, which is 1 to 6."""
keys = st.sampled_from(["a", "b", "c"])
names = st.sampled_from(["web", "db"])


class Trouble(RuleBasedStateMachine):
    """What can happen to a cluster."""

    world: World
    expected: dict[int, dict[str, tuple[str, int]]]
    """By host: the services that were acknowledged and not taken away: name and port by key."""

    @initialize(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 6), settled=st.booleans())
    def begin(self, seed: int, count: int, settled: bool) -> None:
        self.world = World(seed, latency=LATENCY, keep_events=False)
        hosts = [self.world.add(start=False) for _ in range(count)]
        for host in hosts:
            host.seeds = tuple(other.spot for other in hosts)
            host.ephemeral = host.number == 2
        self.expected = {host.number: {} for host in hosts}
        Invariants(self.world)
        for host in hosts:
            self.world.start(host)
            # Something to deregister from the first step on.
            host.register("first", 80, key="first")
            self.expected[host.number]["first"] = ("first", 80)
        if settled:
            self.world.run(5)

    # Time

    @rule(seconds=st.sampled_from([0.002, 0.05, 0.3, 1.0, 3.0, 10.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.world.run(seconds)

    # What users do

    @rule(place=places, key=keys, name=names, port=st.integers(1, 9))
    def register(self, place: int, key: str, name: str, port: int) -> None:
        host = pick(self.working(), place)
        if host is not None:
            host.register(name, port, key=key)
            self.expected[host.number][key] = (name, port)

    @rule(place=places)
    def deregister(self, place: int) -> None:
        host = pick([host for host in self.working() if self.expected[host.number]], place)
        if host is not None:
            key = min(self.expected[host.number])
            host.deregister(key)
            del self.expected[host.number][key]

    @rule(place=places, value=st.integers(0, 3))
    def set_tags(self, place: int, value: int) -> None:
        host = pick(self.working(), place)
        if host is not None:
            host.do(lambda node, now: node.set_tags({"v": str(value)}, now))

    @rule(place=places)
    def send_event(self, place: int) -> None:
        host = pick(self.working(), place)
        if host is not None:
            host.do(lambda node, now: node.send_event("deploy", b"42", now))

    @rule(place=places, other=places)
    def join(self, place: int, other: int) -> None:
        host, seed = pick(self.working(), place), pick(self.world.hosts, other)
        if host is not None and seed is not None:
            host.join(seed)

    # Ends and beginnings

    @rule(place=places, machine=st.booleans())
    def crash(self, place: int, machine: bool) -> None:
        host = pick([host for host in self.world.hosts if host.process is not None], place)
        if host is not None:
            self.world.crash(host, machine=machine)

    @rule(place=places, returns=st.booleans())
    def leave(self, place: int, returns: bool) -> None:
        host = pick(self.working(), place)
        if host is not None:
            self.world.leave(host)
        if host is not None and returns and not host.ephemeral:
            self.world.run(LEAVING)
            self.world.restart(host)

    @rule(place=places)
    def hand_over(self, place: int) -> None:
        host = pick(self.working(), place)
        if host is not None:
            self.world.hand_over(host)

    @rule(place=places)
    def restart(self, place: int) -> None:
        host = pick(self.world.hosts, place)
        if host is not None:
            if host.ephemeral:
                self.expected[host.number].clear()
            self.world.restart(host)

    @rule(place=places)
    def restart_as_another(self, place: int) -> None:
        host = pick(self.world.hosts, place)
        if host is not None:
            self.expected[host.number].clear()
            self.world.restart(host, identity="new")

    @rule(place=places)
    def restart_with_a_lost_disk(self, place: int) -> None:
        """The key is kept, the registrations are not."""
        host = pick(self.world.hosts, place)
        if host is not None:
            self.expected[host.number].clear()
            self.world.restart(host, registrations="lost")

    @rule()
    def move(self) -> None:
        """One host may come back at another address: the others are still where its seeds say."""
        host = self.world.hosts[-1]
        if not host.ephemeral:
            self.world.restart(host, address="new")

    # Stopped, suspended, and clocks that jump

    @rule(place=places)
    def pause(self, place: int) -> None:
        host = pick(self.world.running(), place)
        if host is not None:
            self.world.pause(host)

    @rule(place=places)
    def suspend(self, place: int) -> None:
        host = pick(self.world.running(), place)
        if host is not None:
            self.world.suspend(host)

    @rule(place=places)
    def resume(self, place: int) -> None:
        host = pick(self.stopped(), place)
        if host is not None:
            self.world.resume(host)

    @rule(place=places, seconds=st.sampled_from([-3_600.0, -1.0, 0.1, 2.0, 3_600.0]))
    def jump_wall(self, place: int, seconds: float) -> None:
        host = pick(self.world.hosts, place)
        if host is not None:
            self.world.jump_wall(host, seconds)

    # The network

    @rule(mask=st.integers(1, 62))
    def partition(self, mask: int) -> None:
        self.world.partition([[host for host in self.world.hosts if mask >> host.number & 1]])

    @rule(place=places, seconds=st.sampled_from([3.0, 15.0, 45.0]))
    def unplug(self, place: int, seconds: float) -> None:
        """One host hears nobody, and is not heard, for a while."""
        host = pick(self.world.hosts, place)
        if host is not None:
            self.world.partition([[host]])
            self.world.run(seconds)
            self.world.heal()

    @rule(place=places, other=places)
    def cut(self, place: int, other: int) -> None:
        """One direction between two hosts."""
        sender, receiver = pick(self.world.hosts, place), pick(self.world.hosts, other)
        if sender is not None and receiver is not None:
            self.world.network.cut(sender, receiver)

    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule(loss=st.sampled_from([0.0, 0.1, 0.3]), duplication=st.sampled_from([0.0, 0.3]))
    def set_lines(self, loss: float, duplication: float) -> None:
        self.world.network.default = link(LATENCY, loss, duplication)

    @rule(place=places)
    def toggle_refusals(self, place: int) -> None:
        """Whether a closed port answers there."""
        host = pick(self.world.hosts, place)
        if host is not None:
            host.refuses = not host.refuses

    # The end

    def teardown(self) -> None:
        if sys.exception() is not None or not hasattr(self, "world"):
            return  # what went wrong is told already
        self.calm()
        world = self.world
        nodes = len(world.running())
        lost = max((len(host.node.members) for host in world.running()), default=0)
        limit = calm_limit(LAN, nodes, lost + len(world.hosts))
        world.run_until(self.is_one_view, limit, step=0.25)
        world.run(SETTLE)
        assert self.is_one_view(), f"one view, but not for long\n{world.describe()}"
        for host in world.running():
            EXERCISED["repair"] += host.node.counters["repairs"]
        EXERCISED.update(world.network.dropped)

    def calm(self) -> None:
        """Undo every fault."""
        world = self.world
        world.heal()
        world.network.default = link(LATENCY)
        for host in self.stopped():
            world.resume(host)

    def is_one_view(self) -> bool:
        """All that run agree on who is alive, and on what there is."""
        world = self.world
        running = world.running()
        if not world.converged() or any(host.node.queue or suspects(host.node) for host in running):
            return False
        wanted = {
            (host.id, key, name, port)
            for host in running
            for key, (name, port) in self.expected[host.number].items()
        }
        return all(offered(host.node) == wanted for host in running)

    def working(self) -> list[Host]:
        """Hosts whose agents run and do not leave."""
        return [host for host in self.world.running() if host.node.me.record.phase == Phase.RUNNING]

    def stopped(self) -> list[Host]:
        return [host for host in self.world.hosts if host.process is not None and host.process.stopped]


def offered(node: Node) -> set[tuple[NodeId, str, str, int]]:
    """Every instance that lookups find."""
    return {
        (instance.owner, instance.key, instance.name, instance.port)
        for name in node.catalog.names()
        for instance in node.catalog.lookup(name)
    }


def suspects(node: Node) -> bool:
    return any(member.status is Status.SUSPECT for member in node.members)


def pick(hosts: Sequence[Host], place: int) -> Host | None:
    return hosts[place % len(hosts)] if hosts else None


def test_any_trouble_ends_in_one_view_and_breaks_no_rule_meanwhile() -> None:
    searching = not settings().derandomize
    EXERCISED.clear()
    run_state_machine_as_test(
        Trouble,
        settings=settings(
            max_examples=2_000 if searching else 150,
            stateful_step_count=50 if searching else 40,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert [word for word in MUST_HAPPEN if not EXERCISED[word]] == []


@pytest.mark.parametrize("seconds", [2.0, 3_600.0])
def test_a_wall_clock_set_forward_does_not_put_off_a_burial(seconds: float) -> None:
    """Suspicions run by the monotonic clock; once they were extended by an hour that nobody had slept."""
    world = cluster(5)
    a, b = world.hosts[:2]
    world.crash(b, machine=True)
    world.run_until(lambda: a.sees(b) is Status.SUSPECT, limit=30)
    world.jump_wall(a, seconds)
    world.run_until(lambda: all_see(world, b, Status.DEAD), LAN.suspicion_max(5) + 12 * LAN.period)


def test_a_machine_that_slept_an_hour_goes_on_with_its_suspicions() -> None:
    """Its monotonic clock stood still, so there is nothing to be made up for but what it did not hear."""
    world = cluster(5)
    a, b = world.hosts[:2]
    world.crash(b, machine=True)
    world.run_until(lambda: a.sees(b) is Status.SUSPECT, limit=30)
    world.suspend(a)
    world.run(3_600)
    world.resume(a)
    world.run_until(lambda: a.sees(b) is not Status.SUSPECT, LAN.suspicion_max(5) + 12 * LAN.period)
