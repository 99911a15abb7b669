"""Log lines on standard error: text for people, or one JSON object a line.

`logging` does the levels; an event's name is the message, and what belongs to it are its fields. Every
line has `time` (RFC 3339, UTC), `level` and `event`.

Beside standard error, records go to whoever watches (`watch`): from a level of the watchers' own, which
may be lower than that of standard error and changes nothing there. While nobody watches, a record
costs one comparison more.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from gossip.core.events import Event, EventKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

__all__ = ["fields_of", "formatter", "log_event", "note", "set_up", "unwatch", "watch"]

_log = logging.getLogger("gossip")
_WORD = re.compile(r"[A-Za-z0-9_.:/+-]+")
"""What most values are, found to need no quotes at one look."""
_WARNINGS = frozenset(
    {
        EventKind.MEMBER_SUSPECTED,
        EventKind.MEMBER_FAILED,
        EventKind.DUPLICATE_IDENTITY,
        EventKind.ISOLATED,
        EventKind.DOUBT,
    }
)
_SERVICES = frozenset(
    {EventKind.SERVICE_REGISTERED, EventKind.SERVICE_CHANGED, EventKind.SERVICE_DEREGISTERED}
)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """A record as the object that a line of JSON shows; `trace` is there after a fault of our own."""
    millis = int(record.msecs)
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    fields = {
        "time": f"{whole}.{millis:03d}Z",
        "level": record.levelname.lower(),
        "event": record.getMessage(),
    }
    fields |= getattr(record, "fields", {})
    if record.exc_info:
        fields["trace"] = _plain_formatter.formatException(record.exc_info)
    return fields


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(fields_of(record), separators=(",", ":"), default=str)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = fields_of(record)
        head = f"{fields.pop('time')} {fields.pop('level'):7} {fields.pop('event')}"
        trace = fields.pop("trace", "")
        words = [f"{name}={_plain(value)}" for name, value in fields.items()]
        return " ".join([head, *words]) + (f"\n{trace}" if trace else "")


def _plain(value: object) -> str:
    """A value that stays one word: what peers call themselves must not look like another line or field."""
    text = str(value)
    if _WORD.fullmatch(text) or (text and text.isprintable() and not any(c in ' "=' for c in text)):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


_NOBODY = logging.CRITICAL + 1


class _Feed(logging.Handler):
    """Hands records to those who watch. One of the logger's handlers only while somebody does."""

    def __init__(self) -> None:
        super().__init__(_NOBODY)
        self.watchers: dict[Callable[[logging.LogRecord], None], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        for take, level in tuple(self.watchers.items()):
            if record.levelno >= level:
                take(record)


_feed = _Feed()
_plain_formatter = logging.Formatter()


def watch(take: Callable[[logging.LogRecord], None], level: int) -> None:
    """Call `take` with every record of `level` and above from now on; it must not block, raise or log.

    Again for the same `take`, it changes the level. Records are those of this process: of every agent in it.
    """
    _feed.watchers[take] = level
    _set_feed()


def unwatch(take: Callable[[logging.LogRecord], None]) -> None:
    """End it."""
    _feed.watchers.pop(take, None)
    _set_feed()


def _set_feed() -> None:
    _feed.setLevel(min(_feed.watchers.values(), default=_NOBODY))
    if _feed.watchers and _feed not in _log.handlers:
        _log.addHandler(_feed)
    elif not _feed.watchers:
        _log.removeHandler(_feed)


def formatter(form: str) -> logging.Formatter:
    """What makes lines of records, in `form` text or json."""
    return _Json() if form == "json" else _Text()


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send everything under the name `gossip` to `stream` (standard error), in `form` text or json."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(formatter(form))
    # Standard error may be closed, or a full disk: no reason for an agent to do anything but go on.
    logging.raiseExceptions = False
    _log.handlers[:] = [handler]
    _set_feed()
    _log.propagate = False
    _log.setLevel(level.upper())


def note(level: int, event: str, /, **fields: object) -> None:
    """Write one line: `note(logging.INFO, "agent_started", name="n1")`."""
    is_enabled = _log.isEnabledFor(level)
    if is_enabled or level >= _feed.level:
        # Made by hand: `Logger.log` walks the stack for a caller that no line of ours names, and a
        # node that hears of a hundred others at once writes a hundred lines.
        record = logging.LogRecord(_log.name, level, "", 0, event, None, None)
        record.fields = fields
        if is_enabled:
            _log.handle(record)
        else:
            _feed.handle(record)


def log_event(event: Event) -> None:
    """Write what the node tells, the moment it happens."""
    # A flag that goes up is for somebody to look at; that it went down is good to know.
    flagged = event.kind is EventKind.MEMBER_FLAGGED and event.detail.startswith("+")
    is_warning = flagged or event.kind in _WARNINGS or not event.ok
    level = logging.WARNING if is_warning else logging.INFO
    if _log.isEnabledFor(level) or level >= _feed.level:
        note(level, event.kind.value, **_fields(event))


def _fields(event: Event) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if event.name:
        fields["name"] = event.name
    if event.kind in _SERVICES:
        fields |= {"id": event.key, "node": event.node, "node_id": event.id.hex()}
    elif event.kind is EventKind.EVENT_RECEIVED:
        fields |= {"id": event.index, "node": event.node, "node_id": event.id.hex()}
    elif event.id:
        fields["id"] = event.id.hex()
    if event.kind is EventKind.JOIN_DONE:
        fields["ok"] = event.ok
    if event.detail:
        fields["detail"] = event.detail
    return fields
