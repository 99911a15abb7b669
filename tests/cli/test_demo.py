"""The demo: real agents, a crash, a takeover and a graceful leave, end to end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.support import run_python


@pytest.mark.slow
def test_the_demo_tells_its_story_and_leaves_nothing_behind() -> None:
    # Short, as unix sockets want it, and empty, so that what is left would show.
    with tempfile.TemporaryDirectory(prefix="g-", dir="/tmp") as directory:
        ran = run_python("scripts/demo.py", timeout=60, extra={"TMPDIR": directory, "PYTHONPATH": "."})
        assert ran.returncode == 0, ran.stderr
        assert list(Path(directory).iterdir()) == []
    lines = ran.stdout.splitlines()
    assert len(lines) == 11
    assert 'hello from the second instance"' in lines[8]
    assert lines[-1].startswith("done in ")
    assert "FAILED" not in ran.stdout
