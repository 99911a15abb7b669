"""What Consul's API needs of the agent, beside what the local socket needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gossip.api import methods, views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gossip.checks.monitor import Monitor
    from gossip.config import CheckDefinition
    from gossip.core.coordinates import Coordinate
    from gossip.core.records import ServiceRecord
    from gossip.core.types import NodeId

__all__ = ["Backend", "Node"]


class Node(views.Reads, Protocol):
    """What is read of `core.node.Node` besides."""

    def coordinate(self, member: NodeId) -> Coordinate | None: ...


class Backend(methods.Backend, Protocol):
    """The agent."""

    @property
    def node(self) -> Node:
        """What may be read."""

    @property
    def cluster(self) -> str:
        """Its name, which is Consul's datacenter."""

    @property
    def command_checks(self) -> str:
        """The setting."""

    @property
    def monitor(self) -> Monitor:
        """The checks of this node."""

    @property
    def node_tags(self) -> Mapping[str, str]:
        """The node's own."""

    def own_service(self, key: str) -> ServiceRecord | None:
        """The record of a service of this node."""

    async def add_check(self, definition: CheckDefinition) -> None:
        """Has the node itself checked so, until it is removed; replaces the one of that id."""

    async def remove_check(self, id: str) -> bool:
        """Whether there was such a check of the node itself that a program has added."""
