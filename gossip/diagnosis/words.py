"""The sentences about ways that fail in the same manner for several members: what, and what to do.

Names stand so that a sentence is right for one member and for several.
"""

from __future__ import annotations

from typing import Final

__all__ = ["INWARD", "MET", "OUTWARD"]

MET: Final = {
    "acked": "is answered",
    "silent": "is not answered",
    "refused": "is refused",
    "not_me": "is answered by another agent",
    "unreachable": "finds no route",
    "mute": "is accepted and not answered",
    "hung_up": "is ended without an answer",
    "foreign": "is answered by something that is no agent of this cluster",
}
"""What comes of a try, by its word."""

_MTU = "Let ICMP 'fragmentation needed' through on the way, or raise its smallest MTU to 1,428 or more."
_UDP = "Let UDP through, to and from the agents' ports, in the firewall of this host and on the way."

INWARD: Final = {
    "mtu_in": (
        (
            "Datagrams of full size (1,400 bytes) from {who} do not reach this agent at {where}, small ones"
            " do: a link on the way has a smaller MTU and does not say so."
        ),
        _MTU,
    ),
    "tcp_in": (
        "This agent can be reached at {where} by UDP, but a TCP connection of {who} there {tcp}.",
        "Open TCP port {port} to this host: joins and repairs need it.",
    ),
    "udp_in": (
        (
            "Datagrams of {who} to this agent at {where} arrive only as answers to its own: what they send of"
            " their own accord is dropped, while TCP is let in."
        ),
        "Open UDP port {port} to this host in its firewall, or have NAT forward UDP like TCP.",
    ),
    "not_me_here": (
        "Another agent answers {who} at {where}, the address that this agent advertises.",
        "Advertise this agent's own address (--advertise HOST:PORT).",
    ),
    "port_here": (
        "{who} cannot reach this agent at {where}, which it advertises: UDP {udp}, TCP {tcp}.",
        "Advertise the port that others can reach (--advertise HOST:PORT), or open it in the firewall.",
    ),
    "closed_here": (
        "{who} cannot reach this agent at {where}, which it advertises: UDP {udp}, TCP {tcp}.",
        "Open UDP and TCP port {port} to this host, in its firewall and on the way.",
    ),
    "advertise": (
        (
            "{who} cannot reach this agent at {where}, which it advertises; its connections come from {seen}:"
            " it is behind NAT, or advertises a wrong address."
        ),
        "Set --advertise to an address that others reach, and have NAT forward UDP and TCP of that port.",
    ),
    "unshown": (
        (
            "{who} did not try to reach this agent at {where}, which it advertises: no such member is known"
            " there, and its connections come from {seen}. It is behind NAT, or advertises a wrong address."
        ),
        "Set --advertise to an address that others reach, and have NAT forward UDP and TCP of that port.",
    ),
}
"""How nobody who was asked reaches the agent."""

OUTWARD: Final = {
    "udp_both": (
        "UDP is blocked between this host and {who}: no datagram passes in either direction, TCP does.",
        _UDP,
    ),
    "udp_to": (
        "UDP from this host is blocked: none of its datagrams arrive at {who}, while theirs arrive here.",
        _UDP,
    ),
    "udp_from": (
        "UDP to this host is blocked: no datagram of {who} arrives here, while its own arrive there.",
        _UDP,
    ),
    "udp": ("UDP between this host and {who} is blocked, in one direction or both; TCP is not.", _UDP),
    "udp_lossy": (
        "Datagrams between this host and {who} are lost, though not all of them.",
        "Look for an overloaded link, a full receive buffer or a rate limit on UDP.",
    ),
    "tcp_out": (
        "TCP connections of this agent to {who} are not answered, its datagrams are.",
        "Let TCP out to the agents' ports: joins and repairs need it.",
    ),
    "unreachable": (
        "Nobody answers this agent: neither UDP nor TCP to {who} is answered.",
        "Look at the interface, the routes and the firewall of this host, or all of them are down.",
    ),
    "mtu_out": (
        (
            "Datagrams of full size (1,400 bytes) from this host do not reach {who}, small ones do: a link on"
            " the way has a smaller MTU and does not say so."
        ),
        _MTU,
    ),
}
"""How the agent reaches nobody who answers in some other way."""
