"""Requests by name: where they go, when another instance is tried, what errors tell. No socket is opened."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

import gossip
from gossip.calling.budget import RetryBudget
from gossip.client.mirror import Mirror
from gossip.transport import AsyncTransport, NoInstanceError, Transport
from gossip.transport.elsewhere import Elsewhere
from tests.client.scripted import an_instance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    Handler = Callable[[httpx.Request], httpx.Response]

URL = "http://web.gossip/path?q=1"


def a_catalog(*instances: dict[str, Any]) -> Mirror:
    """Three instances of `web` unless others are given."""
    rows = instances or tuple(
        an_instance(id, address=f"10.0.0.{n}", port=80 + n, node_id=id * 32) for n, id in enumerate("abc")
    )
    catalog = Mirror(chance=iter(_numbers()).__next__)
    catalog.begin([{"watch": 1, "services": 1, "index": 1}])
    for name in {row["service"] for row in rows}:
        mine = [row for row in rows if row["service"] == name]
        catalog.take({"watch": 1, "service": name, "instances": mine, "index": 1})
    catalog.take({"watch": 1, "ready": True})
    return catalog


def _numbers() -> Iterator[float]:
    value = 0.1
    while True:
        value = (value + 0.618034) % 1.0
        yield value


class Fleet:
    """What instances answer, by their host; and who was asked."""

    def __init__(self, **answers: Any) -> None:
        self.asked: list[httpx.Request] = []
        self.answers = answers

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        request.read()
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = self.answers.get(f"h{request.url.host.rpartition('.')[2]}", 200)
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, int):
            return httpx.Response(answer, text=request.url.host)
        if isinstance(answer, type):
            raise answer("boom")
        raise AssertionError(answer)

    async def later(self, request: httpx.Request) -> httpx.Response:
        """The same for the async client."""
        self.asked.append(request)
        await request.aread()
        return self._answer(request)

    @property
    def hosts(self) -> list[str]:
        return [request.url.host for request in self.asked]


def send(
    kind: str, fleet: Fleet, method: str, url: str, catalog: Mirror | None = None, **more: Any
) -> httpx.Response:
    """One request, by the blocking or the async client."""
    options = more.pop("options", {})
    catalog = catalog or a_catalog()
    if kind == "blocking":
        with httpx.Client(
            transport=Transport(catalog, inner=httpx.MockTransport(fleet), **options)
        ) as client:
            return client.request(method, url, **more)

    async def main() -> httpx.Response:
        transport = AsyncTransport(catalog, inner=httpx.MockTransport(fleet.later), **options)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.request(method, url, **more)

    return anyio.run(main, backend=kind)


kinds = pytest.mark.parametrize("kind", ["blocking", "trio", "asyncio"])


@kinds
def test_a_request_goes_to_an_instance_as_it_is(kind: str) -> None:
    fleet = Fleet()
    response = send(kind, fleet, "POST", URL, content=b"body", headers={"X-My": "1"})
    (asked,) = fleet.asked
    assert asked.url.host.startswith("10.0.0.")
    assert asked.url.port == 80 + int(asked.url.host[-1])
    assert (asked.method, asked.url.raw_path, asked.content) == ("POST", b"/path?q=1", b"body")
    assert (asked.headers["host"], asked.headers["x-my"]) == ("web.gossip", "1")
    assert response.text == asked.url.host
    assert str(response.request.url) == URL, "cookies and redirects go by the name"
    assert response.extensions["gossip"]["instance"].address == asked.url.host


def test_a_url_elsewhere_is_as_if_it_had_been_parsed() -> None:
    for host, port in (("10.0.0.7", 81), ("fd00::1", 80), ("db.example", 5432)):
        url = httpx.URL("https://user@web.gossip/a%20b?q=1#f")
        moved, parsed = Elsewhere(url, host, port), url.copy_with(host=host, port=port)
        for name in (
            "scheme",
            "raw_scheme",
            "host",
            "raw_host",
            "port",
            "path",
            "raw_path",
            "query",
            "netloc",
            "userinfo",
        ):
            assert getattr(moved, name) == getattr(parsed, name), name
        assert (str(moved), repr(moved), hash(moved)) == (str(parsed), repr(parsed), hash(parsed))
        assert moved == parsed
        assert moved.copy_with(path="/x") == parsed.copy_with(path="/x")
        assert moved.join("/y") == parsed.join("/y")


@kinds
def test_other_hosts_are_called_as_they_are(kind: str) -> None:
    fleet = Fleet()
    send(kind, fleet, "GET", "http://gossip.example:8080/x")
    send(kind, fleet, "GET", "http://gossip/x")
    assert fleet.hosts == ["gossip.example", "gossip"]


@kinds
@pytest.mark.parametrize(
    "trouble", [httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError, 503, 502]
)
def test_an_idempotent_request_is_tried_elsewhere(kind: str, trouble: object) -> None:
    fleet = Fleet(h0=trouble, h1=trouble)
    for _ in range(6):
        response = send(kind, fleet, "PUT", URL, json={"a": 1})
        assert (response.status_code, response.text) == (200, "10.0.0.2")
    assert len(fleet.asked) > 6
    assert {request.content for request in fleet.asked} == {b'{"a":1}'}


@kinds
def test_what_may_have_been_done_is_not_done_twice(kind: str) -> None:
    dead = dict.fromkeys(("h0", "h1", "h2"), httpx.ReadError)
    fleet = Fleet(**dead)
    with pytest.raises(httpx.ReadError, match=r"web: 10\.0\.0"):
        send(kind, fleet, "POST", URL)
    assert len(fleet.asked) == 1
    assert send(kind, Fleet(h0=503, h1=503, h2=503), "POST", URL).status_code == 503
    for more in ({"headers": {"Idempotency-Key": "k"}}, {"extensions": {"gossip": {"retry": True}}}):
        fleet = Fleet(**dead)
        with pytest.raises(httpx.ReadError):
            send(kind, fleet, "POST", URL, **more)
        assert len(set(fleet.hosts)) == 3
    fleet = Fleet(**dead)
    with pytest.raises(httpx.ReadError):
        send(kind, fleet, "GET", URL, extensions={"gossip": {"retry": False}})
    assert len(fleet.asked) == 1
    # Nothing had left: whatever it is, it may be sent.
    fleet = Fleet(h0=httpx.ConnectError, h1=httpx.ConnectTimeout)
    assert send(kind, fleet, "POST", URL, content=b"x").text == "10.0.0.2"


@kinds
def test_errors_keep_their_class_and_tell_who_was_tried(kind: str) -> None:
    fleet = Fleet(h0=httpx.ConnectError, h1=httpx.ReadTimeout, h2=httpx.ConnectError)
    with pytest.raises(httpx.TransportError) as caught:
        send(kind, fleet, "GET", URL)
    error: Any = caught.value
    assert error.request.url == URL
    assert sorted(each.instance.id for each in error.tried) == ["a", "b", "c"]
    text = str(error)
    for part in (
        "10.0.0.0:80 on n1: ConnectError: boom after",
        "10.0.0.1:81 on n1: ReadTimeout",
        "10.0.0.2:82",
    ):
        assert part in text


@kinds
def test_nobody_to_call(kind: str) -> None:
    for catalog in (a_catalog(an_instance(service="db")), a_catalog(an_instance(port=0)), Mirror(["web"])):
        with pytest.raises(NoInstanceError, match="gossip lookup web --any") as caught:
            send(kind, Fleet(), "GET", URL, catalog)
        assert isinstance(caught.value, httpx.ConnectError)
        assert isinstance(caught.value, gossip.NotFoundError)


@kinds
def test_names_tags_and_wrong_requests(kind: str) -> None:
    catalog = a_catalog(
        an_instance("a", service="Web", address="10.0.0.1", tags=["v1"]),
        an_instance("b", service="Web", address="10.0.0.2", tags=["v2"]),
        an_instance("c", service="my.db", address="10.0.0.3"),
    )
    fleet = Fleet()
    for host in ("v2.web", "web", "my.db"):
        send(
            kind,
            fleet,
            "GET",
            f"http://{host}.gossip/",
            catalog,
            options={"tags": "v2"} if host == "web" else {},
        )
    assert fleet.hosts == ["10.0.0.2", "10.0.0.2", "10.0.0.3"]
    for url, more, words in [
        ("http://web.gossip:8080/", {}, "leave it out"),
        (URL, {"extensions": {"gossip": {"what": 1}}}, "what"),
        (URL, {"extensions": {"gossip": {"attempts": 0}}}, "at least 1"),
    ]:
        with pytest.raises(httpx.LocalProtocolError, match=words):
            send(kind, fleet, "GET", url, catalog, **more)
    with pytest.raises(TypeError):
        Transport(catalog, inner=httpx.MockTransport(fleet), what=1)
    wrongs: list[dict[str, Any]] = [{"deadline": 0}, {"hedge": -1}, {"first_share": 2}]
    for wrong in wrongs:
        with pytest.raises(ValueError):
            Transport(catalog, inner=httpx.MockTransport(fleet), **wrong)


@kinds
def test_a_key_goes_to_one_instance(kind: str) -> None:
    fleet = Fleet()
    for _ in range(10):
        send(kind, fleet, "GET", URL, extensions={"gossip": {"key": "user-7"}})
    assert len(set(fleet.hosts)) == 1


@kinds
def test_a_body_that_was_read_is_not_sent_again(kind: str) -> None:
    def parts() -> Iterator[bytes]:
        yield b"one"
        yield b"two"

    async def later() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    def content() -> Any:
        return parts() if kind == "blocking" else later()

    fleet = Fleet()
    assert send(kind, fleet, "PUT", URL, content=content()).status_code == 200
    assert fleet.asked[0].content == b"onetwo"
    # The mock has read the body when it fails.
    fleet = Fleet(h0=httpx.ReadError, h1=httpx.ReadError, h2=httpx.ReadError)
    with pytest.raises(httpx.ReadError):
        send(kind, fleet, "PUT", URL, content=content())
    assert len(fleet.asked) == 1


def test_the_budget_bounds_retries() -> None:
    fleet = Fleet(h0=503, h1=503, h2=503)
    budget = RetryBudget(0.1, 0.0, 3.0)
    transport = Transport(a_catalog(), inner=httpx.MockTransport(fleet), budget=budget)
    with httpx.Client(transport=transport) as client:
        for _ in range(100):
            assert client.get(URL).status_code == 503
    assert 110 <= len(fleet.asked) <= 114
    assert budget.refused > 80


def test_the_deadline_is_of_all_attempts_together() -> None:
    given: list[dict[str, float | None]] = []

    def never(request: httpx.Request) -> httpx.Response:
        timeouts = request.extensions["timeout"]
        given.append({name: timeouts.get(name) for name in ("connect", "read")})
        raise httpx.ReadTimeout("slow")

    catalog = a_catalog()
    with httpx.Client(transport=Transport(catalog, inner=httpx.MockTransport(never)), timeout=6.0) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get(URL)
        first, second, third = given
        assert first["connect"] == pytest.approx(1.0, abs=0.1)
        assert first["read"] == pytest.approx(2.0, abs=0.5)
        assert second["read"] == pytest.approx(6.0, abs=0.5)
        assert third["read"] == pytest.approx(6.0, abs=0.5)
        given.clear()
        with pytest.raises(httpx.ReadTimeout):
            client.post(URL)
        assert given[0]["read"] == pytest.approx(6.0, abs=0.5), (
            "nobody else may be asked, so it is not hurried"
        )
        given.clear()
        with pytest.raises(httpx.ReadTimeout):
            client.get(URL, timeout=None)
        assert given[0] == {"connect": 1.0, "read": None}
        given.clear()
        with pytest.raises(httpx.ReadTimeout):
            client.get(URL, timeout=None, extensions={"gossip": {"deadline": 0.9, "first_share": 1}})
        assert given[0]["read"] == pytest.approx(0.9, abs=0.2)


def test_failures_and_open_streams_are_counted() -> None:
    class Streamed(Fleet):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            status = 500 if request.url.host == "10.0.0.0" else 200
            return httpx.Response(status, stream=httpx.ByteStream(b"text"))

    catalog, fleet = a_catalog(), Streamed()
    with httpx.Client(transport=Transport(catalog, inner=httpx.MockTransport(fleet))) as client:
        with client.stream("GET", URL, extensions={"gossip": {"key": "k"}}) as response:
            busy = [each for each in catalog.balance("web").standings if each.under_way]
            assert [each.instance for each in busy] == [response.extensions["gossip"]["instance"]]
        assert not any(each.under_way for each in catalog.balance("web").standings)
        for _ in range(60):
            client.get(URL)
    assert Counter(fleet.hosts)["10.0.0.0"] == 5, "then it is left out"
    assert catalog.balance("web").standings[0].share == 0.0


@kinds
def test_a_body_that_breaks_off_is_a_failure_and_no_retry(kind: str) -> None:
    class Broken(httpx.SyncByteStream, httpx.AsyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield b"half"
            raise httpx.ReadError("gone")

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"half"
            raise httpx.ReadError("gone")

    class Half(Fleet):
        def _answer(self, request: httpx.Request) -> httpx.Response:
            is_bad = request.url.host == "10.0.0.0"
            return httpx.Response(200, stream=Broken()) if is_bad else super()._answer(request)

    catalog, fleet = a_catalog(), Half()
    broken = 0
    for _ in range(30):
        try:
            send(kind, fleet, "GET", URL, catalog)
        except httpx.ReadError:
            broken += 1
    assert (broken, len(fleet.asked)) == (5, 30)
    standings = catalog.balance("web").standings
    assert not any(each.under_way for each in standings)
    assert sum(each.ejections for each in standings) >= 1


# ----------------------------------------------------------------------------------------- hedging


def test_a_hedge_is_sent_when_the_first_is_slow() -> None:
    free = threading.Event()
    asked: list[str] = []

    def slow_first(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if len(asked) == 1:
            free.wait(30)
        return httpx.Response(200, text=request.url.host)

    catalog = a_catalog()
    transport = Transport(catalog, inner=httpx.MockTransport(slow_first), hedge=0.01)
    with httpx.Client(transport=transport) as client:
        response = client.get(URL)
        assert response.text == asked[1] != asked[0]
        free.set()
        while any(each.under_way for each in catalog.balance("web").standings):
            threading.Event().wait(0.005)
        assert client.post(URL).text == asked[2], "only what may be sent twice"
        fleet = Fleet(h0=httpx.ReadError, h1=httpx.ReadError, h2=httpx.ReadError)
    with httpx.Client(
        transport=Transport(a_catalog(), inner=httpx.MockTransport(fleet), hedge=5.0)
    ) as client:
        with pytest.raises(httpx.ReadError):
            client.get(URL)
        assert len(fleet.asked) == 3


@pytest.mark.parametrize("backend", ["trio", "asyncio"])
def test_an_async_hedge_cancels_the_slow_one(backend: str) -> None:
    asked: list[str] = []
    cancelled: list[str] = []

    async def slow_first(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if len(asked) == 1:
            try:
                await anyio.sleep(60)
            except anyio.get_cancelled_exc_class():
                cancelled.append(request.url.host)
                raise
        return httpx.Response(200, text=request.url.host)

    async def bad(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("bad")

    async def strange(request: httpx.Request) -> httpx.Response:
        raise RuntimeError("ours")

    async def main() -> None:
        catalog = a_catalog()
        transport = AsyncTransport(catalog, inner=httpx.MockTransport(slow_first), hedge=0.01)
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get(URL)).text == asked[1] != asked[0]
        assert cancelled == asked[:1]
        assert not any(each.under_way for each in catalog.balance("web").standings)
        for handler, kind in ((bad, httpx.ReadError), (strange, RuntimeError)):
            inner = httpx.MockTransport(handler)
            async with httpx.AsyncClient(transport=AsyncTransport(catalog, inner=inner, hedge=5.0)) as client:
                with pytest.raises(kind):
                    await client.get(URL)

    anyio.run(main, backend=backend)
