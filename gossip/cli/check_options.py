"""The options that give a service health checks, and the definitions that they stand for.

An agent reads the same mappings from its files (`[[service.check]]`) and its socket. What can be seen
to be wrong without an agent is refused here, with the option's name.
"""

from __future__ import annotations

import argparse
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gossip.cli.arguments import span
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gossip.client.framing import Message

__all__ = ["MAX_CHECKS", "add_check_options", "definitions", "naming_options"]

MAX_CHECKS = 16
"""Checks of one service: what its status record has room for."""

_KINDS = ("http", "tcp", "grpc", "command", "ttl", "alias", "container")
_RUN = ("http", "tcp", "grpc", "command", "container")
"""The kinds that the agent carries out: these have an interval and a timeout."""


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options; `definitions` reads them."""
    group = parser.add_argument_group("health checks, which this node's agent carries out; again for more")

    def kind(option: str, read: Callable[[str], Message], metavar: str, summary: str) -> None:
        group.add_argument(
            option, dest="checks", action="append", default=[], type=read, metavar=metavar, help=summary
        )

    kind("--check-http", _http, "URL", "passing while GET answers 200 to 299")
    kind("--check-tcp", _tcp, "HOST:PORT", "passing while it accepts a connection")
    kind("--check-cmd", _plain("command"), "CMD", "a shell command: 0 is passing, 1 warning, else critical")
    kind("--check-grpc", _grpc, "HOST:PORT", "passing while its health service says SERVING (/NAME for one)")
    kind("--check-ttl", _ttl, "DURATION", "passing while 'gossip check pass' comes at least so often")
    kind("--check-alias", _plain("alias"), "ID", "as another service of this node (node:NAME: as a node)")
    kind("--check-container", _plain("container"), "NAME", "as the container's own health check")
    group.add_argument("--interval", type=span, metavar="DURATION", help="time between runs (default: 10s)")
    group.add_argument(
        "--timeout", type=span, metavar="DURATION", help="a run may take so long (default: 2s)"
    )
    group.add_argument(
        "--deregister-after",
        type=span,
        metavar="DURATION",
        help="deregister the service when a check was critical for so long (default: never)",
    )


def definitions(options: argparse.Namespace) -> list[Message]:
    """The checks that were asked for, as `services.register` takes them.

    Options that mean nothing without a check, and too many checks, are wrong usage: that ends the program.
    """
    wrong = options.parser.error
    times = {"interval": options.interval, "timeout": options.timeout}
    for name, given in (*times.items(), ("deregister-after", options.deregister_after)):
        if given is not None and not options.checks:
            wrong(f"--{name} belongs to a health check: give one, for example with --check-http")
    if len(options.checks) > MAX_CHECKS:
        wrong(f"{len(options.checks)} checks were given, and a service may have {MAX_CHECKS}")
    run = {name: given for name, given in times.items() if given is not None}
    if run and not any(kind in check for check in options.checks for kind in _RUN):
        wrong("--interval and --timeout are for checks that the agent carries out, and it waits for these")
    end = {} if options.deregister_after is None else {"deregister_after": options.deregister_after}
    return [check | (run if any(kind in check for kind in _RUN) else {}) | end for check in options.checks]


@contextmanager
def naming_options() -> Iterator[None]:
    """Has what the agent refuses of a check named by the option that gave it, not by its place in a list."""
    try:
        yield
    except ConfigError as problem:
        place, colon, reason = str(problem).partition(": ")
        check, dot, key = place.partition(".")
        if not (check.startswith("checks[") and dot and colon):
            raise
        option = "check-cmd" if key == "command" else f"check-{key}" if key in _KINDS else key
        raise ConfigError(f"--{option.replace('_', '-')}: {reason}") from None


def _http(text: str) -> Message:
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        fine = False
    if not fine:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL like http://127.0.0.1:8080/health")
    return {"http": text}


def _tcp(text: str) -> Message:
    return {"tcp": _endpoint(text, text)}


def _grpc(text: str) -> Message:
    return {"grpc": _endpoint(text.partition("/")[0], text)}


def _endpoint(endpoint: str, text: str) -> str:
    host, colon, number = endpoint.rpartition(":")
    if not (host and colon and number.isdecimal() and 1 <= int(number) <= 65_535):
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT with a port from 1 to 65535")
    return text


def _ttl(text: str) -> Message:
    return {"ttl": span(text)}


def _plain(kind: str) -> Callable[[str], Message]:
    def read(text: str) -> Message:
        if not text.strip():
            raise argparse.ArgumentTypeError("it is empty")
        return {kind: text}

    return read
