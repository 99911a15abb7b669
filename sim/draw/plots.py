"""The plots of one run. Each takes what is to be seen and gives a figure; what is not there is not drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sim.draw.deeds import Deed
from sim.draw.story import Curves, Series, Spread
from sim.draw.style import CURVES, LOOKS, SOFT, as_text, axes
from sim.extras import need

__all__ = ["agreement", "cumulative", "load", "time_axis"]

LEVELS = 2
"""Lines of names of deeds above a plot; those without room have only their mark."""
MARKS = 200
BESIDE = 24
"""Letters of a curve's name beside which its numbers have room."""
LABEL_LENGTH = 18
ROOM = 0.0095
"""Part of the plot's width that a letter of such a name takes, if not all of them are wide."""


def agreement(title: str, curves: Curves, deeds: Sequence[Deed]) -> Any:
    """Convergence: how many nodes hold the one right view, and how many views there are."""
    figure, (share, views) = axes(2, 4.4, height_ratios=[3, 2])
    percent = Series(curves.agreement.x, [100 * y for y in curves.agreement.y])
    _steps(share, percent, curves.end_s, CURVES[0])
    share.set_ylim(0, 104)
    share.set_ylabel("nodes with the\nright view (%)")
    views.step(curves.views.x, curves.views.y, where="post", color=CURVES[1], label="different views")
    views.step(curves.suspects.x, curves.suspects.y, where="post", color=CURVES[5], label="suspicions held")
    views.set_yscale("symlog", linthresh=1)
    views.yaxis.set_major_formatter(need("matplotlib.ticker").FuncFormatter(_plain))
    # Room above the curves for the legend.
    views.set_ylim(0, 60 * max([1.0, *curves.views.y, *curves.suspects.y]))
    views.set_ylabel("number")
    views.legend(loc="upper left", ncols=2)
    time_axis(views, curves.end_s)
    _mark(title, [share, views], deeds, curves.end_s)
    return figure


def load(title: str, curves: Curves, deeds: Sequence[Deed]) -> Any:
    """What a running node sends in each second, in messages and in bytes."""
    figure, (messages, size) = axes(2, 4.4)
    _steps(messages, curves.messages, curves.end_s, CURVES[0])
    messages.set_ylabel("messages\nper node and second")
    _steps(size, Series(curves.bytes.x, [y / 1_000 for y in curves.bytes.y]), curves.end_s, CURVES[2])
    size.set_ylabel("kB sent\nper node and second")
    time_axis(size, curves.end_s)
    _mark(title, [messages, size], deeds, curves.end_s)
    return figure


def cumulative(title: str, what: str, spreads: dict[str, Spread]) -> Any:
    """Which share of all cases had ended after so many seconds; what never did keeps a curve from 100 %."""
    figure, (only,) = axes(1, 3.6 + sum(0.2 if len(label) <= BESIDE else 0.4 for label in spreads))
    only.set_title(as_text(title))
    longest = max((each.delays[-1] for each in spreads.values() if each.delays), default=1.0)
    shortest = min((each.delays[0] for each in spreads.values() if each.delays), default=1.0)
    middle = min(
        (each.delays[len(each.delays) // 2] for each in spreads.values() if each.delays), default=1.0
    )
    # Where half of it happens in the first tenth of the plot, only a logarithm shows it.
    logarithmic = shortest > 0 and middle * 10 < longest
    for (label, each), look in zip(spreads.items(), LOOKS, strict=False):
        between = "" if not label else ": " if len(label) <= BESIDE else "\n"
        told = f"{as_text(label)}{between}{_quantiles(each)}"
        step_curve(only, each, longest, label=told, **look)
    if logarithmic:
        only.set_xscale("log")
        only.xaxis.set_major_formatter(need("matplotlib.ticker").FuncFormatter(lambda value, _: f"{value:g}"))
    only.set_xlim(shortest * 0.8 if logarithmic else 0, longest * 1.05 or 1.0)
    only.set_ylim(0, 104)
    only.set_xlabel(f"seconds since {what}")
    only.set_ylabel("observers (%)")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def step_curve(on: Any, each: Spread, longest: float, **style: Any) -> None:
    """Draw one distribution."""
    size = len(each.delays)
    x = [0.0, *each.delays, longest * 1.05]
    y = [0.0, *(100 * each.share * (rank + 1) / size for rank in range(size)), 100 * each.share]
    on.plot(x, y, drawstyle="steps-post", **style)


def _steps(on: Any, series: Series, end_s: float, colour: str) -> None:
    # The last second lasts as well.
    x, y = [*series.x, end_s], [*series.y, *series.y[-1:]]
    on.plot(x[: len(y)], y, drawstyle="steps-post", color=colour)
    on.fill_between(x[: len(y)], y, step="post", color=colour, alpha=0.12)
    on.set_ylim(bottom=0)


def time_axis(on: Any, end_s: float) -> None:
    """The x axis of a plot over the whole run."""
    on.set_xlim(0, end_s or 1.0)
    on.set_xlabel("virtual time (s)")


def _mark(title: str, on: Sequence[Any], deeds: Sequence[Deed], end_s: float) -> None:
    """The title, a line for each moment when something was done, and names for as many as find room."""
    moments = sorted({deed.at_s for deed in deeds})
    for each in on:
        for at_s in moments[:MARKS]:
            each.axvline(at_s, color=SOFT, linewidth=0.8, linestyle=(0, (3, 3)), zorder=1)
    free_s = [0.0] * LEVELS
    # What is called alike at one moment needs one name.
    for at_s, short in dict.fromkeys((deed.at_s, deed.short) for deed in deeds):
        text = short if len(short) <= LABEL_LENGTH else f"{short[: LABEL_LENGTH - 1]}…"
        room_s = end_s * ROOM * (len(text) + 1)
        level = next((level for level in range(LEVELS) if free_s[level] <= at_s), None)
        if level is None or at_s + room_s > end_s * 1.06:
            continue
        on[0].annotate(
            as_text(text),
            (at_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-2, 4 + 10 * level),
            textcoords="offset points",
            va="bottom",
            fontsize=8,
            color=SOFT,
        )
        free_s[level] = at_s + room_s
    lines = sum(free > 0 for free in free_s)
    on[0].set_title(as_text(title), pad=10 + 10 * lines if lines else 8)


def _quantiles(each: Spread) -> str:
    if not each.delays:
        return f"none of {each.cases:,}"
    ranks = [(f"p{share}", _quantile(each, share / 100)) for share in (50, 99)]
    told = ", ".join(f"{name} {'never' if value is None else f'{value:.3g} s'}" for name, value in ranks)
    never = "" if each.share == 1.0 else f", {100 * (1 - each.share):.2g} % never"
    return f"first {each.delays[0]:.3g} s, {told}{never} ({each.cases:,} in all)"


def _quantile(each: Spread, share: float) -> float | None:
    if share > each.share:
        return None
    return each.delays[max(0, -int(-share / each.share * len(each.delays) // 1) - 1)]


def _plain(value: float, _place: int) -> str:
    return f"{value:,.0f}"
