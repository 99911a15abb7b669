"""A connection to an instance, within a time."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from ipaddress import ip_address
from typing import Any

import trio

__all__ = ["dial", "keep_alive"]

IDLE_SECONDS, INTERVAL_SECONDS, PROBES = 60, 10, 6
UNHEARD_SECONDS = 30
"""For which what was sent may stay unconfirmed before the connection counts as broken."""


async def dial(host: str, port: int, seconds: float) -> socket.socket:
    """A connected socket that does not block.

    Raises:
        OSError: why there is none; a `TimeoutError` after `seconds`.
    """
    with trio.move_on_after(seconds):
        return await _dial(host, port)
    raise TimeoutError(f"no answer within {seconds:g} s")


async def _dial(host: str, port: int) -> socket.socket:
    family, address = await _place(host, port)
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        code = sock.connect_ex(address)
        if code == errno.EINPROGRESS:
            await trio.lowlevel.wait_writable(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    except BaseException:
        sock.close()
        raise
    if code:
        sock.close()
        raise OSError(code, os.strerror(code))
    keep_alive(sock)
    return sock


async def _place(host: str, port: int) -> tuple[int, Any]:
    try:
        version = ip_address(host.partition("%")[0]).version
    except ValueError:
        try:
            found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except UnicodeError as error:  # of names such as `a..b`, which others may register
            raise OSError(errno.EINVAL, f"{host!r} is no host name: {error}") from error
        return found[0][0], found[0][4]
    if version == 4:
        return socket.AF_INET, (host, port)
    bare, _, zone = host.partition("%")
    return socket.AF_INET6, (bare, port, 0, socket.if_nametoindex(zone) if zone else 0)


def keep_alive(sock: socket.socket) -> None:
    """Small pieces leave at once, and a side that has vanished is noticed."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, INTERVAL_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNHEARD_SECONDS * 1000)
