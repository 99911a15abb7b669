"""A registration that lives as long as this process, whatever becomes of the agent meanwhile."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from gossip.cli.check_options import naming_options
from gossip.cli.output import complain
from gossip.client.channel import Channel
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from gossip.client.framing import Message

__all__ = ["Holding"]

CALL_SECONDS = 5.0
"""An agent that takes longer counts as away: signals that stop the program wait behind a call."""
RETRY_SECONDS = 0.5
REFUSED_SECONDS = 5.0
"""After the agent has refused: another attempt is for the case that somebody puts it right."""


class Holding:
    """Registers over a connection that it holds: when that ends, the agent takes the service back."""

    def __init__(self, path: str | None, params: Message) -> None:
        self.is_registered = False
        self.was_registered = False
        self.hosts: list[str] = []
        """Where the agent's host may be reached from here."""
        self.next_try = 0.0
        """Monotonic seconds: an attempt before is too early."""
        self._path = path
        self._params = params | {"while_connected": True}
        self._channel: Channel | None = None
        self._node = ""
        self._told = ""

    def connect(self) -> None:
        """Raises `UnreachableError` when no agent is there."""
        channel = Channel(self._path, CALL_SECONDS)
        try:
            info = channel.call("agent.info")
        except BaseException:
            channel.close()
            raise
        self._channel = channel
        self._node = info["id"]
        self.hosts = list(
            dict.fromkeys(("127.0.0.1", "::1", info["addresses"]["gossip"].rpartition(":")[0].strip("[]")))
        )

    def fileno(self) -> int:
        """The connection's descriptor, for `select`; -1 when there is none."""
        return -1 if self._channel is None else self._channel.fileno()

    def register(self) -> None:
        """Registers, if the agent is there; `is_registered` tells.

        Raises:
            GossipError: the agent refuses what it has never accepted from us. Later refusals are told, and
                tried again.
        """
        try:
            if self._channel is None:
                self.connect()
            assert self._channel is not None  # noqa: S101 - just connected
            with naming_options():
                value = self._channel.call("services.register", self._params)
        except UnreachableError as problem:
            self._lose(problem)
        except GossipError as problem:
            if not self.was_registered:
                raise
            self._tell(f"{problem}; the program runs on, and is not registered")
            self.next_try = time.monotonic() + REFUSED_SECONDS
        else:
            again = " again" if self.was_registered else ""
            self.is_registered = self.was_registered = True
            self._told = ""
            self._params["id"] = value["id"]
            complain(f"registered {value['id']}{again}")

    def listen(self) -> None:
        """Takes what the agent sent: nothing, unless it went away."""
        try:
            if self._channel is not None:
                self._channel.notification(0)
        except UnreachableError as problem:
            self._lose(problem)

    def is_callable(self) -> bool:
        """Whether lookups give the instance: its checks have passed."""
        try:
            if self._channel is None:
                return False
            value = self._channel.call("services.lookup", {"service": self._params["name"]})
        except UnreachableError as problem:
            self._lose(problem)
            return False
        ours = (self._params["id"], self._node)
        return any((each["id"], each["node_id"]) == ours for each in value["instances"])

    def withdraw(self) -> None:
        """Deregisters, if registered, and lets the connection go. The agent may be away."""
        if self._channel is not None:
            if self.is_registered:
                with contextlib.suppress(GossipError):
                    self._channel.call("services.deregister", {"id": self._params["id"]})
            self._channel.close()
        self._channel = None
        self.is_registered = False

    def _lose(self, problem: UnreachableError) -> None:
        self._tell(f"{problem}; the program runs on, and is registered again when the agent is back")
        if self._channel is not None:
            self._channel.close()
        self._channel = None
        self.is_registered = False
        self.next_try = time.monotonic() + RETRY_SECONDS

    def _tell(self, text: str) -> None:
        """Once: attempts that fail alike say nothing new."""
        if not self._told:
            complain(text)
            self._told = text
