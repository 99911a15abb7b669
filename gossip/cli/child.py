"""The program that `gossip run` has started: a process group of its own, and how it ended.

Signals go to the program alone, not to its group: a server with workers gives SIGHUP, SIGUSR1 or
SIGWINCH its own meaning and tells its workers itself. What it leaves behind in its group when it
ends is ended too.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Child"]

LEFTOVER_SECONDS = 5.0
"""What is left of the group has so long after SIGTERM; then it is killed."""

_PR_SET_PDEATHSIG = 1


class Child:
    """Starts the program.

    Its input is ours unless that is a terminal: outside the terminal's foreground group it would be
    stopped at the first read.

    Raises:
        OSError: it cannot be started.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.status: int | None = None
        """As a shell tells it, once it has ended: its exit status, or 128 + the signal that killed it."""
        self._process = subprocess.Popen(  # noqa: S603 - the command is what the user gave
            command,
            stdin=subprocess.DEVNULL if _is_terminal() else None,
            process_group=0,
            preexec_fn=_tied_to_us(),  # noqa: PLW1509 - this process has no other thread
        )

    def send(self, number: int) -> None:
        """Passes a signal on; one that comes after the end goes nowhere."""
        if self.status is None:
            # A signal's handler may run right after it was waited for, and before we know.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)

    def reap(self) -> bool:
        """Takes note of whoever has ended; whether the program has.

        As the first process of a container we get everybody's orphans, so all are waited for.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            if pid == self._process.pid:
                code = os.waitstatus_to_exitcode(status)
                self._process.returncode = code
                self.status = code if code >= 0 else 128 - code
        return self.status is not None

    def end(self) -> None:
        """Ends the program, if it has not ended, and what is left of its group."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + LEFTOVER_SECONDS
            try:
                os.killpg(self._process.pid, number)
                while time.monotonic() < deadline:
                    self.reap()
                    os.killpg(self._process.pid, 0)
                    time.sleep(0.01)
            except (ProcessLookupError, PermissionError):
                break  # nobody is left, or somebody who has become another user
        self.reap()


def _is_terminal() -> bool:
    try:
        return sys.stdin.isatty()
    except (ValueError, AttributeError):
        return False


def _tied_to_us() -> Callable[[], None]:
    """Has the program told to end (SIGTERM) if we are killed: what runs unregistered serves nobody."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    us = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != us:
            os.kill(os.getpid(), signal.SIGTERM)

    return tie
