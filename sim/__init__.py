"""Virtual time for the real protocol: many cores, one heap, a network with faults, a seed.

    from sim import Scenario, run
    result = run(Scenario.load("rack.toml"), seed=7)
    result.summary, result.events, result.frames()

Names are loaded when they are first used: importing `sim` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.errors import MissingExtraError, ScenarioError
    from sim.host import Host
    from sim.latency import Constant, Empirical, Lognormal, Normal, Uniform, parse_latency
    from sim.links import Burst, Link, link
    from sim.results.result import Result
    from sim.runner import Progress, run
    from sim.scenario.scenario import Scenario
    from sim.scenario.shipped import shipped_names
    from sim.world import World

__all__ = [
    "Burst",
    "Constant",
    "Empirical",
    "Host",
    "Link",
    "Lognormal",
    "MissingExtraError",
    "Normal",
    "Progress",
    "Result",
    "Scenario",
    "ScenarioError",
    "Uniform",
    "World",
    "link",
    "parse_latency",
    "run",
    "shipped_names",
]

HOMES = {
    "Burst": "sim.links",
    "Constant": "sim.latency",
    "Empirical": "sim.latency",
    "Host": "sim.host",
    "Link": "sim.links",
    "Lognormal": "sim.latency",
    "MissingExtraError": "sim.errors",
    "Normal": "sim.latency",
    "Progress": "sim.runner",
    "Result": "sim.results.result",
    "Scenario": "sim.scenario.scenario",
    "ScenarioError": "sim.errors",
    "Uniform": "sim.latency",
    "World": "sim.world",
    "link": "sim.links",
    "parse_latency": "sim.latency",
    "run": "sim.runner",
    "shipped_names": "sim.scenario.shipped",
}
"""Where each public name is defined."""


def __getattr__(name: str) -> Any:
    home = HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'sim' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | HOMES.keys())
