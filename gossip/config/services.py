"""Services and checks defined in files: `[[service]]` and `[[check]]` tables, and Consul's JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gossip.config.checks import CheckDefinition, complete_checks, read_check
from gossip.config.consul import Translated, translate_check, translate_service
from gossip.config.sources import Table
from gossip.config.values import MAX_LABELS, MAX_TAGS_BYTES, check_labels, check_name
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["ForeignTable", "ServiceDefinition", "read_json", "read_node_checks", "read_services"]

MAX_HOST_BYTES = 255
MAX_TAG_BYTES = 255
_KEYS = ("name", "id", "port", "address", "tags", "meta", "weight", "check")
_CHECKS = ("check", "checks")


class _Place(Protocol):
    """A table of whatever format, and the words for its places."""

    @property
    def content(self) -> Mapping[str, Any]:
        """Under our own keys."""

    def place(self, key: str = "") -> str:
        """The table's place, or a key's."""

    def key_place(self, key: str) -> str:
        """The place of a key, and the key."""

    def tables(self, name: str) -> Sequence[_Place]:
        """The array of tables of that name."""


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """One instance of a service, to be registered for as long as a file defines it."""

    name: str
    id: str
    """Unique on its node; the name, where the file gives none."""
    port: int
    address: str = ""
    """Empty: reachable at the node's own address."""
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = field(default_factory=dict)
    weight: int = 1
    checks: tuple[CheckDefinition, ...] = ()


@dataclass(frozen=True, slots=True)
class ForeignTable:
    """A table of a JSON file in Consul's format. JSON has no lines to tell: the path inside it says where."""

    path: Path
    trail: str
    translated: Translated

    @property
    def content(self) -> Mapping[str, Any]:
        return self.translated.content

    def place(self, key: str = "") -> str:
        trail = self.trail
        if key:
            trail += f".{self.translated.written.get(key, key)}"
        return f"{self.path}: {trail}"

    def key_place(self, key: str) -> str:
        return self.place(key)

    def tables(self, name: str) -> Sequence[ForeignTable]:
        value = self.content.get(name, [])
        items = [value] if isinstance(value, dict) else value
        if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
            raise ConfigError(f"{self.place(name)}: it must be a list of tables")
        trail = f"{self.trail}.{self.translated.written.get(name, name)}"
        trails = [trail if isinstance(value, dict) else f"{trail}[{index}]" for index in range(len(items))]
        return [
            _foreign(self.path, trail, each, translate_check)
            for trail, each in zip(trails, items, strict=True)
            if each
        ]


def _foreign(
    path: Path,
    trail: str,
    content: Mapping[str, Any],
    translate: Callable[[Mapping[str, Any], Callable[[str], str]], Translated],
) -> ForeignTable:
    return ForeignTable(path, trail, translate(content, lambda key: f"{path}: {trail}.{key}"))


def read_json(path: Path) -> list[ForeignTable]:
    """The services of a JSON file in Consul's format: `{"service": {...}}` or `{"services": [...]}`.

    Raises:
        ConfigError: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path}:{error.lineno}: {error.msg}") from error
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{path}: not UTF-8 text") from error
    if not isinstance(content, dict):
        raise ConfigError(f'{path}: it must be a table with "service" or "services"')
    found = []
    for key, value in content.items():
        if key.lower() == "service" and isinstance(value, dict):
            found.append(_foreign(path, key, value, translate_service))
        elif key.lower() == "services" and isinstance(value, list):
            for index, each in enumerate(value):
                if not isinstance(each, dict):
                    raise ConfigError(f"{path}: {key}[{index}]: it must be a table")
                found.append(_foreign(path, f"{key}[{index}]", each, translate_service))
        elif key.lower() in ("service", "services"):
            raise ConfigError(f'{path}: {key}: write "service": {{...}} or "services": [{{...}}]')
        else:
            raise ConfigError(
                f'{path}: {key}: JSON files in services.d hold "service" or "services" only;'
                " checks of the node are [[check]] tables of the configuration file"
            )
    return found


def read_node_checks(
    files: Iterable[Table], services: Iterable[ServiceDefinition] = ()
) -> tuple[CheckDefinition, ...]:
    """The checks of the node itself: `[[check]]` tables of configuration files.

    Raises:
        ConfigError: for an unknown or malformed key, a name that is given twice, or an id that a check of
            one of `services` has.
    """
    tables = [table for file in files for table in file.tables("check")]
    found = [read_check(table.content, _places(table)) for table in tables]
    places = [f"{table.place()}: check" for table in tables]
    checks = complete_checks(found, "", places)
    taken = {check.id: service.id for service in services for check in service.checks}
    for check, place in zip(checks, places, strict=True):
        if check.id in taken:
            raise ConfigError(
                f"{place}: the id {check.id!r} is that of a check of service {taken[check.id]!r}:"
                " give it another"
            )
    return checks


def read_services(
    files: Iterable[Table], foreign: Iterable[ForeignTable] = ()
) -> tuple[ServiceDefinition, ...]:
    """All services of `files`, in order, then those of JSON files.

    Raises:
        ConfigError: for an unknown or malformed key, or an id of a service or check that is given twice.
    """
    found: dict[str, ServiceDefinition] = {}
    places: dict[str, str] = {}
    check_ids: dict[str, str] = {}
    tables: list[_Place] = [table for file in files for table in file.tables("service")]
    for table in [*tables, *foreign]:
        service = _read_service(table)
        if service.id in found:
            raise ConfigError(
                f"{table.place()}: service: id {service.id!r} is defined twice:"
                f" give it another than that at {places[service.id]}"
            )
        found[service.id] = service
        places[service.id] = table.place()
        for check in service.checks:
            if check.id in check_ids:
                raise ConfigError(
                    f"{table.place()}: service: the id {check.id!r} of a check is given twice:"
                    f" give it another than that at {check_ids[check.id]}"
                )
            check_ids[check.id] = table.place()
    return tuple(found.values())


def _read_service(table: _Place) -> ServiceDefinition:
    for key in table.content:
        if key not in _KEYS and key not in _CHECKS:
            raise ConfigError(f"{table.key_place(key)}: unknown: a service has {', '.join(_KEYS)}")
    for key in ("name", "port"):
        if key not in table.content:
            raise ConfigError(f"{table.place()}: service: {key} is missing")
    name = _text(table, "name", "")
    id = _text(table, "id", name)
    return ServiceDefinition(
        name=name,
        id=id,
        port=_number(table, "port", 0),
        address=_text(table, "address", "", MAX_HOST_BYTES),
        tags=_tags(table),
        meta=_meta(table),
        weight=_number(table, "weight", 1),
        checks=_checks(table, id),
    )


def _checks(table: _Place, service: str) -> tuple[CheckDefinition, ...]:
    tables = [check for key in _CHECKS for check in table.tables(key)]
    found = [read_check(check.content, _places(check)) for check in tables]
    return complete_checks(found, service, [f"{check.place()}: check" for check in tables])


def _places(table: _Place) -> Callable[[str], str]:
    return lambda key: table.key_place(key) if key else table.place()


def _refuse(table: _Place, key: str, reason: object) -> ConfigError:
    return ConfigError(f"{table.key_place(key)}: {reason}")


def _text(table: _Place, key: str, default: str, limit: int = 64) -> str:
    if key not in table.content:
        return default
    value = table.content[key]
    if not isinstance(value, str):
        raise _refuse(table, key, "it must be text")
    try:
        return check_name(value, limit)
    except ConfigError as error:
        raise _refuse(table, key, error) from error


def _number(table: _Place, key: str, default: int) -> int:
    value: Any = table.content.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65_535:
        raise _refuse(table, key, "it must be a whole number from 0 to 65535")
    return value


def _tags(table: _Place) -> tuple[str, ...]:
    value: Any = table.content.get("tags", [])
    if not isinstance(value, list) or not all(isinstance(tag, str) for tag in value):
        raise _refuse(table, "tags", "it must be a list of texts")
    try:
        tags = tuple(check_name(tag, MAX_TAG_BYTES) for tag in value)
    except ConfigError as error:
        raise _refuse(table, "tags", error) from error
    size = sum(len(tag.encode()) for tag in tags)
    if len(tags) > MAX_LABELS or size > MAX_TAGS_BYTES:
        limits = f"the limits are {MAX_LABELS} and {MAX_TAGS_BYTES}"
        raise _refuse(table, "tags", f"{len(tags)} tags of {size} bytes in all: {limits}")
    return tags


def _meta(table: _Place) -> dict[str, str]:
    value: Any = table.content.get("meta", {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _refuse(table, "meta", "it must be a table of texts")
    try:
        return check_labels(value)
    except ConfigError as error:
        raise _refuse(table, "meta", error) from error
