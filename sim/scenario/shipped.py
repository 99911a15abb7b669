"""The scenarios that ship: their names and texts, read without the rest of the package."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from sim.errors import ScenarioError

__all__ = ["headlines", "shipped_names", "shipped_text"]

LIBRARY, SUFFIX = "library", ".toml"


def shipped_names() -> list[str]:
    """The names of the scenarios that ship, sorted."""
    folder = resources.files("sim.scenario") / LIBRARY
    return sorted(file.name.removesuffix(SUFFIX) for file in folder.iterdir() if file.name.endswith(SUFFIX))


def shipped_text(name: str) -> str:
    """The TOML of a scenario that ships.

    Raises:
        ScenarioError: if there is none of that name.
    """
    if name not in shipped_names():
        raise ScenarioError(f"no scenario is called {name!r}; there are {', '.join(shipped_names())}")
    return (resources.files("sim.scenario") / LIBRARY / f"{name}{SUFFIX}").read_text("utf-8")


def headlines() -> list[dict[str, Any]]:
    """Of each: `name`, `nodes`, `duration`, and `headline`, the first line of its description."""
    found = []
    for name in shipped_names():
        document = tomllib.loads(shipped_text(name))
        headline = document["description"].strip().partition("\n")[0]
        found.append(
            {"name": name, "nodes": document["nodes"], "duration": document["duration"], "headline": headline}
        )
    return found
