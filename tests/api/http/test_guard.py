"""Tokens and scopes over HTTP, what web pages may not do, and where a token must not turn up again."""

from __future__ import annotations

import json as standard
import logging
from typing import TYPE_CHECKING, Any

import pytest

from gossip.api.http.guard import Guard
from gossip.api.http.routes import Routes
from gossip.api.http.values import Request, Response, json
from gossip.config.access import Scope
from gossip.config.tokens import Token, Tokens, hash_of, new_token
from tests.api.http.served import serving

if TYPE_CHECKING:
    from tests.api.http.served import Answer

SECRETS = {scope: new_token() for scope in (Scope.READ, Scope.WRITE, Scope.ADMIN)}
OVER = new_token()
TOKENS = Tokens(
    (
        *(Token(scope.label, scope, hash_of(secret)) for scope, secret in SECRETS.items()),
        Token("over", Scope.ADMIN, hash_of(OVER), 1.0),
    )
)
LOCKED = Guard(TOKENS, Scope.NONE)
SEEN: list[Request] = []


async def echo(asked: Request) -> Response:
    SEEN.append(asked)
    return json({"grant": asked.grant.label, "query": asked.query})


async def needy(asked: Request) -> Response:
    asked.need(Scope.ADMIN, "a command check")
    return json({})


async def failing(asked: Request) -> Response:
    raise ZeroDivisionError(f"with {asked!r}")


def routes(prefix: str = "/gossip/v1") -> Routes:
    table = Routes()
    table.add("GET", f"{prefix}/read", echo)
    table.add("PUT", f"{prefix}/write", echo)
    table.add("DELETE", f"{prefix}/write", echo)
    table.add("PUT", f"{prefix}/admin", echo, scope=Scope.ADMIN)
    table.add("GET", f"{prefix}/open", echo, scope=Scope.NONE)
    table.add("GET", f"{prefix}/changes", echo, scope=Scope.WRITE)
    table.add("PUT", f"{prefix}/needy", needy)
    table.add("GET", f"{prefix}/fails", failing)
    return table


async def ask(guard: Guard, method: str, target: str, prefix: str = "/gossip/v1", **headers: str) -> Answer:
    async with serving(routes(prefix), guard=guard) as here:
        client = await here.connect()
        return await client.ask(method, target, b"", **headers)


def test_a_route_asks_for_write_unless_it_only_reads() -> None:
    found = {(route.method, route.pattern): route.scope for route in routes()}
    assert found["GET", "/gossip/v1/read"] is Scope.READ
    assert found["PUT", "/gossip/v1/write"] is Scope.WRITE
    assert found["DELETE", "/gossip/v1/write"] is Scope.WRITE
    assert found["PUT", "/gossip/v1/admin"] is Scope.ADMIN


ROWS = [
    ("GET", "/gossip/v1/open", Scope.NONE),
    ("GET", "/gossip/v1/read", Scope.READ),
    ("HEAD", "/gossip/v1/read", Scope.READ),
    ("PUT", "/gossip/v1/write", Scope.WRITE),
    ("DELETE", "/gossip/v1/write", Scope.WRITE),
    ("PUT", "/gossip/v1/admin", Scope.ADMIN),
]


@pytest.mark.parametrize(("method", "target", "needed"), ROWS)
async def test_each_scope_has_what_is_below_it(method: str, target: str, needed: Scope) -> None:
    async with serving(routes(), guard=LOCKED) as here:
        for scope, secret in SECRETS.items():
            client = await here.connect()
            answer = await client.ask(method, target, authorization=f"Bearer {secret}")
            assert answer.status == (200 if scope >= needed else 403), (scope, needed)
            if answer.status == 403 and method != "HEAD":
                text = standard.loads(answer.body)["error"]
                assert (
                    text
                    == f"the token '{scope.label}' has the scope {scope.label}, and this needs {needed.label}"
                )
        answer = await (await here.connect()).ask(method, target)
        assert answer.status == (200 if needed is Scope.NONE else 401)
        if needed is not Scope.NONE:
            assert answer.headers["www-authenticate"] == 'Bearer realm="gossip"'


@pytest.mark.parametrize("anonymous", list(Scope))
@pytest.mark.parametrize("tokens", [None, TOKENS])
@pytest.mark.parametrize(("method", "target", "needed"), ROWS)
async def test_what_a_request_without_a_token_may_do(
    anonymous: Scope, tokens: Tokens | None, method: str, target: str, needed: Scope
) -> None:
    answer = await ask(Guard(tokens, anonymous), method, target)
    refused = 403 if tokens is None else 401
    assert answer.status == (200 if anonymous >= needed else refused)


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer {}"},
        {"authorization": "bearer   {}"},
        {"x-consul-token": "{}"},
        {"x-consul-token": "{}", "authorization": "Basic YTpi"},
    ],
)
async def test_a_token_may_come_as_consuls_clients_send_it(headers: dict[str, str]) -> None:
    secret = SECRETS[Scope.WRITE]
    filled = {name.replace("-", "_"): text.format(secret) for name, text in headers.items()}
    answer = await ask(LOCKED, "PUT", "/gossip/v1/write", **filled)
    assert (answer.status, standard.loads(answer.body)["grant"]) == (200, "write")


async def test_a_token_in_the_query_is_taken_out_of_it() -> None:
    SEEN.clear()
    secret = SECRETS[Scope.READ]
    answer = await ask(LOCKED, "GET", f"/gossip/v1/read?tag=a&token={secret}&tag=b")
    assert standard.loads(answer.body) == {"grant": "read", "query": {"tag": ["a", "b"]}}
    assert secret not in repr(SEEN)


@pytest.mark.parametrize(
    "secret", ["wrong", OVER, "", "x" * 5_000], ids=["wrong", "revoked", "empty", "long"]
)
async def test_a_token_that_is_none(secret: str) -> None:
    """One that is over is as good as none, and an empty one is none at all: clients send it so."""
    answer = await ask(LOCKED, "GET", "/gossip/v1/read", x_consul_token=secret)
    assert answer.status == 401
    if secret.strip():
        assert "not known here, or has expired" in standard.loads(answer.body)["error"]
        assert secret[:16] not in answer.body.decode()
    assert (await ask(LOCKED, "GET", "/gossip/v1/open", x_consul_token="wrong")).status == 200


async def test_without_tokens_those_that_come_mean_nothing() -> None:
    """Consul's clients have one in their settings, whether or not the agent asks."""
    assert (await ask(Guard(None, Scope.ADMIN), "PUT", "/gossip/v1/admin?token=anything")).status == 200
    denied = await ask(Guard(None, Scope.READ, "allow_write"), "PUT", "/gossip/v1/write?token=anything")
    assert denied.status == 403
    assert "(allow_write)" in standard.loads(denied.body)["error"]


@pytest.mark.parametrize(
    ("guard", "headers", "body"),
    [
        (LOCKED, {}, b"Permission denied"),
        (LOCKED, {"x_consul_token": SECRETS[Scope.READ]}, b"Permission denied"),
        (LOCKED, {"x_consul_token": "wrong"}, b"ACL not found"),
        (Guard(None, Scope.READ), {}, b"Permission denied"),
        (Guard(None, Scope.ADMIN), {"origin": "http://a.example"}, b"Permission denied"),
    ],
)
async def test_below_v1_refusals_are_consuls(guard: Guard, headers: dict[str, str], body: bytes) -> None:
    answer = await ask(guard, "PUT", "/v1/write", "/v1", **headers)
    assert (answer.status, answer.body) == (403, body)
    assert answer.headers["content-type"].startswith("text/plain")


async def test_a_handler_may_ask_for_more_than_its_route() -> None:
    for scope, status in [(Scope.WRITE, 403), (Scope.ADMIN, 200)]:
        answer = await ask(LOCKED, "PUT", "/gossip/v1/needy", x_consul_token=SECRETS[scope])
        assert answer.status == status
    assert (
        standard.loads((await ask(Guard(None, Scope.WRITE), "PUT", "/gossip/v1/needy")).body)["kind"]
        == "denied"
    )


# -- web pages


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        # After DNS rebinding the page's own name leads here, and the browser takes it for the same origin.
        {"origin": "http://127.0.0.1:8500", "sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "same-origin"},
    ],
)
async def test_a_page_in_a_browser_changes_nothing_without_a_token(headers: dict[str, str]) -> None:
    everything = Guard(None, Scope.ADMIN)
    for method, target in [
        ("PUT", "/gossip/v1/write"),
        ("DELETE", "/gossip/v1/write"),
        ("PUT", "/gossip/v1/admin"),
        ("GET", "/gossip/v1/changes"),
    ]:
        answer = await ask(everything, method, target, **headers)
        assert answer.status == 403
        assert "a web page changes nothing here" in standard.loads(answer.body)["error"]
    # What it reads stays with the browser: nothing here says that other origins may have it.
    answer = await ask(everything, "GET", "/gossip/v1/read", **headers)
    assert answer.status == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]
    withtoken = await ask(Guard(TOKENS, Scope.ADMIN), "PUT", "/gossip/v1/write",
                          x_consul_token=SECRETS[Scope.WRITE], **headers)  # fmt: skip
    assert withtoken.status == 200


async def test_what_is_no_page_is_taken_for_none() -> None:
    for headers in ({}, {"sec_fetch_site": "none"}, {"sec_fetch_mode": "cors", "user_agent": "node"}):
        assert (await ask(Guard(None, Scope.ADMIN), "PUT", "/gossip/v1/write", **headers)).status == 200


async def test_a_preflight_is_not_answered_with_leave() -> None:
    answer = await ask(
        Guard(None, Scope.ADMIN),
        "OPTIONS",
        "/gossip/v1/write",
        origin="http://evil.example",
        access_control_request_method="PUT",
    )
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


# -- where a token must not turn up


async def test_a_token_is_in_no_log_trace_or_answer(caplog: pytest.LogCaptureFixture) -> None:
    """Not even after a fault of our own that shows the whole request."""
    secret = SECRETS[Scope.READ]
    places: list[Any] = [
        (f"/gossip/v1/fails?token={secret}", {}),
        ("/gossip/v1/fails", {"authorization": f"Bearer {secret}"}),
        ("/gossip/v1/fails", {"x_consul_token": secret}),
        (f"/gossip/v1/missing?token={secret}", {}),
        (f"/gossip/v1/read?token={secret}&token={secret}x", {"x_consul_token": secret}),
        (f"/gossip/v1/admin?token={secret}", {}),
    ]
    with caplog.at_level(logging.DEBUG):
        for target, headers in places:
            answer = await ask(LOCKED, "GET", target, **headers)
            assert secret not in f"{answer.headers}{answer.body.decode()}"
        for head, words in (
            (f"GET gossip/v1/read?token={secret} HTTP/1.1", "'gossip/v1/read' is no path"),
            (f"GET /gossip/v1/read?token={secret} more HTTP/1.1", "illegal request line"),
            (f"GET / HTTP/1.1\r\nAuthorization : Bearer {secret}", "illegal header line"),
            (f"GET / HTTP/1.1\r\nX-Consul-Token {secret}", "illegal header line"),
        ):
            async with serving(routes(), guard=LOCKED) as here:
                client = await here.connect()
                await client.send(f"{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
                told = (await client.rest()).decode()
                assert words in told
                assert secret not in told
    assert "ZeroDivisionError" in caplog.text
    assert secret not in caplog.text
    assert secret not in str([vars(record) for record in caplog.records])
