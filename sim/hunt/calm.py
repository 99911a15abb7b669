"""What must come true once every fault is undone, and by when.

All nodes that run hold one view: just themselves alive, the services that were acknowledged on each of them
and no others, no suspicion, and nothing left to tell. And it lasts.
"""

from __future__ import annotations

from collections.abc import Mapping

from gossip.core.catalog import NODE
from gossip.core.node import Node
from gossip.core.params import Params
from gossip.core.types import NodeId, Status, Verdict
from sim.world import World

__all__ = ["LASTING", "calm_limit", "differences", "offered"]

LASTING = 10.0
"""Seconds after which it is looked again whether the one view is still there."""

DOUBT_PERIODS = 10
LUCK = 30
"""A wait of so many times its mean is outlived with a chance of e^-30."""
SEED_TRIES = 4


def calm_limit(params: Params, nodes: int, lost: int) -> float:
    """Seconds in which a cluster without any fault must come to one view.

    - Whoever was stopped doubts itself, for at most 10 periods, which its health may have stretched:
      `10 x period x (health_max + 1)`.
    - Whoever is gone is suspected for at most `max`, times `patience_max` if it kept coming back, doubled by
      a node that hears nobody else, and looked at once more within a stretched period. Twice, since a return
      may have to be buried again. Who hears nobody of several waits for `isolation` first.
    - One of the lost addresses is tried each `reconnect_interval`, by chance, so that the wait for the right
      one is a matter of luck: thirty times its mean is never too little.
    - A seed is tried each `seed_interval`, with a chance of 3 / n, which is a quarter or more up to 12 nodes;
      four of them bring whoever knows an address of nobody that lives.

    Args:
        params: the nodes' settings.
        nodes: how many run.
        lost: how many are dead, left or remembered, at most, as any of them sees it.
    """
    slowest = params.period * (params.health_max + 1)
    doubt = DOUBT_PERIODS * slowest
    burial = 2 * params.patience_max * params.suspicion_max(nodes) + slowest
    tries = max(params.reconnect_interval, params.period) * max(nodes, lost)
    return doubt + params.isolation + 2 * burial + LUCK * tries + SEED_TRIES * params.seed_interval


def differences(
    world: World,
    promised: Mapping[int, Mapping[str, tuple[str, int]]],
    reported: Mapping[int, Mapping[str, tuple[Verdict, bool]]],
) -> str:
    """What still keeps the nodes that run from one view, in words; empty if nothing does.

    `promised` has the name and port of each acknowledged service, by host number and key; `reported` what
    the checks of some, and (empty key) of their nodes, found last, and whether they are in maintenance.
    """
    running = world.running()
    if not world.converged():
        return "views differ"
    for host in running:
        node = host.node
        if node.queue:
            return f"{host.name} still has {node.queue} news to tell"
        if node.members.counts[Status.SUSPECT]:
            return f"{host.name} still suspects somebody"
    wanted = {
        (host.id, key, f"{name} {expected(reported.get(host.number, {}), key)}", port)
        for host in running
        for key, (name, port) in promised.get(host.number, {}).items()
    }
    for host in running:
        found = offered(host.node)
        if found != wanted:
            missing, wrong = sorted(wanted - found), sorted(found - wanted)
            return f"{host.name} misses {words(missing)}, and finds {words(wrong)} that nobody offers"
    return ""


def expected(reported: Mapping[str, tuple[Verdict, bool]], key: str) -> str:
    """The word for a service of a node that is alive: the worse of its own checks and its node's."""
    said = [reported[about] for about in (key, NODE) if about in reported]
    if any(is_kept_away for _, is_kept_away in said):
        return "maintenance"
    return max((verdict for verdict, _ in said), default=Verdict.PASSING).label


def words(services: list[tuple[NodeId, str, str, int]]) -> str:
    """Services, for a message."""
    return (
        ", ".join(f"{name}:{port} ({key} of {owner.hex()[:8]})" for owner, key, name, port in services)
        or "none"
    )


def offered(node: Node) -> set[tuple[NodeId, str, str, int]]:
    """Every instance of those that are there: owner, key, name with its state, port."""
    return {
        (instance.owner, instance.key, f"{instance.name} {instance.status}", instance.port)
        for name in node.catalog.names()
        for instance in node.catalog.lookup(name, any=True)
        if instance.status not in ("dead", "left")
    }
