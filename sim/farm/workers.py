"""Processes of this machine that do tasks, one at a time, and the pipe to each.

They are fresh interpreters (`spawn`), which inherit no thread, lock or random state. They hear no Ctrl-C: the
parent does, and kills them. A worker whose pipe reaches its end dies in the middle of its task, so that it
ends with the parent however that ends, be it by SIGKILL.

The parent has no thread for them and shares no queue or lock: at an interrupt there is nothing that would
have to be told in the right order (the standard library's pool, whose workers vanish, ends now and then with
a traceback of its own threads).
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from multiprocessing import connection, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from typing import Any

from gossip.errors import GossipError

__all__ = ["LostWorkerError", "Worker", "answered", "end", "hire"]

NO_MORE = b""
"""What a worker is sent at its end; no pickle is empty."""


class LostWorkerError(Exception):
    """A worker has gone, and did not say why."""


class ElsewhereError(Exception):
    """The cause of an exception that comes from a worker: its traceback there, as text."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


# In the parent


class Worker:
    """One process, which has at most one task."""

    def __init__(self, attempt: Callable[[Any], Any]) -> None:
        context = multiprocessing.get_context("spawn")
        self._line, theirs = context.Pipe()
        # A daemon: even a caller who leaves an open iterator behind can end.
        self._process: SpawnProcess = context.Process(target=_serve, args=(attempt, theirs), daemon=True)
        self._process.start()
        theirs.close()  # the worker's own is the only one: when it has gone, the line ends

    @property
    def line(self) -> Connection:
        """Has something to read when the task is done, or when the worker has gone."""
        return self._line

    def send(self, task: object) -> None:
        """Give it a task.

        Raises:
            LostWorkerError: if it has gone.
        """
        try:
            self._line.send_bytes(pickle.dumps(task))
        except OSError:
            raise LostWorkerError from None

    def receive(self) -> Any:
        """Wait for what came of the task.

        Raises:
            LostWorkerError: if it has gone.
            Exception: what the task raised.
        """
        try:
            done, value, told = pickle.loads(self._line.recv_bytes())  # noqa: S301 - our own worker
        except (EOFError, OSError):
            raise LostWorkerError from None
        if not done:
            raise value from (ElsewhereError(told) if told else None)
        return value

    def dismiss(self) -> None:
        """Ask it to end; it has no task."""
        with suppress(OSError):
            self._line.send_bytes(NO_MORE)

    def join(self) -> None:
        """Wait until it has ended."""
        self._process.join()

    def kill(self) -> None:
        """It is gone when this returns; a second time does nothing."""
        self._process.kill()
        self._process.join()
        self._line.close()


def hire(workers: list[Worker], number: int, attempt: Callable[[Any], Any]) -> None:
    """Append that many to `workers`, one by one: who is interrupted knows of all that have begun."""
    # Processes are deaf to Ctrl-C from their first instruction on: they inherit the mask. The tracker of the
    # standard library must run before, since starting it lifts the mask.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        for _ in range(number):
            workers.append(Worker(attempt))  # noqa: PERF401 - see above
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def answered(workers: Iterable[Worker]) -> list[Worker]:
    """Wait until at least one of them has done its task, or gone."""
    by_line: dict[Any, Worker] = {worker.line: worker for worker in workers}
    return [by_line[line] for line in connection.wait(list(by_line))]


def end(workers: list[Worker]) -> None:
    """Let them end in their own way, and wait until they have."""
    for worker in workers:
        worker.dismiss()
    for worker in workers:
        worker.join()


# In the worker


def _serve(attempt: Callable[[Any], Any], line: Connection) -> None:
    """One task after the other, until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    tasks: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_listen, args=(line, tasks), daemon=True).start()
    while letter := tasks.get():
        line.send_bytes(_answer(attempt, letter))


def _listen(line: Connection, tasks: SimpleQueue[bytes]) -> None:
    """Read while the other thread works, to hear of the end at once."""
    try:
        while True:
            tasks.put(line.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)


def _answer(attempt: Callable[[Any], Any], letter: bytes) -> bytes:
    """(True, result, ""), or (False, what it raised, the traceback; "" if the message says all)."""
    try:
        return pickle.dumps((True, attempt(pickle.loads(letter)), ""))  # noqa: S301 - our own parent
    except GossipError as problem:
        return pickle.dumps((False, problem, ""))
    except Exception as problem:  # noqa: BLE001 - it is raised again, in the parent
        return pickle.dumps((False, problem, traceback.format_exc()))
