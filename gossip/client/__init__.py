"""What a program links to speak with the agent of its host: a blocking client.

Names are loaded when first used, because the command line needs the framing alone and dataclasses
would cost it a tenth of its time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.client.blocking import Client, Watch, connect
    from gossip.client.values import (
        Instance,
        JoinResult,
        Member,
        MemberView,
        Registration,
        RoundTrip,
        ServiceSummary,
        ServiceView,
        UserEvent,
    )

__all__ = [
    "Client",
    "Instance",
    "JoinResult",
    "Member",
    "MemberView",
    "Registration",
    "RoundTrip",
    "ServiceSummary",
    "ServiceView",
    "UserEvent",
    "Watch",
    "connect",
]

_BLOCKING = frozenset({"Client", "Watch", "connect"})


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "gossip.client.blocking" if name in _BLOCKING else "gossip.client.values"
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
