"""That commands and options of ours exist that FROM_SERF_AND_CONSUL.md names."""

from __future__ import annotations

import re

import pytest

from gossip.cli.parser import build_parser, subparsers
from tests.support import ROOT

TEXT = (ROOT / "FROM_SERF_AND_CONSUL.md").read_text()
COMMANDS = subparsers(build_parser())


def lines() -> list[str]:
    """What stands in the right column of both tables, command by command."""
    right = [row.split(" | ")[-1] for row in TEXT.splitlines() if row.startswith("| ")]
    return sorted({line for cell in right for line in re.findall(r"`(gossip [^`]+)`", cell)})


@pytest.mark.parametrize("line", lines())
def test_our_side_is_there(line: str) -> None:
    name, *words = line.split()[1:]
    assert name in COMMANDS
    _, command = COMMANDS[name]
    options = {option for action in command._actions for option in action.option_strings}
    assert {word for word in words if word.startswith("--")} <= options


def test_what_is_listed_after_a_command_is_one_too() -> None:
    """`gossip join`, `leave`, ...: each of the words that follow."""
    listed = re.findall(r"\| `gossip \w+`((?:, `\w+`)+) \|$", TEXT, re.MULTILINE)
    words = [word for each in listed for word in re.findall(r"`(\w+)`", each)]
    assert len(words) > 8
    assert set(words) <= set(COMMANDS)
