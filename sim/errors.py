"""What can go wrong around a simulation, as part of the one tree of exceptions."""

from __future__ import annotations

from gossip.errors import ConfigError, GossipError

__all__ = ["MissingExtraError", "ScenarioError", "TaskError"]


class ScenarioError(ConfigError):
    """A scenario, grid or setting cannot be; the message names the place and what to write."""

    kind = "scenario"


class MissingExtraError(GossipError):
    """What was asked for needs a library that is not installed; the message says how to install it."""

    kind = "missing_extra"


class TaskError(GossipError):
    """A task of many, spread over processes or machines, could not be done; the message names it."""

    kind = "task"
