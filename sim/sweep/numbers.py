"""Numbers out of summaries, and what many runs say of each: medians and percentiles that hide no failure.

A field without a value is what never happened, or what there was nothing to measure of: a run without a
crash has no detection. Of the first much is made; the second counts for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from sim.errors import ScenarioError
from sim.results.percentiles import median

__all__ = ["USUAL", "Digest", "digest", "flat", "is_measured", "known_fields", "measured", "usual_fields"]

USUAL = (
    "converged",
    "one_view_s",
    "one_view_again_s",
    "detection.first_s",
    "detection.full_s",
    "dissemination_s.p50",
    "dissemination_s.p99",
    "joins_s.p99",
    "false_suspicions",
    "false_deaths",
    "messages_per_node_s",
    "bytes_per_node_s",
)
"""What a table shows of a summary, as far as there is anything."""
CASES = {
    "detection": ("detection.judged",),
    "dissemination_s": ("facts.heard", "facts.unheard"),
    "facts.everywhere_median_s": ("facts.judged",),
    "joins_s": ("facts.joins",),
    "events_s": ("facts.events",),
}
"""By a field, or the table it is in: of how many cases it is, as a sum of fields."""
LAST_CHANGE = "last_change_s"
AFTER_IT = "one_view_again_s"
TELL_NOTHING = frozenset({LAST_CHANGE, "messages_per_node_s", "bytes_per_node_s"})
"""Fields that say, where they have no value, that there was nothing."""
Number = float | None


class Digest(Struct, frozen=True):
    """One field over many runs. A run without a value (never detected, say) counts as more than any other."""

    runs: int
    """Those in which there was something to be measured."""
    never: int
    mean: Number
    """None if a run has no value."""
    median: Number
    p5: Number
    p95: Number
    least: Number
    most: Number


def flat(summary: dict[str, Any], path: str = "") -> dict[str, Any]:
    """The summary's numbers and truth values by dotted name; None where there is no value."""
    values: dict[str, Any] = {}
    for key, value in summary.items():
        place = f"{path}.{key}" if path else key
        if isinstance(value, dict):
            values.update(flat(value, place))
        elif value is None or isinstance(value, bool | int | float):
            values[place] = value
    return values


def is_measured(field: str, run: dict[str, Any]) -> bool:
    """Whether a run, as `flat` has it, had the field to measure: it has a value, or it never happened."""
    if run.get(field) is not None:
        return True
    cases = CASES.get(field) or CASES.get(field.partition(".")[0])
    if cases is not None:
        return any(run.get(case) for case in cases)
    if field == AFTER_IT:
        return run.get(LAST_CHANGE) is not None
    return field not in TELL_NOTHING


def measured(field: str, runs: Sequence[dict[str, Any]]) -> list[Any]:
    """The field's values in those runs that had anything to measure of it; None where it never happened."""
    return [run.get(field) for run in runs if is_measured(field, run)]


def usual_fields(runs: Sequence[dict[str, Any]]) -> list[str]:
    """Of the usual fields those that at least one run has a value of."""
    return [field for field in USUAL if any(run.get(field) is not None for run in runs)]


def known_fields(fields: Sequence[str], runs: Sequence[dict[str, Any]]) -> list[str]:
    """The fields that were asked for.

    Raises:
        ScenarioError: if no run has one of that name.
    """
    known = sorted({name for run in runs for name in run})
    for field in fields:
        if known and field not in known:
            raise ScenarioError(f"fields: a summary has no {field!r}; it has {', '.join(known)}")
    return list(fields)


def digest(values: Sequence[Any]) -> Digest:
    """What these values, of one field in many runs, come to."""
    known = sorted(float(value) for value in values if value is not None)
    never = len(values) - len(known)
    return Digest(
        runs=len(values),
        never=never,
        mean=math.fsum(known) / len(known) if known and not never else None,
        median=median(known, never),
        p5=_rank(known, never, 0.05),
        p95=_rank(known, never, 0.95),
        least=known[0] if known else None,
        most=known[-1] if known and not never else None,
    )


def _rank(known: Sequence[float], never: int, share: float) -> Number:
    """The value of nearest rank."""
    count = len(known) + never
    rank = max(0, math.ceil(share * count) - 1)
    return known[rank] if rank < len(known) else None
