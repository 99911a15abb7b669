"""Functions and tasks for processes that a test of the farm starts: they must be importable by name."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from msgspec import Struct

from gossip.errors import StoreError


class Named(Struct, frozen=True):
    """A task with a key."""

    key: str


class UnspeakableError(Exception):
    """An exception that pickles, and does not unpickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one)
        self.two = two


def square(number: int) -> int:
    return number * number


def place(_task: object) -> int:
    return os.getpid()


def hears_interrupts(_task: object) -> bool:
    return signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def refuse(task: Named) -> NoReturn:
    raise StoreError(f"no room for {task.key}")


def stumble(task: int) -> float:
    return 1 / (task - 3)


def stammer(_task: object) -> NoReturn:
    raise UnspeakableError("said", "unsaid")


def die(_task: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def announce_and_hang(task: Named) -> None:
    os.write(1, f"{task.key}\n".encode())  # in one piece: two workers share the pipe
    while True:
        signal.pause()


def wait_for_ever_unless_first(task: int) -> None:
    while task:
        signal.pause()


def return_a_lambda(_task: object) -> object:
    return lambda: None
