"""`coordinate/*`: where nodes are in the network, by the round trips that gossip measures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gossip.api.consul.agent import coordinate_object
from gossip.api.consul.context import NODES, Rows
from gossip.api.consul.words import Refusal
from gossip.api.http.values import Later, Response

if TYPE_CHECKING:
    from gossip.api.consul.context import Context
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request

__all__ = ["Network"]


class Network:
    """The handlers."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        table.add("GET", "coordinate/datacenters", self.datacenters)
        table.add("GET", "coordinate/nodes", self.nodes)
        table.add("GET", "coordinate/node/", self.node)
        table.add("PUT", "coordinate/update", self.update)

    def _rows(self, name: str = "") -> list[dict[str, Any]]:
        node = self._context.agent.node
        found = []
        for member in self._context.holdings.members():
            place = node.coordinate(member.id)
            if member.is_live and place is not None and name in ("", member.name):
                found.append({"Node": member.name, "Segment": "", "Coord": coordinate_object(place)})
        return sorted(found, key=lambda row: str(row["Node"]))

    async def nodes(self, asked: Request) -> Response | Later:
        """Of every live node that has said where it is."""
        # Made anew each time, since places move without an event; who waits is woken by comings and goings.
        rows = Rows(lambda: [row["Node"] for row in self._rows()], {})
        return self._context.shown(asked, "coordinates", (NODES,), rows, self._rows)

    async def node(self, asked: Request) -> Response | Later:
        """Of one; 404 if it has none."""
        name = asked.params["rest"]
        if not name or not self._rows(name):
            self._context.question(asked)
            return Response(404, b"", "")
        rows = Rows(lambda: [row["Node"] for row in self._rows(name)], {})
        return self._context.shown(asked, ("coordinate", name), (NODES,), rows, lambda: self._rows(name))

    async def datacenters(self, asked: Request) -> Response:
        """Of this cluster's nodes: there is no other network than theirs."""
        cluster = self._context.agent.cluster
        rows = [{"Datacenter": cluster, "AreaID": "wan", "Coordinates": self._rows()}]
        return self._context.kept(asked, rows)

    async def update(self, _asked: Request) -> Response:
        """A node alone says where it is."""
        raise Refusal(501, "Coordinates are not taken from clients: each node measures its own")
