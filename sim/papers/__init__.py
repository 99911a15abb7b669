"""Published experiments, run again: ours beside theirs, judged by tolerances that were fixed beforehand."""

from __future__ import annotations

from importlib import import_module
from typing import cast

from sim.errors import ScenarioError
from sim.papers.paper import Paper

__all__ = ["PAPERS", "find"]

PAPERS = {
    "first-detection": "sim.papers.first_detection:PAPER",
    "message-load": "sim.papers.message_load:PAPER",
    "false-suspicions": "sim.papers.false_suspicions:PAPER",
    "infection": "sim.papers.infection:PAPER",
    "epidemics": "sim.papers.epidemics:PAPER",
    "swim-fig4": "sim.papers.swim_fig4:PAPER",
    "lifeguard-threshold": "sim.papers.lifeguard_threshold:PAPER",
    "lifeguard-interval": "sim.papers.lifeguard_interval:PAPER",
    "grey-network": "sim.papers.grey_network:PAPER",
    "bootstrap": "sim.papers.bootstrap:PAPER",
    "detection": "sim.papers.detection:PAPER",
    "detection-loss": "sim.papers.detection_loss:PAPER",
    "frontier": "sim.papers.frontier:PAPER",
    "self-doubt": "sim.papers.self_doubt:PAPER",
    "determinism": "sim.papers.determinism:PAPER",
}
"""Where each experiment is; a module is imported when it is asked for."""


def find(name: str) -> Paper:
    """The experiment of that name.

    Raises:
        ScenarioError: if there is none.
    """
    place = PAPERS.get(name)
    if place is None:
        raise ScenarioError(f"there is no experiment {name!r}: it is one of {', '.join(PAPERS)}")
    module, attribute = place.split(":")
    return cast("Paper", getattr(import_module(module), attribute))
