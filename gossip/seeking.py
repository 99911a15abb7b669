"""What the log says of an agent that finds nobody: whoever has just started one looks there first."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

import trio

from gossip.log import note

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["warn_while_alone"]

FIRST_SECONDS: Final = 5.0
"""A seed that starts in the same moment has answered by then."""
LONGEST_SECONDS: Final = 600.0


class Seeker(Protocol):
    """What is asked of a node."""

    @property
    def is_waiting(self) -> bool:
        """Whether it has somebody to join, and has exchanged its view with nobody yet."""

    def seed_problems(self) -> Mapping[str, str]:
        """What is wrong with each seed; empty for one with which all is well."""


async def warn_while_alone(node: Seeker) -> None:
    """A warning, and again after twice the time, as long as there are seeds and none has let this node in."""
    wait = FIRST_SECONDS
    while True:
        await trio.sleep(wait)
        if not node.is_waiting:
            return
        troubles = [f"{seed}: {problem}" for seed, problem in node.seed_problems().items() if problem]
        if troubles:
            note(logging.WARNING, "join_failing", detail=f"{'; '.join(troubles)}; see 'gossip doctor'")
        wait = min(2 * wait, LONGEST_SECONDS)
