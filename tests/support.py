"""What tests of every kind share: where the checkout is, how programs run, which peers are there."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "PEERS",
    "ROOT",
    "clean_environment",
    "free_ports",
    "requires_package",
    "requires_peer",
    "requires_program",
    "requires_root",
    "run_program",
    "run_python",
]

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
PEERS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gossip-peers"
"""Where `scripts/peers` unpacks what the system's own archive does not have."""


def requires_program(name: str) -> str:
    """The path of a program that this test talks to; without it the test is skipped.

    With TESTS_NO_SKIP=1, as in CI, it fails instead: a suite that skips what it cannot find is
    green on a machine where it checked nothing. (Not GOSSIP_NO_SKIP: an agent refuses a GOSSIP_ variable
    that is no setting of its own.)
    """
    path = shutil.which(name)
    if path is None:
        _lacks(f"{name} is not installed")
    return path


def requires_peer(name: str, program: str, *, optional: bool = False) -> str:
    """The path of a program that `scripts/peers` fetches; without it the test is skipped, or fails as above.

    Optional: skipped everywhere, for the one whose source may go away.
    """
    path = PEERS / name / "usr" / "bin" / program
    if not path.exists():
        what = f"{program} is not in {PEERS}: scripts/peers {name}"
        if optional:
            pytest.skip(what)
        _lacks(what)
    return str(path)


def requires_package(name: str, package: str) -> None:
    """Skips a test, or fails it, if `scripts/peers` has not fetched this package of npm's."""
    if not (PEERS / name / "node_modules" / package).exists():
        _lacks(f"npm's {package} is not in {PEERS}: scripts/peers {name}")


def requires_root(reason: str) -> None:
    """Skips a test, or fails it as `requires_program` does, for anybody but root."""
    if os.geteuid() != 0:
        _lacks(reason)


def _lacks(what: str) -> NoReturn:
    if os.environ.get("TESTS_NO_SKIP") == "1":
        pytest.fail(f"{what}, and TESTS_NO_SKIP=1 forbids to skip", pytrace=False)
    pytest.skip(what)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, without what would change how a started Python or gossip behaves."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST_", "TESTS_", "COVERAGE_", "COV_", "GOSSIP_", "HYPOTHESIS_"))
        # The size of our terminal, which a started program would take for its own.
        and name not in ("COLUMNS", "LINES")
    }
    return kept | dict(extra or {})


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody has at this moment, for programs that cannot be given 0.

    They lie below those that the system hands out by itself: one of these could be a client's before the
    program has bound it. None is given twice; where the search begins depends on the process, since others
    search too.
    """
    ports = (12_000 + number % 20_000 for number in _candidates)
    return list(itertools.islice(filter(_is_free, ports), count))


_candidates = itertools.count(os.getpid() * 61)


def _is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True


def run_program(
    command: Sequence[str],
    *,
    cwd: Path = ROOT,
    timeout: float = 60.0,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end, within `timeout` seconds, and returns what it printed and its status."""
    return subprocess.run(
        list(command),
        cwd=cwd,
        env=clean_environment(extra),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_python(
    *arguments: str,
    cwd: Path = ROOT,
    timeout: float = 60.0,
    extra: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """The same, for this very Python; the checkout is importable when `cwd` is its root."""
    return run_program([sys.executable, *arguments], cwd=cwd, timeout=timeout, extra=extra)
