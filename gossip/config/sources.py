"""Where settings come from: files, environment, flags; each value with the place it stands at.

A layer holds raw values under the settings' own names. What no release knows, and what this release
does not have yet, is refused here, with the place.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "LISTS",
    "SETTINGS",
    "SWITCHES",
    "TABLES",
    "Given",
    "Layer",
    "Table",
    "environment_layer",
    "file_layer",
    "files_of_services",
    "flag_layer",
    "read_file",
]

SWITCHES: Final = ("dev", "insecure", "accept_clear", "leave_on_term", "http_insecure", "dns_only_passing")
LISTS: Final = (
    "bind",
    "join",
    "tags",
    "allow_read",
    "allow_write",
    "allow_admin",
    "dns_domains",
    "recursors",
)
SETTINGS: Final = (
    *("name", "cluster", "bind", "advertise", "join", "data_dir", "key_file", "tags", "profile"),
    *("socket", "socket_mode", "socket_group", "allow_read", "allow_write", "allow_admin"),
    *("http", "http_tokens", "http_anonymous", "http_cert", "http_key", "http_client_ca", "http_tls_min"),
    *("http_rate", "http_token_rate"),
    "http_list_self_as",
    *("dns", "dns_domains", "dns_ttl", "dns_negative_ttl", "dns_udp_size", "dns_rate", "recursors"),
    *("probe_period", "retention", "restart_grace", "stream_probe"),
    *("authority", "admission", "invite"),
    *("log_level", "log_format", "command_checks", *SWITCHES),
)
"""Every setting of this release, in the order of the manual."""

TABLES: Final = ("service", "check", "proxy")
"""Arrays of tables, which are no settings."""
_SINGULARS = {"tag": "tags", "recursor": "recursors", "dns_domain": "dns_domains"}
"""Flags that are given once for each."""
_PATHS = ("data_dir", "key_file", "socket", "http_tokens", "http_cert", "http_key", "http_client_ca")
_PREFIX = "GOSSIP_"


@dataclass(frozen=True, slots=True)
class Given:
    """A raw value and the words that name its place in an error."""

    value: object
    place: str


Layer: TypeAlias = dict[str, Given]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a TOML file, and where it stands."""

    path: Path
    text: str
    content: dict[str, Any]
    name: str = ""
    """Empty for the file itself, else the name of an array of tables, such as `service`."""
    index: int = 0
    after: int = 0
    """The line of the table that this one belongs to; both are counted from there."""

    def place(self, key: str = "") -> str:
        """`FILE:LINE`, as near to the key as can be told."""
        line = _find_line(self.text, key, self.name, self.index, self.after)
        if line is None and self.name:
            line = self.after or _find_line(self.text, self.name, "", 0)
        return f"{self.path}:{line}" if line else str(self.path)

    def key_place(self, key: str) -> str:
        """The place of a key, and the key, in one line whatever characters it has."""
        shown = key if key.isprintable() else repr(key)
        return f"{self.place(key)}: {f'{self.name}.' if self.name else ''}{shown}"

    def tables(self, name: str) -> list[Table]:
        """The array of tables of that name."""
        found = self.content.get(name, [])
        full = f"{self.name}.{name}" if self.name else name
        if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
            raise ConfigError(f"{self.key_place(name)}: write it as [[{full}]] tables")
        after = (_find_line(self.text, "", self.name, self.index) or 0) if self.name else 0
        return [Table(self.path, self.text, item, full, index, after) for index, item in enumerate(found)]


def read_file(path: Path) -> Table:
    """Read a TOML file.

    Raises:
        ConfigError: if it cannot be read, or is no TOML; the message has the line.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ConfigError(f"{path}:{line}: not UTF-8 text") from error
    try:
        return Table(path, text, tomllib.loads(text))
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply") from None
    except ValueError as error:
        reason = str(error)
        where = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", reason)
        if where is None:
            raise ConfigError(f"{path}: {reason}") from error
        line = int(where[1] or text.count("\n") + 1)
        raise ConfigError(f"{path}:{line}: {reason[: where.start()]}") from error


def files_of_services(files: Iterable[Path]) -> list[Path]:
    """`services.d/*.toml` and `*.json` beside each of `files`, each once, in the order of their names."""
    found: dict[Path, None] = {}
    for directory in dict.fromkeys(path.parent / "services.d" for path in files):
        try:
            entries = sorted(directory.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigError(f"{directory}: cannot be read: {error.strerror or error}") from error
        found |= dict.fromkeys(
            path for path in entries if path.suffix in (".toml", ".json") and not path.name.startswith(".")
        )
    return list(found)


def file_layer(table: Table) -> Layer:
    """The settings of a configuration file; paths in it are relative to the file."""
    layer: Layer = {}
    for key, value in table.content.items():
        name = _canonical(key)
        if name in TABLES:
            continue
        place = table.key_place(key)
        _add(layer, name, _from(table.path.parent, value) if name in _PATHS else value, place)
    return layer


def _from(directory: Path, value: object) -> object:
    """A path of a file beside others; an empty one and `none` have a meaning of their own."""
    if not isinstance(value, str) or value in ("", "none"):
        return value
    return str(directory / value)


def environment_layer(env: Mapping[str, str]) -> Layer:
    """`GOSSIP_<SETTING>`; an empty variable is as good as none, a misspelt one is refused."""
    layer: Layer = {}
    for variable, text in sorted(env.items()):
        if not variable.startswith(_PREFIX) or not text:
            continue
        name = _canonical(variable.removeprefix(_PREFIX).lower())
        # Beside a service named `gossip`, Kubernetes puts GOSSIP_PORT and more into every container:
        # what looks like no setting is somebody else's.
        if name == "config" or not difflib.get_close_matches(name, SETTINGS, 1, 0.8):
            continue
        _add(layer, name, text.split(",") if name in LISTS else text, variable)
    return layer


def flag_layer(flags: Mapping[str, object]) -> Layer:
    """What the command line gave. None, False and an empty list stand for a flag that was not."""
    layer: Layer = {}
    for key, value in flags.items():
        if value is None or value is False or value in ([], ()):
            continue
        name = _canonical(key)
        _add(layer, name, list(value) if isinstance(value, tuple) else value, f"--{key.replace('_', '-')}")
    return layer


def _canonical(key: str) -> str:
    name = key.replace("-", "_")
    return _SINGULARS.get(name, name)


def _add(layer: Layer, name: str, value: object, place: str) -> None:
    if name not in SETTINGS:
        near = difflib.get_close_matches(name, SETTINGS, 1)
        raise ConfigError(f"{place}: unknown setting" + (f": did you mean {near[0]}?" if near else ""))
    if name in layer:
        raise ConfigError(f"{place}: given twice, also as {layer[name].place}")
    layer[name] = Given(value, place)


_TABLE_LINE = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?")
_KEY_LINE = re.compile(r"""\s*(["']?)([A-Za-z0-9_-]+)\1\s*[=.]""")


def _find_line(text: str, key: str, table: str, index: int, after: int = 0) -> int | None:
    """The line of `key` in the `index`-th table of that name, or of the table itself if `key` is empty.

    Tables are counted from below line `after`. A reader of lines, not of TOML: values that look like keys
    can lead it astray, a line number only.
    """
    current, seen = "", -1
    wanted = [*table.split("."), key] if table and key else (table or key).split(".")
    for number, line in enumerate(text.split("\n")[after:], after + 1):
        if header := _TABLE_LINE.fullmatch(line.rstrip("\r")):
            parts = [part.strip(" \t\"'") for part in header[1].split(".")]
            current = ".".join(parts)
            seen += current == table
            if parts[: len(wanted)] == wanted and (not table or seen == index):
                return number
        elif current == table and (not table or seen == index):
            assignment = _KEY_LINE.match(line)
            if assignment and assignment[2] == key:
                return number
    return None
