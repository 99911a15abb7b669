"""One connection to the local socket: lines in, lines out, both bounded.

The socket is read and written directly, with trio only waiting for it, and everything that one read
brought is answered with one send. What may wait is bounded in each direction it can grow. Requests:
nothing more is read while an answer waits for the client to read it, and at most `MAX_PENDING`
changes are under way, and one batch: the next begins when the answer to it has left. Watches: nothing is
kept for a client that is `WATCH_BYTES` behind. What waits for all together is bounded too (`backlog`). A
client that reads nothing for `STALL_SECONDS` while something waits for it is dropped, and so is one that
takes longer than `LINE_SECONDS` to say a line.
"""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import TYPE_CHECKING

import msgspec
import trio

from gossip.api.access import Caller, caller_of
from gossip.api.calls import SLICE_SECONDS, Calls
from gossip.api.jsonrpc import INVALID_REQUEST, MAX_LINE_BYTES, RpcError, failure
from gossip.errors import DeniedError

if TYPE_CHECKING:
    from gossip.api.hub import Hub
    from gossip.api.views import Lookup
    from gossip.api.watch import Watcher
    from gossip.config.access import Allowed, Scope

__all__ = ["Connection"]

READ_BYTES = 65_536
"""Above 128 KiB the allocator maps fresh pages for every read, which costs five times the read."""
FLUSH_BYTES = 262_144
"""Answers of one read that are gathered before they are sent."""
WATCH_BYTES = 262_144
MAX_PENDING = 64
SLICE_REQUESTS = 256
"""Requests of one connection that are answered before other tasks run, or `SLICE_SECONDS` of them."""
STALL_SECONDS = 120.0
LINE_SECONDS = 30.0
"""How long a line may take from its first byte to its last."""
LINGER_SECONDS = 1.0

_encode = msgspec.json.Encoder().encode


class Connection:
    """Serves one client until it goes."""

    def __init__(self, sock: socket.socket, hub: Hub, caller: Caller) -> None:
        self.is_open = True
        self.is_flushing = False
        """Something waits for the client to read."""
        self._sock = sock
        self._hub = hub
        self._scope = trio.CancelScope()
        self._changed = trio.lowlevel.ParkingLot()
        self._calls = Calls(
            hub.agent,
            caller,
            hub.lookups,
            self,
            hub.start,
            self._reply,
            self._wake,
            hub.gossip_first,
            self._hold,
        )
        self._out: list[bytes] = []
        self._size = 0
        self._held = 0
        """Bytes of a batch that is under way."""
        self._corked = False
        self._watchers: list[Watcher] = []
        self._owes = False

    # ------------------------------------------------------------------------------------- reading

    async def run(self) -> None:
        """Returns when the client has gone, or was dropped; closes the socket."""
        try:
            with self._scope, contextlib.suppress(OSError):
                await self._converse()
                # Half-closed: what was asked is still answered.
                while self._calls.pending or self.is_flushing:
                    await self._changed.park()
        finally:
            self._close()

    async def _converse(self) -> None:
        held = bytearray()
        until = math.inf
        streak = self._hub.streak
        while True:
            alone = not held and not self._calls.is_batching
            data = None if not alone else streak.follow(self, self._sock, READ_BYTES, self._answer_one)
            if data is None:
                if self.is_flushing or self._calls.pending >= MAX_PENDING:
                    await self._catch_up()
                    until = trio.current_time() + LINE_SECONDS
                # A line that has begun has to end: what is held of it is memory, and there may be a thousand.
                self._wait(until if held else math.inf)
                data = await streak.receive(self, self._sock, READ_BYTES)
                self._wait(math.inf)
            if not data:
                break
            lines = data.split(b"\n")
            if held:
                held += lines[0]
                if len(lines) > 1:
                    lines[0] = bytes(held)
                    held = bytearray()
            if len(lines) > 1:
                held += lines.pop()
                if not await self._answer(lines):
                    return
                until = trio.current_time() + LINE_SECONDS
            elif not held:
                held += data
                until = trio.current_time() + LINE_SECONDS
            if len(held) > MAX_LINE_BYTES:
                await self._overlong()
                return
            streak.answered(self)
        if held:
            await self._answer([bytes(held)])

    def _wait(self, until: float) -> None:
        if self._scope.deadline != until:
            self._scope.deadline = until

    def _answer_one(self, line: bytes) -> bool:
        """Answer a line; whether another may be read. The way of most requests, so it is short."""
        self._hub.gossip_first()
        self._corked = True
        result = self._calls.line(line)
        self._corked = False
        if result is not None:
            sent = 0 if self._size else self._send(result)
            if sent == len(result) and not self._owes:
                return True
            if sent < len(result):
                self._put(result[sent:])
        self._flush()
        return not self.is_flushing and self._calls.pending < MAX_PENDING and not self._calls.is_batching

    async def _answer(self, lines: list[bytes]) -> bool:
        """Answer each line; False if one was too long to be a request."""
        self._corked = True
        answer, gossip_first = self._calls.line, self._hub.gossip_first
        until, left = time.perf_counter() + SLICE_SECONDS, SLICE_REQUESTS
        for line in lines:
            gossip_first()
            left -= 1
            if len(line) > MAX_LINE_BYTES:
                await self._overlong()
                return False
            if (self._calls.is_batching or self.is_flushing) and line.lstrip()[:1] == b"[":
                await self._catch_up(batch=True)
                self._corked = True
            result = answer(line)
            if result is not None:
                self._out.append(result)
                self._size += len(result)
            if (
                self._size > FLUSH_BYTES
                or self._calls.pending >= MAX_PENDING
                or not left
                or time.perf_counter() > until
            ):
                await self._catch_up()
                await trio.lowlevel.checkpoint()
                until, left = time.perf_counter() + SLICE_SECONDS, SLICE_REQUESTS
                self._corked = True
        self._corked = False
        self._flush()
        if self.is_flushing:
            await self._catch_up()
        return True

    async def _catch_up(self, *, batch: bool = False) -> None:
        """Send what there is, and wait until the client has read it and its changes are few.

        Args:
            batch: wait for the end of the batch that is under way, too.
        """
        self._corked = False
        self._flush()
        calls = self._calls
        while self.is_flushing or calls.pending >= MAX_PENDING or (batch and calls.is_batching):
            await self._changed.park()

    async def _overlong(self) -> None:
        """Say so, and end: where the next line would begin is not worth waiting for."""
        problem = RpcError(INVALID_REQUEST, f"a line is at most {MAX_LINE_BYTES} bytes", "limit")
        self._corked = False
        self._reply(failure(None, problem))
        await self._catch_up()
        self._sock.shutdown(socket.SHUT_WR)
        # A socket that is closed with unread data takes the answer away from the client again.
        with trio.move_on_after(LINGER_SECONDS):
            while await self._hub.streak.receive(self, self._sock, READ_BYTES):
                pass

    # ------------------------------------------------------------------------------------- writing

    def _put(self, line: bytes) -> None:
        self._out.append(line)
        self._size += len(line)

    def _wake(self) -> None:
        self._changed.unpark_all()

    def _reply(self, line: bytes) -> None:
        """An answer that took its time. An answer is never refused: how many there can be is bounded."""
        if self.is_open:
            self._put(line)
            if not self._corked:
                self._flush()

    def _hold(self, size: int) -> bool:
        """See `Calls`."""
        self._held = size
        self._account()
        return self.is_open

    def _account(self) -> None:
        if self.is_open:
            self._hub.backlog.owes(self, self._size + self._held)

    @property
    def _is_full(self) -> bool:
        """Whether too much waits for its watches to be told of more."""
        return self._size > (0 if self._hub.backlog.eases else WATCH_BYTES)

    def offer(self, line: bytes) -> bool:
        """A watch's notification, refused if too much is waiting already."""
        if self._is_full:
            self._owes = True
            return False
        self._put(line)
        if not self._corked:
            self._flush()
        return True

    def owes(self) -> None:
        """See `Sink`."""
        self._owes = True
        if not self._corked:
            self._flush()

    def _flush(self) -> None:
        """Send what the kernel takes; a task sees to the rest."""
        if self.is_flushing or not self.is_open:
            self._account()
            return
        if self._out:
            data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
            self._out.clear()
            sent = self._send(data)
            self._size = len(data) - sent
            if self._size:
                self._out.append(data[sent:])
        if self._out or self._owes:
            self.is_flushing = True
            self._hub.start(self._drain)
        self._account()

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.drop()
            return len(data)

    async def _drain(self) -> None:
        """Send as the client reads, then give its watchers what was kept from them."""
        with contextlib.suppress(OSError, trio.ClosedResourceError):
            await self._send_all()
        self.is_flushing = False
        self._wake()

    async def _send_all(self) -> None:
        while self.is_open and (self._out or self._owes):
            if not self._out:
                self._resync()
                self._account()
            view = memoryview(b"".join(self._out))
            self._out.clear()
            while view and self.is_open:
                with trio.move_on_after(STALL_SECONDS) as scope:
                    await trio.lowlevel.wait_writable(self._sock)
                if scope.cancelled_caught:
                    self.drop()
                    return
                sent = self._send(view)
                view = view[sent:]
                self._size -= sent
                self._account()

    def _resync(self) -> None:
        for watcher in self._watchers:
            while watcher.behind:
                if self._is_full:
                    return
                for line in watcher.resync():
                    self._put(line)
        self._owes = False

    # --------------------------------------------------------------------------- what methods may do

    def watch_services(self, question: Lookup | None) -> bytes:
        """See `Session`."""
        return self._watch(self._hub.watches.services(self, self._number(), question))

    def watch_members(self) -> bytes:
        """See `Session`."""
        return self._watch(self._hub.watches.members(self, self._number()))

    def watch_events(self, name: str | None) -> bytes:
        """See `Session`."""
        return self._watch(self._hub.watches.events(self, self._number(), name))

    def watch_logs(self, level: str) -> bytes:
        """See `Session`."""
        return self._watch(self._hub.logs.join(self, self._number(), level))

    def watch_catalog(self) -> bytes:
        """See `Session`."""
        watcher, value = self._hub.watches.catalog(self, self._number())
        self._add(watcher)
        # The rest follows its answer, as fast as it is read.
        self._owes = True
        return b'{"watch":%d,%b' % (watcher.number, value)

    def _number(self) -> int:
        """Of the next watch."""
        self._hub.may_watch(self.user)
        return len(self._watchers) + 1

    def _add(self, watcher: Watcher) -> None:
        self._watchers.append(watcher)
        self._hub.watched(self.user, 1)

    def _watch(self, watcher: Watcher) -> bytes:
        self._add(watcher)
        value = watcher.topic.value()
        return b'{"watch":%d,%b' % (watcher.number, value) if value else b'{"watch":%d}' % watcher.number

    def need(self, scope: Scope, what: str) -> None:
        """See `Session`."""
        try:
            self._calls.caller.need(scope, what)
        except DeniedError:
            self._hub.agent.denied()
            raise

    def claim(self, key: str) -> contextlib.AbstractContextManager[None]:
        """See `Session`."""
        return self._hub.claim(key)

    def hold(self, key: str) -> None:
        """See `Session`."""
        self._hub.hold(key, self)

    def free(self, key: str) -> None:
        """See `Session`."""
        self._hub.free(key)

    @property
    def watches(self) -> int:
        """How many it has."""
        return len(self._watchers)

    # --------------------------------------------------------------------------------------- ending

    @property
    def user(self) -> int:
        """Who is at the other end."""
        return self._calls.caller.user

    def judge(self, allowed: Allowed) -> None:
        """Who may do what has changed. Whoever may do less than before is dropped, with what he watches."""
        before = self._calls.caller
        try:
            self._calls.caller = caller_of(self._sock, allowed)
        except OSError:
            self.drop()  # he is gone
        if self._calls.caller.scope < before.scope:
            self.drop()

    async def flushed(self) -> None:
        """Returns when nothing waits for the client any more."""
        while self.is_flushing:
            await self._changed.park()

    def drop(self) -> None:
        """End the connection without a word."""
        self._scope.cancel()

    def give_way(self) -> None:
        """See `Debtor`."""
        self.is_open = False
        self._out.clear()
        self.drop()

    def _close(self) -> None:
        self._hub.backlog.owes(self, 0)
        self.is_open = False
        for watcher in self._watchers:
            self._hub.watches.forget(watcher)
            self._hub.logs.forget(watcher)
        self._hub.watched(self.user, -len(self._watchers))
        self._hub.streak.forget(self)
        trio.lowlevel.notify_closing(self._sock)
        self._sock.close()
        self._wake()
