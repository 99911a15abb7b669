"""Commands about the cluster's keys: keygen, keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.output import Cell, complain, plain, say, say_json, say_pairs, say_table
from gossip.client.channel import Channel

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["keygen", "keys"]

PATIENCE = 30.0
"""Seconds that the agent has to put keys on disk."""
POLL_SECONDS = 0.5
MARK_SHOWN = 8

_NEEDS_NAME = {"use": True, "remove": True}
_TAKES_FILE = ("add", "rotate")


def keygen(options: Namespace) -> int:
    """Prints a new key, or writes it to a file that only its owner can read."""
    import secrets

    from gossip.config.keyfile import KEY_BYTES, show_key

    text = show_key(secrets.token_bytes(KEY_BYTES))
    if options.out is None:
        say(text)
        return 0
    import os

    try:
        descriptor = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"{text}\n")
    except FileExistsError:
        complain(f"{plain(options.out)} exists and is not overwritten: give another name")
        return 1
    except OSError as problem:
        complain(f"{plain(options.out)}: {problem.strerror or problem}")
        return 1
    return 0


def keys(options: Namespace) -> int:
    """Lists keys, or changes them as `options.what` says."""
    _check(options)
    if options.what == "list":
        return _list(options)
    params: Message = {}
    if options.name:
        params["name"] = options.name
    if options.what in _TAKES_FILE and options.key_file:
        params["key"] = _read(options.key_file)
    if options.what == "rotate":
        params["insist"] = options.insist
    with Channel(options.socket) as channel:
        value = channel.call(f"keys.{options.what}", params, PATIENCE)
        if options.json:
            say_json(value)
        else:
            say(_SAID[options.what].format(name=plain(value["name"]), mark=value["mark"][:MARK_SHOWN]))
        if options.what == "rotate" and options.wait is not None:
            return _wait(channel, options)
    return 0


_SAID = {
    "add": "added {name} ({mark}), to receive by",
    "use": "this agent seals with {name} ({mark})",
    "remove": "removed {name} ({mark})",
    "rotate": "the cluster changes its key to {name} ({mark}); 'gossip keys list' shows how far it is",
}


def _check(options: Namespace) -> None:
    """Ends the program where the arguments do not go together."""
    what, wrong = options.what, ""
    if what in _NEEDS_NAME and not options.name:
        wrong = f"{what} needs the NAME of a key: see 'gossip keys list'"
    elif what == "list" and options.name:
        wrong = "list takes no NAME"
    elif what == "add" and not options.key_file:
        wrong = "add needs --key-file FILE, or - for standard input"
    elif options.key_file and what not in _TAKES_FILE:
        wrong = f"{what} takes no --key-file"
    elif (options.insist or options.wait is not None) and what != "rotate":
        wrong = "--insist and --wait go with rotate"
    elif options.insist and (options.name or options.key_file):
        wrong = "--insist begins no change: give it alone"
    if wrong:
        options.parser.error(wrong)


def _read(name: str) -> str:
    """The key in a file, in its own text; `-` is standard input."""
    from pathlib import Path

    from gossip.config.keyfile import parse_key, read_key_file, show_key

    if name != "-":
        return show_key(read_key_file(Path(name)))
    import sys

    return show_key(parse_key(sys.stdin.readline()))


def _list(options: Namespace) -> int:
    with Channel(options.socket) as channel:
        value = channel.call("keys.list")
    if options.json:
        say_json(value)
        return 0
    say_pairs([("sealing", value["sealing"]), *_change(value)])
    if value["clear_accepted"]:
        complain(f"{value['clear_accepted']} datagrams and streams were accepted in clear so far")
    if not value["keys"]:
        return 0
    say()
    say_table(
        ("KEY", "MARK", "STATE", "HELD BY"),
        ([Cell(plain(key["name"])), Cell(key["mark"][:MARK_SHOWN]), _state(key["state"]), _held(key, value)]
         for key in value["keys"]),
    )  # fmt: skip
    say()
    names = {key["mark"]: key["name"] for key in value["keys"]}
    say_table(("MEMBER", "STATUS", "KEYS"), (_member(each, names) for each in value["members"]))
    return 0


def _change(value: Message) -> list[tuple[str, str]]:
    change = value["change"]
    if change is None:
        return []
    pairs = [("change", f"to {_name(value, change['target'])}: {change['stage']}")]
    if change["waiting"]:
        pairs.append(("waits for", _names(change["waiting"])))
    if change["away"]:
        pairs.append(
            ("away", f"{_names(change['away'])}: older keys are kept until they are back, are forgotten,")
        )
        pairs.append(("", "or you insist (gossip keys rotate --insist)"))
    return pairs


def _names(names: list[str]) -> str:
    return ", ".join(map(plain, names))


def _name(value: Message, mark: str) -> str:
    return next((plain(key["name"]) for key in value["keys"] if key["mark"] == mark), mark[:MARK_SHOWN])


def _state(state: str) -> Cell:
    return Cell(state, {"sending": "green", "retired": "dim"}.get(state, ""))


def _held(key: Message, value: Message) -> Cell:
    live = [each for each in value["members"] if each["status"] in ("alive", "suspect")]
    count = sum((each["keys"] or {}).get(key["mark"]) in ("receiving", "sending") for each in live)
    return Cell(
        f"{count} of {len(live)}", "" if count == len(live) or key["state"] == "retired" else "yellow"
    )


def _member(member: Message, names: dict[str, str]) -> list[Cell]:
    if member["keys"] is None:
        shown = Cell("says nothing: in clear, or of an older version", "yellow")
    else:
        held = (
            f"{names.get(mark, mark[:MARK_SHOWN])} ({state})"
            for mark, state in member["keys"].items()
            if state != "retired"
        )
        shown = Cell(", ".join(map(plain, held)) or "none")
    return [Cell(plain(member["name"])), Cell.status(member["status"]), shown]


def _wait(channel: Channel, options: Namespace) -> int:
    """Until every live member seals with the key."""
    import time

    end = time.monotonic() + options.wait
    while True:
        change = channel.call("keys.list")["change"]
        if change["stage"] != "distributing" and not change["waiting"]:
            if not options.json:
                say("all live members seal with it; older keys are retired once nobody is away")
            return 0
        if time.monotonic() >= end:
            waiting = _names(change["waiting"]) or "this agent's next look"
            complain(f"not yet: it waits for {waiting}; it goes on by itself, see 'gossip keys list'")
            return 1
        time.sleep(POLL_SECONDS)
