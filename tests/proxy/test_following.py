"""What a proxy believes of an agent that has been away."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import trio
from trio.testing import MockClock

from gossip.client.values import Instance, ServiceView
from gossip.errors import DeniedError, GossipError
from gossip.proxy.program import _follow
from tests.client.scripted import an_instance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gossip.client.aio import AsyncWatch
    from gossip.proxy.forwarder import Forwarder

HERE = Instance.from_json(an_instance("here"))
SICK = Instance.from_json(an_instance("here", status="critical"))


class Script:
    """A watch that gives these views at these seconds, and then ends."""

    def __init__(self, *views: tuple[float, bool, list[Instance] | GossipError]) -> None:
        self._views = list(views)

    async def __anext__(self) -> ServiceView:
        at = self._views[0][0] if self._views else 100.0
        await trio.sleep_until(at)
        if not self._views:
            raise StopAsyncIteration
        _, resync, found = self._views.pop(0)
        if isinstance(found, GossipError):
            raise found
        return ServiceView(tuple(found), 1, resync)


class Offered:
    """What was offered, and when."""

    def __init__(self) -> None:
        self.told: list[tuple[float, list[str]]] = []

    def offer(self, instances: Iterable[Instance]) -> None:
        self.told.append((round(trio.current_time(), 3), [each.status for each in instances]))


def follow(*views: tuple[float, bool, list[Instance] | GossipError]) -> list[tuple[float, list[str]]]:
    offered = Offered()
    clock = MockClock(autojump_threshold=0)
    watch, forwarder = cast("AsyncWatch[ServiceView]", Script(*views)), cast("Forwarder", offered)
    trio.run(_follow, watch, forwarder, clock=clock)
    return offered.told


def test_what_changes_is_offered_at_once() -> None:
    assert follow((1.0, False, [HERE]), (2.0, False, []), (3.0, False, [SICK])) == [
        (1.0, ["passing"]),
        (2.0, []),
        (3.0, ["critical"]),
    ]


def test_nothing_from_one_that_is_back_is_believed_after_a_while() -> None:
    assert follow((1.0, True, [])) == [(6.0, [])]
    assert follow((1.0, True, []), (3.0, False, [SICK]), (4.0, True, [])) == [(6.0, [])]
    assert follow((1.0, True, []), (3.0, False, [HERE]), (4.0, False, [])) == [
        (3.0, ["passing"]),
        (4.0, []),
    ]
    assert follow((1.0, True, [HERE]), (2.0, False, [])) == [(1.0, ["passing"]), (2.0, [])]


def test_an_agent_that_refuses_ends_nothing() -> None:
    no = DeniedError("not for you")
    assert follow((1.0, False, [HERE]), (2.0, False, no), (8.0, False, [])) == [(1.0, ["passing"]), (8.0, [])]
    # Nor is an empty answer believed any sooner by it.
    assert follow((1.0, True, []), (2.0, False, no)) == [(6.0, [])]
