"""Commands about services: register, deregister, services, lookup."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from gossip.cli.check_options import definitions, naming_options
from gossip.cli.output import Cell, clock, complain, counted, plain, say, say_json, say_table
from gossip.client.channel import Channel, RawWatch
from gossip.client.framing import show_endpoint

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["deregister", "lookup", "question", "register", "services"]


def register(options: Namespace) -> int:
    """Registers an instance; with `--while-connected` stays for as long as it is to last."""
    given = {"id": options.id, "address": options.address, "weight": options.weight}
    params: Message = {key: value for key, value in given.items() if value is not None}
    params |= {"name": options.name, "port": options.port, "tags": options.tag, "meta": dict(options.meta)}
    if checks := definitions(options):
        params["checks"] = checks
    if options.while_connected:
        params["while_connected"] = True
    with Channel(options.socket) as channel:
        with naming_options():
            value = channel.call("services.register", params)
        if options.json:
            say_json(value)
        else:
            say(plain(value["id"]))
        if value.get("replaced"):
            complain(
                f"this replaces what was registered as {value['id']!r} on this node:"
                " to have both, give each an --id"
            )
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
                    say(f"{clock()}  {counted(len(newest['services']), 'service')}")
                    _show_services(options, newest["services"])


def _show_services(options: Namespace, found: list[Message]) -> None:
    if options.json:
        say_json(found)
    elif found:
        say_table(
            ("SERVICE", "INSTANCES", "FAILING", "TAGS"),
            (
                [
                    Cell(each["name"]),
                    Cell(str(each["instances"])),
                    Cell(str(each.get("failing", 0) or "-")),
                    Cell(",".join(each["tags"]) or "-"),
                ]
                for each in found
            ),
        )


def lookup(options: Namespace) -> int:
    """Prints a service's instances; with `--wait` waits for the first."""
    asked = question(options) | ({"near": True} if options.near else {})
    with Channel(options.socket) as channel:
        if options.wait is None:
            answer = channel.call("services.lookup", asked)
            found = answer["instances"]
            if answer.get("isolated"):
                complain("the agent hears no other member: this may be old; see 'gossip info'")
        else:
            found = _await_instances(channel, asked, options.wait)
    if options.one and found:
        found = [found[0] if options.near else _pick(options, found)]
    if options.json:
        say_json(found)
    else:
        for each in found:
            where = plain(show_endpoint(each["address"], each["port"]))
            say(f"{where}  {plain(each['status'])}" if options.any else where)
    if found:
        return 0
    within = "" if options.wait is None else f" after {options.wait:g} s"
    hint = "'gossip services' for what there is"
    if not options.any:
        hint += ", and '--any --json' for those that are not well"
    complain(f"no instance of {options.name!r}{within}: see {hint}")
    return 1


def question(options: Namespace) -> Message:
    """What `lookup` and `watch` ask for."""
    params: Message = {"service": options.name}
    if options.tag:
        params["tags"] = options.tag
    return params | {key: True for key in ("any", "no_suspect") if getattr(options, key)}


def _await_instances(channel: Channel, asked: Message, patience: float) -> list[Message]:
    """The instances, once there are some; none after `patience` seconds."""
    import time

    watch = RawWatch(channel, "services.watch", asked)
    deadline = time.monotonic() + patience
    while True:
        value = watch.newest(max(deadline - time.monotonic(), 0.0))
        if value is None:
            return []
        if value["instances"]:
            found: list[Message] = value["instances"]
            return found


def _prefer_zone(options: Namespace, found: list[Message]) -> list[float]:
    """The weights that a caller in this agent's zone gives the instances."""
    own: list[float] = [each["weight"] for each in found]
    weights: dict[str, float] = {}
    for each in found:
        zone = each.get("zone", "")
        weights[zone] = weights.get(zone, 0.0) + each["weight"]
    if len(weights) < 2 or not any(weights.values()):
        return own
    from gossip.calling.zones import shares
    from gossip.errors import GossipError, UnreachableError

    try:
        with Channel(options.socket) as channel:
            places = channel.call("members.places")
    except UnreachableError:
        raise
    except GossipError:
        return own  # the agent is older than the question
    if not weights.get(places["zone"]):
        return own
    parts = shares(places["zone"], places["zones"], weights)
    return [
        each["weight"] * parts.get(zone, 0.0) / (weights[zone] or 1.0)
        for each, zone in ((each, each.get("zone", "")) for each in found)
    ]


def _pick(options: Namespace, found: list[Message]) -> Message:
    """One by weight and zone, of those that are best."""
    import random

    best = [each for each in found if each["status"] == "passing"] or found
    weights = _prefer_zone(options, best)
    return random.choices(best, weights if any(weights) else None)[0]  # noqa: S311 - balancing, no secret
