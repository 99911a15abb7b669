"""Services defined in files: `[[service]]` tables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gossip.config.sources import Table
from gossip.config.values import MAX_LABELS, MAX_TAGS_BYTES, check_labels, check_name
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ServiceDefinition", "read_services"]

MAX_HOST_BYTES = 255
MAX_TAG_BYTES = 255
_KEYS = ("name", "id", "port", "address", "tags", "meta", "weight")
_LATER = ("check", "checks")


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


def read_services(files: Iterable[Table]) -> tuple[ServiceDefinition, ...]:
    """All services of `files`, in order.

    Raises:
        ConfigError: for an unknown or malformed key, or an id that is defined twice.
    """
    found: dict[str, ServiceDefinition] = {}
    places: dict[str, str] = {}
    for file in files:
        for table in file.tables("service"):
            service = _read_service(table)
            if service.id in found:
                raise ConfigError(
                    f"{table.place()}: service: id {service.id!r} is defined twice:"
                    f" give it another than that at {places[service.id]}"
                )
            found[service.id] = service
            places[service.id] = table.place()
    return tuple(found.values())


def _read_service(table: Table) -> ServiceDefinition:
    for key in table.content:
        place = table.key_place(key)
        if key in _LATER:
            raise ConfigError(f"{place}: health checks are not in this release: remove it")
        if key not in _KEYS:
            raise ConfigError(f"{place}: unknown: a service has {', '.join(_KEYS)}")
    for key in ("name", "port"):
        if key not in table.content:
            raise ConfigError(f"{table.place()}: service: {key} is missing")
    name = _text(table, "name", "")
    return ServiceDefinition(
        name=name,
        id=_text(table, "id", name),
        port=_number(table, "port", 0),
        address=_text(table, "address", "", MAX_HOST_BYTES),
        tags=_tags(table),
        meta=_meta(table),
        weight=_number(table, "weight", 1),
    )


def _refuse(table: Table, key: str, reason: object) -> ConfigError:
    return ConfigError(f"{table.key_place(key)}: {reason}")


def _text(table: Table, key: str, default: str, limit: int = 64) -> str:
    if key not in table.content:
        return default
    value = table.content[key]
    if not isinstance(value, str):
        raise _refuse(table, key, "it must be text")
    try:
        return check_name(value, limit)
    except ConfigError as error:
        raise _refuse(table, key, error) from error


def _number(table: Table, key: str, default: int) -> int:
    value: Any = table.content.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 65_535:
        raise _refuse(table, key, "it must be a whole number from 0 to 65535")
    return value


def _tags(table: Table) -> tuple[str, ...]:
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


def _meta(table: Table) -> dict[str, str]:
    value: Any = table.content.get("meta", {})
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _refuse(table, "meta", "it must be a table of texts")
    try:
        return check_labels(value)
    except ConfigError as error:
        raise _refuse(table, "meta", error) from error
