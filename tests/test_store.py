"""What a node keeps on disk, against crashes, damage, full disks and copied directories."""

from __future__ import annotations

import errno
import os
import signal
import warnings
from binascii import crc32
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossip.errors import LimitError, StoreError
from gossip.store import SEED_BYTES, Store, StoredRecord
from gossip.store.files import replace
from gossip.store.log import COMPACT_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MACHINE = "4d0f2c6d"

group_of_records = st.lists(
    st.builds(StoredRecord, st.sampled_from(["api", "file", "session"]), st.binary(max_size=80)), max_size=6
)
in_a_directory = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "data"


def entry(text: str, source: str = "api") -> StoredRecord:
    return StoredRecord(source, text.encode())


def filled(path: Path, *groups: list[StoredRecord]) -> None:
    """Make a store that was used and closed: counter 100, birth 7, floor 3, one group an append."""
    store = Store.open(path, MACHINE)
    store.save_counter(100, 7, 3)
    for group in groups:
        store.append(group)
    store.close()


def reopened(path: Path, machine: str = MACHINE) -> Store:
    store = Store.open(path, machine)
    store.close()
    return store


def fork() -> int:
    """A child that only uses a store and dies: threads that other tests left behind do not matter to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


# ----------------------------------------------------------------------------------------- the first life


def test_a_first_start_makes_a_private_directory_a_key_and_nothing_else_to_say(home: Path) -> None:
    store = reopened(home)
    saved = store.saved
    assert (saved.fresh, saved.lost, saved.warnings, saved.records) == (True, False, [], [])
    assert (saved.counter, saved.birth, saved.floor, saved.remembered) == (0, 0, 0, [])
    assert not store.ephemeral
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "node.key").stat().st_mode & 0o777 == 0o600
    assert (home / "node.key").read_bytes() == store.seed
    assert sorted(path.name for path in home.iterdir()) == ["lock", "node.key", "records", "state"]


def test_identity_counter_and_records_come_back(home: Path) -> None:
    store = Store.open(home, MACHINE)
    store.save_counter(100, 7, 3)
    store.append([entry("a"), entry("b", "file")])
    store.append([entry("c", "session")])
    store.save_remembered([("10.0.0.1", 7946), ("2001:db8::1", 1)])
    store.close()
    again = reopened(home)
    assert again.seed == store.seed
    assert again.saved.records == [entry("a"), entry("b", "file"), entry("c", "session")]
    assert (again.saved.counter, again.saved.birth, again.saved.floor) == (100, 7, 3)
    assert again.saved.remembered == [("10.0.0.1", 7946), ("2001:db8::1", 1)]
    assert (again.saved.fresh, again.saved.lost, again.saved.warnings) == (False, False, [])


def test_a_store_in_memory_says_yes_and_keeps_nothing() -> None:
    first, second = Store.memory(), Store.memory()
    assert first.ephemeral
    assert len(first.seed) == SEED_BYTES
    assert first.seed != second.seed
    first.append([entry("a")])
    first.compact([entry("a")])
    first.save_counter(1, 1, 1)
    first.save_remembered([("10.0.0.1", 7946)])
    assert not first.wants_compaction
    assert first.saved.fresh
    first.close()
    first.close()


def test_a_closed_store_says_so(home: Path) -> None:
    store = reopened(home)
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.append([entry("a")])


# -------------------------------------------------------------------------------------------- one agent


def test_a_second_agent_is_told_who_has_the_directory(home: Path) -> None:
    store = Store.open(home, MACHINE)
    with pytest.raises(StoreError, match=rf"in use by another agent \(pid {os.getpid()}\).*--data-dir"):
        Store.open(home, MACHINE)
    store.append([entry("a")])
    store.close()
    assert reopened(home).saved.records == [entry("a")]


def test_the_lock_of_a_killed_agent_holds_nobody_up(home: Path) -> None:
    pid = fork()
    if pid == 0:
        Store.open(home, MACHINE).append([entry("a")])
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    assert reopened(home).saved.records == [entry("a")]


# --------------------------------------------------------------------------------------------- compaction


def test_compaction_leaves_what_it_is_given_and_is_due_by_growth(home: Path) -> None:
    store = Store.open(home, MACHINE)
    block = [StoredRecord("api", bytes(1000))]
    appended = 0
    while not store.wants_compaction:
        store.append(block)
        appended += 1
    assert COMPACT_BYTES // 1100 < appended <= COMPACT_BYTES // 1000
    store.compact(block * 30)
    for _ in range(80):
        assert not store.wants_compaction
        store.append(block)
    store.append(block * 12)
    assert store.wants_compaction
    store.close()
    assert len(reopened(home).saved.records) == 122


def test_a_record_over_the_limit_changes_nothing(home: Path) -> None:
    store = Store.open(home, MACHINE)
    store.append([entry("a")])
    huge = [entry("b"), StoredRecord("api", bytes(70_000))]
    for write in (store.append, store.compact):
        with pytest.raises(LimitError, match="65536 bytes"):
            write(huge)
    with pytest.raises(LimitError):
        store.append([StoredRecord("x" * 300, b"")])
    store.close()
    assert reopened(home).saved.records == [entry("a")]


# ------------------------------------------------------------------------------------------------ crashes


@settings(in_a_directory, max_examples=8)
@given(groups=st.lists(group_of_records, min_size=1, max_size=4))
def test_a_log_cut_anywhere_has_all_that_was_acknowledged_before(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[StoredRecord]]
) -> None:
    """A crash during a write leaves a prefix of it: for each prefix, nothing is lost and no one fails."""
    home = tmp_path_factory.mktemp("store")
    log = home / "records"
    store = Store.open(home, MACHINE)
    written: list[StoredRecord] = []
    ends = [(log.stat().st_size, 0)]
    for group in groups:
        store.append(group)
        written += group
        ends.append((log.stat().st_size, len(written)))
    store.close()
    whole = log.read_bytes()
    for length in range(ends[0][0], len(whole) + 1):
        log.write_bytes(whole[:length])
        acknowledged = max(count for end, count in ends if end <= length)
        saved = reopened(home).saved
        assert saved.records == written[: len(saved.records)]
        assert len(saved.records) >= acknowledged
        assert not saved.lost


def test_after_a_torn_write_the_log_goes_on_where_it_was_good(home: Path) -> None:
    filled(home, [entry("a")], [entry("b")])
    log = home / "records"
    log.write_bytes(log.read_bytes()[:-1])
    store = Store.open(home, MACHINE)
    assert store.saved.records == [entry("a")]
    assert not store.saved.lost
    assert len(store.saved.warnings) == 1
    assert "a crash cut short" in store.saved.warnings[0]
    store.append([entry("c")])
    store.close()
    assert reopened(home).saved.records == [entry("a"), entry("c")]
    assert reopened(home).saved.warnings == []


def test_blocks_of_zeros_at_the_end_are_a_torn_write(home: Path) -> None:
    """A file system may have made the file longer before it wrote what belongs there."""
    filled(home, [entry("a")])
    log = home / "records"
    log.write_bytes(log.read_bytes() + bytes(4096))
    saved = reopened(home).saved
    assert (saved.records, saved.lost) == ([entry("a")], False)


CALLS = ("open", "pwrite", "fsync", "ftruncate", "rename", "mkdir", "fchmod", "close", "unlink")


def run_and_die(home: Path, steps: int, *, half_written: bool) -> list[str]:
    """Use a store in a process of its own that is killed before its `steps`-th system call.

    Returns what the store had acknowledged by then.
    """
    reader, writer = os.pipe()
    pid = fork()
    if pid == 0:
        left = steps

        def dying(name: str) -> Callable[..., object]:
            real = getattr(os, name)

            def call(*args: object, **more: object) -> object:
                nonlocal left
                left -= 1
                if left == 0:
                    if half_written and name == "pwrite":
                        real(args[0], bytes(args[1])[: len(bytes(args[1])) // 2], args[2])  # type: ignore[call-overload]
                    os._exit(9)
                return real(*args, **more)

            return call

        said = os.write
        for name in CALLS:
            setattr(os, name, dying(name))
        try:
            store = Store.open(home, MACHINE)
            said(writer, b"open\n")
            for step in (
                "append a",
                "counter 50",
                "append b",
                "compact b",
                "append c",
                "counter 90",
                "append d",
            ):
                verb, what = step.split()
                if verb == "counter":
                    store.save_counter(int(what), 7, 3)
                else:
                    getattr(store, verb)([entry(what)])
                said(writer, f"{step}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read().splitlines()
    os.waitpid(pid, 0)
    return told


@pytest.mark.parametrize("half_written", [False, True])
def test_killed_before_any_system_call_everything_acknowledged_is_there(
    tmp_path: Path, half_written: bool
) -> None:
    steps, finished = 0, False
    while not finished:
        steps += 1
        home = tmp_path / str(steps)
        told = run_and_die(home, steps, half_written=half_written)
        finished = "append d" in told
        saved = reopened(home).saved
        found = [record.raw.decode() for record in saved.records]
        # Compacting to `b` drops `a`: it may be there until the compaction was acknowledged.
        kept = ["a", "b", "c", "d"] if "a" in found else ["b", "c", "d"]
        assert found == kept[: len(found)], (steps, told)
        acknowledged = {line.split()[1] for line in told if line.startswith("append")}
        if "compact b" in told:
            assert "a" not in found
        if "b" in acknowledged:
            acknowledged.discard("a")
        assert acknowledged <= set(found), (steps, told)
        counters = [int(line.split()[1]) for line in told if line.startswith("counter")]
        assert saved.counter >= max(counters, default=0)
        assert not saved.lost
        assert not saved.fresh or not acknowledged
    assert steps > 40


# ------------------------------------------------------------------------------------------------- damage


def test_a_frame_that_went_bad_in_the_middle_costs_that_record_and_is_told(home: Path) -> None:
    filled(home, [entry("first")], [entry("second")], [entry("third")])
    log = home / "records"
    log.write_bytes(log.read_bytes().replace(b"second", b"sec\x00nd"))
    saved = reopened(home).saved
    assert saved.records == [entry("first"), entry("third")]
    assert saved.lost
    assert "2 records could be read" in saved.warnings[0]


def test_a_loss_is_told_until_a_floor_is_saved(home: Path) -> None:
    filled(home, [entry("a")])
    (home / "records").unlink()
    for _ in range(2):
        saved = reopened(home).saved
        assert (saved.lost, saved.records, saved.counter) == (True, [], 100)
    store = Store.open(home, MACHINE)
    store.save_counter(300, 7, 201)
    store.close()
    saved = reopened(home).saved
    assert (saved.lost, saved.floor, saved.warnings) == (False, 201, [])


@pytest.mark.parametrize("content", [None, b"", b"garbage", b"00000000 [1,2,3]\n", b"\x00" * 64])
def test_without_its_state_a_node_comes_up_by_the_clock(home: Path, content: bytes | None) -> None:
    filled(home, [entry("a")])
    if content is None:
        (home / "state").unlink()
    else:
        (home / "state").write_bytes(content)
    saved = reopened(home).saved
    assert (saved.counter, saved.birth, saved.floor) == (0, 0, 0)
    assert (saved.lost, saved.fresh, saved.records) == (True, False, [entry("a")])
    assert "the counter starts from the clock" in saved.warnings[0]


@pytest.mark.parametrize("content", [b"", b"short", bytes(32), bytes(33), b"\xff" * 31])
def test_a_damaged_key_stops_the_agent_and_is_not_overwritten(home: Path, content: bytes) -> None:
    filled(home)
    (home / "node.key").write_bytes(content)
    with pytest.raises(StoreError, match=r"node\.key is no key .*restore it from a backup"):
        Store.open(home, MACHINE)
    assert (home / "node.key").read_bytes() == content
    (home / "node.key").unlink()
    assert reopened(home).saved.fresh


def test_a_lost_key_means_a_new_identity_and_the_old_records_are_set_aside(home: Path) -> None:
    filled(home, [entry("a")])
    (home / "node.key").unlink()
    saved = reopened(home).saved
    assert (saved.fresh, saved.lost, saved.records, saved.counter) == (True, False, [], 0)
    assert "node.key is missing" in saved.warnings[0]
    assert b"a" in (home / "records.1").read_bytes()


def test_a_key_that_others_can_read_is_told(home: Path) -> None:
    filled(home)
    (home / "node.key").chmod(0o644)
    assert "chmod 600" in reopened(home).saved.warnings[0]


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"ffffffff [1]\n"])
def test_damaged_remembered_addresses_are_told_and_dropped(home: Path, content: bytes) -> None:
    filled(home)
    (home / "remembered").write_bytes(content)
    saved = reopened(home).saved
    assert saved.remembered == []
    assert "the remembered addresses are lost" in saved.warnings[0]
    assert not saved.lost


def test_remembered_things_that_are_no_addresses_are_dropped(home: Path) -> None:
    store = Store.open(home, MACHINE)
    store.save_remembered([("name", 1), ("10.0.0.1", 0), ("10.0.0.1", 65_536), ("10.0.0.2", 5)])
    store.close()
    assert reopened(home).saved.remembered == [("10.0.0.2", 5)]


def test_a_log_of_a_newer_version_is_left_alone(home: Path) -> None:
    filled(home)
    log = home / "records"
    head = b"gossip\x00L\x00\x00\x00\x02"
    content = head + crc32(head).to_bytes(4, "big")
    log.write_bytes(content)
    with pytest.raises(StoreError, match="version 2: upgrade"):
        Store.open(home, MACHINE)
    assert log.read_bytes() == content


@in_a_directory
@given(
    groups=st.lists(group_of_records, max_size=4),
    name=st.sampled_from(["records", "state", "remembered"]),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=5),
    cut=st.none() | st.integers(0, 200),
    more=st.binary(max_size=20),
)
def test_no_damage_stops_a_node_or_makes_a_record_up(
    tmp_path_factory: pytest.TempPathFactory,
    groups: list[list[StoredRecord]],
    name: str,
    flips: list[tuple[int, int]],
    cut: int | None,
    more: bytes,
) -> None:
    home = tmp_path_factory.mktemp("store")
    filled(home, *groups)
    store = Store.open(home, MACHINE)
    store.save_remembered([("10.0.0.1", 7946)])
    store.close()
    content = bytearray((home / name).read_bytes())
    for position, flip in flips:
        content[position % len(content)] ^= flip
    (home / name).write_bytes(bytes(content)[:cut] + more)
    written = [record for group in groups for record in group]
    saved = reopened(home).saved
    remaining = iter(written)
    assert all(record in remaining for record in saved.records), "in order, and nothing that was not written"
    assert saved.counter in (0, 100)
    # What was repaired is whole, and can be used.
    store = Store.open(home, MACHINE)
    assert store.saved.records == saved.records
    store.save_counter(200, 7, 150)
    store.append([entry("next")])
    store.close()
    again = reopened(home).saved
    assert again.records == [*saved.records, entry("next")]
    assert (again.lost, again.counter) == (False, 200)


def test_a_record_that_holds_a_frame_is_not_read_as_two_after_damage(home: Path) -> None:
    """What a service's owner puts into a record must not come out as another record."""
    filled(home, [entry("inner")])
    log = home / "records"
    frame = log.read_bytes()[16:]
    other = home.parent / "other"
    filled(other, [StoredRecord("api", frame + frame)], [entry("last")])
    log = other / "records"
    content = bytearray(log.read_bytes())
    content[20] ^= 1
    log.write_bytes(content)
    assert reopened(other).saved.records == [entry("last")]


# --------------------------------------------------------------------------------------------- copied disks


def test_another_machine_means_a_new_identity_and_the_old_key_is_kept_aside(home: Path) -> None:
    filled(home, [entry("a")])
    old = (home / "node.key").read_bytes()
    store = reopened(home, "another")
    assert store.seed != old
    assert (home / "node.key.1").read_bytes() == old
    assert (store.saved.fresh, store.saved.records, store.saved.counter) == (True, [], 0)
    assert "copied disk or a cloned VM" in store.saved.warnings[0]
    again = reopened(home, "another")
    assert (again.seed, again.saved.fresh, again.saved.warnings) == (store.seed, False, [])
    reopened(home, "third")
    assert (home / "node.key.2").read_bytes() == store.seed


def test_a_machine_that_does_not_know_its_id_matches_any(home: Path) -> None:
    filled(home)
    assert not reopened(home, "").saved.fresh
    assert not reopened(home, MACHINE).saved.fresh
    assert reopened(home, "another").saved.fresh
    unknown = home.parent / "unknown"
    reopened(unknown, "")
    assert not reopened(unknown, MACHINE).saved.fresh
    assert reopened(unknown, "another").saved.fresh


# -------------------------------------------------------------------------------------- disks that say no


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, int, int], None]]:
    """Make a function of `os` fail with an errno after so many more calls."""

    def fail(name: str, code: int, after: int = 0) -> None:
        real = getattr(os, name)
        left = after

        def call(*args: object, **more: object) -> object:
            nonlocal left
            left -= 1
            if left >= 0:
                return real(*args, **more)
            if name == "pwrite" and code == errno.ENOSPC and left == -1:
                data = bytes(args[1])  # type: ignore[call-overload]
                return real(args[0], data[: len(data) // 2], args[2])
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, name, call)

    yield fail
    monkeypatch.undo()


Fail: TypeAlias = "Callable[[str, int, int], None]"


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("pwrite", errno.ENOSPC, "the disk is full: free some space"),
        ("pwrite", errno.EIO, "Input/output error: check the disk"),
        ("fsync", errno.EIO, "Input/output error: check the disk"),
        ("fsync", errno.EDQUOT, "the disk is full"),
    ],
)
def test_after_a_failed_append_the_log_is_as_before_and_takes_more_later(
    home: Path, failing: Fail, monkeypatch: pytest.MonkeyPatch, name: str, code: int, reason: str
) -> None:
    store = Store.open(home, MACHINE)
    store.append([entry("a")])
    size = (home / "records").stat().st_size
    failing(name, code, 0)
    for _ in range(2):
        with pytest.raises(StoreError, match=reason):
            store.append([entry("long enough to be cut in two")])
        assert (home / "records").stat().st_size == size
    monkeypatch.undo()
    store.append([entry("b")])
    store.close()
    saved = reopened(home).saved
    assert (saved.records, saved.lost, saved.warnings) == ([entry("a"), entry("b")], False, [])


def test_a_log_that_cannot_even_be_cut_back_is_cut_by_the_next_append(
    home: Path, failing: Fail, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(home, MACHINE)
    store.append([entry("a")])
    failing("ftruncate", errno.EIO, 0)
    failing("pwrite", errno.ENOSPC, 0)
    with pytest.raises(StoreError):
        store.append([entry("long enough to be cut in two")])
    with pytest.raises(StoreError):
        store.append([entry("c")])
    monkeypatch.undo()
    store.append([entry("b")])
    store.close()
    assert reopened(home).saved.records == [entry("a"), entry("b")]


@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("name", ["fsync", "pwrite"])
def test_after_a_failed_compaction_the_old_log_or_the_new_one_goes_on(
    home: Path, failing: Fail, monkeypatch: pytest.MonkeyPatch, name: str, after: int
) -> None:
    """The second fsync is the directory's: by then the new log has the name, and must get what follows."""
    store = Store.open(home, MACHINE)
    store.append([entry("a"), entry("b")])
    failing(name, errno.EIO, after)
    if (name, after) == ("pwrite", 1):
        store.compact([entry("b")])
    else:
        with pytest.raises(StoreError):
            store.compact([entry("b")])
    if name == "fsync":
        with pytest.raises(StoreError):
            store.append([entry("not acknowledged")])
    monkeypatch.undo()
    store.append([entry("c")])
    store.close()
    saved = reopened(home).saved
    assert saved.records in ([entry("a"), entry("b"), entry("c")], [entry("b"), entry("c")])
    assert not saved.lost
    assert not list(home.glob("*.tmp"))


@pytest.mark.parametrize("name", ["fsync", "pwrite"])
def test_after_a_failed_save_the_old_numbers_stand(
    home: Path, failing: Fail, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    store = Store.open(home, MACHINE)
    store.save_counter(100, 7, 3)
    failing(name, errno.ENOSPC if name == "fsync" else errno.EIO, 0)
    with pytest.raises(StoreError):
        store.save_counter(200, 7, 3)
    monkeypatch.undo()
    store.save_counter(150, 7, 3)
    store.close()
    assert reopened(home).saved.counter == 150


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [
        ("mkdir", errno.EACCES, "not allowed for user id"),
        ("mkdir", errno.EROFS, "the file system is read-only"),
        ("open", errno.EACCES, "not allowed for user id"),
        ("pwrite", errno.ENOSPC, "the disk is full"),
        ("fsync", errno.EIO, "check the disk"),
    ],
)
def test_a_directory_that_cannot_be_used_stops_the_start_with_advice(
    home: Path, failing: Fail, monkeypatch: pytest.MonkeyPatch, name: str, code: int, reason: str
) -> None:
    failing(name, code, 0)
    with pytest.raises(StoreError, match=f"{home.parent}.*{reason}.*--data-dir"):
        Store.open(home, MACHINE)
    monkeypatch.undo()
    assert reopened(home).saved.fresh, "nothing is left locked or half made"


def test_a_file_in_the_place_of_the_directory_is_told(home: Path) -> None:
    home.write_text("not a directory")
    for path in (home, home / "below"):
        with pytest.raises(StoreError, match="not a directory: give another --data-dir"):
            Store.open(path, MACHINE)


def test_a_directory_of_somebody_else_is_told(home: Path) -> None:
    home.mkdir(mode=0o500)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        with pytest.raises(StoreError, match=f"not allowed for user id {os.geteuid()}: change its owner"):
            Store.open(home, MACHINE)
    finally:
        os.seteuid(user)


def test_what_checks_found_is_kept_and_damage_is_told(home: Path) -> None:
    store = Store.open(home, MACHINE)
    assert store.saved.checks is None
    store.save_checks({"checks": {"a": ["passing", 1.5, 0.0, "ok"]}})
    store.close()
    again = reopened(home)
    assert again.saved.checks == {"checks": {"a": ["passing", 1.5, 0.0, "ok"]}}
    assert not again.saved.warnings
    again.close()
    (home / "checks").write_bytes(b"x" + (home / "checks").read_bytes())
    damaged = reopened(home)
    assert damaged.saved.checks is None
    assert damaged.saved.warnings == [
        f"{home / 'checks'} is damaged: checks begin anew, maintenance has ended"
    ]
    damaged.close()


def test_what_checks_found_is_not_for_another_identity(home: Path) -> None:
    store = Store.open(home, MACHINE)
    store.save_checks({"checks": {}})
    store.close()
    other = Store.open(home, "f" * 32)
    assert other.saved.checks is None
    other.close()
    again = Store.open(home, "f" * 32)
    assert again.saved.checks is None
    again.close()


# -- the cluster's keys ----------------------------------------------------------------------------


def test_keys_come_back_are_their_owners_alone_and_outlive_an_identity(home: Path) -> None:
    store = Store.open(home, MACHINE)
    assert store.saved.keys is None
    store.save_keys({"keys": [["a", "sending", "00", "11"]]})
    store.close()
    assert (home / "keys").stat().st_mode & 0o777 == 0o600
    for machine in (MACHINE, "f" * 32):
        again = Store.open(home, machine)
        assert again.saved.keys == {"keys": [["a", "sending", "00", "11"]]}
        again.close()


def test_damaged_keys_are_never_taken_for_none(home: Path) -> None:
    store = Store.open(home, MACHINE)
    store.save_keys({"keys": []})
    store.close()
    (home / "keys").write_bytes(b"x")
    with pytest.raises(StoreError, match=r"keys is damaged: restore it .* --key-file"):
        Store.open(home, MACHINE)


# -- the authority's word --------------------------------------------------------------------------


def test_warrant_bans_and_used_invitations_come_back(home: Path) -> None:
    filled(home)
    with_all = Store.open(home, MACHINE)
    with_all.save_warrant(b"w" * 200)
    with_all.save_bans([b"one", b"two"])
    with_all.save_used([(b"h" * 32, b"n" * 16), (b"i" * 32, b"m" * 16)])
    with_all.close()
    saved = reopened(home).saved
    assert (saved.warrant, saved.bans) == (b"w" * 200, [b"one", b"two"])
    assert saved.used == [(b"h" * 32, b"n" * 16), (b"i" * 32, b"m" * 16)]
    assert saved.warnings == []
    assert all((home / name).stat().st_mode & 0o777 == 0o600 for name in ("warrant", "bans", "invitations"))


def test_bans_outlast_an_identity_and_a_warrant_does_not(home: Path) -> None:
    filled(home)
    store = Store.open(home, MACHINE)
    store.save_warrant(b"w")
    store.save_bans([b"one"])
    store.save_used([(b"h", b"n")])
    store.close()
    saved = reopened(home, "another machine").saved
    assert (saved.warrant, saved.bans, saved.used) == (b"", [b"one"], [(b"h", b"n")])
    assert not (home / "warrant").exists()


@pytest.mark.parametrize("name", ["warrant", "bans", "invitations"])
@pytest.mark.parametrize("content", [b"", b"rubbish", b'"text"', b"[1, null]"])
def test_a_damaged_word_of_the_authority_is_told_and_stops_nobody(
    home: Path, name: str, content: bytes
) -> None:
    from binascii import crc32

    filled(home)
    (home / name).write_bytes(b"%08x %s\n" % (crc32(content), content))
    saved = reopened(home).saved
    assert (saved.warrant, saved.bans, saved.used) == (b"", [], [])
    assert [name in warning for warning in saved.warnings] == [True]


def test_who_made_the_temporary_file_before_does_not_read_along(tmp_path: Path) -> None:
    """In a directory that others may write to."""
    waiting = tmp_path / "key.tmp"
    waiting.touch(0o666)
    with waiting.open("rb") as theirs:
        replace(tmp_path, "key", b"secret")
        assert theirs.read() == b""
    assert (tmp_path / "key").read_bytes() == b"secret"
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"as it was")
    waiting.symlink_to(elsewhere)
    replace(tmp_path, "key", b"another")
    assert ((tmp_path / "key").read_bytes(), elsewhere.read_bytes()) == (b"another", b"as it was")
