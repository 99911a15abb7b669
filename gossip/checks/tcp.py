"""TCP: whether somebody takes a connection. Nothing is sent over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.checks.dial import connect, split_address
from gossip.checks.finding import Finding, critical, reason_of
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from gossip.config.checks import CheckDefinition

__all__ = ["look"]


async def look(check: CheckDefinition) -> Finding:
    """Critical with the reason if no address of the target takes a connection."""
    try:
        stream = await connect(*split_address(check.target))
    except OSError as error:
        return critical(f"TCP {check.target}: {reason_of(error)}")
    stream.socket.close()
    return Finding(Verdict.PASSING, f"TCP {check.target}: connected")
