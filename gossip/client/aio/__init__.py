"""The async client, under trio or asyncio: the only part of the client that imports anyio."""

from __future__ import annotations

from gossip.client.aio.client import AsyncClient, aconnect
from gossip.client.aio.replica import AsyncReplica
from gossip.client.aio.watch import AsyncWatch

__all__ = ["AsyncClient", "AsyncReplica", "AsyncWatch", "aconnect"]
