"""Cluster membership and service discovery by gossip: no servers, no leader, answers from local memory.

    import gossip

    with gossip.connect() as g:
        g.register("web", port=8080, tags=["v2"])
        for instance in g.lookup("web"):
            print(instance.address, instance.port)

Every name but the version is loaded when it is first used, so that `import gossip` costs nothing.
`Agent` runs a whole agent inside a trio program; `aconnect` is the same client for programs of trio or
asyncio, and alone loads anyio; nothing else here needs either.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.agent import Agent
    from gossip.client import (
        AliasCheck,
        AsyncClient,
        AsyncReplica,
        AsyncWatch,
        CheckState,
        Client,
        CommandCheck,
        ContainerCheck,
        Diagnosis,
        Finding,
        GRPCCheck,
        HTTPCheck,
        Instance,
        JoinResult,
        Member,
        MemberView,
        Registration,
        ReloadResult,
        Replica,
        RoundTrip,
        ServiceSummary,
        ServiceView,
        TCPCheck,
        TTLCheck,
        UserEvent,
        Watch,
        aconnect,
        connect,
    )
    from gossip.errors import (
        ConfigError,
        CryptoError,
        GossipError,
        LimitError,
        LocalProtocolError,
        NotFoundError,
        RefusedError,
        RemoteProtocolError,
        StoreError,
        TransportError,
        UnreachableError,
    )

__all__ = [
    "Agent",
    "AliasCheck",
    "AsyncClient",
    "AsyncReplica",
    "AsyncWatch",
    "CheckState",
    "Client",
    "CommandCheck",
    "ConfigError",
    "ContainerCheck",
    "CryptoError",
    "Diagnosis",
    "Finding",
    "GRPCCheck",
    "GossipError",
    "HTTPCheck",
    "Instance",
    "JoinResult",
    "LimitError",
    "LocalProtocolError",
    "Member",
    "MemberView",
    "NotFoundError",
    "RefusedError",
    "Registration",
    "ReloadResult",
    "RemoteProtocolError",
    "Replica",
    "RoundTrip",
    "ServiceSummary",
    "ServiceView",
    "StoreError",
    "TCPCheck",
    "TTLCheck",
    "TransportError",
    "UnreachableError",
    "UserEvent",
    "Watch",
    "__version__",
    "aconnect",
    "connect",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Agent":
        home = "gossip.agent"
    elif name.endswith("Error"):
        home = "gossip.errors"
    else:
        home = "gossip.client"
    value = getattr(import_module(home), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
