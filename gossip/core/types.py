"""Ids, addresses and statuses: the words every other module is written in."""

from __future__ import annotations

import enum
import functools
import ipaddress
from typing import TypeAlias

__all__ = [
    "HEAD_BYTES",
    "ID_BYTES",
    "MAX_VERSION",
    "Address",
    "Kind",
    "NodeId",
    "Outcome",
    "Phase",
    "Reach",
    "Status",
    "StreamId",
    "Verdict",
    "is_loopback",
    "show_address",
    "site",
]

NodeId: TypeAlias = bytes
"""A node's identity: the first 16 bytes of a hash of its public key (see `wire.identity`)."""

Address: TypeAlias = tuple[str, int]
"""(IP literal, port). Never a host name: names are resolved by the shell before core sees them."""

StreamId: TypeAlias = int
"""A stream's number, given out by core, unique for the life of the process."""

ID_BYTES = 16
SITE_BYTES = 8
HEAD_BYTES = 8
"""Length of the hashes of a view: record hashes, place hashes, fingerprints."""

MAX_VERSION = 2**53 - 1
"""Incarnations and versions stay exact in JSON and in a float; a larger one is malformed."""


class Status(enum.IntEnum):
    """What one node holds of another. The order is that of increasing finality."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3

    @property
    def label(self) -> str:
        """The word that people and JSON see."""
        return self.name.lower()


class Phase(enum.IntEnum):
    """What a member says of its own life in its record."""

    RUNNING = 0
    LEAVING = 1
    RESTARTING = 2


class Kind(enum.IntEnum):
    """What an accusation is founded on."""

    SILENT = 0
    REFUSED = 1
    NOT_ME = 2
    GAVE_UP = 3


class Verdict(enum.IntEnum):
    """What a health check found, from good to bad."""

    PASSING = 0
    WARNING = 1
    CRITICAL = 2

    @property
    def label(self) -> str:
        """The word that people and JSON see."""
        return self.name.lower()


class Outcome(enum.IntEnum):
    """What a helper met when it probed for somebody else."""

    ACKED = 0
    SILENT = 1
    REFUSED = 2
    NOT_ME = 3


class Reach(enum.IntEnum):
    """What came of trying one way to a node: a small datagram, one of full size, or a stream.

    A datagram is answered, refused, or met with silence. A stream can be opened and fail all the same.
    """

    ACKED = 0
    SILENT = 1
    REFUSED = 2
    NOT_ME = 3
    """Somebody else proved to be at home there."""
    UNREACHABLE = 4
    """This machine knows no way there."""
    MUTE = 5
    """The stream was opened, and nothing came."""
    HUNG_UP = 6
    """The stream was opened, and ended without an answer."""
    FOREIGN = 7
    """What came on the stream was nothing that a node of this cluster says."""
    UNTRIED = 8
    """It did not come to that, or this node was not running meanwhile."""

    @property
    def label(self) -> str:
        """The word that people and JSON see."""
        return self.name.lower()


def show_address(address: Address) -> str:
    """`host:port`, with the brackets that an IPv6 literal needs."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an IP literal means the machine itself; False for what is none."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@functools.lru_cache(maxsize=8_192)
def site(host: str) -> str:
    """Whom an IP literal counts for where each has a share: who has one address of a /64 has any of it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else address.packed[:SITE_BYTES].hex()
