"""The one tree of exceptions. Each message says what the caller can do about it.

`kind` is the stable, machine-readable name of the class: it travels as `data.kind` in the
errors of the local socket, and is what a program should test for.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "ConfigError",
    "CryptoError",
    "DeniedError",
    "GossipError",
    "LimitError",
    "LocalProtocolError",
    "NotFoundError",
    "RefusedError",
    "RemoteProtocolError",
    "StoreError",
    "TransportError",
    "UnreachableError",
]


class GossipError(Exception):
    """The root: whatever this package raises on purpose is one of these."""

    kind: ClassVar[str] = "error"


class LocalProtocolError(GossipError):
    """This program used the protocol core wrongly; nothing was changed."""

    kind = "local_protocol"


class LimitError(LocalProtocolError):
    """A value is over a documented limit; the message names the limit. Nothing was cut."""

    kind = "limit"


class NotFoundError(LocalProtocolError):
    """The member, service or event that was named is not known here."""

    kind = "not_found"


class RefusedError(LocalProtocolError):
    """The request is well formed and known, and the rules forbid it now; the message says why."""

    kind = "refused"


class DeniedError(LocalProtocolError):
    """Whoever asks may not have it; the message names the setting that says who may."""

    kind = "denied"


class RemoteProtocolError(GossipError):
    """A peer sent something wrong. Counted under `reason` and dropped, never raised past a driver.

    `reason` is one of a small fixed set of words (`malformed`, `unknown_kind`, `version`,
    `cluster`, `signature`, ...), so that it can name a counter.
    """

    kind = "remote_protocol"

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class CryptoError(GossipError):
    """A key cannot be read, made or used."""

    kind = "crypto"


class ConfigError(GossipError):
    """A setting is unknown, malformed or contradicts another; the message names it and the place."""

    kind = "config"


class StoreError(GossipError):
    """The data directory cannot be used; the message says which path and what to do."""

    kind = "store"


class TransportError(GossipError):
    """A socket cannot be bound, or a peer cannot be reached."""

    kind = "transport"


class UnreachableError(TransportError):
    """No agent answers at the socket that was named.

    `may_have_acted` is true when the request was on its way by then: it may have been carried out, or not.
    """

    kind = "unreachable"

    def __init__(self, message: str = "", *, may_have_acted: bool = False) -> None:
        super().__init__(message)
        self.may_have_acted = may_have_acted
