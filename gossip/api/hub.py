"""What the connections of one socket have in common, as each of them sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Coroutine

    from gossip.api.backlog import Backlog
    from gossip.api.connection import Connection
    from gossip.api.logs import Logs
    from gossip.api.lookups import Lookups
    from gossip.api.methods import Backend
    from gossip.api.streak import Streak
    from gossip.api.watch import Watches

__all__ = ["Hub"]


class Hub(Protocol):
    """What the connections of one socket share."""

    agent: Backend
    lookups: Lookups
    watches: Watches
    logs: Logs
    streak: Streak
    backlog: Backlog
    gossip_first: Callable[[], None]
    """Called before each request: see `net.driver.Driver.gossip_first`."""

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> object:
        """Runs `function` in the background, for as long as the socket is served."""

    def may_watch(self, user: int) -> None:
        """Raises `LimitError` when the user has as many watches as one may have."""

    def watched(self, user: int, more: int) -> None:
        """So many more watches are this user's, or fewer."""

    def claim(self, key: str) -> contextlib.AbstractContextManager[None]:
        """Until it ends, nobody's going takes the service along."""

    def hold(self, key: str, holder: Connection) -> None:
        """From now on the service ends with this connection."""

    def free(self, key: str) -> None:
        """The service is nobody's any more."""
