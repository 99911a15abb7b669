"""A small cluster in every kind of trouble, in any order; then calm, and one view again.

What must hold at every moment is checked after every input to every node (`sim.hunt.watch`). What must hold
in the end is checked in the teardown: all faults are undone, and within a time that follows from the
protocol's settings all nodes that run hold one view, with every registration that was acknowledged. Here
Hypothesis chooses what happens, and makes it short; `gossip-sim fuzz` draws longer plans by seed.

    scripts/test --hypothesis-profile=search tests/properties/test_machine.py
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from gossip.core.params import LAN
from gossip.core.types import Status
from sim.host import Host
from sim.hunt.acts import AnyAct
from sim.hunt.faults import Cut, Heal, Line, Partition, Refuse, SetLines, make_link
from sim.hunt.lives import Crash, HandOver, JumpWall, Leave, Pause, Rejoin, Restart, Resume, Suspend
from sim.hunt.stage import Stage
from sim.hunt.users import Deregister, Register, SetTag, Tell
from tests.world import all_see, cluster

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
    "event: event_received",
    "event: doubt",
    "repairs",
    "dropped: loss",
    "dropped: cut",
    "dropped: closed",
)

places = st.integers(0, 59)
"""Which host, among those that something can be done to: taken modulo their number, which is 1 to 6."""
keys = st.sampled_from(["a", "b", "c"])
names = st.sampled_from(["web", "db"])


class Trouble(RuleBasedStateMachine):
    """What can happen to a cluster."""

    stage: Stage

    @initialize(seed=st.integers(0, 2**32 - 1), count=st.integers(3, 6), settled=st.booleans())
    def begin(self, seed: int, count: int, settled: bool) -> None:
        self.stage = Stage(seed, count, line=make_link(Line()), ephemeral=(2,))
        for host in self.stage.hosts:
            self.stage.start(host)
            # Something to deregister from the first step on.
            self.do(Register(0, host.number, "first", "first", 80))
        if settled:
            self.stage.world.run(5)

    def do(self, act: AnyAct) -> None:
        """Now, whatever time the act itself has: the steps of the machine are its time."""
        self.stage.do(act)

    # Time

    @rule(seconds=st.sampled_from([0.002, 0.05, 0.3, 1.0, 3.0, 10.0, 40.0]))
    def advance(self, seconds: float) -> None:
        self.stage.world.run(seconds)

    # What users do

    @rule(place=places, key=keys, name=names, port=st.integers(1, 9))
    def register(self, place: int, key: str, name: str, port: int) -> None:
        host = pick(self.stage.working(), place)
        if host is not None:
            self.do(Register(0, host.number, key, name, port))

    @rule(place=places)
    def deregister(self, place: int) -> None:
        promised = self.stage.promised
        host = pick([host for host in self.stage.working() if promised[host.number]], place)
        if host is not None:
            self.do(Deregister(0, host.number, min(promised[host.number])))

    @rule(place=places, value=st.integers(0, 3))
    def set_tags(self, place: int, value: int) -> None:
        host = pick(self.stage.working(), place)
        if host is not None:
            self.do(SetTag(0, host.number, str(value)))

    @rule(place=places)
    def send_event(self, place: int) -> None:
        host = pick(self.stage.working(), place)
        if host is not None:
            self.do(Tell(0, host.number))

    @rule(place=places, other=places)
    def join(self, place: int, other: int) -> None:
        host, seed = pick(self.stage.working(), place), pick(self.stage.hosts, other)
        if host is not None and seed is not None:
            self.do(Rejoin(0, host.number, seed.number))

    # Ends and beginnings

    @rule(place=places, machine=st.booleans())
    def crash(self, place: int, machine: bool) -> None:
        host = pick([host for host in self.stage.hosts if host.process is not None], place)
        if host is not None:
            self.do(Crash(0, host.number, machine))

    @rule(place=places, returns=st.booleans())
    def leave(self, place: int, returns: bool) -> None:
        host = pick(self.stage.working(), place)
        if host is not None:
            self.do(Leave(0, host.number))
        if host is not None and returns and not host.ephemeral:
            self.stage.world.run(LEAVING)
            self.do(Restart(0, host.number))

    @rule(place=places)
    def hand_over(self, place: int) -> None:
        host = pick(self.stage.working(), place)
        if host is not None:
            self.do(HandOver(0, host.number))

    @rule(place=places)
    def restart(self, place: int) -> None:
        self.do(Restart(0, self.any(place).number))

    @rule(place=places)
    def restart_as_another(self, place: int) -> None:
        self.do(Restart(0, self.any(place).number, "new identity"))

    @rule(place=places)
    def restart_with_a_lost_disk(self, place: int) -> None:
        """The key is kept, the registrations are not."""
        self.do(Restart(0, self.any(place).number, "lost disk"))

    @rule()
    def move(self) -> None:
        """One host may come back at another address: the others are still where its seeds say."""
        self.do(Restart(0, self.stage.hosts[-1].number, "new address"))

    # Stopped, suspended, and clocks that jump

    @rule(place=places)
    def pause(self, place: int) -> None:
        host = pick(self.stage.world.running(), place)
        if host is not None:
            self.do(Pause(0, host.number))

    @rule(place=places)
    def suspend(self, place: int) -> None:
        host = pick(self.stage.world.running(), place)
        if host is not None:
            self.do(Suspend(0, host.number))

    @rule(place=places)
    def resume(self, place: int) -> None:
        host = pick(self.stage.stopped(), place)
        if host is not None:
            self.do(Resume(0, host.number))

    @rule(place=places, ms=st.sampled_from([-3_600_000, -1_000, 100, 2_000, 3_600_000]))
    def jump_wall(self, place: int, ms: int) -> None:
        self.do(JumpWall(0, self.any(place).number, ms))

    # The network

    @rule(mask=st.integers(1, 62))
    def partition(self, mask: int) -> None:
        self.do(Partition(0, tuple(host.number for host in self.stage.hosts if mask >> host.number & 1)))

    @rule(place=places, seconds=st.sampled_from([3.0, 15.0, 45.0]))
    def unplug(self, place: int, seconds: float) -> None:
        """One host hears nobody, and is not heard, for a while."""
        self.do(Partition(0, (self.any(place).number,)))
        self.stage.world.run(seconds)
        self.do(Heal(0))

    @rule(place=places, other=places)
    def cut(self, place: int, other: int) -> None:
        """One direction between two hosts."""
        self.do(Cut(0, self.any(place).number, self.any(other).number))

    @rule()
    def heal(self) -> None:
        self.do(Heal(0))

    @rule(loss=st.sampled_from([0.0, 0.1, 0.3]), duplication=st.sampled_from([0.0, 0.3]))
    def set_lines(self, loss: float, duplication: float) -> None:
        self.do(SetLines(0, Line(loss=loss, duplication=duplication)))

    @rule(place=places)
    def toggle_refusals(self, place: int) -> None:
        """Whether a closed port answers there."""
        host = self.any(place)
        self.do(Refuse(0, host.number, "silent" if host.refuses else "sent"))

    # The end

    def teardown(self) -> None:
        if sys.exception() is not None or not hasattr(self, "stage"):
            return  # what went wrong is told already
        self.stage.calm()
        self.stage.settle()
        EXERCISED.update(self.stage.met())

    def any(self, place: int) -> Host:
        """One of the hosts, whatever runs there."""
        return self.stage.hosts[place % len(self.stage.hosts)]


def pick(hosts: Sequence[Host], place: int) -> Host | None:
    return hosts[place % len(hosts)] if hosts else None


def test_any_trouble_ends_in_one_view_and_breaks_no_rule_meanwhile() -> None:
    searching = not settings().derandomize
    EXERCISED.clear()
    run_state_machine_as_test(
        Trouble,
        settings=settings(
            max_examples=2_000 if searching else 100,
            stateful_step_count=50 if searching else 40,
            suppress_health_check=list(HealthCheck),
            # To make a failure short takes many runs of a world, and a test has little time: see `search`.
            phases=list(Phase) if searching else [Phase.explicit, Phase.generate],
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
