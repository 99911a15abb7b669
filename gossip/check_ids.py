"""Which service has which id of a check: one id is one check on a node, also while the disk is busy."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gossip.checks.monitor import NODE
from gossip.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gossip.checks.monitor import Monitor
    from gossip.config import CheckDefinition

__all__ = ["CheckIds"]


class CheckIds:
    """Ids that are taken: by checks that are there, and by those of registrations on their way."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._claims: dict[str, Counter[str]] = {}
        self._given_up: frozenset[tuple[str, str]] = frozenset()

    def refuse_taken(self, key: str, checks: Iterable[CheckDefinition]) -> None:
        """Raises `RefusedError` if another than the service `key` (empty: the node) has one of the ids."""
        for check in checks:
            owners = {*self._claims.get(check.id, ()), self._monitor.owner(check.id)} - {None, key}
            for owner in owners:
                if (check.id, owner) not in self._given_up:
                    whose = f"service {owner!r}" if owner else "the node"
                    raise RefusedError(f"the id {check.id!r} is that of a check of {whose}: give it another")

    @contextmanager
    def claimed(self, key: str, checks: Iterable[CheckDefinition]) -> Iterator[None]:
        """As long as the block lasts, the ids are those of `key`."""
        ids = [check.id for check in checks]
        for id in ids:
            self._claims.setdefault(id, Counter())[key] += 1
        try:
            yield
        finally:
            for id in ids:
                self._claims[id] -= Counter([key])
                if not self._claims[id]:
                    del self._claims[id]

    @contextmanager
    def moving(self, wanted: Mapping[str, Iterable[CheckDefinition]]) -> Iterator[None]:
        """In the block, ids that these services are about to give up may be taken before they have."""
        self._given_up = frozenset(
            (old.id, key)
            for key, checks in wanted.items()
            for old in self._monitor.definitions(key)
            if old.id not in {new.id for new in checks}
        )
        try:
            yield
        finally:
            self._given_up = frozenset()

    def free(self, own: Iterable[CheckDefinition]) -> list[CheckDefinition]:
        """Those of the node's own checks whose ids no service has."""
        return [check for check in own if self._monitor.owner(check.id) in (None, NODE)]
