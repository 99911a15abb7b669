"""Who is hurried, and what that may cost: nothing that would have been answered in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gossip.calling.budget import RetryBudget
from gossip.transport import AsyncTransport, Transport
from tests.client.scripted import an_instance
from tests.transport.test_transport import URL, Fleet, a_catalog, kinds, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from gossip.client.mirror import Mirror

PATIENCE = 6.0
"""Seconds that requests have; nothing here really waits."""


class Slow(Fleet):
    """Each answer takes half of the time, in words only."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[dict[str, float | None]] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        given = request.extensions["timeout"]
        self.timeouts.append({name: given.get(name) for name in ("connect", "read")})
        read = given.get("read")
        if read is not None and read < PATIENCE / 2:
            raise httpx.ReadTimeout("slow")
        return super()._answer(request)


def slowly(
    kind: str, budget: RetryBudget, catalog: Mirror | None = None, method: str = "GET", **more: Any
) -> Slow:
    fleet = Slow()
    response = send(
        kind,
        fleet,
        method,
        URL,
        catalog,
        options={"budget": budget, **more.pop("options", {})},
        **{"timeout": PATIENCE, **more},
    )
    assert response.status_code == 200
    return fleet


@kinds
def test_nobody_is_hurried_without_a_retry_to_spare(kind: str) -> None:
    """Else the calls of a service that takes more than a third of the time fail as soon as there are many."""
    budget = RetryBudget(0.0, 0.0, 5.0)
    tried = [len(slowly(kind, budget).asked) for _ in range(8)]
    assert tried == [2] * 5 + [1] * 3
    assert budget.refused == 0
    (timeouts,) = slowly(kind, budget, method="POST").timeouts
    assert timeouts["connect"] == pytest.approx(PATIENCE, abs=0.5), "nor while it connects"


@kinds
def test_a_retry_that_was_not_needed_is_handed_back(kind: str) -> None:
    def strange(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("ours")

    budget = RetryBudget(0.0, 0.0, 1.0)
    for _ in range(3):
        send(kind, Fleet(), "GET", URL, options={"budget": budget})
        fleet = Fleet()
        fleet._answer = strange  # type: ignore[method-assign]
        with pytest.raises(RuntimeError):
            send(kind, fleet, "GET", URL, options={"budget": budget})
        with pytest.raises(httpx.ReadError):
            send(
                kind,
                Fleet(h0=httpx.ReadError, h1=httpx.ReadError, h2=httpx.ReadError),
                "POST",
                URL,
                options={"budget": budget},
            )
    assert [len(slowly(kind, budget).asked) for _ in range(2)] == [2, 1]


@kinds
def test_nobody_is_hurried_when_there_is_nobody_else(kind: str) -> None:
    one = an_instance("a", address="10.0.0.1", node_id="a" * 32, tags=["v1"])
    others = {
        "there to be seen only": an_instance("b", address="10.0.0.2", node_id="b" * 32, port=0, tags=["v1"]),
        "of another tag": an_instance("b", address="10.0.0.2", node_id="b" * 32),
        "suspect": an_instance("b", address="10.0.0.2", node_id="b" * 32, status="suspect", tags=["v1"]),
    }
    for what, other in others.items():
        options = {"tags": "v1", "no_suspect": True}
        fleet = slowly(kind, RetryBudget(), a_catalog(one, other), options=options)
        assert fleet.hosts == ["10.0.0.1"], what


@kinds
def test_who_finds_nobody_else_takes_no_retry(kind: str) -> None:
    budget = RetryBudget(0.0, 0.0, 1.0)
    alone = a_catalog(an_instance("a", address="10.0.0.0"))
    for _ in range(3):
        with pytest.raises(httpx.ReadError):
            send(kind, Fleet(h0=httpx.ReadError), "GET", URL, alone, options={"budget": budget})
    assert budget.refused == 0
    assert budget.take(0.0)


@kinds
def test_a_body_that_is_read_from_somewhere_has_the_callers_time(kind: str) -> None:
    """It cannot be sent twice, so who has it is not hurried; and to read it may take long."""

    def parts() -> Iterator[bytes]:
        yield b"one"

    async def later() -> AsyncIterator[bytes]:
        yield b"one"

    def content() -> Any:
        return parts() if kind == "blocking" else later()

    (timeouts,) = slowly(kind, RetryBudget(), method="PUT", content=content()).timeouts
    assert timeouts == {"connect": 1.0, "read": PATIENCE}
    (timeouts,) = slowly(
        kind, RetryBudget(), method="PUT", content=content(), options={"deadline": 4.0}
    ).timeouts
    assert timeouts["read"] == pytest.approx(4.0, abs=0.5)


class Trickling(httpx.AsyncBaseTransport):
    """The first instance sends the head of its answer byte by byte."""

    def __init__(self) -> None:
        self.asked = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == 1:
            # As httpcore does: it asks once, and lets each read take that long.
            timeout = request.extensions["timeout"].get("read")
            for _ in range(6_000):
                with anyio.fail_after(timeout):
                    await anyio.sleep(0.005)
        return httpx.Response(200)


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_a_head_that_trickles_has_no_more_than_its_time(backend: str) -> None:
    async def main() -> None:
        catalog = a_catalog()
        transport = AsyncTransport(catalog, inner=Trickling(), deadline=3.0, first_share=0.01)
        async with httpx.AsyncClient(transport=transport) as client:
            response = await client.get(URL)
        first, second = response.extensions["gossip"]["tried"]
        assert (first.outcome[:11], second.outcome) == ("ReadTimeout", "200")
        assert not any(each.under_way for each in catalog.balance("web").standings)
        transport = AsyncTransport(a_catalog(an_instance("a")), inner=Trickling(), deadline=0.02)
        async with httpx.AsyncClient(transport=transport) as client:
            with pytest.raises(httpx.ReadTimeout, match="had not begun in time"):
                await client.get(URL)

    anyio.run(main, backend=backend)


def test_a_blocking_transport_is_asked_for_what_is_left_at_each_step() -> None:
    """Which is all that can be done: within a step httpcore goes by the number that it was given."""
    seen: list[float] = []

    def twice(request: httpx.Request) -> httpx.Response:
        seen.extend(request.extensions["timeout"].get("read") for _ in range(2))
        return httpx.Response(200)

    inner = httpx.MockTransport(twice)
    with httpx.Client(transport=Transport(a_catalog(), inner=inner, deadline=5.0)) as client:
        client.get(URL)
    assert seen[1] < seen[0] <= 5.0 / 3
