"""Files that a crash leaves whole, a lock on a directory, and plain words for what a disk says."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from binascii import crc32
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from gossip.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "explained",
    "install",
    "lock",
    "make_directory",
    "replace",
    "sealed",
    "set_aside",
    "sync_directory",
    "unsealed",
    "write_all",
]


def make_directory(path: Path) -> None:
    """Make `path` with mode 0700, if it is not there."""
    if path.is_dir():
        return
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    sync_directory(path.parent)


def lock(path: Path) -> int:
    """Take the lock file `path` and write the pid into it; the lock ends when the descriptor is closed.

    Raises:
        StoreError: if another process has it; the message names its pid.
        OSError: if the file cannot be written.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        write_all(descriptor, b"%d\n" % os.getpid(), 0)
    except BlockingIOError:
        pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StoreError(
            f"{path.parent} is in use by another agent (pid {pid}):"
            " stop it, or give this one its own --data-dir"
        ) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def set_aside(directory: Path, name: str) -> Path:
    """Rename a file to the first `name.N` that is free, and say which that was."""
    number = 1
    while (aside := directory / f"{name}.{number}").exists():
        number += 1
    (directory / name).rename(aside)
    sync_directory(directory)
    return aside


def sealed(content: Any) -> bytes:
    """`content` as a line of JSON after its checksum."""
    body = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32(body), body)


def unsealed(path: Path) -> Any:
    """What was `sealed`, or None if the file is missing or damaged."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    body = data[9:-1]
    if data != b"%08x %s\n" % (crc32(body), body):
        return None
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def install(directory: Path, name: str, data: bytes) -> int:
    """Give a file new content and return its descriptor, open for reading and writing.

    A crash leaves the old file or the new one, never a mixture or none. Which of them, is only
    certain after `sync_directory`.
    """
    temporary = directory / f"{name}.tmp"
    # What a crash left there, or somebody else who may write here and would read along.
    with suppress(FileNotFoundError):
        temporary.unlink()
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        write_all(descriptor, data, 0)
        os.fsync(descriptor)
        temporary.rename(directory / name)
    except OSError:
        os.close(descriptor)
        with suppress(OSError):
            temporary.unlink()
        raise
    return descriptor


def replace(directory: Path, name: str, data: bytes) -> None:
    """Give a file new content; it is on disk when this returns."""
    os.close(install(directory, name, data))
    sync_directory(directory)


def sync_directory(path: Path) -> None:
    """Wait until the names in the directory are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes, offset: int) -> None:
    """Write `data` at `offset`, in as many pieces as the system makes of it."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        if written == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        view = view[written:]
        offset += written


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn an OSError about the directory `path` into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        raise StoreError(_advice(path, error)) from error


def _advice(path: Path, error: OSError) -> str:
    where = str(error.filename or path)
    match error.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return f"{where}: the disk is full: free some space, or give another --data-dir"
        case errno.EACCES | errno.EPERM:
            user = os.geteuid()
            return f"{where}: not allowed for user id {user}: change its owner, or give another --data-dir"
        case errno.EROFS:
            return f"{where}: the file system is read-only: give another --data-dir"
        case errno.ENOTDIR | errno.EEXIST:
            return f"{where}: not a directory: give another --data-dir"
        case _:
            return f"{where}: {error.strerror or error}: check the disk, or give another --data-dir"
