"""What a node keeps on disk: its key, its counter, its own registrations, addresses to come back to.

One directory, mode 0700, for one agent (`lock` holds its pid and a lock):

- `node.key`: the 32 bytes of the private key, mode 0600; written once, last of all, so that a
  directory without it has never been in use.
- `state`: counter, birth, floor and the machine id, with a checksum; replaced as a whole.
- `records`: a log of frames, appended to in groups with one fsync and rewritten when it has grown.
- `keys`: the cluster's keys and the change of them that is under way, mode 0600; replaced as a whole.
- `checks`: what health checks found last, TTL deadlines, maintenance; replaced as a whole.
- `warrant`: the authority's word for this node; `bans`: its word against others; `invitations`: who has used
  which. Each replaced as a whole.
- `remembered`: addresses worth trying after a restart; losing it costs nothing but time.
- `node.key.N`, `records.N`: what belonged to an identity that was given up; nobody reads them.

What was acknowledged is on disk: `append`, `compact` and the `save_` methods return after fsync. A
crash can only cut the end of the log, which nobody was told about. Everything else that is wrong
with the files is damage: what can be read is kept, `Saved.lost` says that something may be missing,
and it says so again at each start until `save_counter` has written the floor that makes up for it.

All functions block (disks do) and may be called from any thread.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as replace_fields
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from gossip.errors import StoreError
from gossip.store.files import (
    explained,
    lock,
    make_directory,
    replace,
    sealed,
    set_aside,
    unsealed,
)
from gossip.store.log import RecordLog, StoredRecord, scan

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["SEED_BYTES", "Saved", "Store", "StoredRecord"]

SEED_BYTES: Final = 32
MAX_NUMBER: Final = 2**53 - 1
"""Counters stay below it, as the versions do that they count."""

_KEY, _STATE, _LOG, _REMEMBERED, _LOCK = "node.key", "state", "records", "remembered", "lock"
_CHECKS, _KEYS = "checks", "keys"
_WARRANT, _BANS, _USED = "warrant", "bans", "invitations"


@dataclass(frozen=True, slots=True)
class Saved:
    """What an earlier life left behind; all zero and empty in the first one."""

    counter: int = 0
    """Versions up to here may have been used. 0: none or not known, use the wall clock."""
    birth: int = 0
    floor: int = 0
    records: list[StoredRecord] = field(default_factory=list)
    """In the order in which they were written; of one key, the last one counts."""
    lost: bool = False
    """Registrations or the counter may be missing: the floor must rise to the new incarnation."""
    fresh: bool = True
    """This identity has never run before."""
    remembered: list[tuple[str, int]] = field(default_factory=list)
    checks: object = None
    """What `save_checks` was given last, as JSON has it; None if there is nothing or it is damaged."""
    keys: object = None
    """What `save_keys` was given last; None if there is nothing."""
    warnings: list[str] = field(default_factory=list)
    """Lines for the log: what was found wrong, and what was done about it."""
    warrant: bytes = b""
    """The authority's word for this identity; empty if there is none."""
    bans: list[bytes] = field(default_factory=list)
    """Its bans, as signed."""
    used: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Invitations that were used: (holder, the node's id)."""


class Store:
    """The interface, and the store of a node without a disk: it keeps nothing and says yes."""

    def __init__(self, seed: bytes, saved: Saved, *, ephemeral: bool = True) -> None:
        self.seed = seed
        """The private key, 32 bytes."""
        self.saved = saved
        self.ephemeral = ephemeral
        """Whether identity and registrations end with the process."""

    @staticmethod
    def open(path: Path, machine_id: str) -> Store:
        """Open the directory, or make it; repair what a crash left behind.

        An empty `machine_id` means not known, and matches any.

        Raises:
            StoreError: if it is in use, cannot be read or written, or holds a damaged key.
        """
        return _DiskStore(path, machine_id)

    @staticmethod
    def memory() -> Store:
        """A store with a new identity and no disk."""
        return Store(os.urandom(SEED_BYTES), Saved())

    @property
    def wants_compaction(self) -> bool:
        """Whether the log has grown enough beyond what the last `compact` left."""
        return False

    def append(self, entries: Sequence[StoredRecord]) -> None:
        """Put `entries` on disk, all with one fsync; after an error none of them counts.

        Raises:
            StoreError: if the disk does not take them. Later calls may succeed.
            LimitError: if one is over 64 KiB.
        """

    def compact(self, entries: Sequence[StoredRecord]) -> None:
        """Make `entries` all there is in the log. It is replaced by one rename: old or new, never none.

        Raises:
            StoreError: if the disk does not take them; the log then holds the old records or the new.
            LimitError: as `append`.
        """

    def save_counter(self, ceiling: int, birth: int, floor: int) -> None:
        """Reserve the versions up to `ceiling`. Also ends `lost`: the floor is taken to answer it.

        Raises:
            StoreError: if it could not be written; do not use the versions.
        """

    def save_remembered(self, addresses: Sequence[tuple[str, int]]) -> None:
        """Replace the remembered addresses.

        Raises:
            StoreError: if they could not be written.
        """

    def save_checks(self, content: object) -> None:
        """Replace what is kept of health checks; `content` is anything that JSON has.

        Raises:
            StoreError: if it could not be written; the old content stands.
        """

    def save_keys(self, content: object) -> None:
        """Replace the cluster's keys; `content` is anything that JSON has.

        Raises:
            StoreError: if it could not be written; the old content stands.
        """

    def save_warrant(self, warrant: bytes) -> None:
        """Replace the authority's word for this node.

        Raises:
            StoreError: if it could not be written.
        """

    def save_bans(self, bans: Sequence[bytes]) -> None:
        """Replace the bans.

        Raises:
            StoreError: if they could not be written; the old ones stand.
        """

    def save_used(self, used: Sequence[tuple[bytes, bytes]]) -> None:
        """Replace what is known of invitations that were used.

        Raises:
            StoreError: if it could not be written.
        """

    def close(self) -> None:
        """Give the directory up to the next agent. May be called twice."""


class _DiskStore(Store):
    def __init__(self, path: Path, machine_id: str) -> None:
        self._path = path
        self._mutex = threading.Lock()
        self._log: RecordLog | None = None
        with explained(path):
            make_directory(path)
            self._lock = lock(path / _LOCK)
        try:
            with explained(path):
                seed, saved = self._load(machine_id)
        except BaseException:
            self.close()
            raise
        super().__init__(seed, saved, ephemeral=False)

    # ------------------------------------------------------------------------------------ opening

    def _load(self, machine_id: str) -> tuple[bytes, Saved]:
        warnings: list[str] = []
        seed = _read_key(self._path / _KEY, warnings)
        state = _State.read(self._path / _STATE)
        self._machine_id = machine_id or (state.machine if state else "")
        if seed is not None and state and machine_id and state.machine not in ("", machine_id):
            warnings.append(
                f"{self._path} is from another machine (a copied disk or a cloned VM): this node takes a new"
                f" identity without the old registrations; the old key is in {set_aside(self._path, _KEY)}"
            )
            seed = None
        elif seed is None and (state or (self._path / _LOG).exists()):
            warnings.append(
                f"{self._path / _KEY} is missing: this node takes a new identity,"
                " without the registrations of the old one"
            )
        remembered = _read_remembered(self._path / _REMEMBERED, warnings)
        keys = _read_ring(self._path / _KEYS)
        bans = _read_hex(self._path / _BANS, warnings, "others tell them again")
        flat = _read_hex(self._path / _USED, warnings, "who has used which invitation is learnt anew")
        used = list(zip(flat[::2], flat[1::2], strict=False))
        if seed is None:
            saved = Saved(remembered=remembered, keys=keys, bans=bans, used=used, warnings=warnings)
            return self._begin(), saved
        warrant = _read_hex(self._path / _WARRANT, warnings, "this node needs a new invitation")
        saved = self._resume(state, remembered, warnings)
        return seed, replace_fields(saved, keys=keys, warrant=b"".join(warrant[:1]), bans=bans, used=used)

    def _begin(self) -> bytes:
        """Make a new identity. The key comes last: before it is there, nothing counts."""
        if RecordLog.holds_records(self._path / _LOG):
            set_aside(self._path, _LOG)
        self._log = RecordLog.create(self._path, _LOG, [])
        self._log.settle()
        # What checks of another identity's services found means nothing to those of this one.
        (self._path / _CHECKS).unlink(missing_ok=True)
        (self._path / _WARRANT).unlink(missing_ok=True)
        self._write_state(_State(machine=self._machine_id))
        seed = os.urandom(SEED_BYTES)
        replace(self._path, _KEY, seed)
        return seed

    def _resume(self, state: _State | None, remembered: list[tuple[str, int]], warnings: list[str]) -> Saved:
        path = self._path / _LOG
        found = scan(path.read_bytes()) if path.exists() else None
        entries = found.entries if found else []
        if state is None:
            warnings.append(f"{self._path / _STATE} is missing or damaged: the counter starts from the clock")
        if found is None:
            warnings.append(f"{path} is missing: registrations are lost")
        elif found.is_damaged:
            warnings.append(f"{path} is damaged: {len(entries)} records could be read, others are lost")
        elif found.torn:
            warnings.append(f"{path}: {found.torn} bytes of a write that a crash cut short are dropped")
        is_whole = found is not None and not found.is_damaged
        lost = state is None or state.lost or not is_whole
        state = state or _State()
        # Before the log is made whole: a crash in between must not make the loss look like health.
        if lost != state.lost or state.machine != self._machine_id:
            self._write_state(_State(state.counter, state.birth, state.floor, self._machine_id, lost))
        if found is not None and is_whole:
            self._log = RecordLog.resume(self._path, _LOG, found.end)
        else:
            self._log = RecordLog.create(self._path, _LOG, entries)
            self._log.settle()
        checks = unsealed(self._path / _CHECKS)
        if checks is None and (self._path / _CHECKS).exists():
            warnings.append(f"{self._path / _CHECKS} is damaged: checks begin anew, maintenance has ended")
        return Saved(
            state.counter, state.birth, state.floor, entries, lost, False, remembered, checks, None, warnings
        )

    # -------------------------------------------------------------------------------------- using

    @property
    def wants_compaction(self) -> bool:
        return self._log is not None and self._log.wants_compaction

    def append(self, entries: Sequence[StoredRecord]) -> None:
        with self._using() as log:
            log.append(entries)

    def compact(self, entries: Sequence[StoredRecord]) -> None:
        with self._using() as log:
            self._log = RecordLog.create(self._path, _LOG, entries)
            # The new file has the name now: whatever fails from here on, records go there.
            log.close()
            self._log.settle()

    def save_counter(self, ceiling: int, birth: int, floor: int) -> None:
        with self._using():
            self._write_state(_State(ceiling, birth, floor, self._machine_id))

    def save_remembered(self, addresses: Sequence[tuple[str, int]]) -> None:
        with self._using():
            replace(self._path, _REMEMBERED, sealed([[host, port] for host, port in addresses]))

    def save_checks(self, content: object) -> None:
        data = sealed(content)
        with self._using():
            replace(self._path, _CHECKS, data)

    def save_keys(self, content: object) -> None:
        data = sealed(content)
        with self._using():
            replace(self._path, _KEYS, data)

    def save_warrant(self, warrant: bytes) -> None:
        with self._using():
            replace(self._path, _WARRANT, sealed([warrant.hex()]))

    def save_bans(self, bans: Sequence[bytes]) -> None:
        data = sealed([raw.hex() for raw in bans])
        with self._using():
            replace(self._path, _BANS, data)

    def save_used(self, used: Sequence[tuple[bytes, bytes]]) -> None:
        data = sealed([part.hex() for pair in used for part in pair])
        with self._using():
            replace(self._path, _USED, data)

    def close(self) -> None:
        with self._mutex:
            if self._log is not None:
                self._log.close()
                self._log = None
            if self._lock >= 0:
                os.close(self._lock)
                self._lock = -1

    @contextmanager
    def _using(self) -> Iterator[RecordLog]:
        with self._mutex, explained(self._path):
            if self._log is None:
                raise StoreError(f"{self._path} was closed: open it again")
            yield self._log

    def _write_state(self, state: _State) -> None:
        replace(self._path, _STATE, state.sealed())


@dataclass(frozen=True, slots=True)
class _State:
    counter: int = 0
    birth: int = 0
    floor: int = 0
    machine: str = ""
    lost: bool = False

    def sealed(self) -> bytes:
        return sealed([self.counter, self.birth, self.floor, self.machine, self.lost])

    @staticmethod
    def read(path: Path) -> _State | None:
        """The state, or None if it is missing or damaged: the node must come up all the same."""
        match unsealed(path):
            case [int(counter), int(birth), int(floor), str(machine), bool(lost)] if all(
                0 <= number <= MAX_NUMBER for number in (counter, birth, floor)
            ):
                return _State(counter, birth, floor, machine, lost)
        return None


def _read_key(path: Path, warnings: list[str]) -> bytes | None:
    try:
        seed = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(seed) != SEED_BYTES or not any(seed):
        raise StoreError(
            f"{path} is no key ({len(seed)} bytes, not {SEED_BYTES} random ones): restore it from a backup,"
            " or move it away to start with a new identity"
        )
    if path.stat().st_mode & 0o077:
        warnings.append(f"{path} is open to other users: chmod 600 it")
    return seed


def _read_ring(path: Path) -> object:
    """The cluster's keys. Without them the node would speak in clear, so damage ends the start."""
    content: object = unsealed(path)
    if content is None and path.exists():
        raise StoreError(
            f"{path} is damaged: restore it from a backup, or move it away and give --key-file with a key"
            " that the cluster has"
        )
    return content


def _read_remembered(path: Path, warnings: list[str]) -> list[tuple[str, int]]:
    content = unsealed(path)
    if not isinstance(content, list):
        if path.exists():
            warnings.append(f"{path} is damaged: the remembered addresses are lost")
        return []
    addresses: list[tuple[str, int]] = []
    for item in content:
        match item:
            case [str(host), int(port)] if 0 < port < 65_536 and _is_ip(host):
                addresses.append((host, port))
    return addresses


def _read_hex(path: Path, warnings: list[str], loss: str) -> list[bytes]:
    content = unsealed(path)
    try:
        if isinstance(content, list):
            return [bytes.fromhex(item) for item in content]
    except (TypeError, ValueError):
        pass
    if path.exists():
        warnings.append(f"{path} is damaged: {loss}")
    return []


def _is_ip(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
