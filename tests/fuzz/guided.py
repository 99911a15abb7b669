"""The child that fuzzes: libFuzzer's loop around a target, guided by the branches of our own Python.

    python -m tests.fuzz.guided TARGET FOLDER [libFuzzer's options]

It ends at the first finding, and leaves in FOLDER what was run since the last new world (`finding`), and the
slowest input (`slowest`).
"""

from __future__ import annotations

import random
import resource
import sys
import time
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gossip"]):
    from tests.fuzz.targets import RENEW, TARGETS, Target

FRESH, BLIND = 0.15, 0.25
CPU_SECONDS = 1.0
"""What one input may cost, many times what any does: the code is slowed down by what watches it."""
GROWTH_KIB = 65_536


class Runner:
    """Runs inputs, and says what was wrong with one."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._since: list[bytes] = []
        self._slowest = 0.0

    def run(self, data: bytes) -> None:
        """One input; raises whatever is found."""
        if len(self._since) == RENEW:
            self._since.clear()
            self._target.renew()
        self._since.append(data)
        began, held = time.process_time(), _held()
        try:
            self._target.run(data)
            self._judge(data, time.process_time() - began, _held() - held)
        except BaseException as error:
            lines = [each.hex() for each in self._since]
            (self._folder / "finding").write_text(f"# {error!r:.500}\n" + "\n".join(lines) + "\n")
            raise

    def _judge(self, data: bytes, seconds: float, growth: int) -> None:
        if seconds > self._slowest:
            self._slowest = seconds
            (self._folder / "slowest").write_text(f"{seconds * 1_000:.1f}\n{data.hex()}\n")
        if seconds > CPU_SECONDS:
            raise AssertionError(f"one input took {seconds:.2f} s")
        if growth > GROWTH_KIB:
            raise AssertionError(f"one input took {growth} KiB")

    def mutate(self, data: bytes, most: int, seed: int) -> bytes:
        """An input near `data`, or a new one."""
        rng = random.Random(seed)
        choice = rng.random()
        if not data or choice < FRESH:
            made = self._target.fresh(rng)
        elif choice < BLIND:
            made = bytes(atheris.Mutate(data, most))
        else:
            made = self._target.bent(data, rng)
        return made[:most]


def _held() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name, folder, *options = sys.argv[1:]
    runner = Runner(TARGETS[name](), Path(folder))
    atheris.Setup([sys.argv[0], *options], runner.run, custom_mutator=runner.mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
