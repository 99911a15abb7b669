"""The command `token`: makes what the HTTP face asks for. It needs no agent."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.cli.output import say, say_json

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["token"]

MIN_GIVEN_CHARS = 20
"""Of a token that was made elsewhere: its hash is made for secrets that nobody can guess."""


def token(options: Namespace) -> int:
    """Prints a new token, once, and the line with its hash for the file that `http_tokens` names."""
    from gossip.config.access import Scope
    from gossip.config.tokens import Token, hash_of, line_of, new_token

    secret = _given() if options.action == "hash" else new_token()
    expires = None if options.expires is None else time.time() + options.expires
    line = line_of(Token(options.name, Scope[options.scope.upper()], hash_of(secret), expires))
    if options.file is not None:
        _append(Path(options.file), options.name, line)
    shown = {"token": secret} if options.action == "new" else {}
    if options.file is None:
        shown["line"] = line
    if options.json:
        say_json({**shown, "name": options.name, "scope": options.scope, "file": options.file})
    else:
        for text in shown.values():
            say(text)
    return 0


def _given() -> str:
    """A token of somebody else's making: from standard input, since arguments are seen by all users."""
    from gossip.errors import ConfigError

    secret = sys.stdin.readline().strip()
    if len(secret) < MIN_GIVEN_CHARS:
        raise ConfigError(
            f"standard input: give the token in one line, of at least {MIN_GIVEN_CHARS} characters that"
            " nobody can guess; 'gossip token new' makes one"
        )
    return secret


def _append(path: Path, name: str, line: str) -> None:
    from gossip.config.tokens import read_tokens
    from gossip.errors import ConfigError

    if path.is_dir():
        raise ConfigError(f"{path} is a directory: name a file in it")
    if path.exists() and any(token.name == name for token in read_tokens(path)):
        raise ConfigError(f"{path}: has a token {name!r} already: choose another name, or remove that line")
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(path, flags, 0o600), "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            ended = size == 0 or os.pread(file.fileno(), 1, size - 1) == b"\n"
            file.write((b"" if ended else b"\n") + line.encode() + b"\n")
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror or error}") from error
