"""What conftest promises: a failure can be replayed, and CI does not skip what it should have checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import hypothesis

from tests.support import ROOT, run_python

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

FAILS_WITH_A_SEED = """
def test_draws(seed, rng):
    print("drawn", rng.random())
    assert seed < 0
"""

NEEDS_A_PEER = """
from tests.support import requires_program

def test_peer():
    requires_program("no-such-peer-anywhere")
"""


def run_suite(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs one planted test file under this project's settings and conftest."""
    (folder / "test_planted.py").write_text(source)
    return run_python(
        *("-m", "pytest", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider"),
        *("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), str(folder / "test_planted.py")),
        extra=environment,
    )


def test_a_failure_prints_its_seed_and_the_seed_repeats_the_run(tmp_path: Path) -> None:
    first = run_suite(tmp_path, FAILS_WITH_A_SEED)
    assert first.returncode == 1, first.stdout + first.stderr
    replay = next(line for line in first.stdout.splitlines() if line.startswith("TESTS_SEED="))
    drawn = next(line for line in first.stdout.splitlines() if line.startswith("drawn"))
    value = replay.partition("=")[2].split()[0]

    again = run_suite(tmp_path, FAILS_WITH_A_SEED, TESTS_SEED=value)
    assert replay in again.stdout
    assert drawn in again.stdout

    other = run_suite(tmp_path, FAILS_WITH_A_SEED, TESTS_SEED=str(int(value) + 1))
    assert drawn not in other.stdout


def test_a_missing_peer_skips_here_and_fails_in_ci(tmp_path: Path) -> None:
    skipped = run_suite(tmp_path, NEEDS_A_PEER)
    assert skipped.returncode == 0, skipped.stdout + skipped.stderr
    assert "1 skipped" in skipped.stdout

    refused = run_suite(tmp_path, NEEDS_A_PEER, TESTS_NO_SKIP="1")
    assert refused.returncode == 1, refused.stdout + refused.stderr
    assert "no-such-peer-anywhere is not installed" in refused.stdout


def test_examples_are_repeatable_unless_asked_otherwise() -> None:
    for name in ("default", "ci"):
        profile = hypothesis.settings.get_profile(name)
        assert profile.derandomize
        assert profile.print_blob
        assert profile.deadline is None
    assert not hypothesis.settings.get_profile("search").derandomize
