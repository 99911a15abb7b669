"""Commands about services: register, deregister, services, lookup, watch."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gossip.cli.output import Cell, complain, paint, plain, say, say_json, say_table
from gossip.client.channel import Channel, RawWatch
from gossip.client.framing import show_endpoint

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["deregister", "lookup", "register", "services", "watch"]


def register(options: Namespace) -> int:
    """Registers an instance; with `--while-connected` stays for as long as it is to last."""
    given = {"id": options.id, "address": options.address, "weight": options.weight}
    params: Message = {key: value for key, value in given.items() if value is not None}
    params |= {"name": options.name, "port": options.port, "tags": options.tag, "meta": dict(options.meta)}
    if options.while_connected:
        params["while_connected"] = True
    with Channel(options.socket) as channel:
        value = channel.call("services.register", params)
        if options.json:
            say_json(value)
        else:
            say(plain(value["id"]))
        if options.while_connected:
            _hold(channel)
    return 0


def _hold(channel: Channel) -> None:
    """Waits for the end of the input, or for the agent to go (which raises)."""
    import select

    waiting: list[Channel | int] = [channel]
    if _input_can_end():
        waiting.append(sys.stdin.fileno())
    while True:
        ready, _, _ = select.select(waiting, [], [])
        if channel in ready:
            channel.notification(0)
        elif not os.read(sys.stdin.fileno(), 4096):
            return


def _input_can_end() -> bool:
    """Whether the end of standard input means anything: a service manager gives one that is at its end."""
    import stat

    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or sys.stdin.isatty()


def deregister(options: Namespace) -> int:
    """Takes back a registration."""
    with Channel(options.socket) as channel:
        channel.call("services.deregister", {"id": options.id})
    say(f"deregistered {plain(options.id)}")
    return 0


def services(options: Namespace) -> int:
    """Lists services, and with `--watch` again after each change."""
    with Channel(options.socket) as channel:
        if not options.watch:
            value = channel.call("services.list")
            _show_services(options, value["services"])
            if value["services"]:
                return 0
            complain("no service is registered: see 'gossip register --help'")
            return 1
        watch = RawWatch(channel, "services.watch")
        while True:
            newest = watch.newest()
            if newest is not None:
                if options.json:
                    say_json(newest)
                else:
                    say(f"{_clock()}  {_counted(len(newest['services']), 'service')}")
                    _show_services(options, newest["services"])


def _show_services(options: Namespace, found: list[Message]) -> None:
    if options.json:
        say_json(found)
    elif found:
        say_table(
            ("SERVICE", "INSTANCES", "TAGS"),
            ([Cell(s["name"]), Cell(str(s["instances"])), Cell(",".join(s["tags"]) or "-")] for s in found),
        )


def lookup(options: Namespace) -> int:
    """Prints a service's instances; with `--wait` waits for the first."""
    question = _question(options) | ({"near": True} if options.near else {})
    with Channel(options.socket) as channel:
        if options.wait is None:
            answer = channel.call("services.lookup", question)
            found = answer["instances"]
            if answer.get("isolated"):
                complain("the agent hears no other member: this may be old; see 'gossip info'")
        else:
            found = _await_instances(channel, question, options.wait)
    if options.one and found:
        found = [found[0] if options.near else _pick(found)]
    if options.json:
        say_json(found)
    else:
        for each in found:
            say(plain(show_endpoint(each["address"], each["port"])))
    if found:
        return 0
    within = "" if options.wait is None else f" after {options.wait:g} s"
    complain(f"no instance of {options.name!r}{within}: see 'gossip services' for what there is")
    return 1


def _question(options: Namespace) -> Message:
    params: Message = {"service": options.name}
    if options.tag:
        params["tags"] = options.tag
    return params | {key: True for key in ("any", "no_suspect") if getattr(options, key)}


def _await_instances(channel: Channel, question: Message, patience: float) -> list[Message]:
    """The instances, once there are some; none after `patience` seconds."""
    import time

    watch = RawWatch(channel, "services.watch", question)
    deadline = time.monotonic() + patience
    while True:
        value = watch.newest(max(deadline - time.monotonic(), 0.0))
        if value is None:
            return []
        if value["instances"]:
            found: list[Message] = value["instances"]
            return found


def _pick(found: list[Message]) -> Message:
    """One by weight, of those that are best."""
    import random

    best = [each for each in found if each["status"] == "passing"] or found
    weights = [each["weight"] for each in best]
    return random.choices(best, weights if any(weights) else None)[0]  # noqa: S311 - balancing, no secret


def watch(options: Namespace) -> int:
    """Shows a service's instances after each change, or runs a command."""
    with Channel(options.socket) as channel:
        raw = RawWatch(channel, "services.watch", _question(options))
        while True:
            # What piled up while a command ran is one change: the command wants the world as it is now.
            value = raw.newest() if options.command else raw.next()
            if value is None:
                continue
            value.pop("resync", None)
            value = {"service": options.name} | value
            if options.command:
                _run(options.command, value)
            elif options.json:
                say_json(value)
            else:
                _show_change(value)


def _run(command: str, value: Message) -> None:
    import json
    import subprocess

    done = subprocess.run(  # noqa: S602 - a shell command is what the user gave
        command, shell=True, input=json.dumps(value) + "\n", text=True, check=False
    )
    if done.returncode:
        complain(f"{command!r} ended with status {done.returncode}; going on")


def _show_change(value: Message) -> None:
    found = value["instances"]
    say(f"{_clock()}  {plain(value['service'])}: {_counted(len(found), 'instance')}")
    if found:
        say_table(("ADDRESS", "STATUS", "NODE", "ID", "TAGS"), (_instance_row(each) for each in found))


def _clock() -> str:
    import time

    return paint(time.strftime("%H:%M:%S"), "dim")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _instance_row(instance: Message) -> list[Cell]:
    return [
        Cell(show_endpoint(instance["address"], instance["port"])),
        Cell.status(instance["status"]),
        Cell(instance["node"]),
        Cell(instance["id"]),
        Cell(",".join(instance["tags"]) or "-"),
    ]
