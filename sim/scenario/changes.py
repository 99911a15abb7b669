"""Overrides of a scenario by dotted path: what `--set`, a sweep's grid and a comparison ask for."""

from __future__ import annotations

import tomllib
from typing import Any

__all__ = ["apply_changes", "parse_change"]


def parse_change(text: str) -> tuple[str, Any]:
    """`"network.loss=0.1"` as path and value; the value is TOML, or else a string as it stands.

    Raises:
        ValueError: if there is no `=`, or nothing before it.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ValueError(f"{text!r} is no change: write it like network.loss=0.1")
    try:
        read = tomllib.loads(f"value = {value.strip()}")
    except tomllib.TOMLDecodeError:
        return path.strip(), value.strip()
    return path.strip(), read["value"] if read.keys() == {"value"} else value.strip()


def apply_changes(document: dict[str, Any], path: str, value: Any) -> None:
    """Put `value` at `path` of the document, which is changed; None takes the key away.

    Raises:
        ValueError: if the path leads nowhere.
    """
    *places, key = path.split(".")
    table: Any = document
    for number, place in enumerate(places):
        table = _enter(table, place, ".".join(places[: number + 1]))
    if isinstance(table, list):
        table[_find(table, key, path)] = value
    elif not isinstance(table, dict):
        raise ValueError(f"{path}: {'.'.join(places)} is no table")  # noqa: TRY004 - the path is wrong
    elif value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _enter(table: Any, place: str, path: str) -> Any:
    if isinstance(table, list):
        return table[_find(table, place, path)]
    if not isinstance(table, dict):
        raise ValueError(f"{path}: there is no such table")  # noqa: TRY004 - the path is wrong
    return table.setdefault(place, {})


def _find(tables: list[Any], place: str, path: str) -> int:
    if place.isdecimal() and int(place) < len(tables):
        return int(place)
    for number, table in enumerate(tables):
        if isinstance(table, dict) and place == table.get("name"):
            return number
    raise ValueError(f"{path}: there is no {place!r} among the {len(tables)}")
