"""What every deed needs in its hands."""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Sequence
from functools import partial

from gossip.core.types import Phase
from gossip.errors import GossipError
from sim.errors import ScenarioError
from sim.host import Host
from sim.scenario.crew import Crew
from sim.scenario.faults import Faults
from sim.scenario.schedule import Schedule
from sim.scenario.stage import Stage
from sim.scenario.values import Selector
from sim.scenario.witness import Witness
from sim.world import World

__all__ = ["START", "Scene", "Undo", "has_agent", "is_down", "is_open"]

Undo = Callable[[], None]
START = "start of the nodes"


class Scene:
    """One run's world, crew, faults and schedule, and who watches it."""

    def __init__(self, stage: Stage, schedule: Schedule, witness: Witness) -> None:
        self.stage = stage
        self.world: World = stage.world
        self.crew: Crew = stage.crew
        self.faults = Faults(stage.world)
        self.schedule = schedule
        self.witness = witness
        self.rng = random.Random()
        """Of the action that is being done; set by the director."""
        self.place = START
        """Which action that is, for errors; what it has done later is done in its name too."""
        self.stamps = 0
        """User events sent so far."""

    def choose(
        self,
        selector: Selector,
        fits: Callable[[Host], bool] = lambda _host: True,
        others: Collection[Host] = (),
    ) -> list[Host]:
        """Whom the action means; see `Crew.choose`."""
        return self.crew.choose(selector, self.rng, fits, others)

    def after(self, delay_us: int, deed: Callable[[], None]) -> None:
        """Have a deed done that much later, in the name of the action that is being done now."""
        self.schedule.at(self.world.clock.now_us + delay_us, partial(self.do, self.place, deed))

    def do(self, place: str, deed: Callable[[], None]) -> None:
        """Do it in the name of that action.

        Raises:
            ScenarioError: if a node does not accept it, or it is too much; with the place.
        """
        self.place = place
        try:
            deed()
        except GossipError as problem:
            raise ScenarioError(f"{place}: {problem}") from problem

    def launch(self, host: Host) -> None:
        """Start the agent of a new machine."""
        self.witness.starting(host)
        self.stage.launch(host)
        self.witness.started(host)

    def mended(self, hosts: Sequence[Host]) -> None:
        """The network reaches these hosts again."""
        self.witness.mended(hosts, network=True)


def has_agent(host: Host) -> bool:
    """Running or stopped."""
    return host.process is not None


def is_down(host: Host) -> bool:
    """It has had an agent, and has none."""
    return host.process is None and host.lives > 0


def is_open(host: Host) -> bool:
    """Its agent can be asked for changes: it runs, and is not about to stop."""
    return host.is_running and host.is_shipped and host.node.me.record.phase == Phase.RUNNING
