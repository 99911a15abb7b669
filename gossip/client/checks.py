"""Health checks, as a program asks for them with a registration; the agent of its host runs them.

    g.register("web", 8080, check=gossip.HTTPCheck("http://127.0.0.1:8080/health", interval=5))

A duration is seconds, or text with its unit (`"500ms"`). What is left None is the agent's choice: an
interval of 10 s, a timeout of 2 s, one good answer before passing and one bad one before critical.
Nothing is judged here: the agent refuses what it does not understand, and says which field it was.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gossip.client.framing import Message

__all__ = [
    "AliasCheck",
    "Check",
    "CommandCheck",
    "ContainerCheck",
    "Duration",
    "GRPCCheck",
    "HTTPCheck",
    "TCPCheck",
    "TTLCheck",
]

Duration: TypeAlias = "float | str"
"""Seconds, or text with a unit: `"500ms"`, `"10s"`, `"2m"`."""

_TARGETS = frozenset({"address", "target", "url"})
_DURATIONS = frozenset({"deregister_after", "interval", "timeout", "ttl"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What every check has. Make one of its kinds, not this."""

    kind: ClassVar[str] = ""
    """The key that says what is checked; its value is the first field of each kind."""

    id: str | None = None
    """Unique on the node; the agent makes one of the service's id."""
    name: str | None = None
    """What people read, and the key of the verdict that a lookup shows."""
    interval: Duration | None = None
    """Between two runs; the agent spreads them."""
    timeout: Duration | None = None
    """A run that takes longer has failed."""
    passes_before_passing: int | None = None
    failures_before_warning: int | None = None
    failures_before_critical: int | None = None
    deregister_after: Duration | None = None
    """The service is taken back when it has been critical for so long; None: never."""
    start: str | None = None
    """`critical` (until it has passed), `warning` or `passing`: what counts before the first run."""
    note: str | None = None

    def mapping(self) -> Message:
        """The check as `services.register` takes it."""
        found: Message = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or value is False:
                continue
            if field.name in _DURATIONS and not isinstance(value, str):
                value = _seconds(value)
            found[self.kind if field.name in _TARGETS else field.name] = value
        return found


@dataclass(frozen=True, slots=True)
class HTTPCheck(Check):
    """Passes when the URL answers with an expected status and body."""

    kind: ClassVar[str] = "http"

    url: str
    """Of `http` or `https`."""
    _: KW_ONLY
    method: str | None = None
    headers: Mapping[str, str] | None = None
    body: str | None = None
    expect_status: str | None = None
    """Statuses and ranges of them, such as `"200-299"`, which is the agent's choice."""
    expect_body: str | None = None
    """Text that the answer must contain."""
    tls_skip_verify: bool = False

    def mapping(self) -> Message:
        found = Check.mapping(self)
        if self.headers is not None:
            found["headers"] = dict(self.headers)
        return found


@dataclass(frozen=True, slots=True)
class TCPCheck(Check):
    """Passes when `host:port` takes a connection."""

    kind: ClassVar[str] = "tcp"

    address: str


@dataclass(frozen=True, slots=True)
class GRPCCheck(Check):
    """Passes when `host:port[/service]` serves, by the gRPC health protocol."""

    kind: ClassVar[str] = "grpc"

    address: str
    _: KW_ONLY
    tls: bool = False


@dataclass(frozen=True, slots=True)
class CommandCheck(Check):
    """Passes when a command exits with 0, warns with 1, and is critical with anything else."""

    kind: ClassVar[str] = "command"

    command: str | Sequence[str]
    """Text for a shell, or a program and its arguments."""

    def mapping(self) -> Message:
        found = Check.mapping(self)
        if not isinstance(self.command, str):
            found["command"] = list(self.command)
        return found


@dataclass(frozen=True, slots=True)
class TTLCheck(Check):
    """The program itself says how it is, with `passing`, `warning` or `failing`, at least this often."""

    kind: ClassVar[str] = "ttl"

    ttl: Duration


@dataclass(frozen=True, slots=True)
class AliasCheck(Check):
    """Is as another service of this node is (its id), or as a node is (`node:NAME`)."""

    kind: ClassVar[str] = "alias"

    target: str


@dataclass(frozen=True, slots=True)
class ContainerCheck(Check):
    """Is as the container engine says of a container, by name or id."""

    kind: ClassVar[str] = "container"

    target: str
    """Its name or id."""


def _seconds(value: float) -> str:
    """The agent's spelling. Milliseconds as such: `1e-05s` is no duration there."""
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"
