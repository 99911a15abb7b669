"""That SETTINGS.md has each setting, as the code has it, and none besides."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

from gossip.agent import KEEP
from gossip.cli.parser import build_parser, subparsers
from gossip.config import Config, checks, load, proxies, services, sources
from gossip.config.checks import KINDS, read_check
from gossip.config.sources import SETTINGS
from gossip.core.params import LAN
from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TEXT = (ROOT / "gossip" / "config" / "SETTINGS.md").read_text()
LITERAL = re.compile(r"`(.+?)`(?:;.*)?")
"""A default as a file would have it; any other one is said in words."""
ENV = {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}


def rows(section: str) -> list[list[str]]:
    """The cells of all tables of a section, without their heads."""
    _, _, rest = TEXT.partition(f"\n## {section}\n")
    lines = [line[2:-2] for line in rest.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert lines, section
    return [[cell.strip() for cell in line.split(" | ")] for line in lines]


def name_of(row: list[str]) -> str:
    return row[0].strip("`")


def defaults(section: str, column: int = 2) -> dict[str, str]:
    """By name, those that are literal."""
    found = {}
    for row in rows(section):
        if len(row) > column and (match := LITERAL.fullmatch(row[column])):
            found[name_of(row)] = match[1]
    return found


AGENT = rows("The agent")
CHECK = rows("`[[service.check]]` and `[[check]]`")
CHECK_KEYS = [row for row in CHECK if len(row) == 5]


def test_every_setting_of_the_agent_is_there_once_in_the_order_of_the_manual() -> None:
    assert [name_of(row) for row in AGENT] == list(SETTINGS)


def test_every_flag_is_there() -> None:
    _, agent = subparsers(build_parser())["agent"]
    flags = {
        sources._canonical(action.dest): action.option_strings[0]
        for action in agent._actions
        if action.dest not in ("help", "config", "check", "json")
    }
    assert {name_of(row): row[3].strip("`") for row in AGENT if row[3] != "-"} == flags


def test_what_a_reload_takes_over_is_said() -> None:
    tables = {"services", "checks", "proxies"}
    assert {name_of(row) for row in AGENT if row[4] == "yes"} == set(KEEP) - tables


@pytest.mark.parametrize(("name", "value"), defaults("The agent").items())
def test_a_default_written_down_changes_nothing(name: str, value: str, tmp_path: Path) -> None:
    """Where the default is the profile's, nothing given is None: that is held against the profile."""
    base = 'name = "n"\nadvertise = "127.0.0.1:1"\n'
    base += 'bind = "127.0.0.1:0"\n' if name != "bind" else ""
    (tmp_path / "plain.toml").write_text(base)
    (tmp_path / "said.toml").write_text(f"{name} = {value}\n{base}")
    flags = {"insecure": True} if name == "bind" else {}
    plain, said = (load([tmp_path / f"{each}.toml"], ENV, flags) for each in ("plain", "said"))
    if name in ("retention", "restart_grace"):
        assert getattr(said, name) == getattr(LAN, name)
    else:
        assert said == plain


def test_the_keys_of_a_service_are_there() -> None:
    assert [name_of(row) for row in rows("`[[service]]`")] == list(services._KEYS)


def test_the_kinds_of_checks_and_their_keys_are_there() -> None:
    every, keys = checks._ALL_KEYS, checks._KEYS
    assert [name_of(row) for row in CHECK if len(row) == 3] == list(KINDS)
    assert [name_of(row) for row in CHECK_KEYS] == [key for key in every if key not in KINDS]
    for row in CHECK_KEYS:
        having = [kind for kind in KINDS if name_of(row) in keys[kind]]
        assert row[3] == ("all" if len(having) == len(KINDS) else ", ".join(having)), name_of(row)


def test_the_keys_of_a_proxy_are_there() -> None:
    assert [name_of(row) for row in rows("`[[proxy]]`")] == list(proxies._READERS)


@pytest.mark.parametrize(
    ("table", "section"),
    [
        ('[[service]]\nname = "a"\nport = 1\n', "`[[service]]`"),
        ('[[proxy]]\nlisten = 1\nservice = "a"\n', "`[[proxy]]`"),
    ],
)
def test_defaults_of_tables_written_down_change_nothing(table: str, section: str, tmp_path: Path) -> None:
    base = f'bind = "127.0.0.1:0"\nname = "n"\n{table}'
    given = defaults(section)
    assert len(given) > 2
    (tmp_path / "plain.toml").write_text(base)
    (tmp_path / "said.toml").write_text(base + "".join(f"{key} = {value}\n" for key, value in given.items()))
    plain, said = (load([tmp_path / f"{each}.toml"], ENV) for each in ("plain", "said"))
    assert said == plain


def test_defaults_of_checks_written_down_change_nothing() -> None:
    for key, value in defaults("`[[service.check]]` and `[[check]]`").items():
        kind, target = ("grpc", "127.0.0.1:1") if key == "tls" else ("http", "http://127.0.0.1/")
        plain = {kind: target}
        said = plain | tomllib.loads(f"{key} = {value}")
        assert read_check(said, str) == read_check(plain, str), key


def test_every_field_of_the_settings_comes_from_one_that_is_there() -> None:
    """Nothing is set by a way that the reference does not know."""
    assert {each.name for each in fields(Config)} == {*SETTINGS, "services", "checks", "proxies"}
