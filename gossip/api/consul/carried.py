"""What Consul's services have and ours have no field for, carried in the meta data of the record.

Consul keeps meta keys that begin with `consul-` to itself, and so no user of its API has any. Under such
keys a record carries a warning's weight, tagged addresses, and the node of a service that was registered for
a machine without an agent. So every agent shows the same, and the disk keeps it. Other owners' records
may hold anything there: what cannot be read counts as absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from gossip.core.records import ServiceRecord

__all__ = ["BARE", "PREFIX", "Carried", "Foreign", "key_of", "node_of", "put", "read", "warning_weight"]

PREFIX: Final = "consul-"
WARNING: Final = "consul-warning-weight"
TAGGED: Final = "consul-tagged-addresses"
OVERRIDE: Final = "consul-tag-override"
NATIVE: Final = "consul-native"
NODE: Final = "consul-node"
MAX_WEIGHT: Final = 65_535
BARE: Final = "consul-external-node"
"""The service as which a machine without an agent stands here by itself. Consul's API hides it."""


_WEIGHT = re.compile("[0-9]{1,5}")


class Foreign(NamedTuple):
    """A machine without an agent, whose services another machine's agent holds."""

    name: str
    address: str
    id: str
    meta: dict[str, str]
    tagged: dict[str, str]


class Carried(NamedTuple):
    """What stands under the keys."""

    meta: dict[str, str]
    """The rest: what users have given."""
    warning: int
    tagged: dict[str, tuple[str, int]]
    override: bool
    native: bool
    node: Foreign | None


def put(
    *,
    warning: int = 1,
    tagged: Mapping[str, tuple[str, int]] | None = None,
    override: bool = False,
    native: bool = False,
    node: Foreign | None = None,
) -> dict[str, str]:
    """The entries to add to the meta data."""
    found = {}
    if warning != 1:
        found[WARNING] = str(warning)
    if tagged:
        found[TAGGED] = _pack({name: list(place) for name, place in tagged.items()})
    if override:
        found[OVERRIDE] = "1"
    if native:
        found[NATIVE] = "1"
    if node is not None:
        found[NODE] = _pack([node.name, node.address, node.id, node.meta, node.tagged])
    return found


def read(record: ServiceRecord) -> Carried:
    """What a record carries."""
    meta = record.meta
    if not any(key.startswith(PREFIX) for key in meta):
        return Carried(meta, 1, {}, False, False, None)
    return Carried(
        {key: value for key, value in meta.items() if not key.startswith(PREFIX)},
        warning_weight(meta, 1),
        _tagged(meta.get(TAGGED, "")),
        OVERRIDE in meta,
        NATIVE in meta,
        node_of(meta),
    )


def node_of(meta: Mapping[str, str]) -> Foreign | None:
    """The machine without an agent that a service is on."""
    return _node(meta[NODE]) if NODE in meta else None


def warning_weight(meta: Mapping[str, str], usual: int) -> int:
    """What an instance weighs in warning; `usual` if nothing is said of it."""
    text = meta.get(WARNING, "")
    return int(text) if _WEIGHT.fullmatch(text) and int(text) <= MAX_WEIGHT else usual


def key_of(node: str, service: str) -> str:
    """The id here of a service of a machine without an agent: ids are unique on their own node only."""
    return f"{node}/{service}"


def _pack(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _unpack(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _tagged(text: str) -> dict[str, tuple[str, int]]:
    value = _unpack(text)
    found = {}
    for name, place in value.items() if isinstance(value, dict) else ():
        match place:
            case [str(address), int(port)] if not isinstance(port, bool):
                found[name] = (address, port)
    return found


def _node(text: str) -> Foreign | None:
    match _unpack(text):
        case [str(name), str(address), str(id), dict(meta), dict(tagged)] if name:
            texts = [*meta.values(), *tagged.values()]
            if all(isinstance(each, str) for each in texts):
                return Foreign(name, address, id, meta, tagged)
    return None
