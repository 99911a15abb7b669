"""What can go wrong around a simulation, as part of the one tree of exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.errors import ConfigError, GossipError

if TYPE_CHECKING:
    from sim.results.result import Result

__all__ = ["BrokenRunError", "MissingExtraError", "ScenarioError", "TaskError"]


class ScenarioError(ConfigError):
    """A scenario, grid or setting cannot be; the message names the place and what to write."""

    kind = "scenario"


class BrokenRunError(ScenarioError):
    """A run could not go on, for a reason that nobody could know beforehand; the message names the action."""

    kind = "broken_run"

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result
        """Of the part that was run, marked `interrupted`."""


class MissingExtraError(GossipError):
    """What was asked for needs a library that is not installed; the message says how to install it."""

    kind = "missing_extra"


class TaskError(GossipError):
    """A task of many, spread over processes or machines, could not be done; the message names it."""

    kind = "task"
