"""One setting's value: from what a file, the environment or a flag has, to what the agent goes by.

Every function raises `ConfigError` with a reason only; whoever knows the place puts it before.
"""

from __future__ import annotations

import os
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossip.armour import AUTHORITY, INVITE, unwrap
from gossip.config.keyfile import read_key_file
from gossip.config.raw import text as text_of
from gossip.config.raw import texts as texts_of
from gossip.config.values import (
    Address,
    check_labels,
    check_name,
    parse_address,
    parse_duration,
    parse_ip_address,
    parse_pairs,
    show_address,
    show_duration,
)
from gossip.errors import ConfigError, CryptoError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "MAX_SOCKET_BYTES",
    "advertise",
    "authority",
    "bind",
    "check_socket",
    "choice",
    "data_dir",
    "duration",
    "invite",
    "join",
    "key_file",
    "name",
    "socket",
    "tags",
]

MAX_SOCKET_BYTES: Final = 107
"""What the kernel has room for in the address of a unix socket."""

BROADCAST: Final = "255.255.255.255"


def duration(least: float, most: float) -> Callable[[object], float | None]:
    """A duration within bounds, in seconds."""

    def parse(value: object) -> float | None:
        seconds = parse_duration(text_of(value))
        if not least <= seconds <= most:
            raise ConfigError(f"{value!r} is not within {show_duration(least)} to {show_duration(most)}")
        return seconds

    return parse


def choice(words: Sequence[str]) -> Callable[[object], str]:
    """One of these words."""

    def parse(value: object) -> str:
        text = text_of(value).lower()
        if text not in words:
            raise ConfigError(f"{text!r} is not one of {', '.join(words)}")
        return text

    return parse


def name(value: object) -> str:
    """A name."""
    return check_name(text_of(value))


def bind(value: object) -> tuple[Address, ...]:
    """Addresses to listen at."""
    addresses = [parse_ip_address(text) for text in texts_of(value)]
    for position, (host, port) in enumerate(addresses):
        if ip_address(host).is_multicast:
            raise ConfigError(f"{host} is a multicast address")
        if port and (host, port) in addresses[:position]:
            raise ConfigError(f"{show_address((host, port))} is given twice")
    return tuple(addresses)


def advertise(value: object) -> Address:
    """The address at which others reach this node; port 0: the one that is bound."""
    host, port = parse_ip_address(text_of(value), 0)
    address = ip_address(host)
    if address.is_unspecified or address.is_multicast or host == BROADCAST:
        raise ConfigError(
            f"{host} cannot be advertised: give the one address at which others reach this node"
        )
    return host, port


def join(value: object) -> tuple[str, ...]:
    """Seeds."""
    seeds = texts_of(value)
    for seed in seeds:
        host, port = parse_address(seed)
        if port == 0:
            raise ConfigError(f"{seed!r}: port 0 is no place to join: give the port that {host} listens at")
    return tuple(dict.fromkeys(seeds))


def tags(value: object) -> dict[str, str]:
    """Tags, as a table or as pairs."""
    if isinstance(value, dict):
        if not all(isinstance(text, str) for text in value.values()):
            raise ConfigError("it must be a table of texts in quotes")
        return check_labels(value)
    return check_labels(parse_pairs(texts_of(value)))


def authority(value: object) -> bytes:
    """An authority's public key."""
    try:
        return unwrap(AUTHORITY, text_of(value))
    except CryptoError as error:
        raise ConfigError(f"{error} (gossip ca init prints it)") from None


def invite(value: object) -> str:
    """An invitation, or that in a file: so it need not stand where others read it."""
    text = text_of(value).strip()
    if not text.startswith(INVITE):
        try:
            text = Path(text).read_text()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no path"
            raise ConfigError(f"neither an invitation ({INVITE}...) nor a file with one: {why}") from None
    try:
        unwrap(INVITE, text)
    except CryptoError as error:
        raise ConfigError(str(error)) from None
    return text.strip()


def data_dir(value: object) -> str:
    """A path, or what stands for none."""
    text = text_of(value)
    if "\0" in text:
        raise ConfigError(f"{text!r} is no path")
    return text


def key_file(value: object) -> Path:
    """A file with a key that can be read."""
    path = Path(data_dir(value))
    read_key_file(path)
    return path


def socket(value: object) -> Path:
    """The path of a unix socket."""
    text = text_of(value)
    if not text:
        raise ConfigError("it is empty")
    return check_socket(Path(text))


def check_socket(path: Path) -> Path:
    """Raises ConfigError if the kernel takes no such path for a socket."""
    size = len(os.fsencode(path))
    if size > MAX_SOCKET_BYTES:
        raise ConfigError(
            f"{path} has {size} bytes, and the path of a unix socket has {MAX_SOCKET_BYTES} at most:"
            " give a shorter --socket"
        )
    if "\0" in str(path):
        raise ConfigError(f"{str(path)!r} is no path")
    return path
