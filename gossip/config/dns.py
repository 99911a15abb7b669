"""What the DNS face can be told."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gossip.config.values import Address, parse_duration, parse_ip_address, parse_size, show_duration
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "DEV_DNS",
    "DNS_DOMAINS",
    "DNS_PORT",
    "DNS_RATE",
    "DNS_UDP_SIZE",
    "parse_dns",
    "parse_domains",
    "parse_recursors",
    "parse_ttl",
    "parse_udp_size",
]

DNS_PORT: Final = 8600
DEV_DNS: Final[Address] = ("127.0.0.1", DNS_PORT)
"""Where an agent under `dev` serves DNS unless told otherwise; if that is taken, at any free port."""
DNS_DOMAINS: Final = ("consul", "gossip")
"""Both mean the same; the first is what Consul's clients expect the name of an address to be in."""
DNS_UDP_SIZE: Final = 1_232
"""Bytes of an answer over UDP to another host: what no network fragments, and no flood is made of."""
DNS_RATE: Final = 200
"""Answers a second over UDP to one source: two megabits, if all are as long as they may be."""
LEAST_UDP_SIZE, MOST_UDP_SIZE = 512, 65_467
MAX_DOMAINS: Final = 8
MAX_RECURSORS: Final = 4
"""Each that is silent costs a client two seconds."""
MAX_TTL_SECONDS: Final = 7 * 86_400

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


def parse_dns(text: str) -> Address | None:
    """Where to serve; None: nowhere."""
    if text.lower() in ("off", "none"):
        return None
    host, port = parse_ip_address(text, DNS_PORT)
    if ip_address(host).is_multicast:
        raise ConfigError(f"{host} is a multicast address")
    return host, port


def parse_domains(texts: Sequence[str]) -> tuple[str, ...]:
    """Domains in lower case, without the dot at their end."""
    domains = [text.lower().removesuffix(".") for text in texts]
    for text, domain in zip(texts, domains, strict=True):
        if not domain or not all(map(_LABEL.fullmatch, domain.split("."))) or len(domain) > 128:
            raise ConfigError(f"{text!r} is no domain: write it as gossip or sd.example.com")
        if domain.endswith("arpa"):
            raise ConfigError(f"{text!r} is where addresses are looked up: choose another domain")
    if len(domains) > MAX_DOMAINS:
        raise ConfigError(f"{len(domains)} domains: the limit is {MAX_DOMAINS}")
    return tuple(dict.fromkeys(domains))


def parse_recursors(texts: Sequence[str]) -> tuple[Address, ...]:
    """Addresses of other DNS servers."""
    servers = [parse_ip_address(text, 53) for text in texts]
    for text, (host, port) in zip(texts, servers, strict=True):
        if port == 0 or ip_address(host).is_unspecified or ip_address(host).is_multicast:
            raise ConfigError(f"{text!r} is no place to ask")
    if len(servers) > MAX_RECURSORS:
        raise ConfigError(f"{len(servers)} recursors: the limit is {MAX_RECURSORS}")
    return tuple(dict.fromkeys(servers))


def parse_ttl(text: str) -> float:
    """Seconds, whole ones: DNS has no others."""
    seconds = parse_duration(text)
    if seconds % 1 or seconds > MAX_TTL_SECONDS:
        raise ConfigError(f"{text!r} is not a whole number of seconds up to {show_duration(MAX_TTL_SECONDS)}")
    return seconds


def parse_udp_size(text: str) -> int:
    """Bytes of one answer."""
    size = parse_size(text)
    if not LEAST_UDP_SIZE <= size <= MOST_UDP_SIZE:
        raise ConfigError(f"{text!r} is not within {LEAST_UDP_SIZE} to {MOST_UDP_SIZE} bytes")
    return size
