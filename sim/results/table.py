"""A table of columns that takes rows cheaply and keeps them small: machine numbers, and words as codes."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sim.extras import need
from sim.results.columns import Type

__all__ = ["Column", "Table"]

NONE = -(1 << 63)
"""How an int column keeps that there is no value."""
ROWS_AT_ONCE = 4_096
CODES = {"int": "q", "small": "i", "word": "I", "flag": "B", "float": "d"}


class Column:
    """One column. An `int` may be None."""

    __slots__ = ("_codes", "data", "kind", "words")

    def __init__(self, kind: Type) -> None:
        self.kind = kind
        self.data = array(CODES[kind])
        self.words: list[str] = []
        """What the codes of a `word` column mean."""
        self._codes: dict[str, int] = {}

    def add(self, value: Any) -> None:
        if self.kind == "word":
            value = self.code(value)
        elif value is None:
            value = NONE
        self.data.append(value)

    def code(self, word: str) -> int:
        """The number that stands for a word."""
        number = self._codes.get(word)
        if number is None:
            number = self._codes[word] = len(self.words)
            self.words.append(sys.intern(word))
        return number

    def values(self, size: int) -> list[Any]:
        """The first `size` values as plain Python ones."""
        data = self.data[:size]
        if self.kind == "word":
            words = self.words
            return [words[code] for code in data]
        if self.kind == "flag":
            return [bool(value) for value in data]
        if self.kind == "int":
            return [None if value == NONE else value for value in data]
        return data.tolist()


class Table:
    """Rows of one shape, at most `limit` of them; `dropped` counts those that were too many."""

    __slots__ = ("_adders", "columns", "dropped", "limit", "name")

    def __init__(self, name: str, columns: Mapping[str, Type], limit: int | None = None) -> None:
        self.name = name
        self.columns = {column: Column(kind) for column, kind in columns.items()}
        self.limit = limit
        self.dropped = 0
        self._adders = [
            column.add if column.kind in {"word", "int"} else column.data.append
            for column in self.columns.values()
        ]

    @classmethod
    def of(cls, name: str, columns: Mapping[str, Type], lists: Mapping[str, Sequence[Any]]) -> Table:
        """A table of columns as plain lists.

        Raises:
            ValueError: if a column is missing, or they are not equally long.
        """
        table = cls(name, columns)
        if missing := [column for column in columns if column not in lists]:
            raise ValueError(f"table {name} has no column {missing[0]!r}")
        if len({len(lists[column]) for column in columns}) > 1:
            raise ValueError(f"the columns of table {name} are not equally long")
        for label, column in table.columns.items():
            for value in lists[label]:
                column.add(value)
        return table

    def __len__(self) -> int:
        # An interrupt between two columns leaves half a row, which does not count.
        return min(len(column.data) for column in self.columns.values())

    def add(self, *values: Any) -> None:
        """One row, in the order of the columns."""
        if self.limit is not None and len(self.columns["at_us"].data) >= self.limit:
            self.dropped += 1
            return
        for add, value in zip(self._adders, values, strict=True):
            add(value)

    def lists(self) -> dict[str, list[Any]]:
        """The columns as plain lists."""
        size = len(self)
        return {label: column.values(size) for label, column in self.columns.items()}

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[dict[str, Any]]:
        """The rows from number `start` to before `stop`, each as a dict; only a few are in memory at once."""
        last = len(self) if stop is None else min(stop, len(self))
        for begin in range(start, last, ROWS_AT_ONCE):
            end = min(last, begin + ROWS_AT_ONCE)
            values = [self._slice(column, begin, end) for column in self.columns.values()]
            for row in zip(*values, strict=True):
                yield dict(zip(self.columns, row, strict=True))

    def frame(self) -> Any:
        """A `polars.DataFrame`.

        Raises:
            MissingExtraError: without polars.
        """
        polars = need("polars")
        size = len(self)
        types = {
            "int": polars.Int64,
            "small": polars.Int32,
            "word": polars.String,
            "flag": polars.Boolean,
            "float": polars.Float64,
        }
        return polars.DataFrame(
            {
                label: polars.Series(label, column.values(size), types[column.kind])
                for label, column in self.columns.items()
            }
        )

    @staticmethod
    def _slice(column: Column, begin: int, end: int) -> list[Any]:
        part = Column(column.kind)
        part.data = column.data[begin:end]
        part.words = column.words
        return part.values(end - begin)
