"""Health check definitions: one validator for tables of TOML, the socket's JSON and Consul's format.

A definition is a mapping with exactly one of the keys that name a kind (`http`, `tcp`, ...) and says
what is looked at; everything else has a default. What does not go with the kind is refused: a
threshold on a TTL check would otherwise be believed to work.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final

from gossip.config.check_values import NODE_ALIAS, READERS, TARGETS, Reader, show_duration
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = [
    "COMMAND",
    "KINDS",
    "MAX_CHECKS",
    "NODE_ALIAS",
    "CheckDefinition",
    "complete_checks",
    "read_check",
    "read_checks",
    "refuse_commands",
    "show_duration",
]

KINDS: Final = ("http", "tcp", "grpc", "command", "ttl", "alias", "container")
COMMAND: Final = "command"
MAX_CHECKS: Final = 16
"""Of one service, or of the node itself: what a status record holds."""

MAX_NAMES_BYTES: Final = 640
"""Of the names of one service's checks in all: a status record has room for them beside a note."""

_SHARED = ("id", "name", "start", "note", "deregister_after")
_RUN = (
    *("interval", "timeout"),
    *("passes_before_passing", "failures_before_warning", "failures_before_critical"),
)
_KEYS: Final = {
    "http": (
        *(*_SHARED, *_RUN),
        *("method", "headers", "body", "expect_status", "expect_body", "tls_skip_verify"),
    ),
    "tcp": (*_SHARED, *_RUN),
    "grpc": (*_SHARED, *_RUN, "tls", "tls_skip_verify"),
    "command": (*_SHARED, *_RUN),
    "ttl": _SHARED,
    "alias": _SHARED,
    "container": (*_SHARED, *_RUN),
}
_ALL_KEYS: Final = tuple(dict.fromkeys([*KINDS, *(key for keys in _KEYS.values() for key in keys)]))


@dataclass(frozen=True, slots=True)
class CheckDefinition:
    """What is looked at, how often, and what becomes of it. Times are seconds.

    What may hold a secret (URL, command, headers, body) is not in its `repr`.
    """

    kind: str
    """One of `KINDS`."""
    target: str = field(repr=False)
    """The URL, `host:port` (grpc: with `/service`), alias, container or shell text; else empty."""
    id: str = ""
    """Unique on this node; `complete_checks` fills it in."""
    name: str = ""
    """What others see; unique in its service."""
    argv: tuple[str, ...] = field(default=(), repr=False)
    """A command as a list; empty if it is shell text."""
    interval: float = 10.0
    """From the beginning of a run to the beginning of the next; runs of one check never overlap."""
    timeout: float = 2.0
    ttl: float = 0.0
    passes_before_passing: int = 1
    failures_before_warning: int = 0
    """0: there is no warning on the way to critical."""
    failures_before_critical: int = 1
    deregister_after: float | None = None
    """After this long without leaving critical, the service is deregistered. None: never."""
    start: str = "critical"
    """What it counts as before its first result."""
    note: str = ""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: str = field(default="", repr=False)
    expect_status: tuple[tuple[int, int], ...] = ((200, 299),)
    """Ranges, both ends included."""
    expect_body: str = ""
    """Text that the first 64 KiB of the answer must contain."""
    tls_skip_verify: bool = False
    tls: bool = False

    @property
    def runs(self) -> bool:
        """Whether this node runs it at intervals; a TTL check is fed, an alias follows."""
        return self.kind not in ("ttl", "alias")

    def mapping(self) -> dict[str, Any]:
        """What `read_check` makes this definition of again."""
        found: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in ("kind", "target", "argv", "ttl") or value == _DEFAULTS[each.name]:
                continue
            if each.name in ("interval", "timeout", "deregister_after"):
                value = show_duration(value)
            elif each.name == "expect_status":
                value = ",".join(f"{low}-{high}" for low, high in value)
            found[each.name] = value
        target: object = list(self.argv) if self.argv else self.target
        found[self.kind] = show_duration(self.ttl) if self.kind == "ttl" else target
        return found


_DEFAULTS: Final = {
    each.name: getattr(CheckDefinition("", ""), each.name) for each in fields(CheckDefinition)
}


def read_checks(
    checks: object, service: str, place: Callable[[str], str] = "checks{}".format
) -> tuple[CheckDefinition, ...]:
    """The checks of a service as JSON has them: a list of mappings.

    Args:
        checks: what came in; anything.
        service: the service's id, or empty for the node's own checks.
        place: makes the words that name a place of what stands after the list's own name, as `[0].interval`.

    Raises:
        ConfigError: naming the place and what would be right.
    """
    if not isinstance(checks, list | tuple) or not all(isinstance(each, dict) for each in checks):
        raise ConfigError(f"{place('')}: it must be a list of tables, one for each check")
    definitions = []
    places = []
    for index, each in enumerate(checks):

        def at(key: str, index: int = index) -> str:
            return place(f"[{index}].{key}" if key else f"[{index}]")

        definitions.append(read_check(each, at))
        places.append(at(""))
    return complete_checks(definitions, service, places)


def complete_checks(
    definitions: Sequence[CheckDefinition], service: str, places: Sequence[str]
) -> tuple[CheckDefinition, ...]:
    """The checks of one service (or, if empty, of the node) with ids and names that are unique in it.

    The default id is `service:ID`, with a number if there are several; the default name is the kind.

    Raises:
        ConfigError: there are too many, or an id or name is given twice.
    """
    if len(definitions) > MAX_CHECKS:
        raise ConfigError(
            f"{places[MAX_CHECKS]}: {len(definitions)} checks of one service: the limit is {MAX_CHECKS}"
        )
    stem = f"service:{service}" if service else "node"
    taken_ids = {each.id for each in definitions if each.id}
    taken_names = {each.name for each in definitions if each.name}
    found: list[CheckDefinition] = []
    for number, (each, place) in enumerate(zip(definitions, places, strict=True), 1):
        for word in ("id", "name"):
            value = getattr(each, word)
            if value and value in (getattr(other, word) for other in found):
                raise ConfigError(f"{place}: {word} {value!r} is given to another check: choose another")
        default = stem if len(definitions) == 1 else f"{stem}:{number}"
        id = each.id or _free(default, taken_ids)
        name = each.name or _free(each.kind, taken_names)
        taken_ids.add(id)
        taken_names.add(name)
        if not service and each.deregister_after is not None:
            raise ConfigError(f"{place}: deregister_after is for checks of services: remove it")
        found.append(replace(each, id=id, name=name))
    size = sum(len(each.name.encode()) for each in found)
    if size > MAX_NAMES_BYTES:
        raise ConfigError(
            f"{places[0]}: the names of the checks have {size} bytes in all: the limit is {MAX_NAMES_BYTES}"
        )
    return tuple(found)


def _free(stem: str, taken: set[str]) -> str:
    candidate, number = stem, 1
    while candidate in taken:
        number += 1
        candidate = f"{stem}-{number}"
    return candidate


def read_check(table: Mapping[str, Any], place: Callable[[str], str]) -> CheckDefinition:
    """One definition.

    Args:
        table: as it was read.
        place: the words that name the place of a key; of an empty one, of the check.

    Raises:
        ConfigError: naming the place and what would be right.
    """
    kinds = [key for key in table if key in KINDS]
    if len(kinds) != 1:
        have = f"it has {' and '.join(kinds)}" if kinds else "it has none"
        unknown = [key for key in table if key not in _ALL_KEYS]
        if unknown and not kinds:
            raise _unknown(place, unknown[0])
        raise ConfigError(f"{place('')}: a check has exactly one of {', '.join(KINDS)}: {have}")
    kind = kinds[0]
    for key in table:
        if key == kind or key in _KEYS[kind]:
            continue
        if key not in _ALL_KEYS:
            raise _unknown(place, key)
        raise ConfigError(f"{place(key)}: it does not go with a {kind} check: remove it")
    reader = Reader(table, place)
    values: dict[str, Any] = TARGETS[kind](reader)
    values |= {key: READERS[key](reader, key) for key in table if key != kind}
    values.setdefault("target", "")
    definition = CheckDefinition(kind=kind, **values)
    if definition.failures_before_warning > definition.failures_before_critical:
        raise ConfigError(
            f"{place('failures_before_warning')}: {definition.failures_before_warning} is more than"
            f" failures_before_critical, {definition.failures_before_critical}: it would never count"
        )
    return definition


def _unknown(place: Callable[[str], str], key: str) -> ConfigError:
    near = difflib.get_close_matches(key, _ALL_KEYS, 1)
    hint = f"did you mean {near[0]}?" if near else f"a check has {', '.join(_ALL_KEYS)}"
    return ConfigError(f"{place(key)}: unknown: {hint}")


def refuse_commands(checks: Iterable[CheckDefinition]) -> str | None:
    """What to say to command checks where they are switched off, or None if there are none."""
    for each in checks:
        if each.kind == COMMAND:
            advice = "command_checks is off: set that to local, or remove it"
            return f"check {each.name!r} is a command, and {advice}"
    return None
