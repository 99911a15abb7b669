"""Deeds to what nodes say of themselves: services, tags, user events."""

from __future__ import annotations

from collections.abc import Sequence

from gossip.core.records import ServiceRecord
from gossip.core.types import Verdict
from sim.clock import SECOND
from sim.host import Host
from sim.scenario.actions import Check, Churn, Deregister, Register, Tags, UserEvent
from sim.scenario.limits import STAMP_BYTES
from sim.scenario.scene import Scene, Undo, is_open

__all__ = ["check", "churn", "deregister", "has_service", "register", "tags", "user_event"]

SERVICE = 2
"""The kind of record that a service is, in a record's key."""


def register(scene: Scene, action: Register) -> None:
    """Have nodes register a service, or change it."""
    hosts = scene.choose(action.nodes, is_open)
    scene.witness.acted("register", hosts, action.name)
    for host in hosts:
        host.register(
            action.name,
            action.port,
            key=action.key or None,
            tags=action.tags,
            meta=action.meta,
            weight=action.weight,
        )


def deregister(scene: Scene, action: Deregister) -> None:
    """Have those that have a service take it away."""
    hosts = scene.choose(action.nodes, lambda host: is_open(host) and has_service(host, action.key))
    scene.witness.acted("deregister", hosts, action.key)
    for host in hosts:
        host.deregister(action.key)


def check(scene: Scene, action: Check) -> None:
    """Have the check of a service find something, or that of the nodes as a whole."""
    hosts = scene.choose(
        action.nodes, lambda host: is_open(host) and (not action.key or has_service(host, action.key))
    )
    scene.witness.acted("check", hosts, f"{action.key} {action.finds}".strip())
    for host in hosts:
        host.report(action.key, Verdict[action.finds.upper()])


def churn(scene: Scene, action: Churn) -> Undo:
    """Let services come, change and go by chance."""
    churning = _Churning(scene, action, scene.choose(action.nodes))
    scene.witness.acted("churn", [], f"{action.rate:g} a second")
    churning.wait()
    return churning.stop


def tags(scene: Scene, action: Tags) -> None:
    """Change nodes' tags."""
    hosts = scene.choose(action.nodes, is_open)
    scene.witness.acted("tags", hosts)
    for host in hosts:
        before = host.node.incarnation
        host.tags = dict(action.tags)
        host.do(lambda node, now: node.set_tags(dict(action.tags), now))
        if host.node.incarnation != before:
            scene.witness.published(host, "tags")


def user_event(scene: Scene, action: UserEvent) -> None:
    """Have nodes send a user event that is known again by its payload."""
    hosts = scene.choose(action.nodes, is_open)
    scene.witness.acted("event", hosts, action.name)
    for host in hosts:
        scene.stamps += 1
        payload = scene.stamps.to_bytes(STAMP_BYTES, "big").ljust(action.size, b"\0")
        scene.witness.sent_event(host, payload)
        host.do(lambda node, now, payload=payload: node.send_event(action.name, payload, now))  # type: ignore[misc]


def has_service(host: Host, key: str) -> bool:
    """Whether the node there has a service of that key."""
    fact = host.node.me.services.get((SERVICE, key))
    return fact is not None and isinstance(fact.body, ServiceRecord)


class _Churning:
    """Services that come, change and go, one at a time, at uneven intervals."""

    def __init__(self, scene: Scene, action: Churn, hosts: Sequence[Host]) -> None:
        self._scene = scene
        self._action = action
        self._hosts = hosts
        self._rng = scene.rng
        self._gap_us = max(1, round(2 * SECOND / action.rate))
        self._weight = 1
        self._stopped = False

    def wait(self) -> None:
        """Any time up to twice the mean: evenly drawn, which needs no logarithm."""
        self._scene.after(1 + (self._rng.getrandbits(32) * self._gap_us >> 32), self._step)

    def stop(self) -> None:
        self._stopped = True
        self._scene.witness.acted("end of churn", [])

    def _step(self) -> None:
        if self._stopped:
            return
        host = self._hosts[self._rng.getrandbits(32) * len(self._hosts) >> 32] if self._hosts else None
        key = f"{self._action.name}-{self._rng.getrandbits(32) * self._action.services >> 32}"
        goes = bool(self._rng.getrandbits(1))
        if host is not None and is_open(host):
            if goes and has_service(host, key):
                host.deregister(key)
            else:
                self._weight = self._weight % 1_000 + 1
                host.register(self._action.name, key=key, weight=self._weight)
        self.wait()
