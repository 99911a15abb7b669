"""Ports that are shared, taken, forbidden or not there."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gossip.errors import TransportError
from gossip.net.bind import bind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gossip.core.types import Address
    from gossip.net.bind import Endpoint


@pytest.fixture
def endpoints() -> Iterator[list[Endpoint]]:
    """Whatever is put here is closed at the end."""
    bound: list[Endpoint] = []
    yield bound
    for endpoint in bound:
        endpoint.close()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def complaint(address: Address) -> str:
    with pytest.raises(TransportError) as caught:
        bind([address])
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_udp_and_tcp_share_one_free_port(endpoints: list[Endpoint]) -> None:
    endpoints += bind([("127.0.0.1", 0)])
    (endpoint,) = endpoints
    assert endpoint.address[1] > 0
    assert endpoint.udp.address == endpoint.address == endpoint.listener.getsockname()


def test_several_addresses_and_both_families_share_the_free_port(endpoints: list[Endpoint]) -> None:
    endpoints += bind([("127.0.0.1", 0), ("127.0.0.2", 0), ("::1", 0)])
    assert [endpoint.address[0] for endpoint in endpoints] == ["127.0.0.1", "127.0.0.2", "::1"]
    assert len({endpoint.address[1] for endpoint in endpoints}) == 1


def test_ipv6_takes_no_ipv4(endpoints: list[Endpoint]) -> None:
    endpoints += bind([("0.0.0.0", 0), ("::", 0)])
    assert endpoints[0].address[1] == endpoints[1].address[1]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_in_use_is_said_with_what_to_do(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        line = complaint(("127.0.0.1", port))
    assert f"127.0.0.1:{port}" in line
    assert "stop it, or choose another port" in line


def test_a_failure_leaves_nothing_bound() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.2", 0))
        port = taken.getsockname()[1]
        before = open_files()
        with pytest.raises(TransportError):
            bind([("127.0.0.1", port), ("127.0.0.2", port)])
        assert open_files() == before


@contextmanager
def taken_for_udp() -> Iterator[int]:
    """A number that no other process takes for TCP meanwhile; who asks to reuse it may, as an agent does."""
    for _ in range(20):
        with socket.socket() as kept, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            kept.bind(("127.0.0.1", 0))
            try:
                taken.bind(kept.getsockname())
            except OSError:
                continue
            yield taken.getsockname()[1]
            return
    raise AssertionError("twenty numbers that are free for TCP are none for UDP")


def test_a_free_number_that_is_taken_for_udp_is_tried_anew(
    endpoints: list[Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    with taken_for_udp() as unlucky:
        tries: list[int] = []
        real = socket.socket.bind

        def first_choice_is_unlucky(sock: socket.socket, address: Address) -> None:
            if sock.type == socket.SOCK_STREAM:
                tries.append(address[1])
                address = (address[0], unlucky) if len(tries) == 1 else address
            real(sock, address)

        monkeypatch.setattr(socket.socket, "bind", first_choice_is_unlucky)
        endpoints += bind([("127.0.0.1", 0)])
    assert tries == [0, 0]
    assert endpoints[0].address[1] != unlucky


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (("192.0.2.77", 0), "this host has no such address"),
        (("2001:db8::77", 0), "this host has no such address"),
        (("not.an.address", 0), "not an IP address and a port"),
        (("localhost", 0), "not an IP address and a port"),
        (("", 0), "not an IP address and a port"),
        (("127.0.0.1", 65_536), "not an IP address and a port"),
        (("127.0.0.1", -1), "not an IP address and a port"),
    ],
)
def test_an_address_that_cannot_be_had_is_said_with_what_to_do(address: Address, said: str) -> None:
    assert said in complaint(address)


def test_a_port_that_needs_a_privilege(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(_sock: socket.socket, _address: Address) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", forbid)
    assert "choose a higher one" in complaint(("127.0.0.1", 53))
