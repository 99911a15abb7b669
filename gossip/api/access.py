"""What each method of the local socket asks for, and who the kernel says is asking."""

from __future__ import annotations

import errno
import os
import pwd
import socket
import struct
from typing import Final, NamedTuple

from gossip.config.access import ANYBODY, Allowed, Scope
from gossip.errors import DeniedError

__all__ = ["SCOPES", "Caller", "caller_of", "deed"]

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
    "members.places": Scope.READ,
    "members.watch": Scope.READ,
    "rtt": Scope.READ,
    "services.deregister": Scope.WRITE,
    "services.list": Scope.READ,
    "services.lookup": Scope.READ,
    "services.register": Scope.WRITE,
    "services.watch": Scope.READ,
}
"""Every method; one that is not here asks for ADMIN. Some ask for more than this by what they are given."""

_DEEDS: Final = {
    "agent.ban": "ban members",
    "agent.doctor": "have the cluster examined",
    "agent.evict": "evict members",
    "agent.join": "have the agent join others",
    "agent.leave": "have the agent leave",
    "agent.reload": "have the agent read its files again",
    "checks.update": "report checks",
    "events.send": "send events",
    "keys.list": "see the cluster's keys",
    "logs.watch": "read the agent's log",
    "maintenance.set": "change maintenance",
    "services.deregister": "change services",
    "services.register": "change services",
}

SO_PEERGROUPS: Final = 59
"""Linux's, which Python has no name for: the supplementary groups of who connected, at that moment."""
GROUPS_BYTES: Final = (256, 1_024)
"""Room for 64 of them, then for as many as Python asks for."""


def deed(method: str) -> str:
    """What a method is for, in words: as after `may not`."""
    if SCOPES.get(method) is Scope.READ or method in _DEEDS:
        return f"{_DEEDS.get(method, 'ask this agent')} ({method})"
    return f"change the cluster's keys ({method})" if method.startswith("keys.") else f"call {method}"


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
                # No name: to look it up may take as long as another host takes to answer.
                f"user {self.user} may not {what}: the setting {setting} says who may, besides root and the"
                f' agent\'s own user; to be allowed, have "user:{self.user}" added to it'
            )


def caller_of(sock: socket.socket, allowed: Allowed) -> Caller:
    """Who connected, as the kernel noted it then.

    Raises:
        OSError: the connection is gone.
    """
    _, user, group = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    # Numbers above 2^31 are users too.
    user, group = user & 0xFFFF_FFFF, group & 0xFFFF_FFFF
    return Caller(user, allowed.scope_of(user, (group, *_further_groups(sock, user, group))), allowed)


def _further_groups(sock: socket.socket, user: int, group: int) -> tuple[int, ...]:
    for size in GROUPS_BYTES:
        try:
            data = sock.getsockopt(socket.SOL_SOCKET, SO_PEERGROUPS, size)
        except OSError as error:
            if error.errno == errno.ENOPROTOOPT:
                return ()  # a kernel that knows nothing of them: his own group counts alone
            if error.errno != errno.ERANGE:
                raise
        else:
            return struct.unpack(f"{len(data) // 4}I", data)
    # More than Python lets the kernel tell. What the host's files say of him may take a moment.
    try:
        return tuple(os.getgrouplist(pwd.getpwuid(user).pw_name, group))
    except KeyError:
        return ()
