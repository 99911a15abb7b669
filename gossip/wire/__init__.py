"""Bytes: codec, packets, streams, identity. Pure: it moves no byte by itself.

Whatever is wrong with what a peer sent is one exception, `RemoteProtocolError`, with one of
these words as its `reason` (so that each can be a counter):

==============  ==================================================================================
malformed       not the layout, a field of the wrong type or out of its bounds
oversized       longer than the documented limit
unknown_kind    sound, and of a kind this version does not know: a later version's message
identity        a member record whose owner is not the hash of its public key
version         a datagram or frame of another layout
sealed          under a key that this node does not have
cluster         the tag is wrong: another cluster's, or damaged on the way
clear           not sealed, at a node that takes only what is
replayed        met before, or older than what can be told
key_refused     a key that was handed on is not the one it should be
own             sealed by this very node, and come back
order           a frame is missing, repeated or out of its turn
stream          a frame of another stream
truncated       the stream ended inside a frame
==============  ==================================================================================
"""

from __future__ import annotations

__all__ = ["REASONS"]

REASONS = frozenset(
    {
        "malformed",
        "oversized",
        "unknown_kind",
        "identity",
        "version",
        "sealed",
        "clear",
        "replayed",
        "key_refused",
        "cluster",
        "own",
        "order",
        "stream",
        "truncated",
    }
)
"""Every `reason` that this package raises."""
