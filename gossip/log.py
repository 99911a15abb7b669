"""Log lines on standard error: text for people, or one JSON object a line.

`logging` does the levels; an event's name is the message, and what belongs to it are its fields. Every
line has `time` (RFC 3339, UTC), `level` and `event`.
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
    from typing import TextIO

__all__ = ["log_event", "note", "set_up"]

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


class _Lines(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        millis = int(record.msecs)
        whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        fields = {
            "time": f"{whole}.{millis:03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["trace"] = self.formatException(record.exc_info)
        return fields


class _Json(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.fields(record), separators=(",", ":"), default=str)


class _Text(_Lines):
    def format(self, record: logging.LogRecord) -> str:
        fields = self.fields(record)
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


def set_up(level: str, form: str, stream: TextIO | None = None) -> None:
    """Send everything under the name `gossip` to `stream` (standard error), in `form` text or json."""
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_Json() if form == "json" else _Text())
    # Standard error may be closed, or a full disk: no reason for an agent to do anything but go on.
    logging.raiseExceptions = False
    _log.handlers[:] = [handler]
    _log.propagate = False
    _log.setLevel(level.upper())


def note(level: int, event: str, /, **fields: object) -> None:
    """Write one line: `note(logging.INFO, "agent_started", name="n1")`."""
    if _log.isEnabledFor(level):
        # Made by hand: `Logger.log` walks the stack for a caller that no line of ours names, and a
        # node that hears of a hundred others at once writes a hundred lines.
        record = logging.LogRecord(_log.name, level, "", 0, event, None, None)
        record.fields = fields
        _log.handle(record)


def log_event(event: Event) -> None:
    """Write what the node tells, the moment it happens."""
    level = logging.WARNING if event.kind in _WARNINGS or not event.ok else logging.INFO
    if _log.isEnabledFor(level):
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
