"""Commands: exit status 0 is passing, 1 a warning, anything else critical.

A command runs in a process group of its own. When it has ended, when its time is up, or when the check
is cancelled, the whole group is ended: SIGTERM and, a second later, SIGKILL. Only then is the command's
process waited for, so that its number cannot have become another's, and no zombie stays.
"""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from gossip.checks.finding import Finding, critical, reason_of
from gossip.checks.state import MAX_OUTPUT_BYTES
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from gossip.config.checks import CheckDefinition

__all__ = ["look"]

TERM_SECONDS: Final = 1.0
"""What a command has left to end by itself after SIGTERM."""
LAST_WORDS_SECONDS: Final = 0.2
"""What is waited for output that children of an ended command hold back."""
READ_BYTES: Final = 16_384
SECRETS: Final = ("GOSSIP_INVITE",)
"""What the agent may have been given that way and a command has no use for: what it prints, others read."""
_VERDICTS: Final = {0: Verdict.PASSING, 1: Verdict.WARNING}


async def look(check: CheckDefinition) -> Finding:
    """Runs the command once; its output, standard error included, is kept up to 4 KiB."""
    argv = list(check.argv) or ["/bin/sh", "-c", check.target]
    try:
        process = await trio.lowlevel.open_process(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name not in SECRETS},
        )
    except OSError as error:
        return critical(f"{argv[0]}: cannot be run: {reason_of(error)}")
    except ValueError as error:
        return critical(f"{argv[0]}: cannot be run: {error}")
    kept = bytearray()
    try:
        await _follow(process, kept)
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)
    output = kept.decode(errors="replace").strip()
    code = process.returncode
    if code is not None and code < 0:
        said = f"ended by signal {signal.Signals(-code).name}" if -code in _SIGNALS else f"ended by {-code}"
        return critical(f"{said}: {output}" if output else said)
    return Finding(_VERDICTS.get(code or 0, Verdict.CRITICAL), output or f"exit status {code}")


_SIGNALS: Final = {each.value for each in signal.Signals}


async def _follow(process: trio.Process, kept: bytearray) -> None:
    """Returns when the command has ended; its children may hold its output open for longer."""
    assert process.stdout is not None  # noqa: S101 - asked for above
    stdout = process.stdout

    async def read() -> None:
        # What is over the limit is read and dropped, or the command would wait for a reader.
        async for data in stdout:
            kept.extend(data[: MAX_OUTPUT_BYTES - len(kept)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await _ended(process)
        nursery.cancel_scope.deadline = trio.current_time() + LAST_WORDS_SECONDS


async def _ended(process: trio.Process) -> None:
    """Returns when the process is a zombie, which keeps its number."""
    descriptor = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(descriptor)
    finally:
        os.close(descriptor)


async def _end(process: trio.Process) -> None:
    """Nothing of the group is left when this returns; nothing of it is cancelled."""
    if not _is_zombie(process):
        _signal(process, signal.SIGTERM)
        # Without a descriptor to wait with, it has no time of grace.
        with suppress(OSError), trio.move_on_after(TERM_SECONDS):
            await _ended(process)
    _signal(process, signal.SIGKILL)
    await process.wait()
    if process.stdout is not None:
        await process.stdout.aclose()


def _is_zombie(process: trio.Process) -> bool:
    found = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return found is not None


def _signal(process: trio.Process, number: signal.Signals) -> None:
    # The leader has not been waited for, so the number is still its group's.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
