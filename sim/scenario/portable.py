"""A scenario apart from where it was read: as text, with files of the measured delays that it names."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from sim.latency import Empirical
from sim.scenario.scenario import Scenario
from sim.scenario.toml import write_toml

__all__ = ["DELAYS_FILES", "portable"]

DELAYS_FILES = "delays-*.txt"
"""What the files of measured delays are called; by number from 1."""


def portable(scenario: Scenario) -> tuple[str, dict[str, str]]:
    """The scenario as TOML, and the files that must lie beside it, by name.

    Files of measured delays may lie anywhere, and change: these have what was read of them.
    """
    document = copy.deepcopy(scenario.document)
    names: dict[str, str] = {}
    for table, key in _delays(document):
        said = str(table[key]).strip()
        if said in scenario.measured:
            name = names.setdefault(said, DELAYS_FILES.replace("*", str(len(names) + 1)))
            table[key] = f"file {name}"
    return write_toml(document), {name: _lines(said, scenario.measured[said]) for said, name in names.items()}


def _delays(document: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Where a document has its delays: a table or list, and the place in it."""
    for table in (document.get("network", {}), *document.get("action", [])):
        if "latency" in table:
            yield table, "latency"
    for row in document.get("zones", {}).get("latency", []):
        yield from ((row, place) for place in range(len(row)))


def _lines(said: str, delays: Empirical) -> str:
    return "".join([f"# {said!r}\n", *(f"{delay_us}us\n" for delay_us in delays.samples_us)])
