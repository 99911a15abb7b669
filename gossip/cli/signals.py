"""Signals as something to wait for beside sockets."""

from __future__ import annotations

import contextlib
import signal
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType, TracebackType
    from typing import Self

__all__ = ["Signals"]


class Signals:
    """Catches these signals for as long as the block lasts; readable (by `select`) when one came.

    One that this process was started deaf to (by nohup, or in a shell's background) stays ignored, but
    for SIGCHLD: the kernel would take our children away, and nobody would know how they ended.
    """

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        self._numbers = [
            each for each in numbers if each == signal.SIGCHLD or signal.getsignal(each) is not signal.SIG_IGN
        ]
        self.at_once: Callable[[int], bool] | None = None
        """Asked by the handler itself, so even while we wait for an agent: whether it has dealt with it."""
        self._came: list[int] = []
        self._before: dict[int, object] = {}
        self._read, self._write = socket.socketpair()
        for end in (self._read, self._write):
            end.setblocking(False)

    def __enter__(self) -> Self:
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        self._before = {each: signal.signal(each, self._handle) for each in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # what signal.signal gave
        signal.set_wakeup_fd(self._wakeup)
        self._read.close()
        self._write.close()

    def fileno(self) -> int:
        """For `select`."""
        return self._read.fileno()

    def take(self) -> list[int]:
        """Those that came since the last call, in their order."""
        with contextlib.suppress(BlockingIOError):
            while self._read.recv(4096):
                pass
        came, self._came = self._came, []
        return came

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.at_once is None or not self.at_once(number):
            self._came.append(number)
