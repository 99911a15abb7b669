"""Valid values of any message or record, made from its type: what a later release adds is made too.

Numbers, lengths and counts favour their bounds, since that is where readers go wrong. What has to fit others
to get anywhere (ids, addresses, facts that are signed, numbers that a ping brought) comes from a `Pool`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    import random

__all__ = ["Pool", "make"]

FACT_BYTES = (65, 1_100)
ID_BYTES = 16
TEXTS = ("", "a", "web", "é" * 20, "x" * 64, "x" * 65, "10.0.0.2", "::1", "a\nb", "\u202e", "%s{}", "node:p1")
MANY = 70
"""Items of a list that may have more: 64 is a bound of many."""


class Pool(Protocol):
    """What fits the world that a message is for."""

    def id(self, rng: random.Random) -> bytes: ...
    def address(self, rng: random.Random) -> tuple[str, int]: ...
    def fact(self, rng: random.Random) -> bytes: ...
    def number(self, rng: random.Random) -> int: ...
    def life(self, rng: random.Random) -> int: ...
    def fitted(self, made: msgspec.Struct, rng: random.Random) -> msgspec.Struct: ...


def make(kind: Any, pool: Pool, rng: random.Random) -> Any:
    """A value of a type, or of what `msgspec.inspect` says of one."""
    if not isinstance(kind, inspect.Type):
        kind = _described(kind)
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.StructType):
        return _struct(kind, pool, rng)
    if isinstance(kind, inspect.UnionType):
        return make(rng.choice(kind.types), pool, rng)
    if isinstance(kind, inspect.TupleType):
        return _tuple(kind, pool, rng)
    if isinstance(kind, inspect.VarTupleType | inspect.ListType):
        return tuple(make(kind.item_type, pool, rng) for _ in range(_count(kind, rng)))
    if isinstance(kind, inspect.DictType):
        count = _count(kind, rng)
        return {make(kind.key_type, pool, rng): make(kind.value_type, pool, rng) for _ in range(count)}
    return _plain(kind, pool, rng)


_described = cache(inspect.type_info)


def _struct(kind: inspect.StructType, pool: Pool, rng: random.Random) -> msgspec.Struct:
    made = {
        field.name: pool.life(rng) if field.name == "life" else make(field.type, pool, rng)
        for field in kind.fields
    }
    return pool.fitted(kind.cls(**made), rng)


def _tuple(kind: inspect.TupleType, pool: Pool, rng: random.Random) -> tuple[Any, ...]:
    types = kind.item_types
    if len(types) == 2 and isinstance(types[0], inspect.StrType) and isinstance(types[1], inspect.IntType):
        return pool.address(rng)
    return tuple(make(each, pool, rng) for each in types)


def _plain(kind: inspect.Type, pool: Pool, rng: random.Random) -> Any:
    if isinstance(kind, inspect.BoolType):
        return rng.random() < 0.5
    if isinstance(kind, inspect.IntType):
        return _number(kind, pool, rng)
    if isinstance(kind, inspect.BytesType):
        return _bytes(kind, pool, rng)
    if isinstance(kind, inspect.StrType):
        text = rng.choice(TEXTS)
        return text if kind.max_length is None else text[: kind.max_length]
    if isinstance(kind, inspect.FloatType):
        return rng.choice((0.0, -1.0, 1e308, 0.5))
    return None


def _number(kind: inspect.IntType, pool: Pool, rng: random.Random) -> int:
    low = 0 if kind.ge is None else int(kind.ge)
    high = 2**63 - 1 if kind.le is None else int(kind.le)
    match rng.randrange(5):
        case 0:
            return rng.choice((low, high, min(low + 1, high), max(high - 1, low)))
        case 1:
            return rng.randint(low, min(high, low + 100))
        case 2:
            return rng.randint(low, high)
        case _:
            return min(max(pool.number(rng), low), high)


def _bytes(kind: inspect.BytesType, pool: Pool, rng: random.Random) -> bytes:
    low, high = kind.min_length or 0, kind.max_length
    if (low, high) == (ID_BYTES, ID_BYTES):
        return pool.id(rng)
    if (low, high) == FACT_BYTES:
        return pool.fact(rng)
    if high is not None and low == high:
        return rng.randbytes(low) if rng.random() < 0.5 else bytes(low)
    length = rng.choice((low, low, min(low + 8, high or 8), min(64, high or 64)))
    return rng.randbytes(length)


def _count(kind: Any, rng: random.Random) -> int:
    low = kind.min_length or 0
    high = MANY if kind.max_length is None else min(MANY, kind.max_length)
    if rng.random() < 0.03:
        return rng.randint(low, high)
    return min(low + rng.choice((0, 0, 1, 2, 3)), high)
