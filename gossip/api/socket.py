"""The agent's unix socket: where it is, who may speak to it, and how many at once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from gossip.api.access import caller_of
from gossip.api.backlog import Backlog
from gossip.api.connection import Connection
from gossip.api.jsonrpc import FAILED, RpcError, failure
from gossip.api.logs import Logs
from gossip.api.lookups import Lookups
from gossip.api.streak import Streak
from gossip.api.watch import Watches
from gossip.config.access import ANYBODY, Allowed
from gossip.errors import GossipError, LimitError, NotFoundError, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

    from gossip.api.methods import Backend
    from gossip.core.events import Event

__all__ = ["MAX_CONNECTIONS", "LocalSocket", "listen"]

MAX_CONNECTIONS = 1_024
AT_ONCE = 64
"""Programs taken in one turn of the loop, so that a newcomer need not wait for all who came before it."""
MAX_USER_WATCHES = 16_384
"""Of one user, by all his connections; root may have more. To tell them all of a change takes 0.2 s."""
BACKLOG = 128
SHARE = 2
"""One user may have one in so many of them, so that others get in whatever he does; root may have all."""
MODE = 0o660
"""The agent's user and group: whoever may write here may do what the settings `allow_*` let him."""
MAX_PATH_BYTES = 107
"""What fits `sockaddr_un`, with the zero at its end."""
PAUSE_SECONDS = 0.1
"""After an accept that failed for want of descriptors: they are not back at once."""

_log = logging.getLogger("gossip.api")


def listen(path: Path, mode: int = MODE, group: int | None = None) -> socket.socket:
    """A listening socket at `path`; a socket there that nobody listens on any more is replaced.

    Args:
        path: its folder is made if need be.
        mode: its permissions. Nobody can connect before it has them.
        group: the number of the group that it belongs to; None: the agent's own.

    Raises:
        TransportError: naming the path, and what to do.
    """
    if len(bytes(path)) > MAX_PATH_BYTES:
        raise TransportError(
            f"{path}: a socket's path may be {MAX_PATH_BYTES} bytes: give a shorter --socket"
        )
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        sock.bind(str(path))
        path.chmod(mode)
        if group is not None:
            _give(path, group)
        sock.listen(BACKLOG)
    except OSError as problem:
        sock.close()
        raise TransportError(_advice(path, problem)) from problem
    except BaseException:
        sock.close()
        raise
    return sock


def _clear(path: Path) -> None:
    """Remove what a dead agent left; raise if a live one is there, or something that is no socket."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise TransportError(f"{path} exists and is no socket: move it away, or give another --socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
        except FileNotFoundError:
            return
        except BlockingIOError:
            pass  # its backlog is full, so somebody listens
    raise TransportError(f"an agent already answers at {path}: stop it, or give this one its own --socket")


def _give(path: Path, group: int) -> None:
    try:
        os.chown(path, -1, group)
    except OSError as problem:
        path.unlink(missing_ok=True)
        raise TransportError(
            f"{path}: cannot be given to group {group} ({problem.strerror}): socket_group has to be a"
            " group of the agent's own user, unless that is root"
        ) from problem


def _advice(path: Path, problem: OSError) -> str:
    where = problem.filename or path
    if problem.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}: not allowed ({problem.strerror}): give another --socket"
    if problem.errno == errno.EADDRINUSE:
        return f"an agent already answers at {path}: stop it, or give this one its own --socket"
    return f"{where}: {problem.strerror or problem}: give another --socket"


class LocalSocket:
    """Serves the local socket.

    Args:
        sock: from `listen`; closed, and its path removed, when `serve` ends.
        gossip_first: called before each request, so that clients never keep the agent from gossip.
        allowed: who may do what.
        count: adds one to a counter of the agent.
    """

    def __init__(
        self,
        agent: Backend,
        sock: socket.socket,
        path: Path,
        gossip_first: Callable[[], None] = lambda: None,
        allowed: Allowed = ANYBODY,
        count: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self.agent = agent
        self.gossip_first = gossip_first
        self.lookups: Lookups = Lookups(agent)
        self.watches = Watches(agent, gossip_first=gossip_first)
        self.logs = Logs()
        self.streak = Streak()
        self.backlog: Backlog = Backlog(count)
        self._sock = sock
        self._path = path
        self._inode = path.stat().st_ino
        self._allowed = allowed
        self._connections: set[Connection] = set()
        self._users: Counter[int] = Counter()
        """Connections by user."""
        self._watching: Counter[int] = Counter()
        """Watches by user."""
        self._holders: dict[str, Connection] = {}
        self._claims: Counter[str] = Counter()
        """Registrations under way, by service."""
        self._claimed = trio.lowlevel.ParkingLot()
        self._nursery: trio.Nursery | None = None

    def happened(self, event: Event) -> None:
        """Hands an event of the node to the watchers."""
        self.watches.happened(event)

    def allow(self, allowed: Allowed) -> None:
        """Go by other rules from now on; who may do less than before loses his connections."""
        self._allowed = allowed
        for connection in tuple(self._connections):
            connection.judge(allowed)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._connections)

    @property
    def watchers(self) -> int:
        """Watches of all connections."""
        return sum(connection.watches for connection in self._connections)

    async def serve(self) -> None:
        """Answers until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self.watches.run)
                await self._accept(self._nursery)
        finally:
            self.close()

    async def settle(self) -> None:
        """Returns when every answer given so far has been read."""
        for connection in tuple(self._connections):
            await connection.flushed()

    def close(self) -> None:
        """Stops listening, and takes the path away if it is still ours. May be called twice."""
        if self._sock.fileno() < 0:
            return
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._inode:
                self._path.unlink()
        self._sock.close()

    async def _accept(self, nursery: trio.Nursery) -> None:
        taken = 0
        while True:
            if taken % AT_ONCE == 0:
                await trio.lowlevel.wait_readable(self._sock)
            taken += 1
            try:
                sock, _ = self._sock.accept()
            except BlockingIOError:
                taken = 0
                continue
            except ConnectionAbortedError:
                continue
            except OSError as problem:
                _log.warning("local_socket", extra={"fields": {"detail": f"cannot accept: {problem}"}})
                await trio.sleep(PAUSE_SECONDS)
                continue
            sock.setblocking(False)
            try:
                caller = caller_of(sock, self._allowed)
            except OSError:
                sock.close()
                continue
            if len(self._connections) >= MAX_CONNECTIONS:
                _turn_away(sock, f"{MAX_CONNECTIONS} programs are connected already: close some")
            elif self._users[caller.user] >= MAX_CONNECTIONS // SHARE and caller.user != 0:
                _turn_away(
                    sock, f"user {caller.user} has {MAX_CONNECTIONS // SHARE} connections already: close some"
                )
            else:
                connection = Connection(sock, self, caller)
                self._connections.add(connection)
                self._users[caller.user] += 1
                nursery.start_soon(self._run, connection)

    async def _run(self, connection: Connection) -> None:
        try:
            await connection.run()
        finally:
            self._connections.discard(connection)
            self._users[connection.user] -= 1
            if not self._users[connection.user]:
                del self._users[connection.user]
        for key in [key for key, holder in self._holders.items() if holder is connection]:
            self.start(partial(self._release, key, connection))

    # ------------------------------------------------------------------------ what connections share

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """See `Hub`."""
        if self._nursery is None:
            raise RuntimeError("connections exist only while this is served")
        self._nursery.start_soon(function)

    def may_watch(self, user: int) -> None:
        """See `Hub`."""
        if self._watching[user] >= MAX_USER_WATCHES and user != 0:
            raise LimitError(f"user {user} has {MAX_USER_WATCHES} watches already: close some")

    def watched(self, user: int, more: int) -> None:
        """See `Hub`."""
        self._watching[user] += more
        if not self._watching[user]:
            del self._watching[user]

    @contextlib.contextmanager
    def claim(self, key: str) -> Iterator[None]:
        """See `Hub`."""
        self._claims[key] += 1
        try:
            yield
        finally:
            self._claims[key] -= 1
            if not self._claims[key]:
                del self._claims[key]
            self._claimed.unpark_all()

    def hold(self, key: str, holder: Connection) -> None:
        """See `Hub`."""
        self._holders[key] = holder
        if not holder.is_open:
            self.start(partial(self._release, key, holder))

    def free(self, key: str) -> None:
        """See `Hub`."""
        self._holders.pop(key, None)

    async def _release(self, key: str, holder: Connection) -> None:
        while key in self._claims:
            await self._claimed.park()
        if self._holders.get(key) is not holder:
            return  # it has become another's in the meantime
        del self._holders[key]
        try:
            await self.agent.release(key)
        except NotFoundError:
            pass
        except GossipError as problem:
            _log.error("session_service_stays", extra={"fields": {"id": key, "detail": str(problem)}})


def _turn_away(sock: socket.socket, why: str) -> None:
    with sock, contextlib.suppress(OSError):
        sock.send(failure(None, RpcError(FAILED, why, "limit")))
