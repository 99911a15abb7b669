"""One seed, twice: a cluster with a malicious member, and the same with an honest one in its place.

What must hold: nobody honest is declared dead or gone by anybody honest that was not so in the other run
(and without loss nobody at all); every table of every honest node stays within its bound; when the rogue is
gone, the honest hold one view again, of themselves and what they offer, and change their key as ever.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from gossip.core.events import Event, EventKind
from gossip.core.node import Node
from gossip.errors import RefusedError
from sim.chance import derive
from sim.host import Host
from sim.hunt import tables
from sim.hunt.bounds import check_bounds
from sim.hunt.errors import BrokenRuleError
from sim.hunt.inside import Inside
from sim.keys import Marks, mark, marks
from sim.life import Life, shipped
from sim.siege.moves import MOVES
from sim.siege.rogue import Rogue
from sim.world import World

__all__ = ["Besieged", "Siege", "work"]

STEP_S = 0.1
"""The rogue makes a move at every step."""
CHECK_STEPS = 5
"""So often all that the honest hold is checked: it takes as long as a second of the world."""
WARM_UP_S = 5.0
CALM_S = 60.0
"""Seconds that the honest have to agree when the rogue is gone, and again for their change of keys."""
GONE = frozenset({EventKind.MEMBER_FAILED, EventKind.MEMBER_LEFT})


class Besieged(NamedTuple):
    """One seed to run, and how."""

    seed: int
    nodes: int = 20
    """The rogue counted."""
    seconds: float = 15.0
    """Of moves."""
    loss: float = 0.0
    """The share of datagrams that is lost."""
    invited: bool = True
    """Whether only the invited are let in."""

    @property
    def key(self) -> str:
        """Its name in messages, and in a ledger: all that its outcome depends on."""
        admission = "invited" if self.invited else "open"
        return f"seed {self.seed}, {self.nodes} nodes, {self.seconds:g} s, loss {self.loss:g}, {admission}"


class Siege(NamedTuple):
    """What came of one seed."""

    seed: int
    deaths: int
    """Honest members that an honest one declared dead or gone, and that the other run did not."""
    ordinary: int
    """Those of the run without a rogue."""
    broken: str
    """The rule that did not hold; empty if all did."""
    moves: dict[str, int]
    detail: str = ""
    """The first of the deaths."""

    @property
    def what(self) -> str:
        """What did not hold, in words."""
        return self.broken or self.detail

    @property
    def passed(self) -> bool:
        """Whether all that must hold did."""
        return not self.deaths and not self.broken


def work(task: Besieged) -> Siege:
    """Run a seed with and without the rogue."""
    ordinary, hostile = Field(task, hostile=False), Field(task, hostile=True)
    broken = ""
    try:
        for field in (ordinary, hostile):
            field.run()
    except BrokenRuleError as problem:
        broken = str(problem)
    except AssertionError as problem:
        broken = str(problem).partition("\n")[0]
    more = {pair: at for pair, at in hostile.deaths.items() if pair[1] not in ordinary.dead}
    detail = "; ".join(f"{pair[1]} by {pair[0]} {words}" for pair, words in list(more.items())[:1])
    return Siege(task.seed, len(more), len(ordinary.deaths), broken, dict(hostile.moves), detail)


class Field:
    """One of the two runs."""

    def __init__(self, task: Besieged, *, hostile: bool) -> None:
        self.task = task
        self.world = World(
            task.seed,
            loss=task.loss,
            codec=False,
            keys=marks(),
            keep_events=False,
            invited_only=task.invited,
        )
        self.hostile = hostile
        self.honest = self.world.grow(task.nodes - 1)
        self.rogue = self.world.add("rogue", maker=self._make if hostile else None)
        self.deaths: dict[tuple[str, str], str] = {}
        """(By whom, who), and when and how."""
        self.moves: Counter[str] = Counter()
        self._ids = {host.id: host.name for host in self.honest}
        self.world.listeners.append(self._told)

    @property
    def dead(self) -> set[str]:
        """Whom anybody declared dead or gone."""
        return {who for _, who in self.deaths}

    def run(self) -> None:
        """All of it.

        Raises:
            BrokenRuleError: if an honest node holds what it must not.
            AssertionError: if the honest do not agree in the end.
        """
        world = self.world
        for number, host in enumerate(self.honest):
            host.register("web", 80 + number)
        world.run(WARM_UP_S)
        dice = derive(self.task.seed, "moves")
        insides = [Inside(host.node) for host in self.honest]
        steps = round(self.task.seconds / STEP_S)
        for step in range(steps):
            if step == steps // 2:
                self._change_key("meanwhile")
            if self.hostile:
                self._move(dice.choice(list(MOVES)))
            world.run(STEP_S)
            # What is held in a world of the honest alone is the fuzzer's to check.
            if self.hostile and step % CHECK_STEPS == CHECK_STEPS - 1:
                for inside in insides:
                    tables.check_all(inside)
                    check_bounds(inside, inside.node.params)
        if not self.hostile:
            return
        calm = CALM_S + self._patience()
        world.crash(self.rogue, machine=True)
        world.run_until(self._is_well, calm, step=0.5)
        world.run_until(lambda: self._change_key("afterwards"), calm, step=1.0)
        world.run_until(lambda: all(map(self._seals_with_the_last, self.honest)), calm, step=0.5)

    def _patience(self) -> float:
        """Seconds for which an invented member may be left, on whom a change of keys waits while it is.

        Where anybody may be a member it is let in, and one that seemed to have come back has earned it.
        """
        if self.task.invited:
            return 0.0
        params = self.world.params
        return params.patience_max * params.suspicion_max(max(host.node.members.n for host in self.honest))

    def _change_key(self, name: str) -> bool:
        """Have an honest one begin a change of keys; whether it could, or another is not over."""
        host = self.honest[0]
        safe = host.agent.safe
        assert isinstance(safe, Marks)  # noqa: S101 - the world was made with them
        added = safe.add(name, host.node.spare_keys(self.world.now))
        host.disk.keys = safe.save()
        try:
            host.do(lambda node, now: node.rotate(added, now))
        except RefusedError:
            return False
        return True

    @staticmethod
    def _seals_with_the_last(host: Host) -> bool:
        safe = host.agent.safe
        return isinstance(safe, Marks) and safe.sending() == mark("afterwards")

    def _is_well(self) -> bool:
        """Whether the honest hold each other alive, and everybody's service as it was registered."""
        for host in self.honest:
            alive = {member.id for member in host.node.members if member.is_live}
            if not self._ids.keys() <= alive | {host.id}:
                return False
            found = {each.owner: each.port for each in host.node.catalog.lookup("web", any=True)}
            if any(found.get(other.id) != 80 + number for number, other in enumerate(self.honest)):
                return False
        return True

    def _make(self, life: Life) -> Node:
        node = shipped(life, Rogue)
        assert isinstance(node, Rogue)  # noqa: S101 - `shipped` makes what it is told to
        node.corrupt(self.task.seed, self.world._archive)  # noqa: SLF001 - it needs keys for nodes of its own
        return node

    def _move(self, word: str) -> None:
        self.moves[word] += 1
        node = self.rogue.node
        assert isinstance(node, Rogue)  # noqa: S101 - made by `_make`
        others = [member for member in node.members if member.id in self._ids]
        if others:
            self.rogue.do(lambda _node, _now: MOVES[word](node, others, node.dice))

    def _told(self, host: Host, now: float, event: Event) -> None:
        if event.kind in GONE and event.id in self._ids and host is not self.rogue:
            kind = f"{event.kind.value} at {now:.3f} s {event.detail}"
            self.deaths.setdefault((host.name, self._ids[event.id]), kind)
