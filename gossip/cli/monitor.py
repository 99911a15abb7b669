"""The command `monitor`: follows the agent's log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.following import Following
from gossip.cli.output import complain, paint, plain, say, say_json

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["monitor"]

_COLOUR = {"debug": "dim", "info": "", "warning": "yellow", "error": "red", "critical": "red"}


def monitor(options: Namespace) -> int:
    """Shows each record as it is written, for as long as it is let."""
    with Following(options.socket, "logs.watch", {"level": options.level}) as following:
        while True:
            _tell(following.next(), as_json=options.json)


def _tell(value: Message, *, as_json: bool) -> None:
    if missed := value.get("missed"):
        complain(f"{missed} records were missed: this reader was too slow")
        if as_json:
            say_json({"missed": missed})
    record = value.get("record")
    if record is None:
        return  # the watch stands
    if as_json:
        say_json(record)
    else:
        _show(record)


def _show(record: Message) -> None:
    rest = dict(record)
    clock, level, event = (str(rest.pop(key)) for key in ("time", "level", "event"))
    trace = rest.pop("trace", "")
    words = "  ".join(f"{paint(plain(name) + '=', 'dim')}{_value(value)}" for name, value in rest.items())
    head = f"{paint(_local(clock), 'dim')}  {paint(level.ljust(7), _COLOUR.get(level, ''))}"
    say(f"{head}  {plain(event)}  {words}".rstrip())
    for line in trace.splitlines():
        say(f"    {plain(line)}")


def _value(value: object) -> str:
    """One word, or a text in quotes: a value must not look like another field."""
    import json

    text = value if isinstance(value, str) else json.dumps(value)
    if text and text.isprintable() and not any(c in ' "=' for c in text):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


def _local(clock: str) -> str:
    """The time of day here, to the millisecond."""
    import datetime as dt

    return dt.datetime.fromisoformat(clock).astimezone().strftime("%H:%M:%S.%f")[:-3]
