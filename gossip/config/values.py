"""From text to values: addresses, durations, sizes, labels; each refusal says what would be right.

Every function raises `ConfigError` with a reason only; whoever knows the place puts it before.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "DEFAULT_PORT",
    "MAX_LABELS",
    "MAX_LABEL_CHARS",
    "MAX_NAME_BYTES",
    "MAX_TAGS_BYTES",
    "Address",
    "check_labels",
    "check_name",
    "is_loopback",
    "is_wildcard",
    "parse_address",
    "parse_bool",
    "parse_duration",
    "parse_ip_address",
    "parse_pairs",
    "parse_size",
    "show_address",
    "show_duration",
]

Address: TypeAlias = tuple[str, int]
"""(IP literal or host name, port)."""

DEFAULT_PORT: Final = 7946

# The protocol's own limits (gossip.core.records), told here too: a command that only talks to an
# agent does not import the protocol. A test holds the two together.
MAX_NAME_BYTES: Final = 64
MAX_TAGS_BYTES: Final = 640
MAX_LABELS: Final = 64
MAX_LABEL_CHARS: Final = 512

_HOST_NAME = re.compile(r"(?=.{1,253}\Z)(?!-)[A-Za-z0-9_-]{1,63}(?:\.(?!-)[A-Za-z0-9_-]{1,63})*\.?")
_NUMERIC_NAME = re.compile(r"(?:.*\.)?[0-9]+\.?")
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]*)", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {
    "": 1, "B": 1, "kB": 1000, "KiB": 1 << 10, "MB": 10**6, "MiB": 1 << 20, "GB": 10**9, "GiB": 1 << 30
}  # fmt: skip
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """`HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`; IP literals come back in their usual spelling."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise ConfigError(
                f"{text!r} is no address: write an IPv6 address as [2001:db8::1]:{default_port}"
            )
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = text.partition(":")
        if ":" in port:
            raise ConfigError(
                f"{text!r} is ambiguous: put an IPv6 address in brackets, as in [::1]:{default_port}"
            )
    if not host:
        raise ConfigError(f"{text!r} has no host: write HOST:PORT, such as 127.0.0.1:{default_port}")
    return _parse_host(host, text), _parse_port(port, text) if colon else default_port


def _parse_host(host: str, text: str) -> str:
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    if ":" in host or not _HOST_NAME.fullmatch(host) or _NUMERIC_NAME.fullmatch(host):
        raise ConfigError(f"{text!r}: {host!r} is neither an IP address nor a host name")
    return host


def _parse_port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65_535):
        raise ConfigError(f"{text!r}: {port!r} is no port: give a number from 0 to 65535")
    return int(port)


def parse_ip_address(text: str, default_port: int = DEFAULT_PORT) -> Address:
    """As `parse_address`, for places where names are not resolved; `localhost` is 127.0.0.1."""
    host, port = parse_address(text, default_port)
    if host == "localhost":
        return "127.0.0.1", port
    try:
        ip_address(host)
    except ValueError:
        raise ConfigError(f"{text!r}: {host!r} is a name: give an IP address here") from None
    return host, port


def show_address(address: Address) -> str:
    """`host:port`, with the brackets that an IPv6 literal needs."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether the IP literal `host` reaches this machine only."""
    return ip_address(host).is_loopback


def is_wildcard(host: str) -> bool:
    """Whether `host` is 0.0.0.0 or ::, every address of this machine."""
    return ip_address(host).is_unspecified


def parse_duration(text: str) -> float:
    """Seconds, from such as `500ms`, `2s`, `1.5m`, `1h`."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _SECONDS:
        raise ConfigError(f"{text!r} is no duration: write 500ms, 2s, 1m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def show_duration(seconds: float) -> str:
    """As `parse_duration` reads it, in the largest unit that needs no fraction."""
    for unit in ("h", "m", "s"):
        if seconds % _SECONDS[unit] == 0:
            return f"{seconds / _SECONDS[unit]:g}{unit}"
    return f"{seconds / _SECONDS['ms']:g}ms"


def parse_size(text: str) -> int:
    """Bytes, from such as `1200`, `64KiB`, `1MiB`, `1.5MB`; a part of a byte is dropped."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or match[2] not in _BYTES:
        raise ConfigError(f"{text!r} is no size: write 1200, 64KiB, 1MiB or 1GiB")
    number, unit = match[1], _BYTES[match[2]]
    return int(float(number) * unit) if "." in number else int(number) * unit


def parse_bool(text: str) -> bool:
    """`true` or `false`, and what else people write for them."""
    word = text.strip().lower()
    if word not in _TRUE and word not in _FALSE:
        raise ConfigError(f"{text!r} is neither true nor false")
    return word in _TRUE


def parse_pairs(texts: Iterable[str]) -> dict[str, str]:
    """A table from `KEY=VALUE` texts; a key given twice is refused."""
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is no KEY=VALUE")
        if key in pairs:
            raise ConfigError(f"{key!r} is given twice")
        pairs[key] = value
    return pairs


def check_name(text: str, limit: int = MAX_NAME_BYTES) -> str:
    """`text`, if it can be shown in a line and is not too long."""
    if not text:
        raise ConfigError("it is empty")
    if not text.isprintable() or text != text.strip():
        raise ConfigError(f"{text!r} has characters that do not print, or blanks around it")
    size = len(text.encode())
    if size > limit:
        raise ConfigError(f"{text!r} has {size} bytes: the limit is {limit}")
    return text


def check_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """Tags or meta data within the limits of a record."""
    if len(labels) > MAX_LABELS:
        raise ConfigError(f"{len(labels)} entries: the limit is {MAX_LABELS}")
    total = 0
    for key, value in labels.items():
        check_name(key)
        if not value.isprintable():
            raise ConfigError(f"the value of {key!r} has characters that do not print")
        if len(value) > MAX_LABEL_CHARS:
            raise ConfigError(
                f"the value of {key!r} has {len(value)} characters: the limit is {MAX_LABEL_CHARS}"
            )
        total += len(key.encode()) + len(value.encode())
    if total > MAX_TAGS_BYTES:
        raise ConfigError(f"{total} bytes in all: the limit is {MAX_TAGS_BYTES}")
    return dict(labels)
