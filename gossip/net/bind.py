"""Sockets to listen on: UDP and TCP on one port number, at each address that was asked for."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from gossip.core.types import Address, show_address
from gossip.errors import TransportError
from gossip.net.addresses import plain
from gossip.net.udp import UdpPort

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Endpoint", "bind"]

BACKLOG: Final = 128
"""Connections that the kernel holds for us while all places are taken."""

PORT_TRIES: Final = 16
"""For port 0: how many free TCP numbers are tried until one is free for UDP too."""

_ADVICE: Final = {
    errno.EADDRINUSE: "something else listens there: stop it, or choose another port",
    errno.EADDRNOTAVAIL: "this host has no such address: bind to one that it has, or to 0.0.0.0 or [::]",
    errno.EACCES: "ports below 1024 need a privilege: choose a higher one",
    errno.EPERM: "a security rule of this host forbids it: allow it, or choose another port",
    errno.EAFNOSUPPORT: "this host has no support for that address family: bind to one of the other",
}


class Endpoint(NamedTuple):
    """One address, listened on by datagram and by stream."""

    address: Address
    udp: UdpPort
    listener: socket.socket

    def close(self) -> None:
        self.udp.close()
        self.listener.close()


def bind(addresses: Sequence[Address]) -> list[Endpoint]:
    """Listen on each address; a port 0 becomes one free number, the same at all of them.

    Raises:
        TransportError: naming the address that cannot be had, and what to do. Nothing stays bound.
    """
    for tries_left in range(PORT_TRIES - 1, -1, -1):
        try:
            return _bind_all(addresses)
        except _TakenError as exc:
            if not tries_left:
                raise TransportError(
                    f"no port found that is free at every address ({PORT_TRIES} tries): choose one"
                ) from exc
    raise AssertionError  # the last try returns or raises


class _TakenError(Exception):
    """A number that the system chose for one socket is not free for another."""


def _bind_all(addresses: Sequence[Address]) -> list[Endpoint]:
    endpoints: list[Endpoint] = []
    chosen = 0
    with contextlib.ExitStack() as undo:
        for host, port in addresses:
            endpoint = _bind_one(host, port or chosen, is_free_choice=port == 0)
            undo.callback(endpoint.close)
            endpoints.append(endpoint)
            if port == 0:
                chosen = endpoint.address[1]
        undo.pop_all()
    return endpoints


def _bind_one(host: str, port: int, *, is_free_choice: bool) -> Endpoint:
    # TCP first: a number that is free for TCP is nearly always free for UDP, not the reverse.
    listener = _bound(socket.SOCK_STREAM, host, port, is_free_choice=is_free_choice)
    try:
        port = listener.getsockname()[1]
        listener.listen(BACKLOG)
        sock = _bound(socket.SOCK_DGRAM, host, port, is_free_choice=is_free_choice)
    except BaseException:
        listener.close()
        raise
    return Endpoint(plain(listener.getsockname()), UdpPort(sock), listener)


def _bound(kind: socket.SocketKind, host: str, port: int, *, is_free_choice: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock: socket.socket | None = None
    try:
        socket.inet_pton(family, host)  # a name would be looked up, and may be many addresses
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # An agent that is started again at once finds old connections in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as exc:
        if sock is not None:
            sock.close()
        if is_free_choice and port and getattr(exc, "errno", None) == errno.EADDRINUSE:
            raise _TakenError from exc
        raise TransportError(_complaint(kind, (host, port), exc)) from exc
    return sock


def _complaint(kind: socket.SocketKind, address: Address, exc: Exception) -> str:
    what = "TCP" if kind == socket.SOCK_STREAM else "UDP"
    place = f"cannot listen on {show_address(address)} ({what})"
    number = getattr(exc, "errno", None)
    if number is None:
        return f"{place}: not an IP address and a port of 0 to 65535: write it as 192.0.2.1:7946"
    why = exc.args[1] if len(exc.args) > 1 else exc
    return f"{place}: {why}; {_ADVICE.get(number, 'check the address')}"
