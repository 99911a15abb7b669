"""Commands about the agent and the members: members, info, join, leave, reload, evict, rtt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.output import Cell, age, complain, counted, paint, plain, say, say_json, say_pairs, say_table
from gossip.client.channel import Channel, RawWatch
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["evict", "info", "join", "leave", "members", "reload", "rtt"]

PATIENCE = 60.0
"""Seconds that the agent has to join or to leave, which it does over the network."""


def members(options: Namespace) -> int:
    """Lists members, and with `--watch` goes on with each change."""
    with Channel(options.socket) as channel:
        if options.watch:
            return _follow_members(options, channel)
        found = [m for m in channel.call("members.list")["members"] if _wanted(m, options)]
    _show_members(options, found)
    if not found:
        complain("no member is like that: try without --status and --tag")
    return 0 if found else 1


def _follow_members(options: Namespace, channel: Channel) -> int:
    watch = RawWatch(channel, "members.watch")
    while True:
        value = watch.next()
        if value is None:
            continue
        if "members" in value:
            found = [m for m in value["members"] if _wanted(m, options)]
            if options.json:
                say_json(value | {"members": found})
            else:
                _show_members(options, found)
        elif _wanted(value["member"], options):
            if options.json:
                say_json(value)
            else:
                _show_event(value)


def _wanted(member: Message, options: Namespace) -> bool:
    if options.status and member["status"] not in options.status:
        return False
    return all(member["tags"].get(key) == value for key, value in options.tag)


def _show_members(options: Namespace, found: list[Message]) -> None:
    if options.json:
        say_json(found)
        return
    if not found:
        return
    import time

    now = time.time()
    say_table(
        ("NAME", "ADDRESS", "STATUS", "FOR", "RTT", "SERVICES", "FLAGS", "TAGS"),
        (_member_row(m, now) for m in sorted(found, key=lambda m: (m["name"], m["id"]))),
    )


def _member_row(member: Message, now: float) -> list[Cell]:
    import datetime as dt

    since = dt.datetime.fromisoformat(member["since"]).timestamp()
    return [
        Cell(member["name"]),
        Cell(member["address"]),
        Cell.status(member["status"]),
        Cell(age(now - since)),
        Cell(_milliseconds(member["rtt_ms"])),
        Cell(str(member["services"])),
        Cell(",".join(member["flags"]) or "-"),
        Cell(_pairs(member["tags"])),
    ]


def _show_event(value: Message) -> None:
    import time

    member = value["member"]
    word = value["event"].removeprefix("member_")
    clock = paint(time.strftime("%H:%M:%S"), "dim")
    status = paint(word.ljust(9), Cell.status(member["status"]).colour)
    flags = ",".join(member["flags"]) or ("no flag" if word == "flagged" else "")
    said = (plain(member["name"]), plain(member["address"]), plain(flags))
    say("  ".join((clock, status, *filter(None, said))))


def info(options: Namespace) -> int:
    """Shows what the agent says of itself."""
    with Channel(options.socket) as channel:
        value = channel.call("agent.info")
    if options.json:
        say_json(value)
        return 0
    view = value["view"]
    agreement = view["agreement"]
    pairs = [
        ("name", value["name"]),
        ("id", value["id"]),
        ("cluster", value["cluster"]),
        ("version", value["version"]),
        *(("address", f"{face} {where}") for face, where in value["addresses"].items() if where),
        ("uptime", age(value["uptime_s"])),
        ("incarnation", str(value["incarnation"])),
        ("members", ", ".join(f"{count} {status}" for status, count in value["members"].items())),
        ("services", f"{counted(value['services'], 'instance')} in lookups"),
        *(("flags", flag) for flag in value.get("flags", ())),
        *_maintenance(value),
        *((key, value[key]) for key in ("sealing", "authority", "admission") if value.get(key)),
        ("health", "well" if value["health"] == 0 else f"doubts itself ({value['health']})"),
        ("view", str(view["fingerprint"])),
        ("agreement", "unknown" if agreement is None else f"{agreement:.0%} of the peers hold this view"),
        ("queue", str(value["queue"])),
        *(("counter", f"{name} {count}") for name, count in sorted(value["counters"].items()) if count),
    ]
    say_pairs([(name, str(shown)) for name, shown in pairs])
    return 0


def _maintenance(value: Message) -> list[tuple[str, str]]:
    reason = value.get("maintenance")
    if reason is None:
        return []
    why = f" ({reason})" if reason else ""
    return [("maintenance", f"of the whole node{why}: lookups give none of its services")]


def join(options: Namespace) -> int:
    """Joins, and tells for each address what happened; fails when none worked."""
    with Channel(options.socket) as channel:
        value = channel.call("agent.join", {"addresses": options.addresses}, PATIENCE)
    results = value["results"]
    if options.json:
        say_json(results)
    else:
        say_table(
            ("ADDRESS", "RESULT", "DETAIL"),
            (
                [
                    Cell(each["address"]),
                    Cell("joined", "green") if each["ok"] else Cell("failed", "red"),
                    Cell(each["detail"]),
                ]
                for each in results
            ),
        )
    if any(each["ok"] for each in results):
        return 0
    complain("none of these addresses worked: is an agent of this cluster running there?")
    return 1


def leave(options: Namespace) -> int:
    """Lets the agent leave and end."""
    with Channel(options.socket) as channel:
        channel.call("agent.leave", {}, PATIENCE)
    say("left")
    return 0


def reload(options: Namespace) -> int:
    """Has the agent read its files again, and tells what that changed; 1 if something was not taken over."""
    with Channel(options.socket) as channel:
        try:
            value = channel.call("agent.reload", {}, PATIENCE)
        except ConfigError as problem:
            # The files are wrong, and not how this command was used.
            complain(str(problem))
            return 1
    problems = value.get("problems", [])
    if options.json:
        say_json(value)
    else:
        changes = ", ".join(f"{value[what]} {what}" for what in ("added", "changed", "removed"))
        say(f"{counted(value['services'], 'service')} in the files: {changes}")
        for each in problems:
            complain(f"not taken over: {each}")
    return 1 if problems else 0


def evict(options: Namespace) -> int:
    """Removes a member that is dead; with `--ban` any, for ever."""
    if not options.ban and (options.key is not None or options.reason or options.rotate):
        options.parser.error("--key, --reason and --rotate go with --ban")
    with Channel(options.socket) as channel:
        if options.ban:
            from gossip.cli.authority import ban

            return ban(options, channel)
        channel.call("agent.evict", {"member": options.member})
    say(f"evicted {plain(options.member)}")
    return 0


def rtt(options: Namespace) -> int:
    """Estimates a round trip."""
    params = {"b": options.b} if options.a is None else {"a": options.a, "b": options.b}
    with Channel(options.socket) as channel:
        value = channel.call("rtt", params)
    if options.json:
        say_json(value)
    elif value["rtt_ms"] is not None:
        say(_milliseconds(value["rtt_ms"]))
    if value["rtt_ms"] is not None:
        return 0
    complain("not known yet: coordinates need a few probes first, try again in some seconds")
    return 1


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}ms" if value >= 1 else f"{value:.2f}ms"


def _pairs(tags: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(tags.items())) or "-"
