"""The ways to write a seed, and what a resolver may answer."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import trio

from gossip.net import resolve as module
from gossip.net.resolve import ADDRESSES_MAX, DEFAULT_PORT, literal, resolve, split_seed


@pytest.mark.parametrize(
    ("seed", "host", "port"),
    [
        ("db1", "db1", DEFAULT_PORT),
        ("db1:80", "db1", 80),
        (" db1.example.org:7946 ", "db1.example.org", 7946),
        ("192.0.2.1", "192.0.2.1", DEFAULT_PORT),
        ("[2001:db8::1]:80", "2001:db8::1", 80),
        ("[2001:db8::1]", "2001:db8::1", DEFAULT_PORT),
        ("2001:db8::1", "2001:db8::1", DEFAULT_PORT),
    ],
)
def test_the_ways_to_write_a_seed(seed: str, host: str, port: int) -> None:
    assert split_seed(seed) == (host, port)


@pytest.mark.parametrize(
    "seed", ["", ":80", "a:", "a:0", "a:65536", "a:http", "a:-1", "[::1", "[::1]80", "a:²"]
)
def test_what_is_no_seed_is_said_in_one_line(seed: str) -> None:
    with pytest.raises(ValueError) as caught:
        split_seed(seed)
    assert "\n" not in str(caught.value)
    assert repr(seed) in str(caught.value)
    assert literal(seed) is None


def test_a_literal_needs_no_lookup() -> None:
    assert literal("192.0.2.1:80") == ("192.0.2.1", 80)
    assert literal("[::1]", 99) == ("::1", 99)
    assert literal("db1:80") is None
    assert literal("0.0.0.0:80") is None


class Names(trio.abc.HostnameResolver):
    """Answers as it is told, in the place of the system's resolver."""

    def __init__(self, found: list[str] | OSError | None) -> None:
        self.found = found
        self.asked = 0

    async def getaddrinfo(self, host: Any, port: Any, *_args: Any, **_kwargs: Any) -> Any:  # noqa: ARG002
        self.asked += 1
        if self.found is None:
            await trio.sleep_forever()
        if isinstance(self.found, OSError):
            raise self.found
        assert self.found is not None
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (found, port, 0, 0))
            if ":" in found
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (found, port))
            for found in self.found
        ]

    async def getnameinfo(self, *_args: Any) -> Any:
        raise NotImplementedError


async def ask(found: list[str] | OSError | None, seed: str = "db1:80") -> tuple[list[tuple[str, int]], str]:
    trio.socket.set_custom_hostname_resolver(Names(found))
    return await resolve(seed)


async def test_addresses_come_in_order_each_once_and_only_those_of_use() -> None:
    found = ["192.0.2.2", "2001:db8::1", "192.0.2.2", "0.0.0.0", "::ffff:192.0.2.9", "192.0.2.1"]
    expected = [("192.0.2.2", 80), ("2001:db8::1", 80), ("192.0.2.1", 80)]
    assert await ask(found) == (expected, "")


async def test_no_more_than_eight_addresses_of_one_name() -> None:
    addresses, _ = await ask([f"192.0.2.{number}" for number in range(1, 50)])
    assert len(addresses) == ADDRESSES_MAX


async def test_a_name_is_asked_for_anew_each_time() -> None:
    names = Names(["192.0.2.1"])
    trio.socket.set_custom_hostname_resolver(names)
    assert (await resolve("db1"))[0] == [("192.0.2.1", DEFAULT_PORT)]
    names.found = ["192.0.2.2"]
    assert (await resolve("db1"))[0] == [("192.0.2.2", DEFAULT_PORT)]
    assert names.asked == 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (["0.0.0.0"], "no address that can be sent to"),
        ([], "no address that can be sent to"),
    ],
)
async def test_a_name_that_does_not_resolve_is_a_line_not_an_exception(
    found: list[str] | OSError, said: str
) -> None:
    addresses, problem = await ask(found)
    assert addresses == []
    assert problem.startswith("db1:80: the name ")
    assert said in problem


async def test_a_seed_that_is_malformed_is_a_line_too() -> None:
    addresses, problem = await ask([], "a:http")
    assert (addresses, problem) == ([], "'a:http': the port must be a number from 1 to 65535")


async def test_a_label_that_no_host_can_have() -> None:
    addresses, problem = await resolve("x" * 64 + ".example:80")
    assert addresses == []
    assert problem


async def test_a_resolver_that_does_not_answer_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    started = trio.current_time()
    addresses, problem = await ask(None)
    assert addresses == []
    assert "was not resolved within" in problem
    assert trio.current_time() - started == module.RESOLVE_SECONDS


async def test_the_systems_own_resolver() -> None:
    addresses, problem = await resolve("localhost:80")
    assert problem == ""
    assert {host for host, _ in addresses} <= {"127.0.0.1", "::1"}
