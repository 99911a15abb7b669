"""Which ways between the agent and a member work, in which direction, and whose fault that is.

What the agent finds out by itself shows the way there and back; what a member finds when it dials back shows
the way in, at the address that the agent advertises. A fault that every member shows is the agent's own, or
its host's; else it lies between the two, or at the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from gossip.diagnosis.facts import Me, Peer, host_of
from gossip.diagnosis.finding import Finding, listed, problem
from gossip.diagnosis.words import INWARD, MET, OUTWARD

__all__ = ["fault_here", "own_paths", "path_to"]

ALL = 2
"""So many members must show a fault before it is called the agent's own."""
UNANSWERED = frozenset({"unreachable", "no_route"})


# -- the way in


def fault_here(me: Me, peer: Peer) -> str:
    """The word for how this member fails to reach the agent; empty if it does, or it is not known."""
    back = peer.back
    if back is None:
        return ""
    if (back.small, back.full, back.stream) == ("untried",) * 3 and host_of(back.seen) != me.host:
        return "unshown"
    if "untried" in (back.small, back.stream):
        return ""
    udp, tcp = back.small == "acked", back.stream == "acked"
    if udp and tcp:
        return "mtu_in" if back.full == "silent" else ""
    if udp:
        return "tcp_in"
    if back.small == "not_me":
        return "not_me_here"
    if tcp:
        # Who gets no datagram of the agent's either says so itself: see `path_to`.
        return "udp_in" if peer.small == "acked" else ""
    if host_of(back.seen) != me.host:
        return "advertise"
    return "port_here" if "refused" in (back.small, back.stream) else "closed_here"


def own_paths(me: Me, peers: tuple[Peer, ...]) -> Iterator[tuple[Finding | None, frozenset[str]]]:
    """Faults of the agent's own, each with the words of those that it makes needless to tell of live members.

    None: it is told elsewhere.
    """
    asked = [peer for peer in peers if peer.back is not None]
    inward = {fault_here(me, peer) for peer in asked}
    certain = inward & {"advertise", "unshown", "not_me_here", "port_here"}
    if len(inward) == 1 and (len(asked) >= ALL or certain):
        (word,) = inward
        if word:
            for finding in _inward(word, me, asked):
                yield finding, frozenset({word})
    yield from _outward(peers)
    yield from _nowhere(me, peers)


def _inward(word: str, me: Me, asked: list[Peer]) -> Iterator[Finding]:
    back = asked[0].back
    if back is None:
        return
    text, advice = INWARD[word]
    fill = {
        "who": listed(peer.name for peer in asked),
        "where": me.address,
        "port": me.address.rpartition(":")[2],
        "seen": host_of(back.seen),
        "udp": MET.get(back.small, back.small),
        "tcp": MET.get(back.stream, back.stream),
    }
    yield problem(word, text.format(**fill), advice.format(**fill))


# -- the way out


def path_to(peer: Peer) -> str:
    """The word for how the agent fails to reach this member; empty if it does, or it was not tried."""
    if not peer.is_tried or peer.small == "untried":
        return ""
    if peer.small == "acked":
        if peer.stream == "acked":
            return "mtu_out" if peer.full == "silent" else ""
        return "tcp_out" if peer.stream in ("silent", "unreachable") else "tcp_odd"
    if peer.small == "not_me":
        return "not_me"
    if peer.stream == "acked":
        return "udp_refused" if peer.small == "refused" else _direction(peer)
    if "refused" in (peer.small, peer.stream):
        return "port_closed"
    return {
        "unreachable": "no_route",
        "mute": "stuck",
        "hung_up": "foreign",
        "foreign": "foreign",
    }.get(peer.stream, "unreachable")


def _direction(peer: Peer) -> str:
    """UDP is silent and TCP is not: which way are datagrams lost?"""
    back = peer.back
    if back is None:
        return "udp"
    if back.small == "acked" or (back.heard and peer.heard):
        return "udp_lossy"
    if back.heard:
        return "udp_from"
    return "udp_to" if peer.heard else "udp_both"


def _outward(peers: tuple[Peer, ...]) -> Iterator[tuple[Finding, frozenset[str]]]:
    """What fails towards every member that answers in some way at all."""
    answering = [peer for peer in peers if "acked" in (peer.small, peer.stream)]
    words = {path_to(peer) for peer in answering}
    if len(answering) < ALL or len(words) != 1:
        return
    (word,) = words
    told = OUTWARD.get(word)
    if told is not None:
        text, advice = told
        yield (
            problem(word, text.format(who=listed(peer.name for peer in answering)), advice),
            frozenset({word}),
        )


def _nowhere(me: Me, peers: tuple[Peer, ...]) -> Iterator[tuple[Finding | None, frozenset[str]]]:
    """No answer of any kind from anybody who was tried: that tells of this host, and not of each of theirs.

    Who is isolated has said so, and need not be told again.
    """
    words = {path_to(peer) for peer in peers if peer.is_tried}
    lost = [peer.name for peer in peers if peer.is_tried and peer.is_live]
    isolated = "isolated" in me.flags
    if not words or not words <= UNANSWERED or len(lost) < (1 if isolated else ALL):
        return
    text, advice = OUTWARD["unreachable"]
    yield (None if isolated else problem("unreachable", text.format(who=listed(lost)), advice)), UNANSWERED
