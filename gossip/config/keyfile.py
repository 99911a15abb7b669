"""The file with a cluster's key: one line of base64, as `gossip keygen` writes it; `#` begins a comment."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from gossip.errors import ConfigError, CryptoError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KEY_BYTES", "parse_key", "read_key_file", "show_key"]

KEY_BYTES: Final = 32
MAX_FILE_BYTES: Final = 65_536


def parse_key(text: str) -> bytes:
    """A key as `gossip keygen` prints it: base64 of 32 bytes.

    Raises:
        CryptoError: if it is none. The message does not repeat it.
    """
    try:
        secret = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise CryptoError("no key: a key is one line of base64, as 'gossip keygen' prints it") from None
    if len(secret) != KEY_BYTES or len(set(secret)) < 2:
        raise CryptoError(
            f"no key: {len(secret)} bytes, and a key has {KEY_BYTES} random ones: see 'gossip keygen'"
        )
    return secret


def show_key(secret: bytes) -> str:
    """The text that `parse_key` reads."""
    return base64.b64encode(secret).decode()


def read_key_file(path: Path) -> bytes:
    """The key in a file.

    Raises:
        ConfigError: if it cannot be read, or holds no key or several; the message does not repeat what it
        holds.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    lines = [line.strip() for line in data.decode("ascii", "replace").splitlines()]
    keys = [line for line in lines if line and not line.startswith("#")]
    if len(keys) != 1:
        raise ConfigError(
            f"{path}: holds {len(keys) or 'no'} keys, and one is wanted: see 'gossip keygen --out'"
        )
    try:
        return parse_key(keys[0])
    except CryptoError as error:
        raise ConfigError(f"{path}: {error}") from None
