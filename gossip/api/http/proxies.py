"""What Prometheus is told of forwarders: in an agent beside the rest, and by `gossip proxy` alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gossip.core.types import show_address

if TYPE_CHECKING:
    from gossip.core.types import Address

__all__ = ["LABELS", "PROXIES", "Forwarding", "ProxyFamily", "samples"]

LABELS: Final = ("listen", "service")
"""The port that was configured and what stands behind it: as many as the operator has written down."""


class Forwarding(Protocol):
    """One forwarder, as far as its figures go."""

    @property
    def address(self) -> Address: ...
    @property
    def service(self) -> str: ...
    def counted(self) -> dict[str, int]: ...


class ProxyFamily(NamedTuple):
    """One name. The values of its own label, if it has one, and the figure for each."""

    name: str
    help: str
    figures: dict[str, str]
    label: str = ""
    is_counter: bool = True


PROXIES: Final = (
    ProxyFamily("proxy_connections", "Connections that are open.", {"": "active"}, is_counter=False),
    ProxyFamily(
        "proxy_instances",
        "Instances of the service.",
        {"callable": "callable", "ejected": "ejected", "hidden": "hidden"},
        "state",
        is_counter=False,
    ),
    ProxyFamily("proxy_accepted", "Connections of clients.", {"": "accepted"}),
    ProxyFamily("proxy_connected", "Connections that got an instance.", {"": "connected"}),
    ProxyFamily(
        "proxy_retried", "Connections that got another instance than the first tried.", {"": "retried"}
    ),
    ProxyFamily(
        "proxy_attempts_failed", "Instances that did not take a connection.", {"": "attempts_failed"}
    ),
    ProxyFamily(
        "proxy_failed",
        "Clients that were turned away.",
        {"unreachable": "unreachable", "no_instance": "no_instance"},
        "reason",
    ),
    ProxyFamily(
        "proxy_ended",
        "Connections that did not end by themselves.",
        {"broken": "broken", "dead": "cut", "overstayed": "overstayed"},
        "reason",
    ),
    ProxyFamily(
        "proxy_bytes", "Bytes that were passed on.", {"up": "up_bytes", "down": "down_bytes"}, "direction"
    ),
    ProxyFamily("proxy_ejections", "Times that an instance was left out for failing.", {"": "ejections"}),
    ProxyFamily("proxy_panics", "Choices with nobody left out, since most would have been.", {"": "panics"}),
)


def samples(family: ProxyFamily, forwarders: Iterable[Forwarding]) -> list[tuple[tuple[str, ...], float]]:
    """Labels and values, of each forwarder."""
    return [
        ((show_address(each.address), each.service, *((word,) if family.label else ())), counted[figure])
        for each in forwarders
        for counted in (each.counted(),)
        for word, figure in family.figures.items()
    ]
