"""Service definitions in Consul's format: to the tables that our own files have.

Keys come in Consul's spelling or in snake case, in any case of letters. What has no meaning here is
left out where it changes nothing, and refused with words where its author would count on it. The
values are not judged here but by the one validator of each kind of table, under the keys that the
author wrote.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Translated", "go_duration", "translate_check", "translate_service"]

_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

COMMAND_TIMEOUT: Final = "30s"
TIMEOUT: Final = "10s"
"""What Consul waits where a definition says nothing."""

MAX_NANOSECONDS: Final = 10**18
_NO_TIME: Final = "0.000000000s"

_SERVICE_KEYS: Final = {
    "name": "name",
    "service": "name",
    "id": "id",
    "port": "port",
    "address": "address",
    "tags": "tags",
    "meta": "meta",
}
_CHECK_KEYS: Final = {
    "id": "id",
    "checkid": "id",
    "name": "name",
    "notes": "note",
    "status": "start",
    "interval": "interval",
    "timeout": "timeout",
    "ttl": "ttl",
    "http": "http",
    "method": "method",
    "body": "body",
    "tlsskipverify": "tls_skip_verify",
    "tcp": "tcp",
    "grpc": "grpc",
    "grpcusetls": "tls",
    "args": "command",
    "scriptargs": "command",
    "script": "command",
    "aliasservice": "alias",
    "successbeforepassing": "passes_before_passing",
    "failuresbeforewarning": "failures_before_warning",
    "failuresbeforecritical": "failures_before_critical",
    "deregistercriticalserviceafter": "deregister_after",
}
_DURATIONS: Final = frozenset({"interval", "timeout", "ttl", "deregister_after"})
_AS_GOOD_AS_NONE: Final = frozenset(
    {
        *("passes_before_passing", "failures_before_warning", "failures_before_critical"),
        *("tls", "tls_skip_verify"),
    }
)
"""Where 0 or false is what Consul has where nothing is said."""
_WITHOUT_MEANING: Final = frozenset({"token", "outputmaxsize", "disableredirects", "serviceid", "shell"})
_MUST_BE_EMPTY: Final = {
    "udp": "UDP checks are not in this release: use tcp, http or args",
    "h2ping": "HTTP/2 ping checks are not in this release: use grpc or http",
    "dockercontainerid": "commands inside containers are not run: use args with docker exec, or in a TOML"
    " definition container = NAME, which follows the container's own health",
    "osservice": "checks of system services are not in this release: use args",
    "tlsservername": "another name than the URL's is not in this release: put the name into the URL",
    "tcpusetls": "TCP checks over TLS are not in this release: use an https URL",
    "proxy": "service mesh (Connect) is not supported by this agent: remove it",
    "sidecarservice": "service mesh (Connect) is not supported by this agent: remove it",
    "kind": "service mesh (Connect) is not supported by this agent: remove it",
    "taggedaddresses": "an instance has one address here: remove it",
    "socketpath": "an instance is reached by address and port: remove it",
    "enabletagoverride": "only its own node changes a service's tags here: remove it",
    "namespace": "there is one namespace: remove it",
    "partition": "there is one partition: remove it",
    "locality": "not in this release: remove it",
    "ports": "an instance has one port here: define one service for each",
}


@dataclass(frozen=True, slots=True)
class Translated:
    """A table under our keys, and under which key its author knows each."""

    content: dict[str, Any]
    written: dict[str, str]


def translate_service(table: Mapping[str, Any], place: Callable[[str], str]) -> Translated:
    """A service; its checks come out under `check` and `checks` as they were.

    Args:
        table: as it was read.
        place: the words that name the place of a key of the table.

    Raises:
        ConfigError: it asks for what there is not here.
    """
    content: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in table.items():
        plain = _plain(key)
        if value is None:
            # Go writes it for a list or pointer that is not set; what is unknown is refused all the same.
            if plain not in ("check", "checks", "weights", "connect", *_SERVICE_KEYS):
                _leave_out(plain, key, value, place)
        elif plain in ("check", "checks"):
            _put(content, written, plain, key, value, place)
        elif plain == "weights":
            weight = _weight(value, place(key))
            if weight is not None:
                _put(content, written, "weight", key, weight, place)
        elif plain == "connect":
            if any(_plain(each) != "native" and given for each, given in _table(value).items()):
                raise ConfigError(f"{place(key)}: {_MUST_BE_EMPTY['proxy']}")
        elif plain in _SERVICE_KEYS:
            # An empty text is what a program writes for nothing.
            if value != "" or plain in ("name", "service"):
                _put(content, written, _SERVICE_KEYS[plain], key, value, place)
        else:
            _leave_out(plain, key, value, place)
    content.setdefault("port", 0)
    return Translated(content, written)


def translate_check(table: Mapping[str, Any], place: Callable[[str], str]) -> Translated:
    """A check.

    Raises:
        ConfigError: it asks for what there is not here, or a duration is none.
    """
    content: dict[str, Any] = {}
    written: dict[str, str] = {}
    for key, value in table.items():
        plain = _plain(key)
        if value is None or value in ("", [], {}):
            continue
        if plain == "header":
            _put(content, written, "headers", key, _headers(value), place)
        elif plain == "aliasnode":
            _put(content, written, "alias", key, f"node:{value}", place)
        elif plain in _CHECK_KEYS:
            name = _CHECK_KEYS[plain]
            if name in _DURATIONS:
                value = go_duration(value, place(key))  # noqa: PLW2901 - the same, in our spelling
                if value == _NO_TIME and name != "interval":
                    continue
            elif value in (0, False) and name in _AS_GOOD_AS_NONE:
                continue
            _put(content, written, name, key, value, place)
        else:
            _leave_out(plain, key, value, place)
    if not {"ttl", "alias"} & content.keys():
        content.setdefault("timeout", COMMAND_TIMEOUT if "command" in content else TIMEOUT)
    return Translated(content, written)


def go_duration(value: object, place: str) -> str:
    """`1h30m`, `1.5s`, `100ms`, or a number of nanoseconds, as one amount of seconds.

    Raises:
        ConfigError: it is none of them.
    """
    seconds: float | None = None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        seconds = min(value, MAX_NANOSECONDS) * 1e-9
    elif isinstance(value, str):
        parts = _PART.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value:
            seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if seconds is None or not 0 <= seconds < 1e9:
        raise ConfigError(f"{place}: {value!r} is no duration: write such as 10s, 1m30s or 100ms")
    return f"{seconds:.9f}s"


def _plain(key: str) -> str:
    return key.replace("_", "").lower()


def _put(
    content: dict[str, Any],
    written: dict[str, str],
    name: str,
    key: str,
    value: object,
    place: Callable[[str], str],
) -> None:
    if name in content:
        raise ConfigError(f"{place(key)}: it says the same as {written[name]}: give one of them")
    content[name] = value
    written[name] = key


def _leave_out(plain: str, key: str, value: object, place: Callable[[str], str]) -> None:
    if plain in _WITHOUT_MEANING or (plain in _MUST_BE_EMPTY and not value):
        return
    if plain in _MUST_BE_EMPTY:
        raise ConfigError(f"{place(key)}: {_MUST_BE_EMPTY[plain]}")
    raise ConfigError(f"{place(key)}: unknown: Consul's format has no such key")


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _weight(value: object, place: str) -> object:
    """That of a passing instance; there is none for a warning one here."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{place}: it must be a table with Passing")
    weight = {_plain(key): each for key, each in value.items()}.get("passing")
    if weight == 0 and weight is not False:
        raise ConfigError(f"{place}: Passing must be greater than 0")
    return weight


def _headers(value: object) -> object:
    """Consul gives a list of values for each name; HTTP lets them stand in one, with commas."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: ", ".join(given)
        if isinstance(given, list) and all(isinstance(e, str) for e in given)
        else given
        for name, given in value.items()
    }
