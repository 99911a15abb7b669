"""What a program links to speak with the agent of its host: a blocking and an async client.

Names are loaded when first used, because the command line needs the framing alone and dataclasses
would cost it a tenth of its time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.client.aio import AsyncClient, AsyncReplica, AsyncWatch, aconnect
    from gossip.client.blocking import Client, Watch, connect
    from gossip.client.checks import (
        AliasCheck,
        CommandCheck,
        ContainerCheck,
        GRPCCheck,
        HTTPCheck,
        TCPCheck,
        TTLCheck,
    )
    from gossip.client.replica import Replica
    from gossip.client.values import (
        CheckState,
        Diagnosis,
        Finding,
        Instance,
        JoinResult,
        Member,
        MemberView,
        Registration,
        ReloadResult,
        RoundTrip,
        ServiceSummary,
        ServiceView,
        UserEvent,
    )

__all__ = [
    "AliasCheck",
    "AsyncClient",
    "AsyncReplica",
    "AsyncWatch",
    "CheckState",
    "Client",
    "CommandCheck",
    "ContainerCheck",
    "Diagnosis",
    "Finding",
    "GRPCCheck",
    "HTTPCheck",
    "Instance",
    "JoinResult",
    "Member",
    "MemberView",
    "Registration",
    "ReloadResult",
    "Replica",
    "RoundTrip",
    "ServiceSummary",
    "ServiceView",
    "TCPCheck",
    "TTLCheck",
    "UserEvent",
    "Watch",
    "aconnect",
    "connect",
]

_HOMES = {
    "AsyncClient": "aio",
    "AsyncReplica": "aio",
    "AsyncWatch": "aio",
    "Client": "blocking",
    "Replica": "replica",
    "Watch": "blocking",
    "aconnect": "aio",
    "connect": "blocking",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "checks" if name.endswith("Check") else "values")
    return getattr(import_module(f"gossip.client.{home}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
