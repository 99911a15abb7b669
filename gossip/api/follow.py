"""Following the whole catalog: each service now, then each that changes, as fast as the reader reads.

A follower is owed names, never lines: a service is encoded when there is room for it, so a reader that
is slow, or has stopped, costs a set of names, misses nothing, and goes on from where it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gossip.api import views
from gossip.api.topics import Topic, Watcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gossip.api.methods import Backend
    from gossip.api.topics import Sink

__all__ = ["CatalogTopic", "CatalogWatcher"]

PAGE_BYTES = 524_288
"""Of the instances in one line: with one more, it is far below 1 MiB."""
MAX_ENCODED = 256
"""Services whose pages are kept for the next watcher."""

_encode = msgspec.json.Encoder().encode


class CatalogWatcher(Watcher):
    """A follower of all services. It is owed names, never lines: each is sent with its newest value."""

    __slots__ = ("_owed", "_whole")

    topic: CatalogTopic

    def __init__(self, sink: Sink, number: int, topic: CatalogTopic, names: list[str]) -> None:
        super().__init__(sink, number, topic)
        self._owed = dict.fromkeys(names)
        self._whole = len(names)
        """How many are still to be sent before it has seen all that there was when it came."""
        self.behind = True

    def owe(self, name: str) -> None:
        """The service has changed. Its line is made when the sink has room."""
        self._owed[name] = None
        self.fall_behind()

    def resync(self) -> list[bytes]:
        """The lines of one service that it is owed, or that it has seen all."""
        lines = []
        if self._owed:
            name = next(iter(self._owed))
            del self._owed[name]
            lines = [self.line(page) for page in self.topic.pages(name)]
        if self._whole >= 0:
            self._whole -= 1
            if self._whole <= 0:
                self._whole = -1
                lines.append(self.line(b'"ready":true}'))
        self.behind = bool(self._owed)
        return lines


class CatalogTopic(Topic):
    """Every service, one by one."""

    method = b"catalog.watch"
    watchers: dict[Watcher, None]

    def __init__(self, agent: Backend) -> None:
        super().__init__()
        self._agent = agent
        self._encoded: dict[str, tuple[int, list[bytes]]] = {}

    def value(self) -> None:
        return None

    def begin(self, sink: Sink, number: int) -> tuple[Watcher, bytes]:
        """One follower more, and the answer to its request, without the opening brace and its number."""
        catalog = self._agent.node.catalog
        names = catalog.names()
        watcher = CatalogWatcher(sink, number, self, names)
        self.watchers[watcher] = None
        return watcher, b'"services":%d,"index":%d}' % (len(names), catalog.index)

    def owe(self, name: str) -> Iterator[None]:
        """Note for each follower that it is owed this service, one in each step."""
        for watcher in tuple(self.watchers):
            if watcher in self.watchers and isinstance(watcher, CatalogWatcher):
                watcher.owe(name)
            yield

    def pages(self, name: str) -> list[bytes]:
        """The service as it is now, in lines that a reader of 1 MiB takes; all but the last say `more`."""
        catalog = self._agent.node.catalog
        index = catalog.index_of(name) or catalog.index
        kept = self._encoded.get(name)
        if kept is not None and kept[0] == index:
            return kept[1]
        found = [_encode(views.instance(each)) for each in catalog.lookup(name)]
        pages = [
            b'"service":%b,"instances":[%b],"index":%d' % (_encode(name), b",".join(part), index)
            for part in _parts(found)
        ]
        lines = [page + b',"more":true}' for page in pages[:-1]] + [pages[-1] + b"}"]
        if len(self._encoded) >= MAX_ENCODED:
            self._encoded.clear()
        self._encoded[name] = (index, lines)
        return lines


def _parts(items: list[bytes]) -> list[list[bytes]]:
    """At least one, each of at most `PAGE_BYTES` (one record is far smaller)."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for item in items:
        if size + len(item) > PAGE_BYTES and parts[-1]:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += len(item) + 1
    return parts
