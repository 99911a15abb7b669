"""Log lines: every field, one line each, whatever others call themselves."""

from __future__ import annotations

import datetime as dt
import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip import log
from gossip.core.events import Event, EventKind


@pytest.fixture(autouse=True)
def quiet_afterwards() -> object:
    yield
    log.set_up("info", "text", io.StringIO())


def written(form: str, *events: Event, level: str = "info") -> str:
    stream = io.StringIO()
    log.set_up(level, form, stream)
    for event in events:
        log.log_event(event)
    return stream.getvalue()


ID = bytes(range(16))


@pytest.mark.parametrize(
    ("event", "level", "fields"),
    [
        (Event(EventKind.MEMBER_JOINED, ID, "n2"), "info", {"name": "n2", "id": ID.hex()}),
        (Event(EventKind.MEMBER_FAILED, ID, "n2"), "warning", {"name": "n2", "id": ID.hex()}),
        (
            Event(EventKind.SERVICE_REGISTERED, ID, "web", "web-1", "n2"),
            "info",
            {"name": "web", "id": "web-1", "node": "n2", "node_id": ID.hex()},
        ),
        (
            Event(EventKind.EVENT_RECEIVED, ID, "deploy", node="n2", payload=b"secret", index=7),
            "info",
            {"name": "deploy", "id": 7, "node": "n2", "node_id": ID.hex()},
        ),
        (
            Event(EventKind.JOIN_DONE, name="h:1", ok=False, detail="refused"),
            "warning",
            {"name": "h:1", "ok": False, "detail": "refused"},
        ),
    ],
)
def test_json_lines(event: Event, level: str, fields: dict[str, object]) -> None:
    (line,) = written("json", event).splitlines()
    content = json.loads(line)
    moment = dt.datetime.fromisoformat(content.pop("time"))
    assert abs((dt.datetime.now(dt.UTC) - moment).total_seconds()) < 60
    assert content == {"level": level, "event": event.kind.value, **fields}


def test_text_lines_name_every_field() -> None:
    text = written("text", Event(EventKind.SERVICE_REGISTERED, ID, "my web", "w", "n2"))
    assert text.count("\n") == 1
    assert 'info    service_registered name="my web" id=w node=n2' in text


@given(st.text())
def test_what_others_call_themselves_is_never_a_line_of_its_own(name: str) -> None:
    for form in ("text", "json"):
        text = written(form, Event(EventKind.MEMBER_JOINED, ID, name))
        assert len(text.splitlines()) == 1
        assert text[:-1].isprintable()


def test_levels() -> None:
    assert written("text", Event(EventKind.MEMBER_JOINED, ID, "n"), level="warning") == ""
    assert written("text", Event(EventKind.MEMBER_FAILED, ID, "n"), level="warning")


def test_a_fault_shows_where_it_happened() -> None:
    stream = io.StringIO()
    log.set_up("info", "json", stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("gossip.net").exception("a packet could not be handled")
    content = json.loads(stream.getvalue())
    assert content["event"] == "a packet could not be handled"
    assert "ZeroDivisionError" in content["trace"]


def test_a_closed_stream_is_no_reason_to_stop(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    log.set_up("info", "text", stream)
    stream.close()
    log.note(logging.INFO, "agent_started", name="x")
    assert capsys.readouterr().err == ""
