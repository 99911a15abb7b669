"""One scenario and seed, one log: in any process, under any hash seed, on any Python."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.ordeals import play, suffer

ROOT = Path(__file__).parents[2]
CODE = "from tests.sim.ordeals import play, suffer; print(play(1), suffer(1), suffer(1, codec=False))"
THIS = f"{sys.version_info.major}.{sys.version_info.minor}"
OTHERS = [version for version in ("3.11", "3.12", "3.13") if version != THIS]


@functools.cache
def expected() -> list[str]:
    return [play(1), suffer(1), suffer(1, codec=False)]


def elsewhere(python: str, hash_seed: str, path: str) -> list[str]:
    """The hashes as another process finds them."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        [python, "-c", CODE], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    return done.stdout.split()


def interpreter(version: str) -> str | None:
    """A Python of that version that can run this code, if there is one: the project's, or on PATH."""
    probe = "import sys, cryptography, msgspec; print('%d.%d' % sys.version_info[:2])"
    environment = {**os.environ, "PYTHONPATH": ""}
    for place in (ROOT / f".venv-{version}/bin/python", ROOT / ".venv/bin/python", f"python{version}"):
        python = shutil.which(place)
        if python is not None:
            done = subprocess.run(
                [python, "-c", probe], check=False, capture_output=True, text=True, env=environment
            )
            if done.stdout.strip() == version:
                return python
    return None


def test_the_hash_is_of_what_happened() -> None:
    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1, codec=False) == play(1, codec=False)
    assert len({*expected(), suffer(2)}) == 4


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_does_not_depend_on_the_order_of_sets(hash_seed: str) -> None:
    assert elsewhere(sys.executable, hash_seed, os.pathsep.join(sys.path)) == expected()


@pytest.mark.parametrize("version", OTHERS)
def test_the_hash_does_not_depend_on_the_python(version: str) -> None:
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} with msgspec and cryptography: put one in .venv-{version}")
    assert elsewhere(python, "3", str(ROOT)) == expected()
