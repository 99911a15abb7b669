"""Watches of the agent's log: each record from a level of the watcher's own, as it is written.

They follow no value, so what was kept from a watcher that reads too slowly is lost to it: instead of
a resync's value it is told how many records it missed. While nobody watches, the log knows nothing
of this.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING

import trio

from gossip import log
from gossip.api.topics import Topic, Watcher
from gossip.api.watch import check_number

if TYPE_CHECKING:
    from gossip.api.topics import Sink

__all__ = ["Logs"]


class _Level(Topic):
    method = b"logs.watch"

    def value(self) -> None:
        return None


class _LogWatcher(Watcher):
    __slots__ = ("missed",)

    def __init__(self, sink: Sink, number: int, topic: Topic) -> None:
        super().__init__(sink, number, topic)
        self.missed = 0

    def tell(self, tail: bytes) -> None:
        super().tell(tail)
        self.missed += self.behind

    def resync(self) -> list[bytes]:
        self.behind = False
        missed, self.missed = self.missed, 0
        return [self.line(b'"resync":true,"missed":%d}' % missed)]


class Logs:
    """All watches of the log, of all connections of one socket."""

    def __init__(self) -> None:
        self._levels: dict[int, _Level] = {}
        self._thread = 0
        self._token: trio.lowlevel.TrioToken | None = None
        self._is_telling = False

    def join(self, sink: Sink, number: int, level: str) -> Watcher:
        """Begins a watch of the records of `level` (debug, info, warning, error) and above."""
        check_number(number)
        self._thread, self._token = threading.get_ident(), trio.lowlevel.current_trio_token()
        topic = self._levels.setdefault(logging.getLevelNamesMapping()[level.upper()], _Level())
        watcher = _LogWatcher(sink, number, topic)
        topic.watchers[watcher] = None
        log.watch(self._take, min(self._levels))
        return watcher

    def forget(self, watcher: Watcher) -> None:
        """The connection is gone. A watcher of something else is none of ours, and is let be."""
        if not isinstance(watcher, _LogWatcher):
            return
        watcher.topic.watchers.pop(watcher, None)
        self._levels = {level: topic for level, topic in self._levels.items() if topic.watchers}
        if self._levels:
            log.watch(self._take, min(self._levels))
        else:
            log.unwatch(self._take)

    def _take(self, record: logging.LogRecord) -> None:
        if threading.get_ident() == self._thread:
            self._tell(record)
        elif self._token is not None:
            # What a worker thread writes must not touch sockets and tasks from there.
            self._token.run_sync_soon(self._tell, record)

    def _tell(self, record: logging.LogRecord) -> None:
        if self._is_telling:
            return  # telling of a record must not write another for ever
        self._is_telling = True
        try:
            line = json.dumps(log.fields_of(record), separators=(",", ":"), default=str)
            tail = b'"record":%b}' % line.encode("ascii")
            for level, topic in self._levels.items():
                if record.levelno >= level:
                    topic.tell(tail)
        finally:
            self._is_telling = False
