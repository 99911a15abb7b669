"""The values of a health check's keys: what each may be, and what to write where one is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from gossip.config.values import check_name, parse_address, parse_duration
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NODE_ALIAS", "READERS", "TARGETS", "Reader", "show_duration"]

NODE_ALIAS: Final = "node:"
"""What stands before the name of another node in `alias`."""

MAX_ID_BYTES: Final = 160
"""The longest default id is `service:`, a service's id of 64 bytes and a number."""
MAX_NOTE_BYTES: Final = 255
MAX_TARGET_BYTES: Final = 2_048
"""A URL or a command; above what any server takes in a request line."""
MAX_ARGUMENTS: Final = 64
MAX_HEADERS: Final = 32
MAX_BODY_BYTES: Final = 4_096
MAX_EXPECTED_BYTES: Final = 1_024
MAX_THRESHOLD: Final = 100
SHORTEST: Final = 0.1
"""Seconds of an interval or TTL: below that a check is a load of its own."""
MAX_INTERVAL: Final = 86_400.0
MAX_TIMEOUT: Final = 3_600.0
LONGEST: Final = 90 * 86_400.0
"""Of a TTL, or of the time after which a critical service is deregistered."""

_STATES: Final = ("passing", "warning", "critical")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_STATUS_RANGE = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


def show_duration(seconds: float) -> str:
    """As configuration has it: `1.5s`."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


class Reader:
    """Reads single values, and says where one is wrong."""

    def __init__(self, table: Mapping[str, Any], place: Callable[[str], str]) -> None:
        self._table = table
        self._place = place

    def refuse(self, key: str, reason: object) -> ConfigError:
        return ConfigError(f"{self._place(key)}: {reason}")

    def value(self, key: str) -> Any:
        return self._table[key]

    def text(self, key: str, limit: int = MAX_TARGET_BYTES) -> str:
        value = self._table[key]
        if not isinstance(value, str):
            raise self.refuse(key, "it must be text")
        size = len(value.encode(errors="replace"))
        if size > limit:
            raise self.refuse(key, f"{size} bytes: the limit is {limit}")
        return value

    def word(self, key: str, limit: int = MAX_TARGET_BYTES) -> str:
        text = self.text(key)
        try:
            return check_name(text, limit)
        except ConfigError as error:
            raise self.refuse(key, error) from error

    def duration(self, key: str, low: float, high: float) -> float:
        text = self.text(key)
        try:
            seconds = parse_duration(text)
        except ConfigError as error:
            raise self.refuse(key, error) from error
        if not low <= seconds <= high:
            raise self.refuse(key, f"{text!r} is not between {show_duration(low)} and {show_duration(high)}")
        return seconds

    def address(self, key: str, text: str) -> str:
        try:
            host, port = parse_address(text, 0)
        except ConfigError as error:
            raise self.refuse(key, error) from error
        if not port:
            raise self.refuse(key, f"{text!r} has no port: write HOST:PORT")
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ------------------------------------------------------------------------------------ keys of all kinds


def _short(limit: int) -> Callable[[Reader, str], str]:
    return lambda reader, key: reader.word(key, limit)


def _note(reader: Reader, key: str) -> str:
    return reader.word(key, MAX_NOTE_BYTES) if reader.value(key) != "" else ""


def _between(low: float, high: float) -> Callable[[Reader, str], float]:
    return lambda reader, key: reader.duration(key, low, high)


def _threshold(reader: Reader, key: str) -> int:
    value = reader.value(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_THRESHOLD:
        raise reader.refuse(key, f"it must be a whole number from 1 to {MAX_THRESHOLD}")
    return value


def _state(reader: Reader, key: str) -> str:
    value = reader.text(key)
    if value not in _STATES:
        raise reader.refuse(key, f"{value!r} is not one of {', '.join(_STATES)}")
    return value


def _switch(reader: Reader, key: str) -> bool:
    value = reader.value(key)
    if not isinstance(value, bool):
        raise reader.refuse(key, "it must be true or false")
    return value


# --------------------------------------------------------------------------------------------- HTTP


def _method(reader: Reader, key: str) -> str:
    text = reader.text(key, 32).upper()
    if not _TOKEN.fullmatch(text) or text == "CONNECT":
        raise reader.refuse(key, f"{text!r} is no method: write GET, HEAD, POST or the like")
    return text


def _headers(reader: Reader, key: str) -> dict[str, str]:
    value = reader.value(key)
    if not isinstance(value, dict) or len(value) > MAX_HEADERS:
        raise reader.refuse(key, f"it must be a table of at most {MAX_HEADERS} texts")
    found = {}
    for name, content in value.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise reader.refuse(key, f"{name!r} is no name of a header")
        if name.lower() in ("content-length", "transfer-encoding", "connection"):
            raise reader.refuse(key, f"{name} is set by the agent: remove it")
        if (
            not isinstance(content, str)
            or not content.isascii()
            or not (content.isprintable() or not content)
        ):
            raise reader.refuse(key, f"the value of {name} must be text of printable ASCII characters")
        if len(content) > MAX_BODY_BYTES:
            raise reader.refuse(
                key, f"the value of {name} has {len(content)} bytes: the limit is {MAX_BODY_BYTES}"
            )
        found[name] = content.strip()
    return found


def _statuses(reader: Reader, key: str) -> tuple[tuple[int, int], ...]:
    value = reader.value(key)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else reader.text(key, 128)
    ranges = []
    for part in text.split(","):
        match = _STATUS_RANGE.fullmatch(part.strip())
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if low > high:
            raise reader.refuse(
                key, f"{part.strip()!r} is no status: write such as 200-299 or 200,204,300-399"
            )
        ranges.append((low, high))
    return tuple(ranges)


READERS: Final[dict[str, Callable[[Reader, str], object]]] = {
    "id": _short(MAX_ID_BYTES),
    "name": _short(64),
    "start": _state,
    "note": _note,
    "deregister_after": _between(1.0, LONGEST),
    "interval": _between(SHORTEST, MAX_INTERVAL),
    "timeout": _between(0.01, MAX_TIMEOUT),
    "passes_before_passing": _threshold,
    "failures_before_warning": _threshold,
    "failures_before_critical": _threshold,
    "method": _method,
    "headers": _headers,
    "body": lambda reader, key: reader.text(key, MAX_BODY_BYTES),
    "expect_status": _statuses,
    "expect_body": lambda reader, key: reader.text(key, MAX_EXPECTED_BYTES),
    "tls_skip_verify": _switch,
    "tls": _switch,
}

# -------------------------------------------------------------------------------------- what is looked at


def _http(reader: Reader) -> dict[str, Any]:
    from urllib.parse import urlsplit  # noqa: PLC0415 - 3 ms that only HTTP checks need

    url = reader.word("http")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise reader.refuse("http", f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in url or port == 0:
        raise reader.refuse("http", f"{url!r} is no URL: write such as http://127.0.0.1:8080/health")
    if parts.username is not None:
        raise reader.refuse("http", "a URL with a password is shown in lists: use an Authorization header")
    if not url.isascii():
        raise reader.refuse("http", f"{url!r} has characters that a URL has to escape")
    return {"target": url}


def _tcp(reader: Reader) -> dict[str, Any]:
    return {"target": reader.address("tcp", reader.word("tcp"))}


def _grpc(reader: Reader) -> dict[str, Any]:
    address, slash, service = reader.word("grpc").partition("/")
    return {"target": reader.address("grpc", address) + slash + service}


def _command(reader: Reader) -> dict[str, Any]:
    value = reader.value("command")
    if isinstance(value, str):
        if not value.strip() or "\0" in value:
            raise reader.refuse("command", "it is no command: write what a shell runs, or a list of words")
        return {"target": reader.text("command", MAX_BODY_BYTES)}
    if not isinstance(value, list | tuple) or not value or not all(isinstance(each, str) for each in value):
        raise reader.refuse("command", "it must be text for a shell, or a list of texts")
    if not value[0] or any("\0" in each for each in value):
        raise reader.refuse("command", "it is no command: its first text is the program")
    size = sum(len(each.encode(errors="replace")) for each in value)
    if len(value) > MAX_ARGUMENTS or size > MAX_BODY_BYTES:
        limits = f"the limits are {MAX_ARGUMENTS} and {MAX_BODY_BYTES}"
        raise reader.refuse("command", f"{len(value)} texts of {size} bytes in all: {limits}")
    return {"argv": tuple(value)}


def _ttl(reader: Reader) -> dict[str, Any]:
    return {"ttl": reader.duration("ttl", SHORTEST, LONGEST)}


def _alias(reader: Reader) -> dict[str, Any]:
    target = reader.word("alias", 64 + len(NODE_ALIAS))
    if target == NODE_ALIAS:
        raise reader.refuse("alias", "which node? Write node:NAME, or the id of a service of this node")
    return {"target": target}


def _container(reader: Reader) -> dict[str, Any]:
    name = reader.word("container")
    if not _CONTAINER.fullmatch(name):
        raise reader.refuse("container", f"{name!r} is no name or id of a container")
    return {"target": name}


TARGETS: Final[dict[str, Callable[[Reader], dict[str, Any]]]] = {
    "http": _http,
    "tcp": _tcp,
    "grpc": _grpc,
    "command": _command,
    "ttl": _ttl,
    "alias": _alias,
    "container": _container,
}
