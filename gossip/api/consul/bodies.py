"""Request bodies, read as Go reads JSON into a struct: by field, in any case of letters, with its words.

What comes out has one spelling: the keys of the tables below. A key that is in none of them is an error, so
that a typing error is not lost; what has no meaning here is read and held against its type all the same.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from gossip.api.consul.words import Refusal, parse_duration

__all__ = ["CATALOG_DEREGISTRATION", "CATALOG_REGISTRATION", "CHECK", "KEY", "SERVICE", "UPDATE", "decode"]

STRING, INT, BOOL, DURATION = "string", "int", "bool", "duration"
OUTPUT: Final = "string of a program's"
"""As Go reads every string: what is no Unicode in it is replaced. Elsewhere that is an error."""
STRINGS, TEXTS, HEADER, ANY = "[]string", "map[string]string", "map[string][]string", "any"
MAX_NANOSECONDS: Final = 2**63

Kind: TypeAlias = "str | Object | List | Named"
Fields: TypeAlias = Mapping[str, tuple[str, Kind]]
"""By the name without underscores, in lower case: the key that comes out (and Go's name), and its kind."""


class Object:
    """A struct."""

    def __init__(self, go: str, fields: Fields) -> None:
        self.go = go
        self.fields = fields


class List:
    """A list of structs."""

    def __init__(self, item: Object) -> None:
        self.item = item


class Named:
    """A map of texts to structs."""

    def __init__(self, item: Object) -> None:
        self.item = item


def _fields(kinds: Mapping[str, Kind], **also: str) -> dict[str, tuple[str, Kind]]:
    """By Go's names; `also` gives further spellings."""
    found = {name.lower(): (name, kind) for name, kind in kinds.items()}
    found |= {spelling: (name, kinds[name]) for spelling, name in also.items()}
    return found


CHECK: Final = _fields(
    {
        **dict.fromkeys(
            (
                *("CheckID", "Name", "Notes", "Status", "ServiceID", "HTTP", "Method", "Body", "TCP", "UDP"),
                *("GRPC", "H2PING", "DockerContainerID", "Shell", "AliasService", "AliasNode", "OSService"),
                *("TLSServerName", "Token", "Namespace", "Partition", "ProxyHTTP", "ProxyGRPC"),
            ),
            STRING,
        ),
        **dict.fromkeys(("Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter"), DURATION),
        **dict.fromkeys(
            (
                *("OutputMaxSize", "SuccessBeforePassing", "FailuresBeforeWarning", "FailuresBeforeCritical"),
                "ExposedPort",
            ),
            INT,
        ),
        **dict.fromkeys(
            ("TLSSkipVerify", "TCPUseTLS", "GRPCUseTLS", "H2PingUseTLS", "DisableRedirects"), BOOL
        ),
        "Args": STRINGS,
        "ScriptArgs": STRINGS,
        "Header": HEADER,
    },
    id="CheckID",
)
_ADDRESS: Final = Object("structs.ServiceAddress", _fields({"Address": STRING, "Port": INT}))
_WEIGHTS: Final = Object("structs.Weights", _fields({"Passing": INT, "Warning": INT}))
_CHECK: Final = Object("structs.CheckType", CHECK)

SERVICE: Final = _fields(
    {
        **dict.fromkeys(
            ("ID", "Name", "Address", "Kind", "Token", "Namespace", "Partition", "SocketPath"), STRING
        ),
        "Tags": STRINGS,
        "Meta": TEXTS,
        "Port": INT,
        "Weights": _WEIGHTS,
        "TaggedAddresses": Named(_ADDRESS),
        "EnableTagOverride": BOOL,
        "Check": _CHECK,
        "Checks": List(_CHECK),
        **dict.fromkeys(("Proxy", "Connect", "Locality", "Ports", "EnterpriseMeta", "PeerName"), ANY),
    }
)
UPDATE: Final = _fields({"Status": STRING, "Output": OUTPUT})
KEY: Final = _fields({"Key": STRING})
_CATALOG_CHECK: Final = Object(
    "structs.HealthCheck",
    _fields(
        {
            **dict.fromkeys(
                (
                    *("Node", "CheckID", "Name", "Status", "Notes", "Output", "ServiceID", "ServiceName"),
                    *("Type", "Namespace", "Partition", "PeerName", "Interval", "Timeout"),
                ),
                STRING,
            ),
            "ServiceTags": STRINGS,
            "Definition": ANY,
            **dict.fromkeys(("ExposedPort", "CreateIndex", "ModifyIndex"), INT),
        }
    ),
)
_CATALOG_SERVICE: Final = Object(
    "structs.NodeService",
    {
        **{key: field for key, field in SERVICE.items() if key not in ("check", "checks", "name")},
        "service": ("Name", STRING),
        **_fields(dict.fromkeys(("CreateIndex", "ModifyIndex"), INT)),
        **_fields({"Datacenter": STRING}),
    },
)
CATALOG_REGISTRATION: Final = _fields(
    {
        **dict.fromkeys(
            ("ID", "Node", "Address", "Datacenter", "Namespace", "Partition", "PeerName"), STRING
        ),
        "TaggedAddresses": TEXTS,
        "NodeMeta": TEXTS,
        "Service": _CATALOG_SERVICE,
        "Check": _CATALOG_CHECK,
        "Checks": List(_CATALOG_CHECK),
        "SkipNodeUpdate": BOOL,
        **dict.fromkeys(("WriteRequest", "Locality", "EnterpriseMeta"), ANY),
    }
)
CATALOG_DEREGISTRATION: Final = _fields(
    {
        **dict.fromkeys(
            ("Node", "ServiceID", "CheckID", "Datacenter", "Namespace", "Partition", "PeerName"), STRING
        ),
        **dict.fromkeys(("WriteRequest", "EnterpriseMeta"), ANY),
    }
)


def decode(body: bytes, fields: Fields) -> dict[str, Any]:
    """The fields that a body gives, null ones left out.

    Raises:
        Refusal: 400, with what Go says.
    """
    if not body.strip():
        raise _failed("EOF")
    try:
        value = json.loads(body)
    except json.JSONDecodeError as error:
        text = error.doc
        if error.pos >= len(text.rstrip()) or (
            text[error.pos] in "\"'" and error.msg.startswith("Unterminated")
        ):
            raise _failed("unexpected EOF") from None
        raise _failed(f"invalid character {text[error.pos]!r} at position {error.pos}") from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise _failed(f"invalid JSON: {error}") from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _failed(f"json: cannot unmarshal {_go_kind(value)} into Go value of type struct")
    return _struct(value, fields)


def _failed(reason: str) -> Refusal:
    return Refusal(400, f"Request decode failed: {reason}")


def _struct(value: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, given in value.items():
        field = fields.get(key.replace("_", "").lower())
        if field is None:
            raise _failed(f'json: unknown field "{key[:64]}"')
        name, kind = field
        if given is not None:
            found[name] = _value(name, kind, given)
    return found


def _value(name: str, kind: Kind, given: Any) -> Any:
    if isinstance(kind, Object):
        if not isinstance(given, dict):
            raise _mismatch(name, given, kind.go)
        return _struct(given, kind.fields)
    if isinstance(kind, List):
        if not isinstance(given, list):
            raise _mismatch(name, given, f"[]*{kind.item.go}")
        return [_value(name, kind.item, each) for each in given if each is not None]
    if isinstance(kind, Named):
        if not isinstance(given, dict):
            raise _mismatch(name, given, f"map[string]{kind.item.go}")
        return {key: _value(name, kind.item, each or {}) for key, each in given.items()}
    return _plain(name, kind, given)


def _plain(name: str, kind: str, given: Any) -> Any:
    if kind == DURATION:
        return _duration(name, given)
    if kind == STRINGS:
        if not isinstance(given, list):
            raise _mismatch(name, given, kind)
        return [_plain(name, STRING, each) for each in given if each is not None]
    if kind in (TEXTS, HEADER):
        if not isinstance(given, dict):
            raise _mismatch(name, given, kind)
        of, empty = (STRING, "") if kind == TEXTS else (STRINGS, [])
        return {key: empty if each is None else _plain(name, of, each) for key, each in given.items()}
    if kind == INT and isinstance(given, float):
        raise _failed(f"json: cannot unmarshal number {given!r} into Go struct field .{name} of type int")
    right = {STRING: str, OUTPUT: str, INT: int, BOOL: bool, ANY: object}[kind]
    if not isinstance(given, right) or (kind == INT and isinstance(given, bool)):
        raise _mismatch(name, given, STRING if kind == OUTPUT else kind)
    if kind == OUTPUT:
        return str(given).encode(errors="replace").decode()
    if isinstance(given, str) and not given.isascii():
        try:
            given.encode()
        except UnicodeEncodeError:
            raise _failed(f"{name} is no Unicode text") from None
    return given


def _duration(name: str, given: Any) -> float:
    """Seconds; a number is of nanoseconds."""
    if isinstance(given, str):
        try:
            return parse_duration(given) if given else 0.0
        except ValueError as error:
            raise _failed(str(error)) from None
    if isinstance(given, int | float) and not isinstance(given, bool) and abs(given) < MAX_NANOSECONDS:
        return given * 1e-9
    raise _mismatch(name, given, "time.Duration")


def _mismatch(name: str, given: Any, go: str) -> Refusal:
    return _failed(f"json: cannot unmarshal {_go_kind(given)} into Go struct field .{name} of type {go}")


def _go_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    for kind, word in ((str, "string"), (int, "number"), (float, "number"), (list, "array")):
        if isinstance(value, kind):
            return word
    return "object"
