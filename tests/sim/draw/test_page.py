"""The page that replays a run: complete in itself, bounded, and proof against names that are markup."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from sim.draw import page as module
from sim.draw.page import page
from tests.sim.draw.runs import NAME, belief, event, made, real


class Reader(HTMLParser):
    """The elements of a page, with the text of scripts and of the title."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.tags[-1][0] if self.tags else "", []).append(data)


def _read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


def _data(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_names_that_are_markup_stay_names() -> None:
    """The scenario, and a service in it, are called like scripts: neither makes an element, or ends one."""
    text = page(real())
    plain = _read(page(made(8)))
    hostile = _read(text)
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert _data(text)["title"] == f"{NAME}: 8 nodes"
    assert "".join(hostile.texts["title"]).startswith(NAME)
    assert "onerror" not in text.replace("\\u003cimg src=x onerror", "")
    assert "\u2028" not in text.partition("</title>")[2]


def test_every_text_that_is_shown_is_plain_text() -> None:
    evil = "</script><script>alert(1)</script>"
    result = made(
        nodes=[{"number": 0, "name": evil, "group": evil, "lives": 1}],
        events=[event(1, 0, evil, 0, evil), event(2, 0, "member_failed", 0)],
    )
    text = page(result)
    assert text.count("</script>") == page(made(1)).count("</script>")
    data = _data(text)
    assert (data["names"], data["groups"]) == ([evil], [evil])
    assert data["events"][0][1] == f"{evil} {evil}: {evil}"
    # The page itself writes text only, and never markup.
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text)


def test_nothing_is_fetched() -> None:
    text = page(real())
    for tag, attributes in _read(text).tags:
        assert tag not in {"img", "iframe", "object", "embed", "base"}
        assert "src" not in attributes
        assert (attributes.get("href") or "data:").startswith("data:")
        assert not any(name.startswith("on") for name in attributes)
    assert "default-src 'none'" in text
    # What a script or a sheet could fetch with.
    assert re.search(r"https?:|fetch\(|XMLHttpRequest|import\(|@import|url\(|WebSocket", text) is None


def test_the_data_tells_the_run() -> None:
    data = _data(page(real()))
    assert data["end"] == 30.0
    assert len(data["names"]) == len(data["groups"]) == len(data["held"]) == len(data["lives"]) == 8
    assert data["running"] == {"at": [0.0, 2.0, 20.0], "count": [8, 6, 8]}, "all run at the end"
    crashed = [lives for lives in data["lives"] if len(lives) > 1]
    assert crashed == [[0.0, 2.0, 20.0]] * 2
    assert min(data["lives"]) == [0.0], "who never ended has no end"
    texts = [text for _, text, kind in data["events"] if kind == "deed"]
    assert [text.split()[0] for text in texts] == ["crash", "register", "restart"]
    times = [at_s for at_s, _, _ in data["events"]]
    assert times == sorted(times)
    assert {len(column) for column in data["pulses"].values()} == {len(data["pulses"]["at"])}
    assert min(data["pulses"]["at"]) >= 0
    assert sum(data["pulses"]["at"]) <= 30_000
    assert [curve["percent"] for curve in data["curves"]] == [True, False, False, False]


def test_changes_are_written_as_differences_of_steps() -> None:
    rows = [belief(1, 0, 1, "suspect"), belief(4, 0, 1, "dead")]
    data = _data(page(made(2, beliefs=rows)))
    steps = round(1 / data["step"]), round(3 / data["step"])
    assert data["held"][1] == [0, 1, 0, 0, 0, steps[0], 0, 1, 0, 0, steps[1], 0, 0, 1, 0]
    assert data["pulses"] == {"at": [1_000, 3_000], "from": [1, 1], "to": [0, 0], "kind": [2, 3]}


def test_what_is_too_much_is_thinned_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES_MAX", 100)
    monkeypatch.setattr(module, "PULSES_MAX", 50)
    monkeypatch.setattr(module, "EVENTS_MAX", 20)
    rows = [belief(n / 100, n % 2, 2, ("dead", "alive")[n % 3 > 0]) for n in range(1_000)]
    news = [event(n / 100, n % 2, ("member_failed", "member_joined")[n % 2], 2) for n in range(999)]
    data = _data(page(made(3, beliefs=rows, events=[*news, event(9.99, 0, "pause", 0)])))
    assert sum(map(len, data["held"])) // 5 <= 100
    assert len(data["pulses"]["at"]) == 50
    assert len(data["events"]) == 20
    assert "pause n0" in [text for _, text, _ in data["events"]]
    notes = " ".join(data["notes"])
    assert "Of 1,000 arrivals of news 50 are shown" in notes
    assert "Of 1,000 lines of what happened the first 20 are shown" in notes


def test_a_run_that_kept_less_than_there_was_says_so() -> None:
    result = made(3)
    result.summary["truncated"] = {"events": 5}
    assert "more to tell than was kept of: events" in " ".join(_data(page(result))["notes"])


def test_the_page_of_a_thousand_nodes_that_change_all_the_time_is_bounded() -> None:
    rows = [
        belief(n * 60 / 300_000, n % 1_000, (n * 7 + 1) % 1_000, ("suspect", "alive", "dead")[n % 3])
        for n in range(300_000)
    ]
    text = page(made(1_000, end_s=60.0, beliefs=rows))
    assert len(text) < 5_000_000
