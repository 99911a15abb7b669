"""Tokens of the HTTP face: made, hashed, and read from the file that keeps their hashes.

A token is 32 random bytes, so one round of SHA-256 is all the hashing that it needs: nobody can try as many.
The file has no secrets, but whoever can write to it can make tokens.

    # NAME SCOPE HASH [EXPIRES]
    prometheus read sha256:5e88... 2027-01-31
"""

from __future__ import annotations

import datetime as dt
import hmac
import os
import re
import secrets
import stat
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

from gossip.config.access import Scope
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "MAX_TOKENS",
    "Token",
    "Tokens",
    "hash_of",
    "line_of",
    "new_token",
    "read_tokens",
]

PREFIX: Final = "gossip_"
"""So that scanners of repositories, and people, see what they have found."""
TOKEN_BYTES: Final = 32
MAX_TOKENS: Final = 256
"""Every request that brings a token is compared with all of them: some 0.2 us each."""
MAX_FILE_BYTES: Final = 1 << 20
MAX_NAME_CHARS: Final = 64

_NAME = re.compile(rf"[A-Za-z0-9_.@-]{{1,{MAX_NAME_CHARS}}}")
_HASH = re.compile(r"sha256:([0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a token."""

    name: str
    scope: Scope
    digest: bytes
    expires: float | None = None
    """Seconds since 1970; None: never."""


class Tokens:
    """All tokens that the HTTP face takes."""

    def __init__(self, tokens: tuple[Token, ...] = ()) -> None:
        self._tokens = tokens

    def __len__(self) -> int:
        return len(self._tokens)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._tokens)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and other._tokens == self._tokens

    def __hash__(self) -> int:
        return hash(self._tokens)

    def __repr__(self) -> str:
        return f"Tokens({', '.join(token.name for token in self._tokens)})"

    def find(self, secret: str, now: float | None = None) -> Token | None:
        """The token that this is; None if it is none, or is over. All are compared, each in constant time."""
        digest = hash_of(secret)
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        if found is None or found.expires is None:
            return found
        return found if (time.time() if now is None else now) < found.expires else None


def new_token() -> str:
    """A secret that nobody will guess."""
    return PREFIX + secrets.token_urlsafe(TOKEN_BYTES)


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return sha256(secret.encode("utf-8", "surrogateescape")).digest()


def line_of(token: Token) -> str:
    """As the file has it.

    Raises:
        ConfigError: its name is none.
    """
    if not _NAME.fullmatch(token.name):
        raise ConfigError(
            f"{token.name[:80]!r} is no name for a token: letters, digits and _.@-, at most {MAX_NAME_CHARS}"
        )
    words = [token.name, token.scope.label, f"sha256:{token.digest.hex()}"]
    if token.expires is not None:
        until = dt.datetime.fromtimestamp(token.expires, dt.UTC)
        words.append(until.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return " ".join(words)


def read_tokens(path: Path) -> Tokens:
    """All tokens of a file, or of the files of a directory whose names begin with no dot.

    Raises:
        ConfigError: it cannot be read, has a faulty line, which is named, or may be written by others.
    """
    try:
        files = sorted(each for each in path.iterdir() if each.name[0] != ".") if path.is_dir() else [path]
        tokens = [token for file in files for token in _read(file)]
    except OSError as error:
        raise ConfigError(f"{error.filename or path}: cannot be read: {error.strerror or error}") from error
    if len(tokens) > MAX_TOKENS:
        raise ConfigError(f"{path}: {len(tokens)} tokens: the limit is {MAX_TOKENS}")
    names: set[str] = set()
    for token in tokens:
        if token.name in names:
            raise ConfigError(f"{path}: {token.name!r} is given twice")
        names.add(token.name)
    return Tokens(tuple(tokens))


def _read(path: Path) -> list[Token]:
    # Not to wait for a writer, if it should be a pipe.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        _refuse_others(path, os.fstat(file.fileno()))
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise ConfigError(f"{path}: over {MAX_FILE_BYTES} bytes: is it a file of tokens?")
    tokens = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        words = line.partition("#")[0].split()
        if words:
            try:
                tokens.append(_parse(words))
            except ConfigError as error:
                raise ConfigError(f"{path}:{number}: {error}") from error
    return tokens


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is no file")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or status.st_uid not in (0, os.geteuid()):
        raise ConfigError(
            f"{path} may be written by others than root and the agent's user, who could make tokens:"
            f" chown it to the agent's user, and chmod go-w {path}"
        )


def _parse(words: list[str]) -> Token:
    """Nothing of the line is repeated in an error: somebody may have written the token itself there."""
    if not 3 <= len(words) <= 4:
        raise ConfigError("a line is NAME SCOPE HASH, and perhaps a date: see 'gossip token --help'")
    name, scope, hashed = words[:3]
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"the name has other characters than letters, digits and _.@-, or over {MAX_NAME_CHARS}"
        )
    scopes = {each.label: each for each in (Scope.READ, Scope.WRITE, Scope.ADMIN)}
    if scope not in scopes:
        raise ConfigError(f"the second word is none of {', '.join(scopes)}")
    match = _HASH.fullmatch(hashed)
    if match is None:
        raise ConfigError("the third word is no hash: sha256: and 64 hexadecimal digits")
    return Token(name, scopes[scope], bytes.fromhex(match[1]), _moment(words[3]) if words[3:] else None)


def _moment(text: str) -> float:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError("the fourth word is no date, such as 2027-01-31 or 2027-01-31T12:00:00Z") from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()
