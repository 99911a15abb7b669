"""Deeds to nodes: they die, start, leave, stop, sleep, starve, and their clocks go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from sim.clock import SECOND
from sim.host import Host
from sim.scenario.actions import (
    ClockRate,
    Crash,
    HandOver,
    Join,
    JumpWall,
    Leave,
    Pause,
    Restart,
    Resume,
    Starve,
    Suspend,
)
from sim.scenario.scene import Scene, Undo, has_agent, is_down, is_open

__all__ = [
    "clock_rate",
    "crash",
    "hand_over",
    "join",
    "jump_wall",
    "leave",
    "pause",
    "restart",
    "resume",
    "starve",
    "suspend",
]

PATIENCE_US = 100_000
"""How often a restart looks whether the agent has stopped by itself."""
PATIENCE_MAX = 100


def crash(scene: Scene, action: Crash) -> None:
    """Kill agents, or whole machines."""
    hosts = scene.choose(action.nodes, has_agent)
    for host in hosts:
        _kill(scene, host, machine=action.machine)
    scene.witness.acted("crash", hosts)


def leave(scene: Scene, action: Leave | HandOver) -> None:
    """Have nodes leave, or hand over, and stop."""
    hosts = scene.choose(action.nodes, is_open)
    goes = isinstance(action, Leave)
    scene.witness.acted("leave" if goes else "hand_over", hosts)
    for host in hosts:
        _stop(scene, host, "leave" if goes else "hand_over")


def hand_over(scene: Scene, action: HandOver) -> None:
    """Have nodes stop as for an upgrade."""
    leave(scene, action)


def restart(scene: Scene, action: Restart) -> None:
    """Start those that are down, or stop those that run and start them again."""
    if action.stop is None:
        hosts = scene.choose(action.nodes, is_down)
        scene.witness.acted("restart", hosts)
        for host in hosts:
            _start_again(scene, host, action)
        return
    hosts = scene.choose(action.nodes, is_open)
    scene.witness.acted("restart", hosts, action.stop)
    for host in hosts:
        _stop(scene, host, action.stop)
        scene.after(action.down, _Return(scene, host, action))


def join(scene: Scene, action: Join) -> None:
    """Put up new nodes, at once or one after another."""
    hosts = []
    for number in range(action.count):
        host = scene.stage.put_up_another(action.group)
        scene.witness.added(host, action.group)
        hosts.append(host)
        delay_us = action.over * number // action.count
        if delay_us:
            scene.after(delay_us, partial(scene.launch, host))
        else:
            scene.launch(host)
    scene.witness.acted("join", hosts)


def pause(scene: Scene, action: Pause) -> Undo:
    """Stop processes."""
    hosts = scene.choose(action.nodes, _runs)
    for host in hosts:
        scene.world.pause(host)
    scene.witness.acted("pause", hosts)
    return _waking(scene, hosts)


def suspend(scene: Scene, action: Suspend) -> Undo:
    """Suspend machines."""
    hosts = scene.choose(action.nodes, _runs)
    for host in hosts:
        scene.world.suspend(host)
    scene.witness.acted("suspend", hosts)
    return _waking(scene, hosts)


def resume(scene: Scene, action: Resume) -> None:
    """Have those that are stopped go on."""
    hosts = scene.choose(action.nodes, _is_stopped)
    _wake(scene, hosts)
    scene.witness.acted("resume", hosts)


def starve(scene: Scene, action: Starve) -> Undo:
    """Slow nodes down."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        scene.world.starve(host, action.factor)
    scene.witness.acted("starve", hosts, f"{action.factor} times slower")

    def undo() -> None:
        for host in hosts:
            scene.world.starve(host, scene.stage.table(host).starve)
        scene.witness.acted("end of starve", hosts)

    return undo


def clock_rate(scene: Scene, action: ClockRate) -> Undo:
    """Let monotonic clocks run fast or slow."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        scene.world.set_clock_rate(host, action.ppm)
    scene.witness.acted("clock_rate", hosts, f"{action.ppm} ppm")

    def undo() -> None:
        for host in hosts:
            scene.world.set_clock_rate(host, scene.stage.table(host).clock_ppm)
        scene.witness.acted("end of clock_rate", hosts)

    return undo


def jump_wall(scene: Scene, action: JumpWall) -> None:
    """Set wall clocks."""
    hosts = scene.choose(action.nodes)
    for host in hosts:
        scene.world.jump_wall(host, action.by / SECOND)
    scene.witness.acted("jump_wall", hosts, f"{action.by / SECOND:g} s")


def _runs(host: Host) -> bool:
    return host.is_running


def _is_stopped(host: Host) -> bool:
    return host.process is not None and host.process.stopped


def _kill(scene: Scene, host: Host, *, machine: bool) -> None:
    scene.world.crash(host, machine=machine)
    scene.witness.ended(host, failed=True)


def _stop(scene: Scene, host: Host, how: str) -> None:
    if how == "crash":
        _kill(scene, host, machine=False)
    elif how == "leave":
        scene.world.leave(host)
        scene.witness.published(host, "left")
    else:
        scene.world.hand_over(host)
        scene.witness.published(host, "handed over")


class _Return:
    """A restart that waits until the agent has stopped by itself."""

    def __init__(self, scene: Scene, host: Host, action: Restart) -> None:
        self._scene = scene
        self._host = host
        self._action = action
        self._life = host.lives
        self._waits = 0

    def __call__(self) -> None:
        host = self._host
        if host.lives != self._life:
            return
        self._waits += 1
        if host.process is not None and self._waits < PATIENCE_MAX:
            self._scene.after(PATIENCE_US, self)
            return
        if host.process is not None:
            _kill(self._scene, host, machine=False)
        _start_again(self._scene, host, self._action)


def _start_again(scene: Scene, host: Host, action: Restart) -> None:
    known = scene.world.hosts[: scene.stage.scenario.seeds]
    seeds = [seed for seed in known if seed is not host] or [
        other for other in scene.world.hosts[:2] if other is not host
    ]
    scene.witness.starting(host)
    scene.world.restart(
        host,
        identity=action.identity,
        address=action.address,
        registrations=action.disk,
        seeds=seeds,
    )
    scene.stage.offer(host)
    scene.witness.started(host)
    scene.witness.mended([host], network=False)


def _waking(scene: Scene, hosts: Sequence[Host]) -> Undo:
    lives = [host.lives for host in hosts]

    def undo() -> None:
        asleep = [host for host, life in zip(hosts, lives, strict=True) if host.lives == life]
        asleep = [host for host in asleep if _is_stopped(host)]
        _wake(scene, asleep)
        scene.witness.acted("resume", asleep)

    return undo


def _wake(scene: Scene, hosts: Sequence[Host]) -> None:
    # Before they go on: what they do first is done by a node that runs again.
    scene.witness.mended(hosts, network=False)
    for host in hosts:
        scene.world.resume(host)
