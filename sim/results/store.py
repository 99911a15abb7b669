"""Results on disk: JSON for the numbers, JSON lines for the events, Parquet (or JSON) for the tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from sim.errors import ScenarioError
from sim.extras import need
from sim.results.columns import TABLES
from sim.results.table import Table

__all__ = ["load_tables", "read_json", "save_events", "save_table", "whole", "write_file"]

PARQUET, JSON = ".parquet", ".json"


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file so that it is there whole or not at all.

    Raises:
        OSError: if it cannot be written, with its name; what was begun is taken away.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        yield partial
        partial.replace(path)
    except BaseException as problem:
        partial.unlink(missing_ok=True)
        if isinstance(problem, OSError):
            problem.filename = str(path)
        raise


def write_file(path: Path, chunks: Iterable[bytes]) -> Path:
    """Write a file that is there whole or not at all; its path.

    Raises:
        OSError: if it cannot be written, with its name; what was begun is taken away.
    """
    with whole(path) as partial, partial.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)
    return path


def save_events(path: Path, table: Table) -> Path:
    """Write one JSON object a line."""
    encode = msgspec.json.encode
    return write_file(path, (encode(row) + b"\n" for row in table.rows()))


def save_table(directory: Path, table: Table) -> Path:
    """Write a table as Parquet if polars is there, else as JSON; its path."""
    if find_spec("polars") is None:
        return write_file(directory / f"{table.name}{JSON}", [msgspec.json.encode(table.lists())])
    path = directory / f"{table.name}{PARQUET}"
    with whole(path) as partial:
        _write_parquet(table.frame(), partial)
    return path


def load_tables(directory: Path) -> dict[str, Table]:
    """All tables that `save_table` wrote there.

    Raises:
        ScenarioError: if one is missing, or is none.
    """
    tables = {}
    for name, columns in TABLES.items():
        path = directory / f"{name}{PARQUET}"
        if path.exists():
            polars = need("polars")
            try:
                lists = polars.read_parquet(path).to_dict(as_series=False)
            except polars.exceptions.PolarsError as problem:
                raise ScenarioError(f"{path}: {problem}") from None
        else:
            lists = read_json(directory / f"{name}{JSON}")
        try:
            tables[name] = Table.of(name, columns, lists)
        except ValueError as problem:
            raise ScenarioError(f"{directory}: {problem}; make these results anew") from None
    return tables


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        ScenarioError: if it cannot be read.
    """
    try:
        return msgspec.json.decode(path.read_bytes())
    except OSError as problem:
        raise ScenarioError(
            f"{path}: {problem.strerror}; results are what `gossip-sim run --out DIR` writes"
        ) from None
    except msgspec.DecodeError as problem:
        raise ScenarioError(f"{path}: {problem}") from None


def _write_parquet(frame: Any, path: Path) -> None:
    with path.open("wb") as file:
        frame.write_parquet(file)
        file.flush()
        os.fsync(file.fileno())
