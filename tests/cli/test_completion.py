"""Completion: every command and option is there, and the shells themselves can read the scripts."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from gossip.cli.parser import STATUSES, build_parser, subparsers
from tests.support import requires_program

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]

COMMANDS = subparsers(build_parser())
SHELLS = ("bash", "zsh", "fish")


def run(shell: str, script: str, *arguments: str) -> str:
    """What a shell makes of a script, without its user's own start files."""
    plain = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
    done = subprocess.run(
        [requires_program(shell), *plain, *arguments, "-c", script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture
def script(gossip: Run, tmp_path: Path) -> Callable[[str], str]:
    def write(shell: str) -> str:
        file = tmp_path / f"completion.{shell}"
        file.write_text(gossip("completion", shell).out)
        return str(file)

    return write


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_the_script(gossip: Run, shell: str) -> None:
    out = gossip("completion", shell).out
    for name, (_, parser) in COMMANDS.items():
        assert name in out
        shown = {flag for flag in parser._option_string_actions if flag.startswith("--")}
        assert {flag for flag in shown if flag.lstrip("-") not in out} == set()


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_can_read_its_script(shell: str, script: Callable[[str], str]) -> None:
    done = subprocess.run(
        [requires_program(shell), "-n", script(shell)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["gossip", "le"], {"leave"}),
        (["gossip", "members", "--status", ""], set(STATUSES)),
        (["gossip", "members", "--st"], {"--status"}),
        (["gossip", "completion", "z"], {"zsh"}),
        (["gossip", "lookup", "web", "--n"], {"--near", "--no-suspect"}),
        (["gossip", "lookup", "web", "--tag", ""], set()),
        (["gossip", "agent", "--profile", "l"], {"lan", "local"}),
        (["gossip", "check", "p"], {"pass"}),
        (["gossip", "maintenance", "o"], {"on", "off"}),
        (["gossip", "monitor", "--level", "d"], {"debug"}),
        (["gossip", "top", "--o"], {"--once"}),
        (["gossip", "register", "web", "--check-t"], {"--check-tcp", "--check-ttl"}),
        (["gossip", "run", "--service", ""], set()),
    ],
    # Processes that share the tests must give them the same names: no set in its own order.
    ids=lambda words: " ".join(sorted(words) if isinstance(words, set) else words),
)
def test_bash_completes(script: Callable[[str], str], words: list[str], offered: set[str]) -> None:
    quoted = " ".join(f"'{word}'" for word in words)
    out = run(
        "bash",
        f"source {script('bash')}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _gossip;"
        ' printf "%s\\n" "${COMPREPLY[@]}"',
    )
    assert set(out.split()) == offered


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gossip le", {"leave"}),
        ("gossip members --status ", set(STATUSES)),
        ("gossip completion ", set(SHELLS)),
        ("gossip lookup web --ne", {"--near"}),
    ],
)
def test_fish_completes(script: Callable[[str], str], line: str, offered: set[str]) -> None:
    out = run("fish", f"source {script('fish')}; complete -C '{line}'")
    assert {each.split("\t")[0] for each in out.splitlines()} == offered


def test_zsh_takes_its_script_as_a_completion_of_gossip(script: Callable[[str], str]) -> None:
    out = run(
        "zsh",
        f"autoload -Uz compinit; compinit -u -D; source {script('zsh')};"
        " print $_comps[gossip]; whence -w _gossip",
    )
    assert out == "_gossip\n_gossip: function\n"
