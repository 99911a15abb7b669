"""What must not go wrong with a request's body, with addresses that are none, and with who is cancelled."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from gossip.client.mirror import Mirror
from gossip.transport import AsyncTransport, NoInstanceError, Transport
from tests.client.scripted import an_instance
from tests.transport.test_transport import URL, Fleet, a_catalog, kinds, send

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PARTS = [b"one", b"two", b"three"]


class Reader:
    """A body that is read only once, and is no generator."""

    def __init__(self) -> None:
        self._parts = iter(PARTS)

    def __iter__(self) -> Iterator[bytes]:
        return self._parts


async def later() -> AsyncIterator[bytes]:
    for part in PARTS:
        yield part


class Connecting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Takes a while before it reads what it is to send."""

    def __init__(self) -> None:
        self.got: list[list[bytes]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        threading.Event().wait(0.03)
        assert isinstance(request.stream, httpx.SyncByteStream)
        self.got.append(list(request.stream))
        return httpx.Response(200)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await anyio.sleep(0.03)
        assert isinstance(request.stream, httpx.AsyncByteStream)
        self.got.append([part async for part in request.stream])
        return httpx.Response(200)


@kinds
def test_a_body_that_only_one_can_read_goes_to_one(kind: str) -> None:
    """However slow that one is: a second one would get the other half."""
    inner, catalog = Connecting(), a_catalog()

    async def main() -> None:
        transport = AsyncTransport(catalog, inner=inner, hedge=0.001)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.put(URL, content=later())).status_code == 200

    if kind == "blocking":
        with httpx.Client(transport=Transport(catalog, inner=inner, hedge=0.001)) as client:
            assert client.put(URL, content=Reader()).status_code == 200
    else:
        anyio.run(main, backend=kind)
    assert inner.got == [PARTS]
    assert sum(each.calls for each in catalog.balance("web").standings) == 1


# ----------------------------------------------------------------------------------- addresses


class Parsing(Fleet):
    """Reads the address, as whatever speaks HTTP does."""

    def _answer(self, request: httpx.Request) -> httpx.Response:
        assert request.url.raw_host
        return super()._answer(request)


@kinds
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_address_that_is_none_is_an_instance_that_cannot_be_reached(kind: str, method: str) -> None:
    bad = an_instance("a", address="ü..x", node_id="a" * 32)
    catalog = a_catalog(bad, an_instance("b", address="10.0.0.1", node_id="b" * 32))
    for _ in range(6):
        response = send(kind, Parsing(), method, URL, catalog)
        assert response.text == "10.0.0.1"
    assert catalog.balance("web").standings[0].calls >= 1
    with pytest.raises(httpx.ConnectError, match=r"'ü\.\.x' is no address"):
        send(kind, Parsing(), method, URL, a_catalog(bad))


@pytest.mark.parametrize("address", ["a..b", "x" * 70 + ".com"])
def test_nor_is_one_that_the_resolver_refuses(address: str) -> None:
    with (
        httpx.Client(transport=Transport(a_catalog(an_instance(address=address)))) as client,
        pytest.raises(httpx.ConnectError, match="is no address"),
    ):
        client.get(URL)


@kinds
def test_what_is_wrong_with_a_body_is_told_as_it_is(kind: str) -> None:
    def parts() -> Iterator[bytes]:
        yield b"\xff".decode().encode()

    async def async_parts() -> AsyncIterator[bytes]:
        yield b"\xff".decode().encode()

    catalog = a_catalog()
    content: Any = parts() if kind == "blocking" else async_parts()
    with pytest.raises(UnicodeDecodeError):
        send(kind, Fleet(), "POST", URL, catalog, content=content)
    standings = catalog.balance("web").standings
    assert (sum(each.calls for each in standings), sum(each.under_way for each in standings)) == (1, 0)


# ------------------------------------------------------------------------------- being cancelled


class Stream(httpx.AsyncByteStream):
    """A body that knows whether it was closed."""

    def __init__(self, blocks: anyio.Event | None = None) -> None:
        self.is_closed = False
        self._blocks = blocks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"x"

    async def aclose(self) -> None:
        if self._blocks is not None:
            self._blocks.set()
            await anyio.sleep_forever()
        self.is_closed = True


class Two(httpx.AsyncBaseTransport):
    """The first answers, or fails in a way of its own, once the second is asked; that one ends late."""

    def __init__(self, *, fails: bool) -> None:
        self.asked = 0
        self.streams = [Stream(), Stream()]
        self.second, self.closing, self.free = anyio.Event(), anyio.Event(), anyio.Event()
        self._fails = fails

    async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
        self.asked += 1
        if self.asked == 1:
            await self.second.wait()
            if self._fails:
                raise RuntimeError("ours")
            return httpx.Response(200, stream=self.streams[0])
        self.second.set()
        if self._fails:
            # It was answered before it noticed.
            with anyio.CancelScope(shield=True):
                self.closing.set()
                await self.free.wait()
            return httpx.Response(200, stream=self.streams[1])
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                self.closing.set()
                await self.free.wait()
        raise AssertionError("it was cancelled")


backends = pytest.mark.parametrize("backend", ["trio", "asyncio"])


@backends
@pytest.mark.parametrize("fails", [False, True])
def test_an_answer_that_nobody_takes_is_closed(backend: str, *, fails: bool) -> None:
    async def main() -> None:
        catalog, inner = a_catalog(), Two(fails=fails)
        problems: list[BaseException] = []

        async def ask() -> None:
            try:
                await client.get(URL)
            except RuntimeError as problem:
                problems.append(problem)

        transport = AsyncTransport(catalog, inner=inner, hedge=0.001)
        async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
            group.start_soon(ask)
            await inner.closing.wait()
            if not fails:
                group.cancel_scope.cancel()
            inner.free.set()
        assert [stream.is_closed for stream in inner.streams] == [not fails, fails]
        assert len(problems) == fails
        assert not any(each.under_way for each in catalog.balance("web").standings)

    anyio.run(main, backend=backend)


@backends
def test_who_is_cancelled_while_an_answer_is_put_away_leaves_nothing_open(backend: str) -> None:
    async def main() -> None:
        catalog, closing = a_catalog(), anyio.Event()

        async def busy(request: httpx.Request) -> httpx.Response:
            return httpx.Response(503, stream=Stream(closing))

        transport = AsyncTransport(catalog, inner=httpx.MockTransport(busy))
        async with httpx.AsyncClient(transport=transport) as client, anyio.create_task_group() as group:
            group.start_soon(client.get, URL)
            await closing.wait()
            group.cancel_scope.cancel()
        assert not any(each.under_way for each in catalog.balance("web").standings)

    anyio.run(main, backend=backend)


# --------------------------------------------------------------------------- names and options


@kinds
def test_what_is_remembered_of_a_service_is_found_by_every_name(kind: str) -> None:
    """While an agent is just back, and has not heard of the others."""
    rows = {
        "web": an_instance("a", tags=["v2"], address="10.0.0.1"),
        "Big": an_instance("b", service="Big", tags=["v2"], address="10.0.0.2"),
    }
    catalog = a_catalog(*rows.values())
    catalog.lost()
    catalog.begin([{"watch": 1, "services": 0, "index": 0}])
    catalog.take({"watch": 1, "ready": True})
    assert catalog.names() == ["Big", "web"]
    assert catalog.services() == []
    fleet = Fleet()
    for host in ("web", "v2.web", "big", "v2.big"):
        send(kind, fleet, "GET", f"http://{host}.gossip/", catalog)
    assert [host[-1] for host in fleet.hosts] == ["1", "1", "2", "2"]


@kinds
def test_a_service_that_is_not_followed_is_told_as_that(kind: str) -> None:
    with pytest.raises(NoInstanceError, match="does not follow 'web': name it"):
        send(kind, Fleet(), "GET", URL, Mirror(["db"]))
    for url, words in (("http://v2.db.gossip/", "'db' with v2 may"), ("http://db.gossip/", "'db' may")):
        with pytest.raises(NoInstanceError, match=f"no instance of {words} be called"):
            send(kind, Fleet(), "GET", url, Mirror(["db"]))


@kinds
def test_options_of_a_wrong_kind_are_told(kind: str) -> None:
    wrongs: list[tuple[dict[str, Any], str]] = [
        ({"key": 7}, "key: 7 is no text"),
        ({"subset": -1}, "subset: -1 is less than 0"),
    ]
    for given, words in wrongs:
        with pytest.raises(httpx.LocalProtocolError, match=words):
            send(kind, Fleet(), "GET", URL, extensions={"gossip": given})
        with pytest.raises((TypeError, ValueError), match=words):
            send(kind, Fleet(), "GET", URL, options=given)
        with pytest.raises((TypeError, ValueError), match=words):
            a_catalog().pick("web", **given)
