"""The inputs that are kept in tests/data, and how they are chosen: few and small, reaching what all reach."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from tests.fuzz.targets import RENEW, TARGETS, Target
from tests.support import ROOT

__all__ = ["FOLDER", "kept", "replay", "shortest"]

FOLDER: Final = ROOT / "tests" / "data" / "corpus"
MAX_KEPT: Final = 250
MAX_BYTES: Final = 150_000
"""Of one target's file."""
OURS: Final = str(ROOT / "gossip")

Branch = tuple[str, int, int]


def kept(name: str) -> list[bytes]:
    """The corpus of a target; a line is an input in hexadecimal."""
    path = FOLDER / f"{name}.hex"
    lines = path.read_text().splitlines() if path.exists() else []
    return [bytes.fromhex(line) for line in lines if not line.startswith("#")]


def replay(name: str, inputs: Iterable[bytes]) -> None:
    """Run inputs one after the other, as the fuzzer did. Raises what it found."""
    target = TARGETS[name]()
    for number, data in enumerate(inputs):
        if number and number % RENEW == 0:
            target.renew()
        target.run(data)


def shortest(name: str, inputs: Iterable[bytes]) -> tuple[list[bytes], int]:
    """Of many inputs the few, short ones first, that add a branch each; and how many branches these are."""
    target = TARGETS[name]()
    seen: set[Branch] = set()
    chosen: list[bytes] = []
    size = 0
    for data in sorted(set(inputs), key=lambda each: (len(each), each)):
        target.renew()
        found = _branches(target, data)
        if not found <= seen and len(chosen) < MAX_KEPT and size + 2 * len(data) < MAX_BYTES:
            chosen.append(data)
            size += 2 * len(data) + 1
        seen |= found
    return chosen, len(seen)


def _branches(target: Target, data: bytes) -> set[Branch]:
    found: set[Branch] = set()
    with _traced(found):
        target.run(data)
    return found


@contextmanager
def _traced(found: set[Branch]) -> Iterator[None]:
    """Lines of ours, each with the one before it."""
    last: dict[FrameType, int] = {}

    def local(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        if event == "line":
            found.add((frame.f_code.co_filename, last.get(frame, 0), frame.f_lineno))
            last[frame] = frame.f_lineno
        elif event == "return":
            last.pop(frame, None)
        return local

    def called(frame: FrameType, _event: str, _argument: Any) -> Callable[..., Any] | None:
        return local if frame.f_code.co_filename.startswith(OURS) else None

    sys.settrace(called)
    try:
        yield
    finally:
        sys.settrace(None)


def save(name: str, inputs: Iterable[bytes]) -> Path:
    """Write the corpus of a target."""
    path = FOLDER / f"{name}.hex"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{data.hex()}\n" for data in inputs))
    return path
