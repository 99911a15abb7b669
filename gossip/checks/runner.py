"""Runs single checks: a bound on how many at once and on how long each takes, and an outcome in any case.

Commands and network checks have places of their own, so that a crowd of slow commands holds up no
check of a port. The time that a check waits for a place does not count against its timeout.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Final

import trio

from gossip.checks.finding import Finding, critical
from gossip.checks.looks import look
from gossip.config.checks import COMMAND
from gossip.core.types import Verdict
from gossip.log import note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gossip.config.checks import CheckDefinition

__all__ = ["MAX_COMMANDS", "MAX_NETWORK", "Runner"]

MAX_COMMANDS: Final = 16
"""Processes at once: beyond that they take the machine from what they look at."""
MAX_NETWORK: Final = 128
"""Connections at once, an eighth of the descriptors that a process usually has."""
WAIT_TOLD_SECONDS: Final = 0.5
"""A wait for a place that is longer than this is told in the output."""


class Runner:
    """Looks when it is asked to.

    Args:
        look: looks once, for as long as it takes.
    """

    def __init__(
        self,
        look: Callable[[CheckDefinition], Awaitable[Finding]] = look,
        commands: int = MAX_COMMANDS,
        network: int = MAX_NETWORK,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """`check_runs`, and of these `check_failures`, `check_timeouts`, `check_errors` (our own)."""
        self.runs_commands = True
        """Whether command checks, such as an earlier life kept on disk, may still run."""
        self._look = look
        self._commands = trio.CapacityLimiter(commands)
        self._network = trio.CapacityLimiter(network)

    async def find(self, check: CheckDefinition) -> Finding:
        """Raises nothing but a cancellation: a fault of our own makes the check critical."""
        places = self._commands if check.kind == COMMAND else self._network
        asked = trio.current_time()
        async with places:
            waited = trio.current_time() - asked
            finding = await self._try(check)
        self.counters["check_runs"] += 1
        if finding.verdict is Verdict.CRITICAL:
            self.counters["check_failures"] += 1
        if waited < WAIT_TOLD_SECONDS:
            return finding
        places_of = f"{places.total_tokens:g} places, which were all taken"
        return Finding(
            finding.verdict, f"{finding.output}\n(it waited {waited:.1f} s for one of {places_of})"
        )

    async def _try(self, check: CheckDefinition) -> Finding:
        if check.kind == COMMAND and not self.runs_commands:
            return critical("commands are not run as checks here: command_checks is off")
        finding: Finding | None = None
        try:
            with trio.move_on_after(check.timeout):
                finding = await self._look(check)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a check, the agent goes on
            self.counters["check_errors"] += 1
            note(logging.ERROR, "check_error", id=check.id, detail=f"{type(error).__name__}: {error}")
            return critical(f"the check itself failed: {type(error).__name__}: {error}")
        if finding is None:
            self.counters["check_timeouts"] += 1
            return critical(f"no result within {check.timeout:g} s")
        return finding
