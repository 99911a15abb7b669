"""`[[proxy]]` tables: ports of this host behind which a service stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gossip.config.values import (
    MAX_LABELS,
    Address,
    check_name,
    parse_duration,
    parse_ip_address,
    show_address,
    show_duration,
)
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gossip.config.sources import Table

__all__ = ["MAX_PROXIES", "ProxyDefinition", "parse_listen", "read_proxies"]

MAX_PROXIES = 64
SEND_PROXY = ("", "v1", "v2")


@dataclass(frozen=True, slots=True)
class ProxyDefinition:
    """One forwarder."""

    listen: Address
    service: str
    tags: tuple[str, ...] = ()
    near: bool = False
    """Only to the nearest."""
    zone: bool = True
    """Prefer the zone of this node."""
    subset: int = 0
    """Only so many of the instances; 0: all."""
    sticky: bool = False
    """The same client address goes to the same instance."""
    send_proxy: str = ""
    """Version of the PROXY protocol by which instances learn the client's address; empty: none."""
    connect_timeout: float = 1.0
    attempts: int = 3
    """Instances that are tried for a connection."""
    drain: float = 60.0
    """Seconds that connections of a deregistered instance have left; 0: for ever."""
    max_connections: int = 4_096


EXAMPLE_PORT: Final = 8_080
"""In messages: there is no default."""


def parse_listen(text: str) -> Address:
    """`HOST:PORT`, or `PORT` or `:PORT` on 127.0.0.1. Port 0 lets the system choose.

    Raises:
        ConfigError: it is something else.
    """
    bare = text.removeprefix(":")
    if bare.isdecimal():
        text = f"127.0.0.1:{bare}"
    address = parse_ip_address(text, EXAMPLE_PORT)
    if address != parse_ip_address(text, EXAMPLE_PORT + 1):
        raise ConfigError(f"{text!r} has no port: write {show_address(address)}")
    return address


def read_proxies(tables: Iterable[Table]) -> tuple[ProxyDefinition, ...]:
    """The forwarders of all files.

    Raises:
        ConfigError: naming the place and the reason.
    """
    found: list[ProxyDefinition] = []
    for entry in (each for table in tables for each in table.tables("proxy")):
        proxy = _read(entry)
        if any(proxy.listen == other.listen and proxy.listen[1] for other in found):
            raise ConfigError(f"{entry.key_place('listen')}: {show_address(proxy.listen)} is given twice")
        found.append(proxy)
        if len(found) > MAX_PROXIES:
            raise ConfigError(f"{entry.place()}: more than {MAX_PROXIES} proxies")
    return tuple(found)


def _read(entry: Table) -> ProxyDefinition:
    given: dict[str, Any] = {}
    for key, value in entry.content.items():
        if key not in _READERS:
            raise ConfigError(f"{entry.key_place(key)}: unknown; there are {', '.join(_READERS)}")
        try:
            given[key] = _READERS[key](value)
        except ConfigError as error:
            raise ConfigError(f"{entry.key_place(key)}: {error}") from error
    for key in ("listen", "service"):
        if key not in given:
            raise ConfigError(f"{entry.place()}: [[proxy]] needs {key}")
    for also in ("near", "subset"):
        if given.get("sticky") and given.get(also):
            raise ConfigError(f"{entry.key_place(also)}: sticky decides by itself: leave one of them out")
    return ProxyDefinition(**given)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError("it must be text in quotes")
    return value


def _listen(value: object) -> Address:
    return parse_listen(
        str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(value)
    )


def _tags(value: object) -> tuple[str, ...]:
    items = value if isinstance(value, list) else [value]
    if len(items) > MAX_LABELS:
        raise ConfigError(f"{len(items)} tags: the limit is {MAX_LABELS}")
    return tuple(check_name(_text(item), 255) for item in items)


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError("it must be true or false")
    return value


def _number(least: int, most: int) -> Any:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ConfigError(f"it must be a number from {least} to {most}")
        return value

    return parse


def _seconds(least: float, most: float) -> Any:
    def parse(value: object) -> float:
        seconds = parse_duration(_text(value))
        if not least <= seconds <= most:
            raise ConfigError(f"{value!r} is not within {show_duration(least)} to {show_duration(most)}")
        return seconds

    return parse


def _version(value: object) -> str:
    text = _text(value)
    if text not in SEND_PROXY:
        raise ConfigError(f"{text!r} is neither v1 nor v2")
    return text


_READERS: dict[str, Any] = {
    "listen": _listen,
    "service": lambda value: check_name(_text(value)),
    "tags": _tags,
    "near": _switch,
    "zone": _switch,
    "subset": _number(0, 1_000_000),
    "sticky": _switch,
    "send_proxy": _version,
    "connect_timeout": _seconds(0.01, 60.0),
    "attempts": _number(1, 16),
    "drain": _seconds(0.0, 86_400.0),
    "max_connections": _number(1, 100_000),
}
