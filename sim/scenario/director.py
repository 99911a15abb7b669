"""Directs a run: starts the nodes, and does what the scenario says when it says so."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sim.chance import derive
from sim.clock import SECOND
from sim.errors import ScenarioError
from sim.scenario import actions, breaks, lives, services
from sim.scenario.actions import Action, Lasting, word
from sim.scenario.checks import occurrences
from sim.scenario.scenario import CONVERGED
from sim.scenario.scene import START, Scene, Undo
from sim.scenario.schedule import Schedule
from sim.scenario.stage import Stage
from sim.scenario.witness import Witness

__all__ = ["Director"]

DEEDS: dict[type, Callable[[Scene, Any], Undo | None]] = {
    actions.Crash: lives.crash,
    actions.Restart: lives.restart,
    actions.Leave: lives.leave,
    actions.HandOver: lives.hand_over,
    actions.Join: lives.join,
    actions.Pause: lives.pause,
    actions.Suspend: lives.suspend,
    actions.Resume: lives.resume,
    actions.Starve: lives.starve,
    actions.ClockRate: lives.clock_rate,
    actions.JumpWall: lives.jump_wall,
    actions.Partition: breaks.partition,
    actions.Heal: breaks.heal,
    actions.Cut: breaks.cut,
    actions.Flap: breaks.flap,
    actions.LinkChange: breaks.relink,
    actions.NetworkChange: breaks.network,
    actions.Loss: breaks.loss,
    actions.Mute: breaks.mute,
    actions.Deaf: breaks.deaf,
    actions.Refusals: breaks.refusals,
    actions.Register: services.register,
    actions.Deregister: services.deregister,
    actions.Check: services.check,
    actions.Churn: services.churn,
    actions.Tags: services.tags,
    actions.UserEvent: services.user_event,
}
CONVERGE_LOOK_US = 10_000
TELL_US = 1_000
"""Of many nodes that start at once, this takes a second."""
CONVERGE_LIMIT_US = 600_000_000
"""Ten minutes of virtual time: what has not converged then, does not."""


class Director:
    """One run of a scenario: `begin`, then `pass_to` in steps, to `end_us`."""

    def __init__(self, stage: Stage, witness: Witness) -> None:
        self._stage = stage
        self._scenario = stage.scenario
        self._clock = stage.world.clock
        self._schedule = Schedule()
        self._witness = witness
        self._scene = Scene(stage, self._schedule, witness)
        self.origin_us = 0
        """When what is measured began, in the world's time."""

    @property
    def end_us(self) -> int:
        """When the run ends, in the world's time."""
        return self.origin_us + self._scenario.duration_us

    @property
    def next_us(self) -> int | None:
        """When something is done next; None if never."""
        return self._schedule.next_us

    def warm_up(self, look: Callable[[], None] = lambda: None) -> None:
        """Put up all nodes; if they start converged, run until they are and have nothing left to tell.

        Args:
            look: is called every millisecond of it.

        Raises:
            ScenarioError: if they do not converge, or a node does not accept what it is given.
        """
        hosts = self._stage.put_up_all()
        if self._scenario.start != CONVERGED:
            return
        for host in hosts:
            self._scene.do(START, partial(self._stage.launch, host))
        while not self._is_at_rest():
            if self._clock.now_us >= CONVERGE_LIMIT_US:
                raise ScenarioError(
                    f"{self._scenario.name}: the nodes do not come to one view within"
                    f' {CONVERGE_LIMIT_US // 1_000_000} s: write start = "together", or a better network'
                )
            for _ in range(CONVERGE_LOOK_US // TELL_US):
                look()
                self._clock.run(self._clock.now_us + TELL_US)
        self.origin_us = self._clock.now_us

    def _is_at_rest(self) -> bool:
        world = self._stage.world
        return not any(host.node.queue for host in world.hosts) and world.converged()

    def introduce(self) -> None:
        """Let the witness know the nodes, and which of them run."""
        crew = self._stage.crew
        for host in crew.hosts:
            self._witness.added(host, crew.groups[host.number])
        for host in crew.hosts:
            if host.process is not None:
                self._witness.started(host)

    def begin(self) -> None:
        """From now on it is measured: introduce the nodes, and start those that do not run."""
        self.introduce()
        scenario, scene, crew = self._scenario, self._scene, self._stage.crew
        for number, action in enumerate(scenario.actions):
            rng = derive(self._stage.world.seed, "action", number)
            for at_us in occurrences(action, scenario.duration_us):
                place = f"action {number + 1} ({word(action)}) at {at_us / SECOND:g} s"
                deed = partial(scene.do, place, self._deed(action, rng))
                self._schedule.at(self.origin_us + at_us, deed)
        for number, host in enumerate(list(crew.hosts)):
            if host.process is not None:
                continue
            delay_us = scenario.start_us(number)
            if delay_us:
                scene.after(delay_us, partial(scene.launch, host))
            else:
                scene.do(START, partial(scene.launch, host))
        self._schedule.perform(self._clock.now_us)

    def pass_to(self, until_us: int) -> int:
        """Let the world run to that time, doing what is due on the way; how many deeds were done."""
        done = 0
        while True:
            due_us = self._schedule.next_us
            if due_us is None or due_us > until_us:
                self._clock.run(until_us)
                return done
            self._clock.run(due_us)
            done += self._schedule.perform(due_us)

    def _deed(self, action: Action, rng: Any) -> Callable[[], None]:
        def do() -> None:
            self._scene.rng = rng
            undo = DEEDS[type(action)](self._scene, action)
            if undo is not None and isinstance(action, Lasting) and action.lasts is not None:
                self._scene.after(action.lasts, undo)

        return do
