"""The file of finished tasks: read again, cut where it was torn, refused where it is something else."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import Struct

from gossip.errors import StoreError
from sim.farm.ledger import HEAD, Ledger, peek


class Cell(Struct):
    """A result that is more than plain JSON."""

    x: float
    pair: tuple[int, int]


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes meanwhile: a write then is short, and the next fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_results_are_there_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    with Ledger(path) as ledger:
        assert ledger.done == {}
        ledger.add("a", {"n": 1})
        ledger.add("b", Cell(0.1, (1, 2)))
        ledger.add("a", None)
        before = dict(ledger.done)
    assert before == {"a": None, "b": {"x": 0.1, "pair": [1, 2]}}
    with Ledger(path) as ledger:
        assert ledger.done == before


def test_another_process_may_look_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert peek(path) == {}
    with Ledger(path) as ledger:
        assert peek(path) == {}
        ledger.add("a", {"n": 1})
        ledger.add("b", 2)
        assert peek(path) == {"a": {"n": 1}, "b": 2}
        with path.open("ab") as file:
            file.write(b'{"key":"c","res')
        assert peek(path) == {"a": {"n": 1}, "b": 2}


def test_a_file_of_something_else_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text("something\n")
    with pytest.raises(StoreError, match="not a file of results"):
        peek(path)
    path.write_bytes(HEAD + b"nonsense\n")
    with pytest.raises(StoreError, match="line 2 is damaged"):
        peek(path)


def test_each_result_is_in_the_file_when_add_returns(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Ledger(path) as ledger:
        ledger.add("a", 1)
        assert [json.loads(line) for line in path.read_text().splitlines()[1:]] == [{"key": "a", "result": 1}]


@pytest.mark.parametrize("cut", range(1, 25))
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "results.jsonl"
    with Ledger(path) as ledger:
        ledger.add("a", 1)
        whole = path.stat().st_size
        ledger.add("b", "torn")
    path.write_bytes(path.read_bytes()[:-cut])
    with Ledger(path) as ledger:
        assert ledger.done == {"a": 1}
        assert path.stat().st_size == whole
        ledger.add("c", 3)
    with Ledger(path) as ledger:
        assert ledger.done == {"a": 1, "c": 3}


@pytest.mark.parametrize("size", [0, 1, len(HEAD) - 1])
def test_a_file_that_was_torn_at_its_very_beginning_begins_again(tmp_path: Path, size: int) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(HEAD[:size])
    with Ledger(path) as ledger:
        ledger.add("a", 1)
    with Ledger(path) as ledger:
        assert ledger.done == {"a": 1}


def test_a_place_that_is_no_directory_is_named(tmp_path: Path) -> None:
    file = tmp_path / "e.toml"
    file.write_text("")
    with pytest.raises(StoreError, match=rf"^{file}: this is a file; choose another directory$"):
        Ledger(file / "runs.jsonl")
    with pytest.raises(StoreError, match=rf"^{file}/below: Not a directory; choose another directory$"):
        Ledger(file / "below" / "runs.jsonl")


@pytest.mark.parametrize(
    "content", [b"name,value\n", b"x", b'{"gossip-sim":"ledger","version":2}\n', HEAD[1:]]
)
def test_another_file_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "precious.txt"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"precious\.txt is not a file of results"):
        Ledger(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("line", [b"{", b"{}", b'{"key":1,"result":1}', b'{"key":"a","result":1,"more":1}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "results.jsonl"
    path.write_bytes(HEAD + b'{"key":"a","result":1}\n' + line + b"\n" + b'{"key":"b","result":1}\n')
    with pytest.raises(StoreError, match="line 3 is damaged"):
        Ledger(path)


def test_two_runs_cannot_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Ledger(path), pytest.raises(StoreError, match="in use by another run"):
        Ledger(path)
    Ledger(path).close()


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=str(tmp_path)):
        Ledger(tmp_path)


def test_a_full_disk_is_told_and_what_was_written_stays(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with Ledger(path) as ledger:
        ledger.add("a", "x" * 100)
        size = path.stat().st_size
        # Room for a part of the line: what would be torn.
        with _room_for(size + 10), pytest.raises(StoreError, match="results before are kept: make room"):
            ledger.add("b", "y" * 100)
        assert path.stat().st_size == size
        assert "b" not in ledger.done
        ledger.add("c", 3)
    with Ledger(path) as ledger:
        assert ledger.done == {"a": "x" * 100, "c": 3}


def test_a_disk_that_is_full_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with _room_for(5), pytest.raises(StoreError, match=r"results\.jsonl"):
        Ledger(path)
    with Ledger(path) as ledger:
        assert ledger.done == {}
