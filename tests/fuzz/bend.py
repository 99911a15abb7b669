"""Bends what is valid: a tree of msgpack at one of its places, a text by its words, bytes blindly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Sequence

__all__ = ["blind", "tree", "words"]

NUMBERS = (-1, 0, 1, 127, 128, 255, 256, 2**16, 2**31, 2**32, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64 - 1)
OTHERS: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    "",
    "x",
    b"",
    b"\0" * 16,
    [],
    {},
    [[]],
    "\u202e",
    float("nan"),
)
DEPTH = 600
MAX_BYTES = 65_536


def tree(data: bytes, rng: random.Random, inner: Callable[[bytes], bytes]) -> bytes:
    """A message of msgpack with one to three of its places bent; bytes that are none are bent blindly.

    `inner` bends a text of bytes within it, such as a fact.
    """
    try:
        value = msgspec.msgpack.decode(data)
        for _ in range(rng.randint(1, 3)):
            value = _somewhere(value, rng, inner)
        made = msgspec.msgpack.encode(value)
        # What is bent again and again would grow without end.
        return made if len(made) <= MAX_BYTES else blind(data, rng)
    except (ValueError, RecursionError, OverflowError, TypeError):
        return blind(data, rng)


def _somewhere(value: Any, rng: random.Random, inner: Callable[[bytes], bytes]) -> Any:
    """Go down by chance, and bend there."""
    if isinstance(value, list) and value and rng.random() < 0.75:
        at = rng.randrange(len(value))
        return [*value[:at], _somewhere(value[at], rng, inner), *value[at + 1 :]]
    if isinstance(value, dict) and value and rng.random() < 0.75:
        key = rng.choice(list(value))
        return {**value, key: _somewhere(value[key], rng, inner)}
    return _bent(value, rng, inner)


def _bent(value: Any, rng: random.Random, inner: Callable[[bytes], bytes]) -> Any:
    if rng.random() < 0.15:
        return rng.choice(OTHERS)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice((*NUMBERS, value + 1, value - 1, value ^ (1 << rng.randrange(63))))
    if isinstance(value, bytes):
        return inner(value) if rng.random() < 0.6 else blind(value, rng)
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value * 5, "\u0000", "x" * 300, value.upper()))
    if isinstance(value, list):
        return _list(value, rng)
    if isinstance(value, dict):
        return {**value, rng.choice(("", "x", 1)): rng.choice(OTHERS)}
    return rng.choice(OTHERS)


def _list(value: list[Any], rng: random.Random) -> Any:
    at = rng.randrange(len(value) + 1)
    match rng.randrange(6):
        case 0:
            return value[:at]
        case 1:
            return [*value, rng.choice(OTHERS)]
        case 2:
            return [*value[:at], *value[at + 1 :]]
        case 3 if value:
            return [*value[:at], value[at % len(value)], *value[at:]]
        case 4 if value:
            return (value * 80)[:80]
        case _:
            nested: Any = 1
            for _ in range(rng.choice((2, DEPTH))):
                nested = [nested]
            return [*value[:at], nested, *value[at + 1 :]]


def words(data: bytes, rng: random.Random, known: Sequence[bytes]) -> bytes:
    """A text with words of its language put in, lines moved, repeated and taken out, or bytes changed."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    match rng.randrange(7):
        case 0:
            lines[at] = rng.choice(known)
        case 1:
            lines.insert(at, rng.choice(known))
        case 2:
            del lines[at]
        case 3:
            lines.insert(at, lines[rng.randrange(len(lines))])
        case 4:
            line = lines[at]
            cut = rng.randrange(len(line) + 1)
            lines[at] = line[:cut] + rng.choice(known) + line[cut:]
        case 5:
            return data.replace(*rng.choice(((b" ", b""), (b'"', b"'"), (b"=", b":"), (b"0", b"9" * 25))))
        case _:
            return blind(data, rng)
    return b"\n".join(lines)


def blind(data: bytes, rng: random.Random) -> bytes:
    """A few bytes changed, cut, doubled or put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(result) + 1)
        match rng.randrange(5):
            case 0 if result:
                result[at % len(result)] = rng.randrange(256)
            case 1 if result:
                result[at % len(result)] ^= 1 << rng.randrange(8)
            case 2:
                del result[at:]
            case 3:
                result[at:at] = result[at : at + rng.randrange(40)]
            case _:
                result[at:at] = rng.randbytes(rng.randrange(1, 5))
    return bytes(result)
