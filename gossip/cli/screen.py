"""The frame of `gossip top`: what the agent said, laid out for a terminal of any size.

rich is imported when a frame is drawn, and by nothing else of the command line.
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING, Any

from gossip.cli.output import STATUS_COLOUR, age, counted, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import RenderableType
    from rich.text import Text

    from gossip.cli.pulse import Look, ServiceRow
    from gossip.client.framing import Message

__all__ = ["draw", "share"]

WIDE = 120
"""Columns from which on the panels stand side by side."""
SUMMARY_LINES = 4
FRAME_LINES = 3
"""Of a panel, beside its rows: two borders and the header."""

_TROUBLE = ("critical", "dead", "suspect", "warning", "maintenance", "restarting", "left")
"""What is shown first."""


def draw(look: Look, width: int, height: int, away: str = "", hint: str = "") -> RenderableType:
    """One frame.

    Args:
        look: what was last heard of the agent.
        width: columns of the terminal.
        height: its lines; the frame takes all of them.
        away: empty, or since when the agent is not there, in words.
        hint: what the keys do.
    """
    from rich.layout import Layout

    panels = [("members", _members), ("services", _services)]
    if look.checks:
        panels.append(("checks", _checks))
    rows = {
        "members": len(look.members),
        "services": len(look.services) + bool(look.more_services),
        "checks": len(look.checks),
    }
    room = max(height - SUMMARY_LINES, FRAME_LINES + 1)
    top = Layout(_summary(look, width, away, hint), size=SUMMARY_LINES, name="summary")
    body = Layout(name="body", size=room)

    def stacked(names: Sequence[tuple[str, Callable[[Look, int], RenderableType]]]) -> list[Layout]:
        heights = share(room, [rows[name] + FRAME_LINES for name, _ in names])
        return [
            Layout(make(look, max(lines - FRAME_LINES, 0)), size=lines, name=name)
            for (name, make), lines in zip(names, heights, strict=True)
            if lines
        ]

    if width >= WIDE:
        right = Layout(name="right", ratio=2)
        right.split_column(*stacked(panels[1:]))
        body.split_row(Layout(_members(look, room - FRAME_LINES), name="left", ratio=3), right)
    else:
        body.split_column(*stacked(panels))
    frame = Layout(name="frame")
    frame.split_column(top, body)
    return frame


def share(room: int, wanted: Sequence[int]) -> list[int]:
    """Lines for each panel: what it wants if all fits, else a fair share; the last takes what is left."""
    given = [0] * len(wanted)
    open_, left = list(range(len(wanted))), room
    while open_:
        fair = left // len(open_)
        content = [each for each in open_ if wanted[each] <= fair]
        if not content:
            for each in open_:
                given[each] = fair
            break
        for each in content:
            given[each] = wanted[each]
            left -= wanted[each]
            open_.remove(each)
    given[-1] += room - sum(given)
    return given


def _summary(look: Look, width: int, away: str, hint: str) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    info = look.info
    head = Table.grid(expand=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_column(justify="right", no_wrap=True)
    who = Text.assemble(
        (" " + plain(info["name"]), "bold"),
        f" in {plain(info['cluster'])}   up {age(info['uptime_s'])}   gossip {plain(info['version'])}",
    )
    head.add_row(who, Text(f"{hint}   {time.strftime('%H:%M:%S')} ", style="dim"))
    if away:
        head = Table.grid(expand=True)
        head.add_row(
            Text(
                f" {plain(info['name'])} is away since {away}: this is what it said last ".ljust(width),
                style="reverse yellow",
                no_wrap=True,
                overflow="ellipsis",
            )
        )
    facts = Table.grid(expand=True, padding=(0, 2, 0, 0))
    for ratio in (3, 2):
        facts.add_column(width=9, style="bold", no_wrap=True)
        facts.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
    for left, right in _facts(look):
        facts.add_row(f" {left[0]}", left[1], right[0], right[1])
    return Group(head, facts)


def _facts(look: Look) -> Iterable[tuple[tuple[str, Text], tuple[str, Text]]]:
    from rich.text import Text

    info, rates = look.info, look.rates
    agreement = info["view"]["agreement"]
    health = info["health"]
    words: dict[str, int] = {}
    # What is cut off for want of room is what is well.
    for check in sorted(look.checks, key=lambda each: _rank(each["status"])):
        words[check["status"]] = words.get(check["status"], 0) + 1
    flags = "".join(f", {plain(flag)}" for flag in info.get("flags", ()))
    state = Text("well" if health == 0 else f"doubts itself ({health})", "green" if health == 0 else "yellow")
    state.append(flags, "yellow")
    state.append(f"   queue {info['queue']}")
    view = Text("unknown" if agreement is None else f"{agreement:.0%} of the peers")
    if agreement is not None and agreement < 1:
        view.stylize("yellow")
    yield ("members", _counts(info["members"])), ("health", state)
    yield ("services", Text(f"{counted(info['services'], 'instance')} in lookups")), ("agreement", view)
    yield ("traffic", _traffic(rates)), ("checks", _counts(words) if words else Text("none here", "dim"))


def _traffic(rates: dict[str, float]) -> Text:
    from rich.text import Text

    if not rates:
        return Text("unknown", "dim")
    out, out_bytes, into, in_bytes = (
        rates.get(f"{what}_{way}", 0.0) for way in ("sent", "received") for what in ("datagrams", "bytes")
    )
    return Text(f"out {out:.0f}/s {_size(out_bytes)}/s  in {into:.0f}/s {_size(in_bytes)}/s")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f}{unit}" if unit == "B" or count >= 100 else f"{count:.1f}{unit}"
        count /= 1000
    return f"{count:.1f}GB"


def _counts(counts: dict[str, int]) -> Text:
    """`3 passing  1 critical`, each in its colour."""
    from rich.text import Text

    parts = [
        Text(f"{count} {plain(word)}", STATUS_COLOUR.get(word, "")) for word, count in counts.items() if count
    ]
    return Text("  ").join(parts) if parts else Text("none", "dim")


def _rank(status: str) -> int:
    return _TROUBLE.index(status) if status in _TROUBLE else len(_TROUBLE)


def _members(look: Look, lines: int) -> RenderableType:
    rows = sorted(look.members, key=lambda m: (_rank(m["status"]), m["name"], m["id"]))

    now = time.time()

    def row(member: Message) -> tuple[Any, ...]:
        rtt = member["rtt_ms"]
        return (
            plain(member["name"]),
            _word(member["status"]),
            age(now - dt.datetime.fromisoformat(member["since"]).timestamp()),
            "-" if rtt is None else f"{rtt:.1f}ms" if rtt >= 1 else f"{rtt:.2f}ms",
            str(member["services"]),
            plain(",".join(member["flags"])) or "-",
            plain(member["address"]),
        )

    columns = ("NAME", "STATUS", ">FOR", ">RTT", ">SERVICES", "FLAGS", "ADDRESS")
    return _panel("members", columns, [row(each) for each in rows], lines, len(rows))


def _services(look: Look, lines: int) -> RenderableType:
    def trouble(row: ServiceRow) -> int:
        return min((_rank(word) for word in row.counts), default=0)

    rows = sorted(look.services, key=lambda row: (trouble(row), row.name))
    cells = [(plain(row.name), str(sum(row.counts.values())), _counts(_ordered(row.counts))) for row in rows]
    total = len(rows) + look.more_services
    return _panel("services", ("SERVICE", ">INSTANCES", "STATUS"), cells, lines, total)


def _ordered(counts: dict[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _checks(look: Look, lines: int) -> RenderableType:
    rows = sorted(look.checks, key=lambda c: (_rank(c["status"]), c["id"]))
    cells = [
        (plain(each["id"]), _word(each["status"]), plain(" ".join(each["output"].split())) or "-")
        for each in rows
    ]
    return _panel("checks of this node", ("CHECK", "STATUS", "OUTPUT"), cells, lines, len(rows))


def _word(status: str) -> Text:
    from rich.text import Text

    return Text(plain(status), STATUS_COLOUR.get(status, ""))


def _panel(
    title: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], lines: int, total: int
) -> RenderableType:
    """A table in a frame; what does not fit is counted in its lower edge. `>` is a column of numbers."""
    from rich.panel import Panel
    from rich.table import Table

    table = Table(box=None, expand=True, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(
            name.lstrip(">"),
            justify="right" if name.startswith(">") else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if number == len(columns) - 1 else None,
        )
    for row in rows[:lines]:
        # A text that looks like rich's markup is a text all the same.
        table.add_row(*(_cell(cell) for cell in row))
    hidden = total - min(len(rows), lines)
    return Panel(
        table,
        title=f"{title} {total}",
        title_align="left",
        subtitle=f"{hidden} more" if hidden else None,
        subtitle_align="right",
        padding=(0, 1),
        border_style="dim",
    )


def _cell(cell: Any) -> Text:
    from rich.text import Text

    return Text(cell) if isinstance(cell, str) else cell
