"""What Go's `encoding/json` takes for the types of Consul's own client: every slip is its user's error.

A number with a point is no integer there, 256 no uint8, and an object where a string belongs ends the call.
Unknown keys pass, `null` passes for anything: what has to be there is for other tests. Names and types are
those that the API documents.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

__all__ = ["TYPES", "mismatches"]

INT = range(-(2**63), 2**63)
UINT64 = range(2**64)
UINT16 = range(2**16)
UINT8 = range(256)
DURATION = re.compile(r"0|-?(\d+(\.\d*)?(ns|us|µs|ms|s|m|h))+")
BYTES = "bytes"
ANY = "anything"

ADDRESS = {"Address": str, "Port": INT}
WEIGHTS = {"Passing": INT, "Warning": INT}
TEXTS = {"*": str}
PROXY = {
    "DestinationServiceName": str,
    "DestinationServiceID": str,
    "LocalServiceAddress": str,
    "LocalServicePort": INT,
    "Config": {"*": ANY},
    "Upstreams": [ANY],
    "MeshGateway": {"Mode": str},
    "Expose": {"Checks": bool, "Paths": [ANY]},
}
CONNECT = {"Native": bool, "SidecarService": {}}
INDEXES = {"CreateIndex": UINT64, "ModifyIndex": UINT64}
NODE = {
    **dict.fromkeys(("ID", "Node", "Address", "Datacenter"), str),
    "TaggedAddresses": TEXTS,
    "Meta": TEXTS,
    **INDEXES,
}
SERVICE = {
    **dict.fromkeys(("Kind", "ID", "Service", "Address", "ContentHash", "Datacenter", "Namespace"), str),
    "Tags": [str],
    "Meta": TEXTS,
    "Port": INT,
    "TaggedAddresses": {"*": ADDRESS},
    "Weights": WEIGHTS,
    "EnableTagOverride": bool,
    "Proxy": PROXY,
    "Connect": CONNECT,
    **INDEXES,
}
DEFINITION = {
    **dict.fromkeys(("HTTP", "Method", "Body", "TLSServerName", "TCP", "UDP", "GRPC", "H2PING"), str),
    **dict.fromkeys(("TLSSkipVerify", "GRPCUseTLS", "TCPUseTLS", "H2PingUseTLS"), bool),
    "Header": {"*": [str]},
    "Interval": DURATION,
    "Timeout": DURATION,
    "DeregisterCriticalServiceAfter": DURATION,
}
CHECK = {
    **dict.fromkeys(("Node", "CheckID", "Name", "Status", "Notes", "Output", "Type"), str),
    **dict.fromkeys(("ServiceID", "ServiceName", "Namespace", "Interval", "Timeout"), str),
    "ServiceTags": [str],
    "Definition": DEFINITION,
    "ExposedPort": INT,
    **INDEXES,
}
MEMBER = {
    "Name": str,
    "Addr": str,
    "Port": UINT16,
    "Tags": TEXTS,
    "Status": INT,
    **{f"{kind}{which}": UINT8 for kind in ("Protocol", "Delegate") for which in ("Min", "Max", "Cur")},
}
CATALOG_SERVICE = {
    **dict.fromkeys(("ID", "Node", "Address", "Datacenter", "ServiceKind", "ServiceID"), str),
    **dict.fromkeys(("ServiceName", "ServiceAddress", "Namespace"), str),
    "TaggedAddresses": TEXTS,
    "NodeMeta": TEXTS,
    "ServiceTaggedAddresses": {"*": ADDRESS},
    "ServiceTags": [str],
    "ServiceMeta": TEXTS,
    "ServicePort": INT,
    "ServiceWeights": WEIGHTS,
    "ServiceEnableTagOverride": bool,
    "ServiceProxy": PROXY,
    "ServiceConnect": CONNECT,
    "Checks": [CHECK],
    **INDEXES,
}
COORDINATES = [
    {
        "Node": str,
        "Segment": str,
        "Coord": {"Vec": [float], "Error": float, "Adjustment": float, "Height": float},
    }
]
SAMPLE = {
    "Name": str,
    "Count": INT,
    **dict.fromkeys(("Sum", "Min", "Max", "Mean", "Stddev", "Value"), float),
    "Labels": TEXTS,
}
HEALTH = {"AggregatedStatus": str, "Service": SERVICE, "Checks": [CHECK]}
EVENT = {
    **dict.fromkeys(("ID", "Name", "NodeFilter", "ServiceFilter", "TagFilter"), str),
    "Payload": BYTES,
    "Version": INT,
    "LTime": UINT64,
}

TYPES: dict[str, Any] = {
    "agent/self": {"*": {"*": ANY}},
    "agent/members": [MEMBER],
    "agent/members?wan=1": [MEMBER],
    "agent/services": {"*": SERVICE},
    "agent/service/shop-1": SERVICE,
    "agent/checks": {"*": CHECK},
    "agent/health/service/id/shop-1": HEALTH,
    "agent/health/service/name/shop": [HEALTH],
    "agent/host": {"*": ANY},
    "agent/metrics": {
        "Timestamp": str,
        "Gauges": [SAMPLE],
        "Points": [{"Name": str, "Points": [float]}],
        "Counters": [SAMPLE],
        "Samples": [SAMPLE],
    },
    "catalog/datacenters": [str],
    "catalog/nodes": [NODE],
    "catalog/services": {"*": [str]},
    "catalog/service/shop": [CATALOG_SERVICE],
    "catalog/connect/shop": [CATALOG_SERVICE],
    "catalog/node/one": {"Node": NODE, "Services": {"*": SERVICE}},
    "catalog/node-services/one": {"Node": NODE, "Services": [SERVICE]},
    "catalog/gateway-services/shop": [ANY],
    "health/service/shop": [{"Node": NODE, "Service": SERVICE, "Checks": [CHECK]}],
    "health/connect/shop": [{"Node": NODE, "Service": SERVICE, "Checks": [CHECK]}],
    "health/ingress/shop": [{"Node": NODE, "Service": SERVICE, "Checks": [CHECK]}],
    "health/checks/shop": [CHECK],
    "health/node/one": [CHECK],
    "health/state/any": [CHECK],
    "status/leader": str,
    "status/peers": [str],
    "event/list": [EVENT],
    "coordinate/nodes": COORDINATES,
    "coordinate/datacenters": [{"Datacenter": str, "AreaID": str, "Coordinates": COORDINATES}],
    "session/list": [ANY],
    "query": [ANY],
}
"""What is asked, under /v1/, and into what Go's client decodes the answer.

`str`, `bool` and `float` stand for themselves, a range for an integer of that size, a list for a slice, a
dictionary for a struct (or for a map, if its key is "*"), a pattern for what a string is parsed as.
"""


def mismatches(value: Any, kind: Any, where: str = "") -> list[str]:
    """What Go would refuse, each with its place; nothing if all is well."""
    if value is None or kind is ANY:
        return []
    if isinstance(kind, dict):
        return _struct(value, kind, where)
    if isinstance(kind, list):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        return [
            wrong
            for place, each in enumerate(value)
            for wrong in mismatches(each, kind[0], f"{where}[{place}]")
        ]
    return [] if _fits(value, kind) else [f"{where}: {value!r} does not fit {kind}"]


def _struct(value: Any, kind: dict[str, Any], where: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no object"]
    known = {name.lower(): each for name, each in kind.items()}
    wrong = []
    for name, each in value.items():
        found = kind["*"] if "*" in kind else known.get(name.lower())
        if found is not None:
            wrong += mismatches(each, found, f"{where}.{name}")
    return wrong


def _fits(value: Any, kind: Any) -> bool:
    if isinstance(kind, range):
        return type(value) is int and value in kind
    if kind is float:
        return type(value) in (int, float)
    if isinstance(kind, re.Pattern):
        return isinstance(value, str) and kind.fullmatch(value) is not None
    if kind is BYTES:
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, TypeError):
            return False
        return True
    return type(value) is kind
