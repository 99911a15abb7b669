"""What a single look at something found, and the words for what goes wrong on the way there."""

from __future__ import annotations

import ssl
from typing import NamedTuple

from gossip.core.types import Verdict

__all__ = ["Finding", "critical", "reason_of"]


class Finding(NamedTuple):
    """A verdict, and the line or lines that a person reads beside it."""

    verdict: Verdict
    output: str


def critical(output: str) -> Finding:
    """The finding of whoever did not find what it looked for."""
    return Finding(Verdict.CRITICAL, output)


def reason_of(error: BaseException) -> str:
    """An error of the network in a few words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, OSError):
        return (error.strerror or str(error) or type(error).__name__).lower()
    if error.__cause__ is not None:
        # trio says that a resource is broken, and what broke it beside it.
        return reason_of(error.__cause__)
    return "the connection was closed"
