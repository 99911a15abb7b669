"""How arguments are read: errors of one line, help as wide as the terminal, and the kinds of values."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Parser",
    "add_command",
    "any_port",
    "count",
    "duration",
    "filled",
    "host",
    "listen",
    "natural",
    "pair",
    "patience",
    "port",
    "service",
    "span",
]


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help as wide as the terminal; argparse's own way to ask for that imports compression and more."""

    def __init__(self, prog: str, **options: Any) -> None:
        try:
            columns = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else 80
        except (OSError, ValueError):
            columns = 80
        options.setdefault("width", max(columns, 40) - 2)
        options.setdefault("max_help_position", 28)
        super().__init__(prog, **options)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that says where to look."""

    def __init__(self, **options: Any) -> None:
        super().__init__(formatter_class=Formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Ends the program with status 2."""
        self.exit(2, f"{self.prog}: {message} (see '{self.prog} --help')\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:  # noqa: SLF001
            self.error(f"there is no command {value!r}")
        super()._check_value(action, value)


def add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    run: str,
    summary: str,
    *,
    example: str,
    client: bool = True,
    json: bool = True,
) -> Parser:
    """Adds a command that is carried out by `run`, a `module:function` of this package.

    With `client` it asks the agent and takes `--socket`; with `json` it takes `--json`.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
    )
    parser.set_defaults(run=run, parser=parser)
    if client:
        parser.add_argument(
            "--socket", metavar="PATH", help="the agent's socket (else GOSSIP_SOCKET, else the default)"
        )
    if json:
        parser.add_argument(
            "--json", action="store_true", help="JSON instead of text; one value a line when it streams"
        )
    return parser


def _typed(kind: str) -> Callable[[Callable[[str], Any]], Callable[[str], Any]]:
    """Makes a ValueError of the parser below the one line that says what is wanted."""

    def decorate(parse: Callable[[str], Any]) -> Callable[[str], Any]:
        def parsed(text: str) -> Any:
            try:
                return parse(text)
            except ValueError:
                raise argparse.ArgumentTypeError(f"{text!r} is not {kind}") from None

        return parsed

    return decorate


@_typed("KEY=VALUE")
def pair(text: str) -> tuple[str, str]:
    """The parts of `key=value`; the value may be empty and may contain more `=`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ValueError(text)
    return key, value


@_typed("a port, 1 to 65535")
def port(text: str) -> int:
    """A port that one can connect to."""
    if not 1 <= int(text) <= 65_535:
        raise ValueError(text)
    return int(text)


@_typed("a port, 1 to 65535, or 0 for none")
def any_port(text: str) -> int:
    """A port of a service, which may have none."""
    if not 0 <= int(text) <= 65_535:
        raise ValueError(text)
    return int(text)


def filled(text: str) -> str:
    """A text that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty")
    return text


@_typed("an IP address or a host name")
def host(text: str) -> str:
    """What an instance may be reached at; empty stands for the agent's own."""
    from ipaddress import ip_address

    labels = text.removesuffix(".").split(".")
    # A name that ends in a number is an address that was meant, and no resolver takes it for a name.
    if text and (labels[-1].isdecimal() or not all(map(_is_label, labels))):
        ip_address(text)
    return text


def _is_label(text: str) -> bool:
    return (
        1 <= len(text) <= 63
        and not text.startswith("-")
        and not text.endswith("-")
        and text.replace("-", "a").replace("_", "a").isalnum()
    )


@_typed("a whole number, 0 or more")
def natural(text: str) -> int:
    """A whole number that is not negative."""
    if int(text) < 0:
        raise ValueError(text)
    return int(text)


@_typed("a whole number, 1 or more")
def count(text: str) -> int:
    """A whole number that is not 0."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def duration(text: str) -> float:
    """Seconds of `500ms`, `30s`, `5m` or `1h`."""
    from gossip.config import parse_duration
    from gossip.errors import ConfigError

    try:
        return parse_duration(text)
    except ConfigError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def listen(text: str) -> tuple[str, int]:
    """The parts of `HOST:PORT`; a port alone is one on 127.0.0.1."""
    from gossip.config import parse_listen
    from gossip.errors import ConfigError

    try:
        return parse_listen(text)
    except ConfigError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def patience(text: str) -> float:
    """Seconds of a duration from 1 s to 30 s."""
    seconds = duration(text)
    if not 1.0 <= seconds <= 30.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 1s to 30s")
    return seconds


def span(text: str) -> str:
    """A duration as it was written, for an agent to read; it is checked here."""
    duration(text)
    return text


@_typed("NAME or NAME:PORT with a port from 1 to 65535")
def service(text: str) -> tuple[str, int]:
    """The parts of `web:8080`; port 0 when only a name was given."""
    name, colon, number = text.partition(":")
    if not name or (colon and not number.isdecimal()):
        raise ValueError(text)
    return name, port(number) if colon else 0
