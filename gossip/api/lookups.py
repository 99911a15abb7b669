"""Answers to lookups, kept encoded until the service changes.

A lookup that was asked before, in the same bytes, costs two dict reads; and if the line around it is
written as most clients do, with the id first, it is not even decoded. Nearest-first lookups are not
kept, since round trips change without any index; nor are those that show the dead and the left, which
come and go without one. While the node is isolated, which each answer then says, none is kept or used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from gossip.api import views
from gossip.api.jsonrpc import RpcError, read_params, read_request

if TYPE_CHECKING:
    from msgspec import Raw

    from gossip.api.methods import Backend

__all__ = ["Lookups"]

MAX_CACHED = 1_024
MAX_CACHED_BYTES = 4 * 1_048_576
MAX_TAIL_BYTES = 1_024
MAX_DIGITS = 15
"""Of an id that is not decoded; it is then also exact in every language."""

_HEAD = b'{"jsonrpc":"2.0","id":'
_VERSION = b'{"jsonrpc":"2.0"'
_ZERO = ord("0")


class Lookups:
    """The answers given so far, as far as there is room for them."""

    def __init__(self, agent: Backend) -> None:
        self._agent = agent
        self._decoder = msgspec.json.Decoder(views.Lookup)
        self._encode = msgspec.json.Encoder().encode
        self._kept: dict[bytes, tuple[str, int, bytes]] = {}
        self._size = 0
        self._tails: dict[bytes, bytes] = {}
        """What followed the id in lines that asked for a lookup, and the parameters in it."""
        self.answered = 0
        """Lookups of one service, ever."""

    def at_once(self, line: bytes) -> bytes | None:
        """The answer to a line that differs in its id only from one asked before; None: decode it."""
        if not line.startswith(_HEAD):
            return None
        end = line.find(b",", len(_HEAD))
        entry = self._kept.get(self._tails.get(line[end:], b""))
        node = self._agent.node
        if entry is None or node.catalog.index_of(entry[0]) != entry[1] or node.is_isolated:
            return None
        number = line[len(_HEAD) : end]
        if not number.isdigit() or number[0] == _ZERO or len(number) > MAX_DIGITS:
            return None
        self.answered += 1
        return b'%b,"result":%b}\n' % (line[:end], entry[2])

    def note(self, line: bytes, params: Raw) -> None:
        """This line asked for a lookup with these parameters, and was answered."""
        end = line.find(b",", len(_HEAD))
        tail = line[end:]
        if not line.startswith(_HEAD) or end < 0 or len(tail) > MAX_TAIL_BYTES:
            return
        try:
            request = read_request(_VERSION + tail)
        except RpcError:
            return
        # JSON lets a key come twice, and the last one counts: then the id is not where it seems.
        if request.id is UNSET and request.method == "services.lookup":
            if len(self._tails) >= MAX_CACHED:
                self._tails.clear()
            self._tails[tail] = bytes(params)

    def answer(self, params: Raw) -> bytes:
        """The encoded result.

        Raises:
            RpcError: the parameters are wrong.
        """
        self.answered += 1
        text = bytes(params)
        node = self._agent.node
        kept = self._kept.get(text)
        if kept is not None and node.catalog.index_of(kept[0]) == kept[1] and not node.is_isolated:
            return kept[2]
        question = read_params(self._decoder, params)
        value = views.instances(node, question)
        result = self._encode(value)
        if not (question.near or question.any or value.isolated):
            self._keep(text, (question.service, value.index, result))
        return result

    def _keep(self, text: bytes, entry: tuple[str, int, bytes]) -> None:
        self._drop(text)
        size = len(text) + len(entry[2])
        if size > MAX_CACHED_BYTES // 16:
            return
        while self._kept and (len(self._kept) >= MAX_CACHED or self._size + size > MAX_CACHED_BYTES):
            self._drop(next(iter(self._kept)))
        self._kept[text] = entry
        self._size += size

    def _drop(self, text: bytes) -> None:
        entry = self._kept.pop(text, None)
        if entry is not None:
            self._size -= len(text) + len(entry[2])
