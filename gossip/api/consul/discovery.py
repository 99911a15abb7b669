"""`/v1/sd/prometheus`: targets for Prometheus' `http_sd_configs`, one group an instance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gossip.api.consul.context import NODES, SERVICES, about_service
from gossip.api.consul.questions import switch
from gossip.api.http.values import Later, Response
from gossip.core.types import show_address

if TYPE_CHECKING:
    from gossip.api.consul.context import Context
    from gossip.api.consul.holdings import Instance
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request

__all__ = ["Discovery"]

PREFIX: Final = "__meta_gossip_"
PARAMETERS: Final = (
    *("service", "tag", "passing", "index", "wait", "stale", "consistent", "cached", "pretty"),
    *("dc", "ns", "partition"),
)
"""What may be asked. This is no path of Consul's: whatever else stands there is a mistake, and ignored it
would give all targets instead of some."""

_NO_LABEL = re.compile(r"[^A-Za-z0-9_]")


class Discovery:
    """The handler."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, table: Table) -> None:
        """Put it into the table."""
        table.add("GET", "sd/prometheus", self.targets)

    async def targets(self, asked: Request) -> Response | Later:
        """Instances of the services that are named, or of all; with all tags, and only passing, if said."""
        asked.only(*PARAMETERS)
        services = tuple(sorted(set(asked.query.get("service", ())) - {""}))
        tags = frozenset(tag.lower() for tag in asked.query.get("tag", ()) if tag)
        passing = switch(asked, "passing")
        topics = [about_service(name) for name in services] or [SERVICES]

        def make() -> list[dict[str, Any]]:
            holdings = self._context.holdings
            groups: list[Instance] = []
            for name in services:
                groups += holdings.instances(name)
            found = groups if services else holdings.all()
            rows = []
            for each in found:
                health = self._health(each)
                if tags <= {tag.lower() for tag in each.tags} and (not passing or health == "passing"):
                    rows.append(self._group(each, health))
            return rows

        question = self._context.question(asked)
        key = ("sd", services, tuple(sorted(tags)), passing)
        return self._context.whole(question, key, (*topics, NODES), make)

    def _health(self, instance: Instance) -> str:
        checks = self._context.holdings.checks(instance)
        if any(row["Type"] == "maintenance" for row in checks):
            return "maintenance"
        found = {row["Status"] for row in checks}
        return next((word for word in ("critical", "warning") if word in found), "passing")

    def _group(self, each: Instance, health: str) -> dict[str, Any]:
        labels = {f"{PREFIX}meta_{_NO_LABEL.sub('_', key)}": value for key, value in each.meta.items()}
        labels |= {
            f"{PREFIX}service": each.name,
            f"{PREFIX}service_id": each.id,
            f"{PREFIX}node": each.node.name,
            f"{PREFIX}tags": f",{','.join(each.tags)}," if each.tags else "",
            f"{PREFIX}health": health,
            f"{PREFIX}cluster": self._context.agent.cluster,
        }
        return {"targets": [show_address((each.host, each.port))], "labels": labels}
