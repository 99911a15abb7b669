"""Commands about health checks and maintenance: check, checks, maintenance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.output import Cell, age, complain, plain, say, say_json, say_table
from gossip.client.channel import Channel

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["check", "checks", "maintenance"]

OTHERWISE_COLUMNS = 160
"""Of a line that goes to no terminal: an output may be a whole page, which `--json` gives."""

_STATUS = {"pass": "passing", "warn": "warning", "fail": "critical"}


def check(options: Namespace) -> int:
    """Reports the state of a TTL check."""
    params = {"id": options.id, "status": _STATUS[options.verdict], "note": options.note}
    with Channel(options.socket) as channel:
        value = channel.call("checks.update", params)
    if options.json:
        say_json(value)
    else:
        say(f"{plain(value['id'])} is {plain(value['status'])}")
    return 0


def checks(options: Namespace) -> int:
    """Lists this node's checks with what they said last."""
    with Channel(options.socket) as channel:
        answer = channel.call("checks.list")
    found = [*_maintained(answer), *answer["checks"]]
    if options.json:
        say_json(found)
    elif found:
        import time

        now = time.time()
        say_table(
            ("CHECK", "NAME", "SERVICE", "KIND", "STATUS", "FOR", "NEXT", "OUTPUT"),
            (_row(each, now) for each in found),
            OTHERWISE_COLUMNS,
        )
    if found:
        return 0
    complain("no service of this node has a health check: see 'gossip register --help'")
    return 1


def _maintained(answer: Message) -> list[Message]:
    """What is in maintenance, in the shape of checks: these too decide what lookups give."""
    return [
        {
            "id": f"_service_maintenance:{id}" if id else "_node_maintenance",
            "name": "maintenance",
            "service": "",
            "service_id": id,
            "kind": "maintenance",
            "status": "maintenance",
            "output": reason,
            "note": "",
            "since": None,
            "next_s": None,
        }
        for id, reason in answer.get("maintenance", {}).items()
    ]


def _row(each: Message, now: float) -> list[Cell]:
    next_s, since = each["next_s"], each["since"]
    return [
        Cell(each["id"]),
        # A check without a name is called by its kind.
        Cell("-" if each["name"] == each["kind"] else each["name"]),
        Cell(each["service_id"] or "-"),
        Cell(each["kind"]),
        Cell.status(each["status"]),
        Cell("-" if since is None else age(now - _wall(since))),
        Cell("-" if next_s is None else age(next_s)),
        Cell(" ".join(each["output"].split()) or "-"),
    ]


def _wall(since: str) -> float:
    import datetime as dt

    return dt.datetime.fromisoformat(since).timestamp()


def maintenance(options: Namespace) -> int:
    """Takes a service or the node out of lookups, or puts it back."""
    params = {"on": options.switch == "on", "id": options.id, "reason": options.reason}
    with Channel(options.socket) as channel:
        value = channel.call("maintenance.set", params)
    if options.json:
        say_json(value)
        return 0
    what = plain(value["id"]) if value["id"] else "this node"
    say(f"{what} is {'in maintenance: lookups do not give it' if value['on'] else 'out of maintenance'}")
    return 0
