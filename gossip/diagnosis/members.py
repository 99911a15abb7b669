"""What is wrong with one member, or between it and the agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gossip.diagnosis.facts import Facts, Me, Peer
from gossip.diagnosis.finding import Finding, accusers, listed, note, problem, span, state_of
from gossip.diagnosis.own import conflict_text
from gossip.diagnosis.paths import fault_here, path_to

__all__ = ["member_findings"]

_NOT_THERE = ("port_closed", "unreachable", "stuck")
"""How a member is met while it restarts, or its host does."""
HEARD = 10.0
"""Seconds: a member that said something within them may well be running."""


def member_findings(facts: Facts, told: frozenset[str]) -> Iterator[Finding]:
    """Of every member; without the faults in `told`, which are the agent's own and told of it.

    Of several members with one name or address, the first tells of all.
    """
    conflicts: set[tuple[str, str]] = set()
    for peer in facts.peers:
        if facts.only not in ("", peer.id):
            continue
        for word, others, how in (
            ("name_conflict", peer.same_name, f"called {peer.name!r}"),
            ("address_conflict", peer.same_address, f"said to be at {peer.address}"),
        ):
            mine = facts.me.name if word == "name_conflict" else facts.me.address
            theirs = peer.name if word == "name_conflict" else peer.address
            if others and mine != theirs and (word, theirs) not in conflicts:
                conflicts.add((word, theirs))
                first = f"{peer.name} at {peer.address} (id {peer.id[:8]})"
                advice = (
                    "Give one of them another --name."
                    if word == "name_conflict"
                    else "Give each an address of its own (--advertise), or evict the one that is gone."
                )
                yield problem(word, conflict_text(first, others, how), advice, peer)
        yield from _reach(facts.me, peer, told)
    if facts.more:
        yield problem(
            "more_members",
            f"{facts.more} more members are suspect or dead and were not tried.",
            "Ask for one of them: gossip doctor NAME.",
        )


def _reach(me: Me, peer: Peer, told: frozenset[str]) -> Iterator[Finding]:
    word = path_to(peer)
    if peer.status == "left":
        yield _left(peer, word)
        return
    if word in _NOT_THERE and peer.is_live and "restarting" in peer.flags:
        yield note(
            "restarting",
            f"{peer.name} said that it restarts, and does not answer at {peer.address} yet.",
            about=peer,
        )
    elif word and not (word in told and peer.is_live):
        text, advice = _DESCRIBE[word](peer)
        yield problem(word, f"{text}{_witnesses(peer, word)}.", advice, peer)
    elif not word and peer.status != "alive":
        yield _answers_now(peer) if peer.is_tried else _untried(peer)
    inward = fault_here(me, peer)
    if inward and inward not in told and not word:
        text, advice = _INWARD_OF_ONE[inward]
        yield problem(inward, text.format(peer=peer.name, me=me.address), advice, peer)
    if "degraded" in peer.flags and not word:
        yield note(
            "degraded",
            f"{peer.name} is flagged degraded (it answered over TCP only); it answers by UDP again.",
            about=peer,
        )
    if "unstable" in peer.flags:
        yield _unstable(peer)
    if peer.no_back and not word and peer.no_back != "busy":
        yield note(
            "no_dial_back",
            f"{peer.name} did not say how it reaches this agent: {peer.no_back}.",
            "An agent of an older release cannot.",
            peer,
        )


def _unstable(peer: Peer) -> Finding:
    """Whose words stand against it now is told with its status, if it is not alive."""
    now = accusers(peer.accused) if peer.status == "alive" else f"it is {peer.status}"
    back = ""
    if peer.relapse is not None:
        then = accusers(peer.relapse.accused, before=True)
        back = f" It last came back {span(peer.relapse.ago_s)} ago" + (f"; {then}." if then else ".")
    return note(
        "unstable",
        f"{peer.name} is flagged unstable: it falls silent and comes back, again and again.{back}"
        f" Now {now or 'nobody accuses it'}.",
        "Its host stops now and then or is short of CPU, or the way to it loses packets: ask 'gossip doctor'"
        " there. It is given more patience until it has been quiet for some minutes.",
        peer,
    )


def _left(peer: Peer, word: str) -> Finding:
    """Nothing is wrong with who is not expected to answer."""
    text = f"{peer.name} has left or was evicted {span(peer.for_s)} ago"
    answers = peer.is_tried and peer.small != "untried" and not word
    return note("left", f"{text}{f', and answers at {peer.address} still' if answers else ''}.", about=peer)


def _untried(peer: Peer) -> Finding:
    if peer.doubted:
        why = "and this agent was not running well enough to try it"
        return note("member", f"{state_of(peer)}, {why}.", about=peer)
    return problem("member", f"{state_of(peer)} and was not tried.", f"gossip doctor {peer.typed}", peer)


def _answers_now(peer: Peer) -> Finding:
    """Suspect or dead, and the agent reaches it all the same."""
    if peer.small == "untried":
        return _untried(peer)
    failing = [each.name for each in peer.witnesses if each.met not in (None, "acked")]
    if failing:
        return problem(
            "path_elsewhere",
            f"{state_of(peer)}; it answers this agent by UDP and TCP, but not {listed(failing)}.",
            f"The way between these is at fault: ask 'gossip doctor {peer.typed}' on {listed(failing)}.",
            peer,
        )
    return problem(
        "answers_now",
        f"{state_of(peer)}, and answers by UDP and TCP now: it will refute.",
        f"If it comes again, {peer.name} is short of CPU or its network of room: ask 'gossip doctor' there.",
        peer,
    )


def _witnesses(peer: Peer, word: str) -> str:
    """What others met there, in a clause."""
    if word in ("not_me", "mtu_out", "tcp_out", "tcp_odd"):
        return ""
    by_udp = [each.name for each in peer.witnesses if each.met == "acked" and not each.late]
    maybe = [each.name for each in peer.witnesses if each.met == "acked" and each.late]
    others = [each.name for each in peer.witnesses if each.met in ("silent", "refused", "not_me")]
    if by_udp or maybe:
        rest = f", and {listed(others)} {_do(others)} not" if others else ""
        sure = f"; {listed(by_udp)} {_verb(by_udp, 'reaches', 'reach')} it by UDP" if by_udp else ""
        unsure = (
            f"; {listed(maybe)} {_verb(maybe, 'reaches', 'reach')} it, maybe by TCP only" if maybe else ""
        )
        return f"{sure}{unsure}{rest}"
    if not others:
        return ""
    if all(each.met == "silent" for each in peer.witnesses if each.met is not None):
        return f"; {listed(others)} {_verb(others, 'gets', 'get')} no answer by UDP either"
    return f"; {listed(others)} {_verb(others, 'fares', 'fare')} no better"


def _verb(names: list[str], one: str, more: str) -> str:
    return one if len(names) == 1 else more


def _do(names: list[str]) -> str:
    return _verb(names, "does", "do")


def _port(peer: Peer) -> str:
    return peer.address.rpartition(":")[2]


def _gone(peer: Peer) -> str:
    return (
        f"if it is gone for good: gossip evict {peer.typed}"
        if peer.status == "dead"
        else "or wait for its return"
    )


def _closed(peer: Peer) -> tuple[str, str]:
    ways = " and ".join(name for name, way in (("UDP", peer.small), ("TCP", peer.stream)) if way == "refused")
    ago = peer.heard_ago_s
    heard = f"it was heard {span(ago)} ago" if ago is not None and ago < HEARD and peer.is_live else ""
    if peer.heard:
        heard = "its own datagrams arrive here"
    if heard:
        what = f"its host refuses {ways} at {peer.address}, though {heard}"
        firewall = f"A firewall there rejects what comes to port {_port(peer)}: let UDP and TCP through."
        ended = f"Or its agent has just ended: start it again; {_gone(peer)}."
        return f"{state_of(peer)}: {what}", f"{firewall} {ended}"
    return (
        f"{state_of(peer)}: nothing listens at {peer.address}, its host refuses {ways}",
        f"Start its agent again; {_gone(peer)}.",
    )


def _replaced(peer: Peer) -> tuple[str, str]:
    return (
        f"{state_of(peer)}: another agent answers at {peer.address}, where it said to be",
        f"That address has gone to another, or its agent has lost its key; {_gone(peer)}.",
    )


def _unreachable(peer: Peer) -> tuple[str, str]:
    heard = peer.heard_ago_s
    last = f"; it was last heard {span(heard)} ago" if heard is not None and not peer.heard else ""
    if peer.heard:
        return (
            f"{state_of(peer)}: its datagrams arrive here, and nothing sent to {peer.address} is answered",
            f"Open UDP and TCP port {_port(peer)} to it in the firewall there and on the way from here.",
        )
    if any(each.met == "acked" for each in peer.witnesses):
        return (
            f"{state_of(peer)}: neither UDP nor TCP to {peer.address} is answered from here{last}",
            "The way between this host and that one is cut: look at routes and firewalls of the two.",
        )
    return (
        f"{state_of(peer)}: neither UDP nor TCP to {peer.address} is answered{last}",
        f"Its host is down or cut off, or a firewall drops both: see to it; {_gone(peer)}.",
    )


def _udp(peer: Peer, what: str) -> tuple[str, str]:
    return (
        f"{state_of(peer)}: {what}; TCP to {peer.address} is answered",
        f"Let UDP port {_port(peer)} through, both ways, in the firewalls of both hosts and on the way.",
    )


_ODD = {
    "refused": "is refused",
    "mute": "is accepted and not answered",
    "hung_up": "is ended without an answer",
    "foreign": "is answered by no agent of this cluster",
}

_DESCRIBE: dict[str, Callable[[Peer], tuple[str, str]]] = {
    "port_closed": _closed,
    "not_me": _replaced,
    "unreachable": _unreachable,
    "no_route": lambda peer: (
        f"{state_of(peer)}: this host has no route to {peer.address}",
        "Add a route, or have it advertise an address that this host can reach.",
    ),
    "stuck": lambda peer: (
        f"{state_of(peer)}: its host takes connections at {peer.address}, and its agent answers nothing",
        "That process is stopped, hanging or starved of CPU: look at it there.",
    ),
    "foreign": lambda peer: (
        f"{state_of(peer)}: what answers at {peer.address} is no agent of this cluster",
        "Another program, or an agent of another cluster name or key, has that port: see which, there.",
    ),
    "udp_refused": lambda peer: (
        f"{state_of(peer)}: UDP to {peer.address} is refused, TCP is answered",
        "A firewall rejects UDP there, or forwards only TCP: let both through.",
    ),
    "udp": lambda peer: _udp(peer, "datagrams to it are not answered"),
    "udp_both": lambda peer: _udp(peer, "no datagram passes between it and this host in either direction"),
    "udp_to": lambda peer: _udp(peer, "datagrams from here do not reach it, though its own arrive here"),
    "udp_from": lambda peer: _udp(peer, "datagrams from here reach it, but its own do not arrive here"),
    "udp_lossy": lambda peer: (
        f"{state_of(peer)}: datagrams between it and this host are lost, though not all of them",
        "Look for an overloaded link, a full receive buffer or a rate limit on UDP.",
    ),
    "tcp_out": lambda peer: (
        f"{state_of(peer)}: TCP to {peer.address} is not answered, UDP is",
        f"Open TCP port {_port(peer)} to it: joins and repairs need it.",
    ),
    "tcp_odd": lambda peer: (
        f"{state_of(peer)}: UDP to {peer.address} is answered, TCP {_ODD.get(peer.stream, 'fails')}",
        (
            f"A firewall there rejects TCP, or only UDP is forwarded: open TCP port {_port(peer)} to it."
            if peer.stream == "refused"
            else "Something else takes TCP on that port there, or its agent has no room for more connections."
        ),
    ),
    "mtu_out": lambda peer: (
        f"{state_of(peer)}: datagrams of full size (1,400 bytes) do not reach {peer.address}, small ones do",
        "Let ICMP 'fragmentation needed' through on the way, or raise its smallest MTU to 1,428 or more.",
    ),
}

_FIREWALL = "Look at the firewalls of both hosts and on the way."
_INWARD_OF_ONE = {
    "mtu_in": (
        "Datagrams of full size (1,400 bytes) from {peer} do not reach {me}, small ones do.",
        "Let ICMP 'fragmentation needed' through on the way, or raise its smallest MTU to 1,428 or more.",
    ),
    "tcp_in": ("{peer} reaches this agent at {me} by UDP and not by TCP.", _FIREWALL),
    "udp_in": (
        "Datagrams that {peer} sends to {me} of its own accord do not arrive; answers and TCP do.",
        _FIREWALL,
    ),
    "not_me_here": (
        "Another agent answers {peer} at {me}, the address that this agent advertises.",
        "Advertise this agent's own address (--advertise HOST:PORT).",
    ),
    "port_here": ("{peer} is refused at {me}, the address of this agent.", _FIREWALL),
    "closed_here": (
        "{peer} cannot reach this agent at {me}, by UDP or TCP, though it answers this one.",
        _FIREWALL,
    ),
    "advertise": (
        "{peer} cannot reach this agent at {me}, and sees it come from elsewhere.",
        "Set --advertise to an address that all can reach.",
    ),
    "unshown": (
        "{peer} holds no such member at {me}, sees this agent come from elsewhere and did not try it.",
        "Set --advertise to an address that all can reach.",
    ),
}
