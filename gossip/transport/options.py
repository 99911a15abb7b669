"""What a transport may be told, for all its requests and for a single one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gossip.client.questions import texts

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["IDEMPOTENT", "Options"]

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that do the same when done twice: RFC 9110, section 9.2.2."""


@dataclass(frozen=True, slots=True)
class Options:
    """How instances are chosen and how often a request is tried.

    A request changes any of these by its extension: `get(url, extensions={"gossip": {"key": "u7"}})`.
    """

    tags: tuple[str, ...] = ()
    key: str | None = None
    """The same key goes to the same instance."""
    near: bool = False
    zone: bool = True
    subset: int = 0
    no_suspect: bool = False
    attempts: int = 3
    """Instances that are tried at most."""
    retry: bool | None = None
    """Whether it may be sent twice. None: if its method is idempotent, or it has an `Idempotency-Key`."""
    retry_statuses: frozenset[int] = frozenset({502, 503, 504})
    """Answers after which another instance is tried."""
    deadline: float | None = None
    """Seconds until the answer begins, whatever is tried. None: the request's own read timeout; for a body
    that is read from somewhere, and cannot be sent twice, all timeouts are then the request's own.

    A blocking transport learns it at the beginning of each step: one that sends the head of its answer byte
    by byte, each within what was left then, takes longer. An async one is cancelled.
    """
    connect_timeout: float = 1.0
    """Seconds for a connection, as long as there is another instance to try, and a retry for that."""
    first_share: float = 1 / 3
    """The part of the deadline that an instance has to begin its answer, before another is tried; that one
    has all that is left. 1: no other is tried for slowness. Only who may be asked again is hurried: the body
    is in memory, and the budget has a retry that is reserved for it."""
    hedge: float | None = None
    """Seconds after which an idempotent request goes to a second instance too; the first answer counts.
    Not with a body that is read from somewhere: two cannot read it."""

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError("attempts: at least 1")
        if self.key is not None and not isinstance(self.key, str):
            raise TypeError(f"key: {self.key!r} is no text")
        if self.subset < 0:
            raise ValueError(f"subset: {self.subset} is less than 0")
        if not 0 < self.first_share <= 1:
            raise ValueError("first_share: more than 0, and 1 at most")
        for name in ("deadline", "connect_timeout", "hedge"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: more than 0 seconds")

    def changed(self, given: Mapping[str, Any]) -> Options:
        """With what a request says.

        Raises:
            TypeError: it says what there is not.
            ValueError: as the constructor.
        """
        if "tags" in given:
            given = {**given, "tags": tuple(texts(given["tags"]))}
        return replace(self, **given)
