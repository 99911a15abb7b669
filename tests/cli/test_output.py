"""How answers look."""

from __future__ import annotations

import io
import os
from contextlib import redirect_stdout
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.cli import output
from gossip.cli.output import Cell, age, paint, plain, say_pairs, say_table, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """To be used with `redirect_stdout`: pytest puts its own standard output back after the fixtures."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return Terminal()


def test_columns_are_aligned_and_lines_have_no_blanks_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    say_table(
        ("NAME", "N", "LAST"), [[Cell("a"), Cell("1"), Cell("x")], [Cell("longer"), Cell("22"), Cell("")]]
    )
    assert capsys.readouterr().out == "NAME    N   LAST\na       1   x\nlonger  22\n"


def test_wide_and_combining_characters_take_the_columns_that_terminals_give_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert [width_of(text) for text in ("abc", "é", "e\u0301", "日本")] == [3, 1, 1, 4]
    say_table(("A", "B"), [[Cell("日本"), Cell("x")], [Cell("abcd"), Cell("y")]])
    assert capsys.readouterr().out == "A     B\n日本  x\nabcd  y\n"


def test_a_terminal_gets_colours_and_a_pipe_does_not(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        assert paint("alive", "green") == "\x1b[32malive\x1b[0m"
        assert paint("alive", "") == "alive"
    with redirect_stdout(io.StringIO()):
        assert paint("alive", "green") == "alive"


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_wants_no_colours_gets_none(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with redirect_stdout(terminal):
        assert paint("alive", "green") == "alive"


def test_an_empty_no_color_means_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "")
    with redirect_stdout(terminal):
        assert paint("alive", "green") != "alive"


def test_colours_do_not_count_as_width(terminal: Terminal) -> None:
    with redirect_stdout(terminal):
        say_table(("S", "T"), [[Cell.status("alive"), Cell("x")], [Cell.status("dead"), Cell("y")]])
    lines = terminal.getvalue().splitlines()
    assert lines[1] == "\x1b[32malive\x1b[0m  x"
    assert lines[2] == "\x1b[31mdead\x1b[0m   y"


@pytest.mark.parametrize(
    ("columns", "shown"),
    [(80, "a  0123456789"), (13, "a  0123456789"), (12, "a  01234567…"), (1, "a  0…"), (0, "a  0123456789")],
)
def test_on_a_terminal_the_last_column_is_cut_to_what_fits(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, columns: int, shown: str
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(terminal, "fileno", lambda: 1)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((columns, 24)))
    with redirect_stdout(terminal):
        say_table(("A", "B"), [[Cell("a"), Cell("0123456789")]])
    assert terminal.getvalue().splitlines()[1] == shown


def test_pairs_show_a_repeated_name_once(capsys: pytest.CaptureFixture[str]) -> None:
    say_pairs([("name", "n1"), ("address", "gossip x"), ("address", "socket y")])
    assert capsys.readouterr().out == "name     n1\naddress  gossip x\n         socket y\n"


def test_what_comes_from_elsewhere_cannot_steer_the_terminal() -> None:
    assert plain("n1\x1b[2J\nn2\x9b") == "n1\\x1b[2J\\nn2\\x9b"
    assert plain("日本 é") == "日本 é"


@given(st.text())
def test_plain_text_always_prints_and_can_be_encoded(text: str) -> None:
    assert plain(text).isprintable()
    plain(text).encode()


@given(st.text(), st.integers(min_value=2, max_value=40))
def test_a_cut_text_fits(text: str, room: int) -> None:
    assert width_of(output._cut(plain(text), room)) <= room


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3.0, "0s"),
        (0.9, "0s"),
        (59.9, "59s"),
        (60, "1m"),
        (200, "3m20s"),
        (3_600, "1h"),
        (3_605, "1h"),
        (7_380, "2h3m"),
        (187_200, "2d4h"),
    ],
)
def test_ages_have_their_two_largest_units(seconds: float, shown: str) -> None:
    assert age(seconds) == shown


def test_json_is_one_line_of_ascii(capsys: pytest.CaptureFixture[str]) -> None:
    rows: Sequence[object] = [{"name": "é\n\ud800"}]
    output.say_json(rows)
    assert capsys.readouterr().out == '[{"name":"\\u00e9\\n\\ud800"}]\n'
