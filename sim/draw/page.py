"""One page that replays a run: no other file, no network, no library; bounded in size whatever the run was.

The data is embedded as JSON. Names come from scenarios, so every text goes through `textContent` in the page,
and the JSON cannot end the element that holds it.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec

from sim.draw.beliefs import STATUSES, Beliefs, Counts, beliefs_of
from sim.draw.deeds import deeds_of, news_of
from sim.draw.story import SECOND, Outcome, Series, Tables, curves_of, rows, thinned
from sim.results.store import whole

__all__ = ["page", "write_page"]

CHANGES_MAX = 120_000
"""Changes of what is held of nodes: about 14 bytes each."""
PULSES_MAX = 40_000
"""News on their way: about 15 bytes each."""
EVENTS_MAX = 6_000
POINTS_MAX = 800
NEWS = ("member", "service", "suspect", "dead", "left")
"""Kinds of news, as colours of the page."""
HOW_TO_READ = (
    "A pulse runs from the node that some news is about to the node that learns it, whatever way it took."
    " Times are virtual."
)
OF_A_SERVICE = frozenset({"registered", "changed", "deregistered"})


def write_page(
    result: Outcome, path: Path, tables: Tables | None = None, beliefs: Beliefs | None = None
) -> Path:
    """Write the page of a run to a file, which is there whole or not at all; its path.

    Raises:
        OSError: if it cannot be written, with its name.
    """
    with whole(path) as partial:
        partial.write_text(page(result, tables, beliefs), "utf-8")
    return path


def page(result: Outcome, tables: Tables | None = None, beliefs: Beliefs | None = None) -> str:
    """The page as text; `tables` and `beliefs` are the run's, if they are at hand."""
    tables = result.tables() if tables is None else tables
    template = (resources.files("sim.draw") / "replay.html").read_text("utf-8")
    data = msgspec.json.encode(_data(result, tables, beliefs)).decode()
    # Inside an element of script only `<` could end it; U+2028 and U+2029 are for old readers of JSON.
    for character in "<>&\u2028\u2029":
        data = data.replace(character, f"\\u{ord(character):04x}")
    head, data_mark, tail = template.partition("@DATA@")
    title = html.escape(f"{result.summary['scenario']}: replay")
    return head.replace("@TITLE@", title) + (data if data_mark else "") + tail


def _data(result: Outcome, tables: Tables, beliefs: Beliefs | None) -> dict[str, Any]:
    summary = result.summary
    end_us = max(1, round(summary["virtual_s"] * SECOND))
    beliefs = beliefs_of(tables, end_us) if beliefs is None else beliefs
    notes = [HOW_TO_READ]
    while beliefs.size() > CHANGES_MAX and beliefs.steps > 1:
        beliefs = beliefs.coarser()
    pulses, pulses_in_all = _pulses(tables)
    if pulses_in_all > len(pulses):
        notes.append(f"Of {pulses_in_all:,} arrivals of news {len(pulses):,} are shown, evenly chosen.")
    events, events_in_all = _events(tables)
    if events_in_all > len(events):
        notes.append(f"Of {events_in_all:,} lines of what happened the first {len(events):,} are shown.")
    notes.append(f"Colours change in steps of {beliefs.step_us / SECOND:g} s.")
    if summary.get("truncated"):
        told = ", ".join(sorted(summary["truncated"]))
        notes.append(f"The run had more to tell than was kept of: {told}.")
    return {
        "title": f"{summary['scenario']}: {summary['nodes_in_all']} nodes",
        "subtitle": f"seed {summary['seed']}, {summary['virtual_s']:g} s, log {summary['log_hash']}",
        "end": end_us / SECOND,
        "names": tables["nodes"]["name"],
        "groups": tables["nodes"]["group"],
        "step": beliefs.step_us / SECOND,
        "held": [_flat(changes) for changes in beliefs.changes],
        "running": {
            "at": [at_us / SECOND for at_us, _ in beliefs.running],
            "count": [count for _, count in beliefs.running],
        },
        # A life that lasts to the end has no end here.
        "lives": [
            [edge / SECOND for life in lives for edge in life if edge < end_us] for lives in beliefs.lives
        ],
        "pulses": _columns(pulses),
        "events": events,
        "curves": _curves(result, tables),
        "notes": notes,
    }


def _flat(changes: list[tuple[int, Counts]]) -> list[int]:
    """Steps as differences, each with its counts behind it."""
    flat: list[int] = []
    last = 0
    for step, counts in changes:
        flat += [step - last, *counts]
        last = step
    return flat


def _pulses(tables: Tables) -> tuple[list[tuple[int, int, int, int]], int]:
    """Arrivals of news, as (ms, from, to, kind), evenly chosen; and how many there are."""
    places = {number: place for place, number in enumerate(tables["nodes"]["number"])}
    size = len(tables["rumours"]["at_us"]) + len(tables["beliefs"]["at_us"])
    stride = -(-size // PULSES_MAX) or 1
    arrivals = [
        (at_us // 1_000, places[source], places[target], kind)
        for number, (at_us, source, target, kind) in enumerate(_arrivals(tables))
        if number % stride == 0
    ]
    return sorted(arrivals), size


def _arrivals(tables: Tables) -> Iterator[tuple[int, int, int, int]]:
    """Time, whom the news is about, who hears it, kind."""
    facts = {
        fact: (owner, 1 if kind in OF_A_SERVICE else 0)
        for fact, owner, kind in rows(tables["facts"], "fact", "owner", "kind")
    }
    for fact, observer, at_us in rows(tables["rumours"], "fact", "observer", "at_us"):
        owner, kind = facts[fact]
        yield at_us, owner, observer, kind
    for at_us, observer, subject, status in rows(tables["beliefs"], "at_us", "observer", "subject", "status"):
        yield at_us, subject, observer, max(0, STATUSES.index(status) and NEWS.index(status))


def _columns(pulses: list[tuple[int, int, int, int]]) -> dict[str, list[int]]:
    times = [0, *(pulse[0] for pulse in pulses)]
    return {
        "at": [after - before for before, after in pairwise(times)],
        "from": [pulse[1] for pulse in pulses],
        "to": [pulse[2] for pulse in pulses],
        "kind": [pulse[3] for pulse in pulses],
    }


def _events(tables: Tables) -> tuple[list[tuple[float, str, str]], int]:
    """What was done, and who was first to notice, in order: all deeds go before any news."""
    deeds = [(deed.at_s, deed.text, "deed") for deed in deeds_of(tables)]
    news = list(news_of(tables))
    chosen = deeds[:EVENTS_MAX]
    chosen += news[: EVENTS_MAX - len(chosen)]
    return sorted(chosen, key=lambda event: event[0]), len(deeds) + len(news)


def _curves(result: Outcome, tables: Tables) -> list[dict[str, Any]]:
    curves = curves_of(result, tables)
    kilobytes = Series(curves.bytes.x, [size / 1_000 for size in curves.bytes.y])
    shown = [
        ("Nodes with the right view", "with the right view", "", curves.agreement),
        ("Different views", "different views", "", curves.views),
        ("Messages sent per node and second", "messages per node and s", "", curves.messages),
        ("kB sent per node and second", "sent per node and s", "kB", kilobytes),
    ]
    return [
        {
            "title": title,
            "short": short,
            "unit": unit,
            "percent": series is curves.agreement,
            "x": [round(x, 3) for x in thinned(series.x, series.y, POINTS_MAX).x],
            "y": [float(f"{y:.4g}") for y in thinned(series.x, series.y, POINTS_MAX).y],
        }
        for title, short, unit, series in shown
    ]
