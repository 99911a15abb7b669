"""SECURITY.md: each promise names tests, and each test that it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache

from tests.support import ROOT

TEXT = (ROOT / "gossip" / "SECURITY.md").read_text()
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text())
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall(TEXT)
    assert len(named) > 60
    missing = [f"{path}::{name}" for path, name in named if name not in names_in(path)]
    assert not missing


def promises(text: str) -> list[tuple[str, str]]:
    """The rows of the tables of promises."""
    found, inside = [], False
    for line in text.splitlines():
        if line.startswith("| promise |"):
            inside = True
        elif not line.startswith("|"):
            inside = False
        elif inside and not line.startswith("|---"):
            promise, shown = line.strip("|").split("|")
            found.append((promise.strip(), shown.strip()))
    return found


def test_every_promise_names_a_test_and_nothing_else() -> None:
    rows = promises(TEXT)
    assert len(rows) > 30
    assert not [promise for promise, shown in rows if not NAMED.search(shown)]
    assert not [shown for _, shown in rows if NAMED.sub("", shown).strip(", ")]


def test_the_check_finds_a_promise_without_a_test() -> None:
    table = "| promise | shown by |\n|---|---|\n| all is well | by and by |\n"
    assert promises(table) == [("all is well", "by and by")]
    assert not NAMED.search("by and by")
