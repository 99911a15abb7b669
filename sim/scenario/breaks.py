"""Deeds to the network: cuts, partitions, flapping, loss, other links, deafness, refusals."""

from __future__ import annotations

from collections.abc import Sequence

from sim.host import Host
from sim.scenario.actions import (
    Cut,
    Deaf,
    Flap,
    Heal,
    LinkChange,
    Loss,
    Mute,
    NetworkChange,
    Partition,
    Refusals,
    changed_line,
)
from sim.scenario.scene import Scene, Undo

__all__ = ["cut", "deaf", "flap", "heal", "loss", "mute", "network", "partition", "refusals", "relink"]


def partition(scene: Scene, action: Partition) -> Undo:
    """Part sides from each other, wholly, partly or one way."""
    sides: list[list[Host]] = []
    for selector in action.sides:
        taken = {host.number for side in sides for host in side}
        others = [host for side in sides for host in side]
        sides.append(scene.choose(selector, lambda host: host.number not in taken, others))  # noqa: B023 - called at once
    everybody = scene.crew.hosts
    if action.kind == "full":
        undo = scene.faults.partition(sides)
    else:
        taken = {host.number for side in sides for host in side}
        if len(sides) == 1:
            sides.append([host for host in everybody if host.number not in taken])
        undo = _cut_between(scene, sides, one_way=action.kind == "one_way")
    named = [host for side in sides for host in side]
    scene.witness.acted("partition", sides[0], f"{action.kind}, {len(sides)} sides")
    return _ending(scene, "partition", everybody if action.kind == "full" else named, undo)


def heal(scene: Scene, _action: Heal) -> None:
    """End every partition, cut and flapping."""
    scene.faults.heal()
    scene.mended(scene.crew.hosts)
    scene.witness.acted("heal", scene.crew.hosts)


def cut(scene: Scene, action: Cut) -> Undo:
    """Let nothing pass from some to others, or between them."""
    senders, receivers = _ends(scene, action)
    undo = scene.faults.cut(senders, receivers, both=action.both)
    scene.witness.acted("cut", senders, "both ways" if action.both else "one way")
    return _ending(scene, "cut", [*senders, *receivers], undo)


def flap(scene: Scene, action: Flap) -> Undo:
    """Let a cut come and go."""
    senders, receivers = _ends(scene, action)
    flapping = _Flapping(scene, action, senders, receivers)
    flapping.go_down()
    scene.witness.acted("flap", senders)
    return flapping.stop


def relink(scene: Scene, action: LinkChange) -> Undo:
    """Give some pairs links of their own."""
    senders, receivers = _ends(scene, action)
    line = scene.stage.line(**changed_line(action))
    undo = scene.faults.relink(senders, receivers, line, both=action.both)
    scene.witness.acted("link", senders)

    def end() -> None:
        undo()
        scene.witness.acted("end of link", senders)

    return end


def network(scene: Scene, action: NetworkChange) -> Undo:
    """Change every link that is not one of its own."""
    line = scene.world.network.default = scene.stage.line(**changed_line(action))
    scene.witness.acted("network", [])

    def end() -> None:
        if scene.world.network.default is line:
            scene.world.network.default = scene.stage.line()
        scene.witness.acted("end of network", [])

    return end


def loss(scene: Scene, action: Loss) -> Undo:
    """Let nodes lose packets, whoever they talk with."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        scene.world.set_loss(host, incoming=action.incoming, outgoing=action.outgoing)
    scene.witness.acted("loss", hosts, f"in {action.incoming:g}, out {action.outgoing:g}")

    def undo() -> None:
        for host in hosts:
            table = scene.stage.table(host)
            scene.world.set_loss(host, incoming=table.loss_in, outgoing=table.loss_out)

    return _ending(scene, "loss", hosts, undo)


def mute(scene: Scene, action: Mute) -> Undo:
    """Let nothing out."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        host.mute = True
    scene.witness.acted("mute", hosts)

    def undo() -> None:
        for host in hosts:
            host.mute = False

    return _ending(scene, "mute", hosts, undo)


def deaf(scene: Scene, action: Deaf) -> Undo:
    """Let nothing in."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        host.deaf = True
    scene.witness.acted("deaf", hosts)

    def undo() -> None:
        for host in hosts:
            host.deaf = False

    return _ending(scene, "deaf", hosts, undo)


def refusals(scene: Scene, action: Refusals) -> Undo:
    """Have closed ports answer in another way."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        host.refusals = action.how
    scene.witness.acted("refusals", hosts, action.how)

    def undo() -> None:
        for host in hosts:
            host.refusals = scene.stage.table(host).refusals
        scene.witness.acted("end of refusals", hosts)

    return undo


class _Flapping:
    """A cut that comes and goes until it is stopped, or everything is healed."""

    def __init__(
        self, scene: Scene, action: Flap, senders: Sequence[Host], receivers: Sequence[Host]
    ) -> None:
        self._scene = scene
        self._action = action
        self._senders = senders
        self._receivers = receivers
        self._heals = scene.faults.heals
        self._undo: Undo | None = None
        self._stopped = False

    def go_down(self) -> None:
        if self._is_over():
            return
        self._undo = self._scene.faults.cut(self._senders, self._receivers, both=self._action.both)
        self._scene.after(self._action.down, self.go_up)

    def go_up(self) -> None:
        if self._is_over():
            return
        self._mend()
        self._scene.after(self._action.up, self.go_down)

    def stop(self) -> None:
        if not self._is_over():
            self._mend()
            self._scene.witness.acted("end of flap", self._senders)
        self._stopped = True

    def _is_over(self) -> bool:
        return self._stopped or self._heals != self._scene.faults.heals

    def _mend(self) -> None:
        if self._undo is not None:
            self._undo()
            self._undo = None
            self._scene.mended([*self._senders, *self._receivers])


def _ends(scene: Scene, action: Cut | Flap | LinkChange) -> tuple[list[Host], list[Host]]:
    senders = scene.choose(action.nodes)
    return senders, scene.choose(action.to, others=senders)


def _cut_between(scene: Scene, sides: list[list[Host]], *, one_way: bool) -> Undo:
    if one_way:
        others = [host for side in sides[1:] for host in side]
        return scene.faults.cut(sides[0], others, both=False)
    undoes = [
        scene.faults.cut(side, other, both=True)
        for number, side in enumerate(sides)
        for other in sides[number + 1 :]
    ]

    def undo() -> None:
        for each in undoes:
            each()

    return undo


def _ending(scene: Scene, what: str, hosts: Sequence[Host], undo: Undo) -> Undo:
    def end() -> None:
        undo()
        scene.mended(hosts)
        scene.witness.acted(f"end of {what}", hosts)

    return end
