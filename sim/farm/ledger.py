"""A file that remembers which tasks are done: hours of computing outlive Ctrl-C, a crash, a full disk.

A line of JSON a task, appended and handed to the kernel when the task is done; the first line says what
file it is. A last line without its end was being written when the writer died: it is cut off, and its task
done again.
"""

from __future__ import annotations

import fcntl
import os
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from gossip.errors import StoreError

__all__ = ["Ledger", "peek"]

HEAD = b'{"gossip-sim":"ledger","version":1}\n'


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One finished task."""

    key: str
    result: Any


READ = msgspec.json.Decoder(Line).decode
WRITE = msgspec.json.Encoder().encode


def peek(path: Path | str) -> dict[str, Any]:
    """The results by key that a ledger holds now, also while another process writes it; none without one.

    Raises:
        StoreError: if the file is something else, is damaged, or cannot be read.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}") from None
    return {} if HEAD.startswith(content) else _entries(Path(path), content)


def _entries(path: Path, content: bytes) -> dict[str, Any]:
    """What the whole lines of it say."""
    if not content.startswith(HEAD):
        raise StoreError(f"{path} is not a file of results that gossip-sim wrote: name another file")
    done: dict[str, Any] = {}
    for number, line in enumerate(content.split(b"\n")[1:-1], 2):
        try:
            entry = READ(line)
        except msgspec.MsgspecError:
            raise StoreError(
                f"{path}: line {number} is damaged: delete that line (its task is done again)"
            ) from None
        done[entry.key] = entry.result
    return done


class Ledger:
    """The finished tasks of `path`, a file that this process alone may write until `close`.

    `done` has the results by key, as JSON gives them back (a Struct is a dict, a tuple a list), be they from
    the file or added just now; of two with one key, the later.

    Raises:
        StoreError: from here and `add`, if the file is something else, is damaged, is in use by another
            process, or cannot be read or written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.done: dict[str, Any] = {}
        self._file = self._open()
        try:
            self._end = self._read()
        except OSError as problem:
            self._file.close()
            raise StoreError(f"{self.path}: {problem.strerror}") from None
        except StoreError:
            self._file.close()
            raise

    def add(self, key: str, result: Any) -> None:
        """Write down that the task `key` gave `result`, anything that msgspec can write as JSON.

        Raises:
            StoreError: if the disk does not take it; the file then is as it was before.
        """
        data = WRITE(Line(key, result)) + b"\n"
        try:
            self._append(data)
        except OSError as problem:
            raise StoreError(
                f"{self.path}: {problem.strerror}; the {len(self.done)} results before are kept:"
                " make room and run the same command again, it goes on from there"
            ) from None
        self.done[key] = READ(data).result

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _problem: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> FileIO:
        place = self.path.parent
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            why = "this is a file" if place.is_file() else problem.strerror
            raise StoreError(f"{place}: {why}; choose another directory") from None
        try:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as problem:
            raise StoreError(f"{self.path}: {problem.strerror}") from None
        file = os.fdopen(descriptor, "r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise StoreError(
                f"{self.path} is in use by another run: wait for it, or name another file"
            ) from None
        return file

    def _read(self) -> int:
        """Take in what is there; where the next line goes, in bytes."""
        content = self._file.read()
        if len(content) < len(HEAD) and HEAD.startswith(content):
            self._end = 0
            self._append(HEAD)
            return self._end
        self.done = _entries(self.path, content)
        end = content.rindex(b"\n") + 1
        self._file.truncate(end)
        return end

    def _append(self, data: bytes) -> None:
        try:
            self._file.seek(self._end)
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += len(data)
