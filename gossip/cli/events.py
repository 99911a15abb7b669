"""Commands about user events: event, events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.output import complain, paint, plain, say, say_json
from gossip.client.channel import Channel, RawWatch

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["event", "events"]


def event(options: Namespace) -> int:
    """Sends an event to every member."""
    with Channel(options.socket) as channel:
        value = channel.call("events.send", {"name": options.name, "payload": options.payload})
    if options.json:
        say_json(value)
    else:
        say(f"sent {plain(options.name)} ({value['id']})")
    return 0


def events(options: Namespace) -> int:
    """Shows events as they arrive."""
    import time

    with Channel(options.socket) as channel:
        watch = RawWatch(channel, "events.watch", {} if options.name is None else {"name": options.name})
        while True:
            value = watch.next()
            if value is None or "name" not in value:
                continue  # the watch stands; or it was too slow, which the next event tells
            if value.pop("resync", False):
                complain("events were missed: this reader was too slow")
            if options.json:
                say_json(value)
            else:
                clock = paint(time.strftime("%H:%M:%S"), "dim")
                words = (clock, *(plain(value[key]) for key in ("name", "node", "payload")))
                say("  ".join(words).rstrip())
