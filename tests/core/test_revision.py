"""The revision: nothing that is held changes without it, so a cache of answers may go by it."""

from __future__ import annotations

from typing import Any

from gossip.core.node import Node
from gossip.core.records import ServiceRecord
from sim.host import Host
from sim.world import World


def held(node: Node) -> Any:
    """All that the revision speaks for."""
    return [
        (
            member.id,
            member.fact.raw,
            member.status,
            member.since,
            member.flags,
            dict(member.services),
            dict(member.accusations),
            member.suspicion and (member.suspicion.started, member.suspicion.extended),
            member.distrust_refusals_until,
        )
        for member in node
    ]


def test_nothing_held_changes_without_the_revision() -> None:
    """Joins, services, losses, deaths, returns, leavers and pauses, looked at after every input."""
    world = World(3, codec=False, loss=0.1)
    last: dict[tuple[str, int], tuple[int, Any]] = {}
    unnoticed: list[str] = []
    changes = 0

    def watch(host: Host) -> None:
        nonlocal changes
        key, now = (host.name, host.lives), (host.node.revision, held(host.node))
        before = last.get(key, now)
        last[key] = now
        changes += before[1] != now[1]
        if before[1] != now[1] and before[0] == now[0]:
            unnoticed.append(f"{host.name} at {world.now:.3f}")
        assert before[0] <= now[0]

    world.watchers.append(watch)
    hosts = world.grow(8)
    world.run(3)
    for host in hosts[:4]:
        host.register("web", 80)
    world.run(3)
    hosts[0].deregister("web")
    hosts[1].do(lambda node, now: node.set_tags({"rack": "b"}, now))
    world.crash(hosts[2])
    world.pause(hosts[3])
    world.partition([hosts[4:6]])
    world.run(60)
    world.resume(hosts[3])
    world.heal()
    world.restart(hosts[2], registrations="lost")
    world.leave(hosts[7])
    world.run(60)
    assert not unnoticed
    assert changes > 200
    assert any(isinstance(fact.body, ServiceRecord) for fact in hosts[3].node.me.services.values())


def test_the_revision_rests_while_nothing_changes() -> None:
    world = World(1, codec=False)
    hosts = world.grow(5)
    world.run_until(world.converged, limit=30)
    world.run(20)
    before = [host.node.revision for host in hosts]
    world.run(60)
    assert [host.node.revision for host in hosts] == before
