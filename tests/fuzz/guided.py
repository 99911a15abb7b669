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
    from tests.fuzz import turns
    from tests.fuzz.targets import RENEW, TARGETS, Target

FRESH, BLIND = 0.05, 0.15
CPU_SECONDS = 1.0
"""What one input may cost, many times what any does: the code is slowed down by what watches it."""
GROWTH_KIB = 65_536
READ = 8
"""Inputs from one reading of time and memory to the next: the readings cost as much as a small input."""


class Runner:
    """Runs inputs, and says what was wrong with one."""

    def __init__(self, target: Target, folder: Path) -> None:
        self._target = target
        self._folder = folder
        self._since: list[bytes] = []
        self._slowest = 0.0
        self._held = _held()
        self._cpu = 0.0
        """The processor's time at the last reading."""

    def run(self, data: bytes) -> None:
        """One input; raises whatever is found."""
        try:
            if len(self._since) % READ == 0:
                self._cpu = time.process_time()
                self._weigh()
            # Only now: what was weighed is kept with what it is found to have taken.
            if len(self._since) == RENEW:
                self._since.clear()
                self._target.renew()
            self._since.append(data)
            began = time.perf_counter()
            self._target.run(data)
            self._judge(data, time.perf_counter() - began)
        except BaseException as error:
            lines = [each.hex() for each in self._since]
            (self._folder / "finding").write_text(f"# {error!r:.500}\n" + "\n".join(lines) + "\n")
            raise

    def _judge(self, data: bytes, seconds: float) -> None:
        if seconds > self._slowest:
            # Others may have had the processor meanwhile.
            seconds = min(seconds, time.process_time() - self._cpu)
        if seconds > self._slowest:
            self._slowest = seconds
            (self._folder / "slowest").write_text(f"{seconds * 1_000:.1f}\n{data.hex()}\n")
        if seconds > CPU_SECONDS:
            raise AssertionError(f"one input took {seconds:.2f} s")

    def _weigh(self) -> None:
        held, self._held = self._held, _held()
        if self._held - held > GROWTH_KIB:
            raise AssertionError(f"the last {READ} inputs took {self._held - held} KiB")

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
    with turns.shared():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
