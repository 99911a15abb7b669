"""Core and wire stay pure, and typing a command stays cheap: neither by promise, both by test.

import-linter (pyproject.toml) reads the imports of our own sources. Here a fresh interpreter shows
what importing them really loads, dependencies included, and a walk over the syntax trees finds calls
that read a clock, the kernel's randomness, a file, or anything else that a replay could not repeat.
Each check is itself tried on planted violations.
"""

from __future__ import annotations

import ast
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT, run_python

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORLD = frozenset(
    {
        "_ssl",
        "asyncio",
        "concurrent",
        "logging",
        "multiprocessing",
        "select",
        "selectors",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "trio",
    }
)
"""Modules that reach the world outside, or wait for it.

The bare C module `_socket` is not among them: typing_extensions, which msgspec uses, loads it on Python
3.11 to look at the type of one of its attributes, and opens nothing.
"""

HEAVY = frozenset({"asyncio", "cryptography", "msgspec", "rich", "ssl", "trio"})
"""What a one-shot command does not wait for."""

LOADED = """
import importlib, sys
before = {name.partition(".")[0] for name in sys.modules}
for name in sys.argv[1:]:
    importlib.import_module(name)
for name in sorted({name.partition(".")[0] for name in sys.modules} - before):
    print(name)
print("before:", *sorted(before))
"""


def modules_of(package: str, root: Path = ROOT) -> list[str]:
    """The dotted names of a module, or of a package and of all that is in it."""
    folder = root.joinpath(*package.split("."))
    if folder.with_suffix(".py").is_file():
        return [package]
    files = sorted(folder.rglob("*.py"))
    assert files, f"there is no {package}: a check of nothing is no check"
    return [
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__") for file in files
    ]


def loaded_by(modules: list[str], forbidden: frozenset[str], root: Path = ROOT) -> list[str]:
    """The forbidden top-level modules that a fresh interpreter has loaded after importing `modules`."""
    result = run_python("-c", LOADED, *modules, cwd=root)
    assert result.returncode == 0, result.stderr
    *loaded, before = result.stdout.splitlines()
    # Else what the interpreter's own start loads would hide what we load.
    assert not forbidden.intersection(before.split()), f"the bare interpreter loads {before}"
    return sorted(forbidden.intersection(loaded))


# --------------------------------------------------------------------------------- what imports load


@pytest.mark.parametrize(
    "package", ["gossip.errors", "gossip.core", "gossip.wire", "gossip.diagnosis", "gossip.calling"]
)
def test_importing_core_and_wire_loads_nothing_of_the_world(package: str) -> None:
    assert loaded_by(modules_of(package), WORLD) == []


def test_importing_core_loads_no_cryptography() -> None:
    assert loaded_by(modules_of("gossip.core"), frozenset({"cryptography"})) == []


@pytest.mark.parametrize(
    "package", ["gossip", "gossip.__main__", "gossip.cli", "gossip.client", "gossip.config"]
)
def test_a_command_waits_for_no_heavy_import(package: str) -> None:
    modules = ["gossip"] if package == "gossip" else modules_of(package)
    # The async client is for programs that have an event loop anyway.
    modules = [name for name in modules if not name.startswith("gossip.client.aio")]
    assert loaded_by(modules, HEAVY | {"anyio"}) == []


def test_the_blocking_client_loads_no_event_loop() -> None:
    code = "import gossip; gossip.connect, gossip.Replica, gossip.HTTPCheck; import sys; print(*sys.modules)"
    assert not (HEAVY | {"anyio"}).intersection(run_python("-c", code).stdout.split())


def test_the_simulator_loads_no_trio() -> None:
    assert loaded_by(modules_of("sim"), frozenset({"asyncio", "trio"})) == []


def test_a_simulated_run_loads_no_socket() -> None:
    """Many runs at once do: they are spread over processes."""
    assert loaded_by(["sim", *modules_of("sim.runner")], frozenset({"socket", "multiprocessing"})) == []


def test_a_planted_import_is_seen(tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    (planted / "deep").mkdir(parents=True)
    (planted / "__init__.py").write_text("")
    (planted / "deep" / "__init__.py").write_text("")
    assert loaded_by(modules_of("planted", tmp_path), WORLD, tmp_path) == []

    (planted / "deep" / "late.py").write_text("from concurrent.futures import ThreadPoolExecutor\n")
    assert modules_of("planted", tmp_path) == ["planted", "planted.deep", "planted.deep.late"]
    assert {"concurrent", "threading"} <= set(loaded_by(modules_of("planted", tmp_path), WORLD, tmp_path))


def test_a_missing_package_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="no check"):
        modules_of("gossip.nowhere", tmp_path)


# ---------------------------------------------------------------------------------- what sources call

CLOCKS_AND_CHANCE = frozenset(
    {
        "datetime",
        "os",
        "pathlib",
        "random",
        "secrets",
        "socket",
        "sys",
        "tempfile",
        "threading",
        "time",
        "trio",
        "uuid",
    }
)
"""Nothing of these is used in core or wire, but for `ALLOWED`."""

ALLOWED = frozenset({"random.Random"})
"""The type of the generator that core is given. To call it is a finding all the same."""

BUILTINS = frozenset({"__import__", "breakpoint", "eval", "exec", "hash", "input", "open", "print"})
"""`hash` because it differs from process to process: a run that depends on it has no replay."""


class Finder(ast.NodeVisitor):
    """Collects what a pure module must not do, under whatever alias it was imported."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.found: list[str] = []

    def check(self, node: ast.AST, dotted: str, *, called: bool = False) -> None:
        if dotted.partition(".")[0] in CLOCKS_AND_CHANCE and (called or dotted not in ALLOWED):
            self.found.append(f"{getattr(node, 'lineno', 0)}: {dotted}")

    def learn(self, node: ast.AST) -> None:
        """Takes in the names that an import binds; the whole file's, before the first visit."""
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                self.names[alias.asname or top] = alias.name if alias.asname else top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            self.check(node, f"{node.module}.{alias.name}")

    def dotted(self, node: ast.AST) -> str:
        if isinstance(node, ast.Name):
            return self.names.get(node.id, "")
        if isinstance(node, ast.Attribute):
            base = self.dotted(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.check(node, self.dotted(node))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if self.dotted(node.func) in ALLOWED:
            self.check(node, self.dotted(node.func), called=True)
        if isinstance(node.func, ast.Name) and node.func.id in BUILTINS - self.names.keys():
            self.found.append(f"{node.lineno}: {node.func.id}")
        self.generic_visit(node)


def impure(source: str) -> list[str]:
    """What a source does that a pure module must not: `line: name`."""
    finder = Finder()
    tree = ast.parse(source)
    for node in ast.walk(tree):
        finder.learn(node)
    finder.visit(tree)
    return finder.found


def sources() -> Iterator[Path]:
    for layer in ("core", "wire", "calling"):
        yield from sorted((ROOT / "gossip" / layer).rglob("*.py"))


def test_core_and_wire_call_no_clock_no_chance_and_no_file() -> None:
    checked = list(sources())
    assert {"core", "wire"} <= {file.parent.name for file in checked}
    findings = {str(file.relative_to(ROOT)): impure(file.read_text()) for file in checked}
    assert {file: found for file, found in findings.items() if found} == {}


@pytest.mark.parametrize(
    ("source", "finding"),
    [
        ("import time\nnow = time.monotonic()", "2: time.monotonic"),
        ("import time as t\nnow = t.time()", "2: time.time"),
        ("from time import monotonic", "1: time.monotonic"),
        ("def f():\n    from time import time_ns as now\n    return now()", "2: time.time_ns"),
        ("import random\nx = random.random()", "2: random.random"),
        ("import random\npick = random.choice", "2: random.choice"),
        ("import random\nrng = random.Random()", "2: random.Random"),
        ("from random import Random\nrng = Random(7)", "2: random.Random"),
        ("from random import shuffle", "1: random.shuffle"),
        ("def f():\n    return t.time()\nimport time as t", "2: time.time"),
        ("import os\nkey = os.urandom(32)", "2: os.urandom"),
        ("import os.path\nthere = os.path.exists('x')", "2: os.path.exists"),
        ("from secrets import token_bytes", "1: secrets.token_bytes"),
        ("import datetime\nd = datetime.datetime.now()", "2: datetime.datetime.now"),
        ("text = open('x').read()", "1: open"),
        ("print('x')", "1: print"),
        ("bucket = hash(b'x') % 256", "1: hash"),
    ],
)
def test_a_planted_call_is_found(source: str, finding: str) -> None:
    assert finding in impure(source)


def test_the_given_generator_and_clock_are_no_findings() -> None:
    source = """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            import random
            from random import Random

        def pick(names: list[str], rng: random.Random, spare: Random, now: float, time: float) -> str:
            rng.shuffle(names)
            opened = rng.random() < spare.random() + now + time
            return names[opened]
    """
    assert impure(textwrap.dedent(source)) == []
