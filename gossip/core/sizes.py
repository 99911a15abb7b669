"""How many bytes a message will have, so that core can fill a datagram without encoding it.

`tests/wire/test_sizes.py` holds these sums against the codec's own bytes.
"""

from __future__ import annotations

from gossip.core.messages import Ack, Gossip, Ping

__all__ = ["MANY_NEWS_BYTES", "NEWS_FREE", "bare_bytes", "news_bytes"]

NEWS_FREE = 15
"""So many news cost nothing beyond `news_bytes` each; the 16th costs MANY_NEWS_BYTES more, once."""
MANY_NEWS_BYTES = 2


def news_bytes(raw: bytes) -> int:
    """What one fact adds to a message's body: itself, and 2 bytes of header, or 3 from 256 on."""
    size = len(raw)
    return size + (2 if size < 256 else 3)


def bare_bytes(message: Ping | Ack | Gossip) -> int:
    """The body of `message` without its news."""
    # The array, the kind, the sender, and the array of news; every id costs 2 + 16.
    size = 1 + 1 + 18 + 1 + _int_bytes(message.life)
    if isinstance(message, Gossip):
        return size
    if isinstance(message, Ping):
        size += 18
    host, port = message.address
    # A text is one byte longer from 32 on, as an IPv6 address may be.
    size += 1 + (1 if len(host) < 32 else 2) + len(host) + _int_bytes(port)
    return size + _int_bytes(message.seq) + (2 + len(message.view)) + (2 + len(message.position))


def _int_bytes(value: int) -> int:
    if value < 128:
        return 1
    for width in (1, 2, 4):
        if value < 1 << 8 * width:
            return 1 + width
    return 9
