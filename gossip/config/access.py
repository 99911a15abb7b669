"""Who may do what at the faces: three scopes, and the users and groups of this host that have them.

Each scope has those below it. Who a local caller is says the kernel (`SO_PEERCRED`), never the caller.
"""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from gossip.errors import ConfigError

__all__ = [
    "ANYBODY",
    "EVERYONE",
    "Allowed",
    "Principals",
    "Scope",
    "parse_group",
    "parse_mode",
    "parse_principals",
]

MAX_PRINCIPALS: Final = 256
"""Of one list: each request is checked by set look-ups, and a list that long should be a group."""


class Scope(IntEnum):
    """What a caller may do; each has what is below it."""

    NONE = 0
    """Nothing, but for what says no more than that an agent is there."""
    READ = 1
    """Ask and watch."""
    WRITE = 2
    """Register and deregister services, report their checks, send events."""
    ADMIN = 3
    """What concerns the agent or the cluster: join, leave, reload, evict, keys; commands as checks."""

    @property
    def label(self) -> str:
        """Its word in settings and messages."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Principals:
    """Users and groups, by number."""

    users: frozenset[int] = frozenset()
    groups: frozenset[int] = frozenset()
    everyone: bool = False

    def has(self, user: int, groups: Iterable[int]) -> bool:
        """Whether that user is among them, by himself or by a group."""
        return self.everyone or user in self.users or not self.groups.isdisjoint(groups)


EVERYONE: Final = Principals(everyone=True)


@dataclass(frozen=True, slots=True)
class Allowed:
    """Who has which scope at the local socket; None stands for whoever has the scope below.

    Root and the agent's own user always have all: they could read and stop the process anyhow.
    """

    read: Principals | None = None
    write: Principals | None = None
    admin: Principals | None = None

    def scope_of(self, user: int, groups: Iterable[int] = ()) -> Scope:
        """The highest scope of that user."""
        if user in (0, os.geteuid()):
            return Scope.ADMIN
        return self._highest(lambda group: group.has(user, groups))

    @property
    def anyone(self) -> Scope:
        """What somebody has of whom nothing is known."""
        return self._highest(lambda group: group.everyone)

    def _highest(self, is_in: Callable[[Principals], bool]) -> Scope:
        read = self.read or EVERYONE
        write = self.write or read
        admin = self.admin or write
        for scope, group in ((Scope.ADMIN, admin), (Scope.WRITE, write), (Scope.READ, read)):
            if is_in(group):
                return scope
        return Scope.NONE

    def setting(self, scope: Scope) -> str:
        """The name of the setting that says who has it."""
        given = {Scope.READ: self.read, Scope.WRITE: self.write, Scope.ADMIN: self.admin}
        for each in (Scope.ADMIN, Scope.WRITE, Scope.READ):
            if each <= scope and given[each] is not None:
                return f"allow_{each.label}"
        return f"allow_{scope.label}"


ANYBODY: Final = Allowed()
"""Whoever reaches the socket may do everything."""


def parse_principals(texts: Iterable[str]) -> Principals:
    """`user:NAME`, `group:NAME`, numbers in place of names, or `everyone`.

    Raises:
        ConfigError: saying what is wrong with which entry.
    """
    users: set[int] = set()
    groups: set[int] = set()
    everyone = False
    for count, text in enumerate(texts, 1):
        if count > MAX_PRINCIPALS:
            raise ConfigError(f"more than {MAX_PRINCIPALS} entries: make a group of these users")
        kind, _, name = text.partition(":")
        if text == "everyone":
            everyone = True
        elif kind == "user" and name:
            users.add(_number(name, "user", lambda name: pwd.getpwnam(name).pw_uid))
        elif kind == "group" and name:
            groups.add(parse_group(name))
        else:
            raise ConfigError(f"{text!r} is none of user:NAME, group:NAME, everyone")
    return Principals(frozenset(users), frozenset(groups), everyone)


def parse_group(name: str) -> int:
    """The number of a group of this host, by its name or number.

    Raises:
        ConfigError: there is none.
    """
    return _number(name, "group", lambda name: grp.getgrnam(name).gr_gid)


def _number(name: str, kind: str, find: Callable[[str], Any]) -> int:
    if name.isascii() and name.isdigit() and len(name) <= 10 and int(name) < 2**32 - 1:
        return int(name)
    try:
        return int(find(name))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"there is no {kind} {name!r} on this host") from error


def parse_mode(text: str) -> int:
    """The permissions of the socket, in octal as chmod has them.

    Raises:
        ConfigError: no permissions, or such that the agent's own user is shut out.
    """
    digits = text.removeprefix("0o")
    if not 3 <= len(digits) <= 4 or not set(digits) <= set("01234567") or int(digits, 8) > 0o777:
        raise ConfigError(f"{text!r} is no mode: write it in octal, such as 0660")
    mode = int(digits, 8)
    if mode & 0o600 != 0o600:
        raise ConfigError(f"{text}: the agent's own user needs to read and write (6 in the first place)")
    return mode
