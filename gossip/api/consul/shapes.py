"""Nodes, services and checks as Consul's JSON has them, and what filters may select in each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from gossip.api.consul.filters import BOOL, NUMBER, TEXT, TEXTS, Shape

if TYPE_CHECKING:
    from gossip.api.consul.holdings import Instance, Node

__all__ = [
    "CATALOG_INSTANCE",
    "CHECK",
    "HEALTH_INSTANCE",
    "MEMBER",
    "NODE",
    "SERVICE",
    "agent_service",
    "catalog_instance",
    "catalog_service",
    "node_object",
]

_ADDRESSES: Final[Shape] = ({"Address": TEXT, "Port": NUMBER},)
_WEIGHTS: Final[Shape] = {"Passing": NUMBER, "Warning": NUMBER}
_PROXY: Final[dict[str, Any]] = {"MeshGateway": {}, "Expose": {}}

NODE: Final[dict[str, Shape]] = {
    **dict.fromkeys(("ID", "Node", "Address", "Datacenter"), TEXT),
    "TaggedAddresses": TEXTS,
    "Meta": TEXTS,
}
SERVICE: Final[dict[str, Shape]] = {
    **dict.fromkeys(("ID", "Service", "Address", "Kind", "Datacenter"), TEXT),
    "Tags": [TEXT],
    "Meta": TEXTS,
    "Port": NUMBER,
    "TaggedAddresses": _ADDRESSES,
    "Weights": _WEIGHTS,
    "EnableTagOverride": BOOL,
    "Proxy": {"MeshGateway": {"Mode": TEXT}},
    "Connect": {"Native": BOOL},
}
CATALOG_INSTANCE: Final[dict[str, Shape]] = {
    **dict.fromkeys(
        ("ID", "Node", "Address", "Datacenter", "ServiceKind", "ServiceID", "ServiceName", "ServiceAddress"),
        TEXT,
    ),
    "TaggedAddresses": TEXTS,
    "NodeMeta": TEXTS,
    "ServiceTags": [TEXT],
    "ServiceTaggedAddresses": _ADDRESSES,
    "ServiceWeights": _WEIGHTS,
    "ServiceMeta": TEXTS,
    "ServicePort": NUMBER,
    "ServiceEnableTagOverride": BOOL,
    "ServiceProxy": {"MeshGateway": {"Mode": TEXT}},
    "ServiceConnect": {"Native": BOOL},
}
CHECK: Final[dict[str, Shape]] = {
    **dict.fromkeys(
        (
            *("Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName", "Type"),
            *("Interval", "Timeout"),
        ),
        TEXT,
    ),
    "ServiceTags": [TEXT],
    "ExposedPort": NUMBER,
}
HEALTH_INSTANCE: Final[dict[str, Shape]] = {"Node": NODE, "Service": SERVICE, "Checks": [CHECK]}
MEMBER: Final[dict[str, Shape]] = {
    "Name": TEXT,
    "Addr": TEXT,
    "Tags": TEXTS,
    **dict.fromkeys(
        (
            *("Port", "Status", "ProtocolMin", "ProtocolMax", "ProtocolCur"),
            *("DelegateMin", "DelegateMax", "DelegateCur"),
        ),
        NUMBER,
    ),
}


def node_object(node: Node, cluster: str) -> dict[str, Any]:
    """A node by itself."""
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": cluster,
        "TaggedAddresses": node.tagged,
        "Meta": node.meta,
        "CreateIndex": node.index,
        "ModifyIndex": node.index,
    }


def _addresses(each: Instance) -> dict[str, Any]:
    return {name: {"Address": address, "Port": port} for name, (address, port) in each.tagged.items()}


def _weights(each: Instance) -> dict[str, int]:
    return {"Passing": each.weights[0], "Warning": each.weights[1]}


def agent_service(each: Instance, cluster: str) -> dict[str, Any]:
    """A service as its own agent lists it."""
    found: dict[str, Any] = {
        "ID": each.id,
        "Service": each.name,
        "Tags": list(each.tags),
        "Meta": each.meta,
        "Port": each.port,
        "Address": each.address,
    }
    if each.tagged:
        found["TaggedAddresses"] = _addresses(each)
    found |= {
        "Weights": _weights(each),
        "EnableTagOverride": each.override,
        "Datacenter": cluster,
    }
    if each.native:
        found["Connect"] = {"Native": True}
    return found


def catalog_service(each: Instance) -> dict[str, Any]:
    """A service under its node."""
    found: dict[str, Any] = {
        "ID": each.id,
        "Service": each.name,
        "Tags": list(each.tags),
        "Address": each.address,
    }
    if each.tagged:
        found["TaggedAddresses"] = _addresses(each)
    found |= {
        "Meta": each.meta,
        "Port": each.port,
        "Weights": _weights(each),
        "EnableTagOverride": each.override,
        "Proxy": _PROXY,
        "Connect": {"Native": True} if each.native else {},
        "CreateIndex": each.index,
        "ModifyIndex": each.index,
    }
    return found


def catalog_instance(each: Instance, cluster: str) -> dict[str, Any]:
    """A service and its node, flat."""
    node = each.node
    return {
        "ID": node.id,
        "Node": node.name,
        "Address": node.address,
        "Datacenter": cluster,
        "TaggedAddresses": node.tagged,
        "NodeMeta": node.meta,
        "ServiceKind": "",
        "ServiceID": each.id,
        "ServiceName": each.name,
        "ServiceTags": list(each.tags),
        "ServiceAddress": each.address,
        **({"ServiceTaggedAddresses": _addresses(each)} if each.tagged else {}),
        "ServiceWeights": _weights(each),
        "ServiceMeta": each.meta,
        "ServicePort": each.port,
        "ServiceEnableTagOverride": each.override,
        "ServiceProxy": _PROXY,
        "ServiceConnect": {"Native": True} if each.native else {},
        "CreateIndex": each.index,
        "ModifyIndex": each.index,
    }
