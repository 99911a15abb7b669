"""What a name asks for: read from the right, from the domain to the service.

    [TAG.]SERVICE.service[.DC].DOMAIN        _SERVICE._tcp[.service][.DC].DOMAIN, or _TAG instead of _tcp
    NODE.node[.DC].DOMAIN                    HEX.addr[.DC].DOMAIN

DC is the cluster's name, `CLUSTER` or `CLUSTER.dc`. Names that lie on the way to such names are there too,
but empty (RFC 8020): a resolver that asks label by label must not be told that nothing is below them.
"""

from __future__ import annotations

import enum
import ipaddress
from typing import Final, NamedTuple

from gossip.api.dns.message import labels_of

__all__ = ["Asked", "Kind", "Names"]

Labels = tuple[bytes, ...]

_UNIQUE: Final = (b"_tcp",)
"""What stands where a tag may, and is none."""
_REVERSE: Final[dict[Labels, tuple[int, int]]] = {(b"in-addr", b"arpa"): (4, 10), (b"ip6", b"arpa"): (32, 16)}
"""How many labels an address has under each, and the base of their numbers."""


class Kind(enum.Enum):
    """Kinds of names."""

    SERVICE = enum.auto()
    NODE = enum.auto()
    ADDRESS = enum.auto()
    REVERSE = enum.auto()
    APEX = enum.auto()
    EMPTY = enum.auto()
    """Nothing has this name; there are names below it."""
    UNKNOWN = enum.auto()
    """In a domain of ours, and nothing could have this name."""
    FOREIGN = enum.auto()
    """In none of our domains."""


class Asked(NamedTuple):
    """What a name asks for."""

    kind: Kind
    domain: Labels = ()
    """The domain of ours that it is in."""
    name: str = ""
    """The service, node or address (as text), in lower case."""
    tag: str = ""


class Names:
    """The names of one cluster.

    Args:
        domains: each as text, such as `consul`.
        cluster: what may stand for a data center.
    """

    def __init__(self, domains: tuple[str, ...], cluster: str) -> None:
        self.domains = tuple(labels_of(domain.lower()) for domain in domains)
        self._longest_first = sorted(self.domains, key=len, reverse=True)
        center = labels_of(cluster.lower())
        self._centers = (center, (*center, b"dc"))

    def read(self, labels: Labels) -> Asked:
        """What this name, in lower case, asks for."""
        for domain in self._longest_first:
            if labels[-len(domain) :] == domain:
                return self._inside(labels[: -len(domain)], domain)
        return _reverse(labels)

    def _inside(self, labels: Labels, domain: Labels) -> Asked:
        if not labels:
            return Asked(Kind.APEX, domain)
        for center in ((), *self._centers):
            if center and labels[-len(center) :] != center:
                continue
            rest = labels[: len(labels) - len(center)]
            if center and not rest:
                return Asked(Kind.EMPTY, domain)
            if rest and (rest[-1] in _WORDS or rest[-1].startswith(b"_")):
                return _thing(rest, domain)
        if labels == (b"dc",) or any(
            len(labels) < len(center) and center[-len(labels) :] == labels for center in self._centers
        ):
            return Asked(Kind.EMPTY, domain)
        return Asked(Kind.UNKNOWN, domain)


def _thing(labels: Labels, domain: Labels) -> Asked:
    """`labels` end in a word, or in the second part of an RFC 2782 name."""
    word = labels[-1]
    parts = labels[:-1] if word in _WORDS else labels
    if not parts:
        return Asked(Kind.EMPTY, domain)
    try:
        texts = [part.decode().lower() for part in parts]
    except UnicodeDecodeError:
        return Asked(Kind.UNKNOWN, domain)
    if word == b"node":
        return Asked(Kind.NODE, domain, ".".join(texts))
    if word == b"addr":
        return _address(texts, domain)
    return _service(texts, domain)


def _service(texts: list[str], domain: Labels) -> Asked:
    last = texts[-1]
    if last.startswith("_") and len(texts) == 1:
        return Asked(Kind.EMPTY, domain)
    if last.startswith("_") and len(texts) == 2 and texts[0].startswith("_"):
        tag = "" if last.encode() in _UNIQUE else last[1:]
        return Asked(Kind.SERVICE, domain, texts[0][1:], tag)
    return Asked(Kind.SERVICE, domain, last, ".".join(texts[:-1]))


def _address(texts: list[str], domain: Labels) -> Asked:
    """8 or 32 hexadecimal digits."""
    digits = texts[0]
    try:
        packed = bytes.fromhex(digits) if digits.isalnum() else b""
        if len(texts) == 1 and len(digits) in (8, 32):
            return Asked(Kind.ADDRESS, domain, str(ipaddress.ip_address(packed)))
    except ValueError:
        pass
    return Asked(Kind.UNKNOWN, domain)


def _reverse(labels: Labels) -> Asked:
    """The address that a name under in-addr.arpa or ip6.arpa stands for."""
    count, base = _REVERSE.get(labels[-2:], (0, 0))
    if count and len(labels) == count + 2:
        digits = [label.decode("ascii", "replace") for label in labels[-3::-1]]
        text = ".".join(digits)
        if base == 16:
            text = ":".join("".join(digits[at : at + 4]) for at in range(0, 32, 4))
        try:
            return Asked(Kind.REVERSE, name=str(ipaddress.ip_address(text)))
        except ValueError:
            pass
    return Asked(Kind.FOREIGN)


_WORDS: Final = frozenset((b"service", b"node", b"addr"))
