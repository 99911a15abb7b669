"""The bytes of a warrant, and of what is signed in it.

An invitation is signed by the authority: whose it is, for which name, until when. A node makes a *warrant*
of it, which it carries in its member record from then on. Of two kinds:

- Of a node that is known by its id: `holder` is that id. The invitation is no secret, since nobody else
  can use it.
- Of a node that is not there yet: `holder` is the public key of a key pair made for this invitation alone,
  and the token has its private half. The node signs its own id with that, once, and forgets it. So a token
  makes a warrant for one node, and whoever sees the warrant can make none of it.

That only one node uses a token no signature can say: `core.gate` has the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gossip.core.records import MAX_WARRANT_BYTES, Warrant
from gossip.core.types import ID_BYTES
from gossip.errors import LocalProtocolError, RemoteProtocolError
from gossip.wire.bounds import check_invited_name

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["HOLDER_KEY_BYTES", "by_authority", "read_warrant", "write_warrant"]

HOLDER_KEY_BYTES = 32

_read: Callable[[bytes], Warrant] = msgspec.msgpack.Decoder(Warrant).decode
_write = msgspec.msgpack.Encoder().encode


def read_warrant(raw: bytes) -> Warrant:
    """The warrant of its bytes, no signature checked.

    Raises:
        RemoteProtocolError: `malformed`, if it is none.
    """
    if len(raw) > MAX_WARRANT_BYTES:
        raise RemoteProtocolError("malformed", f"a warrant of {len(raw)} bytes")
    try:
        warrant = _read(raw)
        check_invited_name(warrant.name)
    except (ValueError, RecursionError, LocalProtocolError) as error:
        raise RemoteProtocolError("malformed", f"warrant: {error}") from None
    if len(warrant.holder) not in (ID_BYTES, HOLDER_KEY_BYTES):
        raise RemoteProtocolError("malformed", "a warrant without a holder")
    if len(warrant.by_holder) != (64 if warrant.is_invitation else 0):
        raise RemoteProtocolError("malformed", "a warrant that its holder has not signed")
    return warrant


def write_warrant(warrant: Warrant) -> bytes:
    """Its bytes."""
    return _write(warrant)


def by_authority(holder: bytes, name: str, expires: int) -> bytes:
    """What the authority signs."""
    return _write((holder, name, expires))
