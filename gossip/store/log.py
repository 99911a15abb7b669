"""The log of own records: frames of opaque bytes, each with its length and a checksum.

A file is a header, then frames. Only whole groups of frames are acknowledged, after fsync, so a
crash cuts the end and nothing else; bytes that cannot be read *before* a good frame are damage.
"""

from __future__ import annotations

import os
import struct
from binascii import crc32
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gossip.errors import LimitError, StoreError
from gossip.store.files import install, sync_directory, write_all

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["MAX_RECORD_BYTES", "RecordLog", "Scan", "StoredRecord", "scan"]

MAX_RECORD_BYTES: Final = 65_536
"""Far above what a fact may be: the log takes opaque bytes, this only bounds a reader."""
MAX_SOURCE_BYTES: Final = 255
COMPACT_BYTES: Final = 65_536
COMPACT_GROWTH: Final = 4
"""The log is due for rewriting beyond both: this size, and this many times its last rewritten size."""

_VERSION = 1
_MAGIC = b"gossip\x00L"
_HEADER = struct.Struct(">8sII")
"""Magic, version, checksum of both."""
_FRAME = struct.Struct(">4sII")
"""Mark, length of the payload, checksum of place, length and payload."""
# Bytes that text never has, for a reader to find the next frame by after damage.
_MARK = b"\xc1\xfeGR"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """One of the node's own service facts or deletions, as signed, and who asked for it."""

    source: str
    """A short word: `api`, `file` or `session`."""
    raw: bytes


@dataclass(frozen=True, slots=True)
class Scan:
    """What a log file says."""

    entries: list[StoredRecord]
    end: int
    """Where the last good frame ends."""
    is_damaged: bool
    """The header, or something before the last good frame, could not be read."""
    torn: int
    """Bytes after the last good frame."""


class RecordLog:
    """The log file, open for appending. Takes over `descriptor`; `end` is where good frames end."""

    def __init__(self, directory: Path, descriptor: int, end: int) -> None:
        self._directory = directory
        self._descriptor = descriptor
        self._end = end
        self._first_end = 0
        self._is_named = True
        # Bytes beyond `end` are the rest of a failed write, or of a crash.
        self._is_clean = os.fstat(descriptor).st_size == end

    @classmethod
    def resume(cls, directory: Path, name: str, end: int) -> RecordLog:
        """Open the log after a `scan`, to go on at `end`."""
        descriptor = os.open(directory / name, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        return cls(directory, descriptor, end)

    @classmethod
    def create(cls, directory: Path, name: str, entries: Sequence[StoredRecord]) -> RecordLog:
        """Write a whole log in place of an old one. Its name is on disk only after `settle`."""
        head = _MAGIC + _VERSION.to_bytes(4, "big")
        header = head + crc32(head).to_bytes(4, "big")
        data = header + _frames(entries, len(header))
        log = cls(directory, install(directory, name, data), len(data))
        log._first_end = log._end
        log._is_named = False
        return log

    @staticmethod
    def holds_records(path: Path) -> bool:
        """Whether there is a log with more in it than a header."""
        return path.exists() and path.stat().st_size > _HEADER.size

    @property
    def wants_compaction(self) -> bool:
        """Whether the log has outgrown what it was when it was last written as a whole."""
        return self._end > max(COMPACT_BYTES, COMPACT_GROWTH * self._first_end)

    def settle(self) -> None:
        """Wait until the name of a created log is on disk; nothing may be acknowledged before."""
        if not self._is_named:
            sync_directory(self._directory)
            self._is_named = True

    def append(self, entries: Sequence[StoredRecord]) -> None:
        """Write `entries` with one fsync. After an error the log stands as before."""
        data = _frames(entries, self._end)
        if not data:
            return
        self.settle()
        if not self._is_clean:
            os.ftruncate(self._descriptor, self._end)
        self._is_clean = False
        try:
            write_all(self._descriptor, data, self._end)
            os.fsync(self._descriptor)
        except OSError:
            # Room on a full disk, and tidiness: the next append cuts the file in any case.
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
                os.fsync(self._descriptor)
            raise
        self._is_clean = True
        self._end += len(data)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


def scan(data: bytes) -> Scan:
    """Read the content of a log: all that is whole, whatever lies between.

    Raises:
        StoreError: if a newer version of this program wrote it.
    """
    head = data[: _HEADER.size]
    is_damaged = True
    if len(head) == _HEADER.size:
        magic, version, checksum = _HEADER.unpack(head)
        is_damaged = magic != _MAGIC or checksum != crc32(head[:-4])
        if not is_damaged and version != _VERSION:
            raise StoreError(
                f"the log of records is of version {version}: upgrade this agent, or give another --data-dir"
            )
    entries: list[StoredRecord] = []
    position = end = len(head)
    while position != -1:
        entry, after = _read_frame(data, position)
        if entry is None:
            position = data.find(_MARK, position + 1)
            continue
        is_damaged |= position != end
        entries.append(entry)
        position = end = after
    return Scan(entries, end, is_damaged, len(data) - end)


def _frames(entries: Sequence[StoredRecord], offset: int) -> bytes:
    """`entries` as they stand in a file from `offset` on.

    The checksum covers the place too: the bytes of a frame that stand anywhere else (inside a
    record, or left over from another log) are not taken for one.
    """
    frames = bytearray()
    for entry in entries:
        source = entry.source.encode()
        payload = len(source).to_bytes(2, "big") + source + entry.raw
        if len(source) > MAX_SOURCE_BYTES or len(payload) > MAX_RECORD_BYTES:
            raise LimitError(f"a stored record may be {MAX_RECORD_BYTES} bytes, this one has {len(payload)}")
        frames += _FRAME.pack(_MARK, len(payload), _checksum(offset + len(frames), payload)) + payload
    return bytes(frames)


def _checksum(offset: int, payload: bytes) -> int:
    return crc32(payload, crc32(struct.pack(">QI", offset, len(payload))))


def _read_frame(data: bytes, offset: int) -> tuple[StoredRecord | None, int]:
    """The record whose frame begins at `offset`, and where it ends; None if there is no whole one."""
    start = offset + _FRAME.size
    if start > len(data):
        return None, start
    mark, length, checksum = _FRAME.unpack_from(data, offset)
    payload = data[start : start + length] if length <= MAX_RECORD_BYTES else b""
    if mark != _MARK or len(payload) != length or checksum != _checksum(offset, payload):
        return None, start
    split = 2 + int.from_bytes(payload[:2], "big")
    return StoredRecord(payload[2:split].decode(errors="replace"), payload[split:]), start + length
