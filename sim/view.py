"""What the nodes of a world hold, compared, and told in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gossip.core.types import NodeId, Status, show_address

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

__all__ = ["agree", "describe"]

HOSTS_DESCRIBED = 24


def agree(hosts: Sequence[Host]) -> bool:
    """Whether these nodes have one fingerprint, and each holds just the others for alive.

    Nodes that run another core than the shipped one are seen, and see nothing.
    """
    nodes = [host for host in hosts if host.is_shipped]
    # Fingerprints first: they are ready, and while they differ nothing else needs to be looked at.
    if len({host.node.fingerprint for host in nodes}) > 1:
        return False
    ids = {host.id for host in hosts}
    return all(_alive(host) == ids - {host.id} for host in nodes)


def describe(world: World) -> str:
    """Seed, time, and a line for each host."""
    hosts = world.hosts
    lines = [f"seed {world.seed}, at {world.now:.6f} s, dropped {world.network.dropped}"]
    lines += [_describe_host(host) for host in hosts[:HOSTS_DESCRIBED]]
    if len(hosts) > HOSTS_DESCRIBED:
        lines.append(f"... and {len(hosts) - HOSTS_DESCRIBED} more")
    return "\n".join(lines)


def _alive(host: Host) -> set[NodeId]:
    return {member.id for member in host.node.members if member.status is Status.ALIVE}


def _describe_host(host: Host) -> str:
    place = f"{host.name} {show_address(host.address)}"
    if host.process is None:
        return f"{place}: {'no agent' if host.up else 'no machine'}"
    if not host.is_running:
        return f"{place}: stopped"
    if not host.is_shipped:
        return f"{place}: {type(host.process.node).__name__}"
    node = host.node
    others = [f"{name} {status}" for name, status in sorted(host.view().items()) if status != "alive"]
    told = ", ".join([f"{len(_alive(host))} alive", *others])
    return f"{place}: {node.fingerprint:016x} sees {told}; {node.counters}"
