"""Keys and invitations as people copy them: a word that says what it is, base64, and a check.

What was cut off or mistyped is noticed where it is read, instead of failing somewhere else later.
"""

from __future__ import annotations

import binascii
import hashlib
from typing import Final

from gossip.errors import CryptoError

__all__ = ["AUTHORITY", "AUTHORITY_SECRET", "INVITE", "unwrap", "wrap"]

AUTHORITY: Final = "gossip-authority-1-"
"""Before the public key of an authority."""
AUTHORITY_SECRET: Final = "gossip-authority-secret-1-"  # noqa: S105 - the word before it, no secret
"""Before its private key."""
INVITE: Final = "gossip-invite-1-"
"""Before an invitation."""

_NAMES = {
    AUTHORITY: "the public key of an authority",
    AUTHORITY_SECRET: "the private key of an authority",
    INVITE: "an invitation",
}
_CHECK_BYTES = 4
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


def wrap(prefix: str, data: bytes) -> str:
    """`data` as one word that begins with `prefix`."""
    packed = binascii.b2a_base64(data + _check(prefix, data), newline=False)
    return prefix + packed.translate(_TO_URL).rstrip(b"=").decode()


def unwrap(prefix: str, text: str) -> bytes:
    """What was `wrap`ped; blanks and line ends around it do not count.

    Raises:
        CryptoError: if it is not that; the message does not repeat it.
    """
    what, word = _NAMES[prefix], text.strip()
    if not word.startswith(prefix):
        raise CryptoError(f"this is not {what}: one begins with {prefix}")
    packed = word.removeprefix(prefix).encode(errors="replace").translate(_FROM_URL)
    try:
        data = binascii.a2b_base64(packed + b"=" * (-len(packed) % 4), strict_mode=True)
    except binascii.Error:
        data = b""
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if not body or _check(prefix, body) != check:
        raise CryptoError(f"this is not {what}, or a part of it is missing: copy it again, whole")
    return body


def _check(prefix: str, data: bytes) -> bytes:
    return hashlib.blake2b(prefix.encode() + data, digest_size=_CHECK_BYTES).digest()
