"""Sockets before anything that takes long to load: who is started again is soon not refused any more.

From the moment they are bound, datagrams and connections wait in the kernel for the third of a second that
the rest takes to load, and the cluster meets silence for less than a probe's patience instead of a port
that says that nobody is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.errors import TransportError
from gossip.net.bind import bind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.core.types import Address
    from gossip.net.bind import Endpoint

__all__ = ["bind_early"]


def bind_early(addresses: Sequence[Address]) -> list[Endpoint]:
    """Listen there if that is possible now; nothing, if it is not.

    Whoever gets nothing binds again when its turn comes, and says then what is wrong: perhaps a former
    agent is just about to end, and perhaps there is a better reason not to start, as a locked directory.
    """
    try:
        return bind(addresses)
    except TransportError:
        return []
