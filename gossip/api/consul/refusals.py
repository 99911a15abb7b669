"""What there is not, said plainly: 501 with the reason, 401 for access control, as a Consul without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gossip.api.consul.words import PLAIN
from gossip.api.http.values import Handler, Response

if TYPE_CHECKING:
    from gossip.api.consul.table import Table
    from gossip.api.http.values import Request

__all__ = ["add_to"]

METHODS: Final = ("GET", "PUT", "POST", "DELETE")
NO_CONSENSUS: Final = "gossip agents agree without consensus"
REASONS: Final = {
    ("kv/",): ("PUT", "DELETE", f"KV is not provided by this agent ({NO_CONSENSUS}): use a database"),
    ("session/create", "session/renew/", "session/destroy/"): (
        f"Sessions are not provided by this agent: they are locks, and {NO_CONSENSUS}",
    ),
    ("txn",): (f"Transactions are not provided by this agent: {NO_CONSENSUS}",),
    ("query", "query/"): (
        "PUT",
        "POST",
        "DELETE",
        "GET",
        f"Prepared queries are not provided by this agent: there is no store to keep them ({NO_CONSENSUS})",
    ),
    ("snapshot",): ("Snapshots are not provided by this agent: every agent holds the whole state anyway",),
    ("config", "config/", "discovery-chain/", "exported-services", "imported-services"): (
        "Central configuration is not provided by this agent: there is no service mesh to configure",
    ),
    ("connect/", "agent/connect/"): ("Service mesh (Connect) is not supported by this agent",),
    ("peering", "peering/", "peerings"): ("Peerings are not provided by this agent: there is one cluster",),
    (
        "operator/raft/",
        "operator/autopilot/",
        "operator/area",
        "operator/area/",
        "operator/usage",
        "operator/utilization",
    ): ("There is nothing of that kind to operate: this agent has no servers, no Raft and no areas",),
    ("operator/license", "operator/segment"): (
        "There are no licences and no segments: this agent is one for all",
    ),
    ("namespace", "namespace/", "namespaces"): ("There are no namespaces: this agent has one for all",),
    ("partition", "partition/", "partitions"): ("There are no partitions: this agent has one for all",),
    ("internal/",): ("Consul's internal endpoints and its web interface are not provided by this agent",),
}
"""A sentence for groups of paths; the methods before it, if it is not for all."""
NO_ACL: Final = ("acl/", "agent/token/", "internal/acl/")


def add_to(table: Table) -> None:
    """Put them into the table, where nothing else answers."""
    for paths, (*methods, reason) in REASONS.items():
        for path in paths:
            for method in methods or METHODS:
                _add(table, method, path, _saying(501, reason))
    for path in NO_ACL:
        for method in METHODS:
            _add(table, method, path, _saying(401, "ACL support disabled"))


def _add(table: Table, method: str, path: str, handler: Handler) -> None:
    if not table.has(method, path):
        table.add(method, path, handler)


def _saying(status: int, text: str) -> Handler:
    async def handler(_asked: Request) -> Response:
        return Response(status, text.encode(), PLAIN)

    return handler
