"""What the operator does with the authority's private key: a file on any machine, which need be no agent's.

The key is read when it is used, and goes nowhere else: an agent is given what was signed with it.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.armour import AUTHORITY, AUTHORITY_SECRET, unwrap, wrap
from gossip.errors import CryptoError, GossipError, LocalProtocolError
from gossip.wire.authority import Authority
from gossip.wire.identity import SEED_BYTES

if TYPE_CHECKING:
    from gossip.wire.authority import Token

__all__ = ["FOREVER", "init", "invite", "public_key", "sign_ban"]

FOREVER = (1 << 53) // 1_000 - 1
"""Seconds since 1970: the end of an invitation that has none."""


def init(path: Path) -> str:
    """Make a key pair: the private half into `path`, mode 0600, the public one beside it and returned.

    Raises:
        CryptoError: if a file is in the way, or cannot be written.
    """
    seed = os.urandom(SEED_BYTES)
    public = wrap(AUTHORITY, Authority(seed, "").public_key)
    _write(path, wrap(AUTHORITY_SECRET, seed), 0o600)
    _write(path.with_name(f"{path.name}.pub"), public, 0o644)
    return public


def public_key(path: Path) -> str:
    """The public half of the private key in `path`, as agents are given it.

    Raises:
        CryptoError: as `invite`.
    """
    return wrap(AUTHORITY, _read(path, "").public_key)


def invite(path: Path, cluster: str, name: str, node: str, lifetime: float | None) -> Token:
    """An invitation, for one use within `lifetime` seconds; or for the node of that id in hex, without end.

    Raises:
        CryptoError: if the key cannot be read, or others than its owner can read it.
        LocalProtocolError: if the name can be no node's, or the id is none.
    """
    authority = _read(path, cluster)
    expires = FOREVER if lifetime is None else int(time.time() + lifetime)
    if node:
        return authority.vouch(_id(node), name, expires)
    return authority.invite(os.urandom(SEED_BYTES), name, expires)


def sign_ban(path: Path, cluster: str, node: str, name: str, reason: str) -> bytes:
    """The signed record that bans the node of that id.

    Raises:
        CryptoError, LocalProtocolError: as `invite`.
    """
    return _read(path, cluster).ban(_id(node), name, reason, time.time_ns() // 1_000_000).raw


def _id(text: str) -> bytes:
    try:
        node = bytes.fromhex(text)
    except ValueError:
        node = b""
    if len(node) != 16:
        raise LocalProtocolError(f"{text!r} is no id of a node: give all its 32 hexadecimal digits")
    return node


def _read(path: Path, cluster: str) -> Authority:
    try:
        with path.open() as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1_024)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise CryptoError(f"{path}: cannot be read: {reason}: give the authority's key with --key") from None
    if mode & 0o077:
        raise CryptoError(f"{path} is open to other users: chmod 600 it, and think of who has read it")
    try:
        return Authority(unwrap(AUTHORITY_SECRET, text), cluster)
    except GossipError as error:
        raise CryptoError(f"{path}: {error}") from None


def _write(path: Path, text: str, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        raise CryptoError(
            f"{path} is there already, and is not replaced: it may be the key of a cluster that runs;"
            " give --key another name"
        ) from None
    except OSError as error:
        raise CryptoError(f"{path}: cannot be written: {error.strerror or error}") from None
