"""What each method of the local socket asks for, and who the kernel says is asking."""

from __future__ import annotations

import errno
import socket
import struct
from typing import Final, NamedTuple

from gossip.config.access import ANYBODY, Allowed, Scope
from gossip.errors import DeniedError

__all__ = ["SCOPES", "Caller", "caller_of"]

SCOPES: Final = {
    "agent.ban": Scope.ADMIN,
    "agent.doctor": Scope.READ,
    "agent.evict": Scope.ADMIN,
    "agent.info": Scope.READ,
    "agent.join": Scope.ADMIN,
    "agent.leave": Scope.ADMIN,
    "agent.reload": Scope.ADMIN,
    "catalog.watch": Scope.READ,
    "checks.list": Scope.READ,
    "checks.update": Scope.WRITE,
    "events.send": Scope.WRITE,
    "events.watch": Scope.READ,
    "keys.add": Scope.ADMIN,
    "keys.list": Scope.READ,
    "keys.remove": Scope.ADMIN,
    "keys.rotate": Scope.ADMIN,
    "keys.use": Scope.ADMIN,
    "logs.watch": Scope.READ,
    "maintenance.set": Scope.WRITE,
    "members.list": Scope.READ,
    "members.watch": Scope.READ,
    "rtt": Scope.READ,
    "services.deregister": Scope.WRITE,
    "services.list": Scope.READ,
    "services.lookup": Scope.READ,
    "services.register": Scope.WRITE,
    "services.watch": Scope.READ,
}
"""Every method; one that is not here asks for ADMIN. Some ask for more than this by what they are given."""

SO_PEERGROUPS: Final = 59
"""Linux's, which Python has no name for: the supplementary groups of who connected, at that moment."""
MAX_GROUPS: Final = 65_536
"""The kernel's own limit."""


class Caller(NamedTuple):
    """Who is at the other end of a connection, and what he may do."""

    user: int
    scope: Scope
    allowed: Allowed = ANYBODY

    def need(self, scope: Scope, what: str) -> None:
        """Refuse what needs more than he has.

        Raises:
            DeniedError: naming the setting that says who may.
        """
        if self.scope < scope:
            setting = self.allowed.setting(scope)
            raise DeniedError(
                f"user {self.user} may not {what}: the setting {setting} says who may, besides root and the"
                " agent's own user"
            )


def caller_of(sock: socket.socket, allowed: Allowed) -> Caller:
    """Who connected, as the kernel noted it then.

    Raises:
        OSError: the connection is gone.
    """
    _, user, group = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    # Numbers above 2^31 are users too.
    user, group = user & 0xFFFF_FFFF, group & 0xFFFF_FFFF
    return Caller(user, allowed.scope_of(user, (group, *_further_groups(sock))), allowed)


def _further_groups(sock: socket.socket) -> tuple[int, ...]:
    size = 64 * 4
    while True:
        try:
            data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, size)
        except OSError as error:
            if error.errno == errno.ERANGE and size < MAX_GROUPS * 4:
                # It says how many there are only where the caller's length can be read back.
                size *= 4
                continue
            if error.errno == errno.ENOPROTOOPT:
                return ()  # a kernel that knows nothing of them: his own group counts alone
            raise
        return struct.unpack(f"{len(data) // 4}I", data)
