"""A run's summary for people: one aligned line for each question that one asks of a run."""

from __future__ import annotations

from typing import Any

__all__ = ["describe"]


def describe(summary: dict[str, Any]) -> str:
    """The lines; what was not there to be measured has none."""
    rows = [
        ("scenario", f"{summary['scenario']}, seed {summary['seed']}"),
        ("nodes", f"{summary['nodes_in_all']}, of which {summary['running']} run at the end"),
        ("virtual time", _time_line(summary)),
        ("converged", "yes" if summary["converged"] else "no"),
        ("one view", _view_line(summary)),
        ("failures", _detection_line(summary["detection"])),
        ("news", _news_line(summary)),
        ("joins", _spread_line(summary["joins_s"])),
        ("user events", _spread_line(summary["events_s"])),
        ("suspicions", _verdict_line(summary["suspicions"])),
        ("deaths", _verdict_line(summary["deaths"])),
        ("load", _load_line(summary)),
        ("dropped", ", ".join(f"{count:,} {reason}" for reason, count in summary["dropped"].items())),
        ("log hash", summary["log_hash"]),
        ("interrupted", "yes" if summary["interrupted"] else ""),
        ("not kept", ", ".join(f"{rows:,} rows of {name}" for name, rows in summary["truncated"].items())),
    ]
    shown = [(label, words) for label, words in rows if words]
    width = max(len(label) for label, _ in shown)
    return "\n".join(f"{label:{width}}  {words}" for label, words in shown)


def _time_line(summary: dict[str, Any]) -> str:
    speed = summary["node_seconds_per_s"]
    pace = "" if speed is None else f", {speed:,} node-seconds a second"
    warm = f" after {summary['warm_up_s']:g} s of warming up" if summary["warm_up_s"] else ""
    return f"{summary['virtual_s']:g} s{warm}, in {summary['wall_s']:.1f} s{pace}"


def _view_line(summary: dict[str, Any]) -> str:
    first, again = summary["one_view_s"], summary["one_view_again_s"]
    words = "never" if first is None else f"after {_span(first)}"
    if summary["last_change_s"] is not None and first is not None:
        words += "; not again after the last change" if again is None else ""
        words += (
            ""
            if again is None
            else f"; {_span(again)} after the last change, at {summary['last_change_s']:g} s"
        )
    return words


def _detection_line(detection: dict[str, Any]) -> str:
    if not detection["failed"]:
        return ""
    judged, back = detection["judged"], detection["returned"]
    late = detection["failed"] - judged - back
    asides = [f"{back} came back before"] if back else []
    asides += [f"{late} not judged"] if late else []
    words = str(detection["failed"]) + (f" ({', '.join(asides)})" if asides else "")
    if not judged:
        return words
    if detection["noticed_by_all"] < judged:
        words += f"; {detection['noticed_by_all']} of {judged} noticed by all"
    return (
        f"{words}; first noticed after {_span(detection['first_s'])}"
        f" (worst {_span(detection['first_max_s'])}), by all after {_span(detection['full_s'])}"
        f" (worst {_span(detection['full_max_s'])})"
    )


def _news_line(summary: dict[str, Any]) -> str:
    facts = summary["facts"]
    if not facts["published"]:
        return ""
    unheard = f"; {facts['unheard']} times not heard" if facts["unheard"] else ""
    return f"{facts['published']} facts; {_spread_line(summary['dissemination_s'])}{unheard}"


def _spread_line(spread: dict[str, float | None]) -> str:
    if spread["p50"] is None:
        return ""
    return (
        f"half heard within {_span(spread['p50'])}, 99 % {_span(spread['p99'])}, all {_span(spread['max'])}"
    )


def _verdict_line(counts: dict[str, int]) -> str:
    words = [f"{count:,} {_VERDICTS[verdict]}" for verdict, count in counts.items() if count]
    return ", ".join(words) if counts["false"] else ", ".join([*words, "none false"])


def _load_line(summary: dict[str, Any]) -> str:
    messages, size = summary["messages_per_node_s"], summary["bytes_per_node_s"]
    return "" if messages is None else f"{messages:g} messages and {size:,.0f} bytes a node and second"


def _span(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    return f"{seconds * 1_000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


_VERDICTS = {
    "gone": "of nodes that were gone",
    "stopped": "of stopped ones",
    "cut": "of ones cut off",
    "aftermath": "soon after a fault ended",
    "false": "false",
}
