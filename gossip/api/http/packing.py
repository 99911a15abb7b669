"""Compressed bodies: which are worth it, for whom, and where the work is done."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from gossip.api.http.values import Response

__all__ = ["LEAST_BYTES", "is_worth_packing", "packed", "wants_gzip"]

LEAST_BYTES: Final = 1_024
"""A shorter body fits a packet anyway."""
INLINE_BYTES: Final = 65_536
"""Packed in a few 100 us; longer bodies are packed in a thread, and others are served meanwhile."""
LEVEL: Final = 1
GZIP_WINDOW: Final = 31

_TEXTS = ("application/json", "text/")


def wants_gzip(header: str) -> bool:
    """Whether an Accept-Encoding takes gzip."""
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def is_worth_packing(answer: Response) -> bool:
    """Whether whoever takes gzip is given the body so."""
    return len(answer.body) >= LEAST_BYTES and answer.content_type.startswith(_TEXTS)


async def packed(answer: Response) -> bytes:
    """The body in gzip; of one that is sent more than once, made once."""
    kept = answer.kept
    if kept is not None and kept.zipped is not None:
        return kept.zipped
    if len(answer.body) <= INLINE_BYTES:
        data = _pack(answer.body)
    else:
        data = await trio.to_thread.run_sync(_pack, answer.body)
    if kept is not None:
        kept.zipped = data
    return data


def _pack(body: bytes) -> bytes:
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, GZIP_WINDOW)
    return packer.compress(body) + packer.flush()
