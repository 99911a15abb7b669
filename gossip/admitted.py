"""What an agent has of its cluster's authority when it starts: its own warrant, and the bans on its disk."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from gossip.core.records import Ban
from gossip.errors import ConfigError, CryptoError, RemoteProtocolError
from gossip.log import note
from gossip.wire.authority import Token
from gossip.wire.warrants import read_warrant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gossip.config import Config
    from gossip.core.records import Fact
    from gossip.store import Store
    from gossip.wire.identity import Identity

__all__ = ["read_bans", "settle_warrant"]


def settle_warrant(config: Config, store: Store, node: Identity) -> bytes:
    """This node's warrant: the one on its disk, or what the invitation that it was given becomes.

    An invitation may go on standing in the configuration: it is used once, and a new one replaces it.

    Raises:
        ConfigError: if there is none and it would be refused everywhere, or it is for another name.
        CryptoError: if the invitation is of another authority, for another node, or too old.
        StoreError: if the disk does not take it.
    """
    if not config.authority:
        return b""
    kept = store.saved.warrant
    if kept and node.warranted(kept, node.id) is None:
        note(logging.WARNING, "data_dir", detail="the warrant on disk is not of the authority that is set")
        kept = b""
    warrant = _use(Token.parse(config.invite), kept, store, node) if config.invite else kept
    if not warrant:
        if config.admission == "open":
            return b""
        raise ConfigError(
            "this cluster lets in whom its authority has invited, and this node has no invitation: give"
            f" --invite with what `gossip invite` prints, or `gossip invite --id {node.id.hex()}`"
        )
    name = read_warrant(warrant).name
    if name and name != config.name:
        raise ConfigError(
            f"this node was invited as {name!r}, and is called {config.name!r}: give --name {name}"
        )
    if store.ephemeral:
        note(
            logging.WARNING, "invitation", detail="nothing is kept on disk: the next start needs another one"
        )
    return warrant


def _use(token: Token, kept: bytes, store: Store, node: Identity) -> bytes:
    if kept and read_warrant(kept).holder == token.holder:
        return kept
    if token.expires < time.time():
        if kept:
            note(logging.WARNING, "invitation", detail="it has expired; this node keeps its former one")
            return kept
        raise CryptoError("this invitation has expired: ask for another one (gossip invite)")
    warrant = token.use(node)
    store.save_warrant(warrant)
    return warrant


def read_bans(saved: Iterable[bytes], node: Identity) -> list[Fact]:
    """Those of the saved bans that the authority of now has signed."""
    found = []
    for raw in saved:
        try:
            fact = node.parse(raw)
        except RemoteProtocolError:
            continue
        if isinstance(fact.body, Ban) and node.authority and node.verify(fact, node.authority):
            found.append(fact)
    return found
