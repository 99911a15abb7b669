"""TOML out: a scenario's document as text that `tomllib` reads back as the same document."""

from __future__ import annotations

import json
import re
from typing import Any

__all__ = ["write_toml"]

BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(document: dict[str, Any]) -> str:
    """Tables, arrays of tables, strings, numbers, truth values and lists of them; keys keep their order."""
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(table: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = [f"{_key(key)} = {_value(value)}" for key, value in table.items() if not _is_section(value)]
    for key, value in table.items():
        if not _is_section(value):
            continue
        place = (*path, key)
        name = ".".join(map(_key, place))
        if isinstance(value, dict):
            lines += ["", f"[{name}]", *_table(value, place)]
        else:
            for inner in value:
                lines += ["", f"[[{name}]]", *_table(inner, place)]
    return lines


def _is_section(value: Any) -> bool:
    if isinstance(value, dict):
        return True
    return isinstance(value, list) and bool(value) and all(isinstance(inner, dict) for inner in value)


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + "}"
    # A JSON string is a TOML one, but for the one control character that JSON leaves bare.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
