"""The command `completion`: a shell's script, written from the tree of commands and so never behind it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NamedTuple

from gossip.cli.output import say
from gossip.cli.parser import build_parser, subparsers

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["completion"]

PATHS = ("FILE", "DIR", "PATH")
"""The metavars of values that are names of files."""


class _Option(NamedTuple):
    flag: str
    summary: str
    value: str
    """The metavar of its value; "" for a switch."""
    choices: tuple[str, ...]
    again: bool
    """May be given more than once."""

    @property
    def is_path(self) -> bool:
        return self.value in PATHS


class _Command(NamedTuple):
    name: str
    summary: str
    options: tuple[_Option, ...]
    words: tuple[str, ...]
    """What its positional argument may be, where that is known."""


def completion(options: argparse.Namespace) -> int:
    """Prints the script for `options.shell`."""
    scripts: dict[str, Callable[[list[_Command]], list[str]]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    say("\n".join(scripts[options.shell](_commands())))
    return 0


def _commands() -> list[_Command]:
    return [_described(name, *rest) for name, rest in subparsers(build_parser()).items()]


def _described(name: str, summary: str, parser: argparse.ArgumentParser) -> _Command:
    options: list[_Option] = []
    words: tuple[str, ...] = ()
    for action in parser._actions:  # noqa: SLF001 - argparse offers no public way to read a tree
        choices = tuple(str(choice) for choice in action.choices or ())
        if not action.option_strings:
            words += choices
        elif action.help != argparse.SUPPRESS:
            takes = "" if action.nargs == 0 else str(action.metavar or action.dest.upper())
            again = isinstance(action, argparse._AppendAction)  # noqa: SLF001
            options.append(_Option(action.option_strings[-1], action.help or "", takes, choices, again))
    return _Command(name, summary, tuple(options), words)


def _bash(commands: list[_Command]) -> list[str]:
    lines = [
        "# bash completion for gossip; written by 'gossip completion bash'",
        "_gossip() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word words=""',
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        "        case $word in -*) ;; *) command=$word; break ;; esac",
        "    done",
        '    case "$command $prev" in',
    ]
    for each in commands:
        lines += [
            f'        "{each.name} {option.flag}") words="{" ".join(option.choices)}" ;;'
            for option in each.options
            if option.choices
        ]
        paths = [f'"{each.name} {o.flag}"' for o in each.options if o.is_path]
        if paths:
            lines.append(f'        {"|".join(paths)}) COMPREPLY=($(compgen -f -- "$cur")); return ;;')
        texts = [
            f'"{each.name} {o.flag}"' for o in each.options if o.value and not o.choices and not o.is_path
        ]
        if texts:
            lines.append(f"        {'|'.join(texts)}) return ;;")
    lines += ["        *)", '            case "$command" in']
    lines.append(f'                "") words="{" ".join(each.name for each in commands)}" ;;')
    for each in commands:
        known = " ".join([*each.words, *(option.flag for option in each.options)])
        lines.append(f'                {each.name}) words="{known}" ;;')
    lines += [
        "            esac ;;",
        "    esac",
        '    COMPREPLY=($(compgen -W "$words" -- "$cur"))',
        "}",
        "complete -F _gossip gossip",
    ]
    return lines


def _zsh(commands: list[_Command]) -> list[str]:
    lines = [
        "#compdef gossip",
        "# zsh completion for gossip; written by 'gossip completion zsh'",
        "_gossip() {",
    ]
    lines += ["    local -a commands=("]
    lines += [f"        {_quoted(each.name + ':' + each.summary)}" for each in commands]
    lines += [
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe command commands",
        "        return",
        "    fi",
        "    shift words",
        "    (( CURRENT-- ))",
        "    case $words[1] in",
    ]
    for each in commands:
        specs = [_zsh_option(option) for option in each.options]
        if each.words:
            specs.append(_quoted(f"*:word:({' '.join(each.words)})"))
        lines.append(f"        {each.name}) _arguments {' '.join(specs)} ;;")
    lines += [
        "    esac",
        "}",
        # Loaded from fpath, this file is the function's body; sourced, it has to register itself.
        'if [[ $funcstack[1] == _gossip ]]; then _gossip "$@"; else compdef _gossip gossip; fi',
    ]
    return lines


def _zsh_option(option: _Option) -> str:
    summary = option.summary.replace("[", "(").replace("]", ")").replace(":", " ")
    spec = f"{'*' if option.again else ''}{option.flag}[{summary}]"
    if option.choices:
        spec += f":{option.value.lower()}:({' '.join(option.choices)})"
    elif option.value:
        spec += f":{option.value.lower().replace(':', ' ')}:{'_files' if option.is_path else ''}"
    return _quoted(spec)


def _fish(commands: list[_Command]) -> list[str]:
    lines = ["# fish completion for gossip; written by 'gossip completion fish'", "complete -c gossip -f"]
    for each in commands:
        summary = _quoted(each.summary)
        lines.append(f"complete -c gossip -n __fish_use_subcommand -a {each.name} -d {summary}")
    for each in commands:
        start = f"complete -c gossip -n '__fish_seen_subcommand_from {each.name}'"
        if each.words:
            lines.append(f"{start} -a '{' '.join(each.words)}'")
        for option in each.options:
            takes = ""
            if option.choices:
                takes = f" -x -a '{' '.join(option.choices)}'"
            elif option.value:
                takes = " -r -F" if option.is_path else " -x"
            lines.append(f"{start} -l {option.flag.lstrip('-')}{takes} -d {_quoted(option.summary)}")
    return lines


def _quoted(text: str) -> str:
    """In single quotes for bash, zsh and fish alike: a quote inside is closed, escaped, opened again."""
    return "'" + text.replace("'", "'\\''") + "'"
