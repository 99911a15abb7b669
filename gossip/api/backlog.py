"""What waits for all clients of the local socket together, and who gives way when it is too much.

Each connection is bounded (`connection`), but there may be a thousand, and one user has half of them. Beyond
`MAX_WAITING_BYTES`, of the user who lets most wait the connection is ended that has read nothing for longest.
Others do not notice: nobody is kept from asking because somebody does not read. What is lost was read by
nobody, so nobody was told of it; what it asked to be done is done. Long before that, from `EASE_BYTES` on,
watchers are given one thing at a time; who cannot keep up is owed the newest value, as ever.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EASE_BYTES", "MAX_WAITING_BYTES", "Backlog", "Debtor"]

MAX_WAITING_BYTES = 128 * 1_048_576
"""Room for 16 of the largest batches, or for 60 programs that list 5,000 members in the same moment."""
EASE_BYTES = 32 * 1_048_576


class Debtor(Protocol):
    """A connection."""

    @property
    def user(self) -> int:
        """Who is at the other end."""

    def give_way(self) -> None:
        """End, and let go of what waits."""


class Backlog:
    """Bytes that wait, by connection and user.

    Args:
        count: adds one to a counter of the agent.
    """

    def __init__(self, count: Callable[[str], None] = lambda _name: None) -> None:
        self._count = count
        self.waiting = 0
        # Those who read come last.
        self._sizes: dict[Debtor, int] = {}
        self._users: Counter[int] = Counter()

    @property
    def eases(self) -> bool:
        """Whether watchers are given one thing at a time."""
        return self.waiting > EASE_BYTES

    def owes(self, client: Debtor, size: int) -> None:
        """So much waits for this client now. Whoever has to give way does so before this returns."""
        before = self._sizes.get(client, 0)
        if size == before:
            return
        if size < before:
            del self._sizes[client]
        if size:
            self._sizes[client] = size
        self._add(client.user, size - before)
        while self.waiting > MAX_WAITING_BYTES:
            self._end_one()

    def _add(self, user: int, more: int) -> None:
        self.waiting += more
        self._users[user] += more
        if not self._users[user]:
            del self._users[user]

    def _end_one(self) -> None:
        user = max(self._users, key=self._users.__getitem__)
        client = next(each for each in self._sizes if each.user == user)
        self._add(user, -self._sizes.pop(client))
        self._count("local_ended")
        client.give_way()
