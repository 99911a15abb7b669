"""The command `watch`: shows a service's instances after each change, or runs a command for each state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.output import Cell, clock, complain, counted, plain, say, say_json, say_table
from gossip.cli.services import question
from gossip.client.channel import Channel, RawWatch
from gossip.client.framing import show_endpoint

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import NoReturn

    from gossip.client.framing import Message

__all__ = ["watch"]

SETTLE_SECONDS = 5.0
"""How long an agent that has come back is given before its `no instances` is believed: at first it knows
no other member, and a proxy that was reloaded with that would turn everybody away."""


def watch(options: Namespace) -> int:
    """Shows a service's instances after each change, or runs a command."""
    if options.command:
        _run_for_each(options)
    with Channel(options.socket) as channel:
        raw = RawWatch(channel, "services.watch", question(options))
        while True:
            value = raw.next()
            if value is None:
                continue
            value.pop("resync", None)
            value = {"service": options.name} | value
            if options.json:
                say_json(value)
            else:
                _show(value)


def _show(value: Message) -> None:
    found = value["instances"]
    say(f"{clock()}  {plain(value['service'])}: {counted(len(found), 'instance')}")
    if found:
        say_table(("ADDRESS", "STATUS", "NODE", "ID", "TAGS"), (_row(each) for each in found))


def _row(instance: Message) -> list[Cell]:
    return [
        Cell(show_endpoint(instance["address"], instance["port"])),
        Cell.status(instance["status"]),
        Cell(instance["node"]),
        Cell(instance["id"]),
        Cell(",".join(instance["tags"]) or "-"),
    ]


def _run_for_each(options: Namespace) -> NoReturn:
    """Runs the command for every state, one after the other, and at last for the last state.

    What piles up while it runs is one change: the command wants the world as it is now.
    """
    from gossip.cli.following import Following

    with Following(options.socket, "services.watch", question(options)) as following:
        done: list[Message] | None = None
        returns = 0
        while True:
            value = following.newest()
            while following.returns != returns:
                returns = following.returns
                if not value["instances"]:
                    value = following.newest_within(SETTLE_SECONDS) or value
            # The same state may come again when the agent is back. One that failed is tried again then.
            if value["instances"] != done:
                done = value["instances"] if _run(options.command, options.name, value) else None


def _run(command: str, name: str, value: Message) -> bool:
    """Whether it worked."""
    import json
    import os
    import subprocess

    value.pop("resync", None)
    value = {"service": name} | value
    done = subprocess.run(  # noqa: S602 - a shell command is what the user gave
        command,
        shell=True,
        input=json.dumps(value) + "\n",
        text=True,
        check=False,
        env=os.environ | {"GOSSIP_SERVICE": name, "GOSSIP_INDEX": str(value["index"])},
    )
    if done.returncode < 0:
        complain(f"{command!r} was ended by signal {-done.returncode}; going on")
    elif done.returncode:
        complain(f"{command!r} ended with status {done.returncode}; going on")
    return done.returncode == 0
