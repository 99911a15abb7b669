"""Connections for checks: names, addresses, TLS; with threads of their own for what blocks.

A name service that hangs holds its thread until it gives up. The threads that the agent's disk works
in are not to be had for that, so these come from a small pool of their own.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import asynccontextmanager
from functools import partial
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["connect", "connect_unix", "open_stream", "split_address", "tls_context"]

RESOLVERS: Final = 8
"""Threads in which names are looked up for checks."""

_threads = trio.CapacityLimiter(RESOLVERS)
_contexts: dict[tuple[bool, tuple[str, ...]], ssl.SSLContext] = {}


def split_address(target: str) -> tuple[str, int]:
    """(host, port) of `host:port` or `[v6]:port`, which has been checked before."""
    host, _, port = target.rpartition(":")
    return host.strip("[]"), int(port)


async def connect(host: str, port: int) -> trio.SocketStream:
    """A connection to the first address of `host` that takes it.

    Raises:
        OSError: none did; that of the last one.
    """
    problem: OSError = OSError(f"{host} has no address")
    for address in await _addresses(host):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        sock = trio.socket.socket(family, socket.SOCK_STREAM)
        try:
            await sock.connect((address, port))
        except OSError as error:
            sock.close()
            problem = error
        except BaseException:
            sock.close()
            raise
        else:
            return trio.SocketStream(sock)
    raise problem


async def connect_unix(path: str) -> trio.SocketStream:
    """A connection to a unix socket.

    Raises:
        OSError: nobody takes it.
    """
    return await trio.open_unix_socket(path)


async def tls_context(*, verify: bool, protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
    """A context for clients; made once, in a thread, since it reads the system's certificates."""
    key = (verify, protocols)
    if key not in _contexts:
        _contexts[key] = await trio.to_thread.run_sync(
            partial(_make_context, verify, protocols), limiter=_threads
        )
    return _contexts[key]


def _make_context(verify: bool, protocols: tuple[str, ...]) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@asynccontextmanager
async def open_stream(
    host: str, port: int, *, tls: bool, verify: bool = True, protocols: tuple[str, ...] = ()
) -> AsyncIterator[trio.abc.Stream]:
    """A stream, with TLS if asked for, that is gone without ceremony when the block ends.

    Raises:
        OSError: it could not be opened.
        trio.BrokenResourceError: TLS did not come about.
    """
    plain = await connect(host, port)
    try:
        if not tls:
            yield plain
            return
        context = await tls_context(verify=verify, protocols=protocols)
        secure = trio.SSLStream(plain, context, server_hostname=host, https_compatible=True)
        await secure.do_handshake()
        yield secure
    finally:
        # A farewell would have to wait for the other side, which need not answer.
        plain.socket.close()


async def _addresses(host: str) -> list[str]:
    try:
        return [str(ip_address(host))]
    except ValueError:
        pass
    found = await trio.to_thread.run_sync(
        partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM),
        abandon_on_cancel=True,
        limiter=_threads,
    )
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
