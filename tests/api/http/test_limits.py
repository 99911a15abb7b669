"""What one source may ask: requests, and wrong tokens."""

from __future__ import annotations

import json as standard
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from gossip.agent import Agent
from gossip.api.http.guard import Guard
from gossip.api.http.guesses import MAX_KNOWN, Guesses
from gossip.api.http.routes import Match, Routes
from gossip.api.http.values import Kept, Request, Response, json
from gossip.api.rates import Rates
from gossip.config import Config
from gossip.config.access import Scope
from gossip.config.tokens import Token, Tokens, hash_of, new_token
from tests.api.http.served import serving

if TYPE_CHECKING:
    from pathlib import Path

GOOD, LATER = new_token(), new_token()
TOKENS = Tokens((Token("good", Scope.READ, hash_of(GOOD)), Token("later", Scope.READ, hash_of(LATER))))
KEPT = Response(200, b"{}\n", kept=Kept(b"{}\n"))


async def plain(_asked: Request) -> Response:
    return json({})


async def kept(_asked: Request) -> Response:
    return Response(200, KEPT.body, kept=KEPT.kept, again=lambda: KEPT)


class Bare:
    """Errors are bare sentences there, as they are below /v1/."""

    def find(self, _method: str, raw_path: str) -> Match | None:
        return Match(None, {}, (), is_plain=True) if raw_path.startswith("/bare/") else None


def routes() -> Routes:
    table = Routes()
    table.mount(Bare())
    table.add("GET", "/a", plain)
    table.add("PUT", "/a", plain)
    table.add("GET", "/kept", kept)
    table.add("GET", "/v1/a", plain)
    table.add("GET", "/open", plain, scope=Scope.NONE)
    return table


@pytest.fixture
def afar(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is taken for other hosts, so that tests have some."""
    monkeypatch.setattr("gossip.api.http.server.is_loopback", lambda _host: False)


@pytest.mark.usefixtures("afar")
async def test_too_many_requests_are_told_when_to_come_again_and_harm_nobody_else(
    mock_clock: MockClock,
) -> None:
    async with serving(routes(), rates=Rates(2, 2.0)) as here:
        here.server.checks_host = False
        client = await here.connect()
        for method, target in (("GET", "/a"), ("PUT", "/a"), ("GET", "/kept"), ("GET", "/kept")):
            assert (await client.ask(method, target)).status == 200
        assert len(here.server.shortcuts) == 1
        # What is remembered counts as well, and so does another connection.
        for each, target in ((client, "/kept"), (await here.connect(), "/a")):
            refused = await each.ask("GET", target)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert standard.loads(refused.body)["kind"] == "limit"
            assert "(http_rate)" in standard.loads(refused.body)["error"]
        assert here.faults == ["http_rate", "http_rate"]
        assert here.server.requests["other", 429] == 2
        other = await here.connect("127.0.0.2")
        assert (await other.ask("GET", "/a")).status == 200
        # Who does not wait is not heard meanwhile.
        await client.send(client.encode("GET", "/kept"))
        await wait_all_tasks_blocked()
        assert here.faults == ["http_rate", "http_rate"]
        mock_clock.jump(1.0)
        assert (await client.answer()).status == 200
        # Its body is not waited for.
        await here.connect()
        for _ in range(2):
            last = await (await here.connect()).ask("PUT", "/a", b"x" * 100_000)
        assert last.status == 429
        assert last.headers["connection"] == "close"


@pytest.mark.usefixtures("afar")
async def test_a_refusal_has_the_form_of_its_path(mock_clock: MockClock) -> None:
    async with serving(routes(), rates=Rates(1, 1.0)) as here:
        here.server.checks_host = False
        assert (await (await here.connect()).ask("GET", "/a")).status == 200
        assert (await (await here.connect()).ask("GET", "/nowhere")).status == 429
        refused = await (await here.connect()).ask("GET", "/bare/a")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        assert refused.body == b"too many requests from this address (http_rate): ask again later"


async def test_this_host_is_exempt(mock_clock: MockClock) -> None:
    guesses = Guesses(Rates(1, 1.0), trio.current_time)
    async with serving(
        routes(), rates=Rates(1, 1.0), guard=Guard(TOKENS, Scope.READ, guesses=guesses)
    ) as here:
        client = await here.connect()
        for number in range(10):
            assert (await client.ask("GET", "/kept")).status == 200
            assert (await client.ask("GET", "/a", authorization=f"Bearer {number}")).status == 401
        here.server.checks_host = False  # at an address that others reach, too
        client = await here.connect()
        for number in range(10):
            assert (await client.ask("GET", "/kept")).status == 200
            assert (await client.ask("GET", "/a", authorization=f"Bearer {number}")).status == 401
        assert here.faults == []


@pytest.mark.usefixtures("afar")
async def test_tokens_cannot_be_guessed_at_speed(mock_clock: MockClock) -> None:
    counted: list[str] = []
    guesses = Guesses(Rates(1, 3.0), trio.current_time, counted.append)
    async with serving(routes(), guard=Guard(TOKENS, Scope.NONE, guesses=guesses)) as here:
        here.server.checks_host = False

        async def ask(secret: str, target: str = "/a", source: str | None = None) -> int:
            answer = await (await here.connect(source)).ask("GET", target, authorization=f"Bearer {secret}")
            if answer.status == 429:
                assert answer.headers["retry-after"] == "1"
                assert b"too many wrong tokens" in answer.body
                assert answer.headers["content-type"].startswith(
                    "text/plain" if target == "/v1/a" else "application/json"
                )
            return answer.status

        assert await ask(GOOD) == 200
        assert [await ask(f"wrong{number}") for number in range(5)] == [401, 401, 401, 429, 429]
        assert await ask("wrong5", "/v1/a") == 429
        assert await ask("wrong6", "/open") == 200, "what needs no token tells nothing of one"
        assert counted == ["http_token_rate"] * 4
        # Not looked at: else it could be told from the others.
        assert await ask(LATER) == 429
        # Neither of these is a guess.
        assert [await ask(GOOD), await ask("wrong0"), await ask("wrong2")] == [200, 401, 401]
        assert await ask(LATER, source="127.0.0.2") == 200
        mock_clock.jump(1.0)
        assert [await ask(LATER), await ask("wrong3"), await ask("wrong4")] == [200, 401, 429]


def test_what_is_known_of_tokens_is_bounded() -> None:
    guesses = Guesses(Rates(1_000_000), lambda: 0.0)
    for number in range(MAX_KNOWN + 10):
        guesses.note("10.0.0.1", hash_of(str(number)), is_good=False)
    assert len(guesses._known) == MAX_KNOWN


async def test_an_agent_goes_by_its_settings_and_a_reload_changes_them(tmp_path: Path) -> None:
    config = Config(
        name="n",
        socket=tmp_path / "s",
        bind=(("127.0.0.1", 0),),
        http=("0.0.0.0", 0),
        http_insecure=True,
    )
    async with Agent(config) as agent:
        face = agent._serving.http
        assert face is not None
        rates, guesses = face.server.rates, face.server.guard.guesses
        assert rates is not None
        assert guesses is not None
        await agent.reload(replace(config, tags={"a": "b"}))
        assert face.server.rates is rates, "a reload is no way to a fresh bucket"
        assert face.server.guard.guesses is guesses
        await agent.reload(replace(config, http_rate=0, http_token_rate=0))
        assert face.server.rates is None
        assert face.server.guard.guesses is None
