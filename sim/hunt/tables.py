"""What one node holds agrees with itself: each index, clock and fingerprint, computed from the records.

Each of these walks over all that is held. `watch` runs them now and then, and after each input only looks
at what the input has changed.
"""

from __future__ import annotations

from gossip.core.members import Member
from gossip.core.records import Accusation, Deletion, MemberRecord, ServiceRecord, StatusRecord, key_of
from gossip.core.types import NodeId, Status
from sim.hunt.errors import BrokenRuleError, demand
from sim.hunt.inside import Inside
from sim.hunt.rules import Rule

__all__ = [
    "ban_mark",
    "check_accusations",
    "check_all",
    "check_entry",
    "check_itself",
    "check_no_clock",
    "check_suspect",
    "own_mark",
]


def check_all(inside: Inside) -> None:
    """All of it."""
    check_itself(inside)
    for member in inside.members.values():
        check_entry(inside, member)
        check_accusations(member)
        if member.status is Status.SUSPECT:
            check_suspect(inside, member)
        else:
            check_no_clock(inside, member)
    check_counts(inside)
    check_fingerprint(inside)
    check_catalog(inside)


def check_itself(inside: Inside) -> None:
    """The node stands beside its table, alive."""
    me, table = inside.node.me, inside.table
    demand(table.me is me, Rule.OWN_ID, "its table holds somebody else for it")
    demand(me.id not in inside.members, Rule.OWN_ID, "it is a member of its own table")
    demand(me.status is Status.ALIVE, Rule.OWN_ID, f"it holds itself {me.status.label}")
    demand(me.fact.body is me.record, Rule.OWN_ID, "its record is not what it signed")


def check_entry(inside: Inside, member: Member) -> None:
    """One member can be found by everything that it is found by."""
    table, name = inside.table, member.name
    demand(member in table.named(name), Rule.INDEXES, f"{name} is not found by its name")
    demand((member in table.at(member.address)) is member.is_live, Rule.INDEXES, f"{name} by its address")
    demand(member.fact.body is member.record, Rule.INDEXES, f"{name}'s record is not what it signed")
    if member.is_live:
        at = member.ring_at
        live = table.live
        demand(0 <= at < len(live) and live[at] == member.id, Rule.INDEXES, f"{name} is not among the live")
    else:
        demand(member.ring_at < 0, Rule.INDEXES, f"{name} is among the live, and {member.status.label}")


def check_counts(inside: Inside) -> None:
    """How many there are of each status."""
    table, members = inside.table, list(inside.members.values())
    live = [member.id for member in members if member.is_live]
    demand(sorted(table.live) == sorted(live), Rule.INDEXES, "the list of the live")
    demand(table.n == len(live) + 1, Rule.INDEXES, f"n is {table.n}, with {len(live)} others live")
    for status in Status:
        there = sum(member.status is status for member in members)
        counted = table.counts[status]
        demand(
            counted == there, Rule.INDEXES, f"{counted} are counted as {status.label}, and there are {there}"
        )


def check_fingerprint(inside: Inside) -> None:
    """The xor of all live records, this node's own with them."""
    mark = own_mark(inside.node.me) ^ ban_mark(inside)
    for member in inside.members.values():
        if member.is_live:
            mark ^= own_mark(member)
    held = inside.node.fingerprint
    demand(held == mark, Rule.FINGERPRINT, f"{held:016x} is held, and the records give {mark:016x}")


def ban_mark(inside: Inside) -> int:
    """The xor of the authority's bans."""
    mark = 0
    for fact in inside.table.bans.values():
        mark ^= fact.hash
    return mark


def own_mark(member: Member) -> int:
    """The xor of one member's records, deletions left out."""
    mark = member.fact.hash
    for fact in member.services.values():
        if not isinstance(fact.body, Deletion):
            mark ^= fact.hash
    return mark


def check_accusations(member: Member) -> None:
    """What is held against a member is about this life of it."""
    for accuser, fact in member.accusations.items():
        body = fact.body
        demand(
            isinstance(body, Accusation)
            and body.owner == accuser
            and body.subject == member.id
            and body.incarnation == member.incarnation,
            Rule.CLOCKS,
            f"{member.name} stands accused by {body}",
        )


def check_suspect(inside: Inside, member: Member) -> None:
    """A suspicion ends: by its clock, or by the last look."""
    number = member.id
    demand(member.accusations, Rule.CLOCKS, f"{member.name} is suspected on nobody's word")
    demand(member.suspicion is not None, Rule.CLOCKS, f"{member.name} is suspected since no time")
    looked = number in inside.looks
    if not inside.has_clock(number):
        demand(looked, Rule.CLOCKS, f"{member.name} would be suspected for ever")
    if looked:
        demand(inside.has_last_look(number), Rule.CLOCKS, f"the last look at {member.name} would never end")


def check_no_clock(inside: Inside, member: Member) -> None:
    """Nobody but a suspect has a suspicion."""
    number, word = member.id, f"{member.name}, who is {member.status.label},"
    demand(member.suspicion is None, Rule.CLOCKS, f"{word} has a suspicion")
    demand(not inside.has_clock(number), Rule.CLOCKS, f"{word} has a clock that runs")
    demand(number not in inside.looks, Rule.CLOCKS, f"{word} is being looked at for the last time")


def check_catalog(inside: Inside) -> None:
    """The catalog has what members offer; a lookup finds what live members offer."""
    expected: dict[str, set[tuple[NodeId, str, int]]] = {}
    visible: dict[str, set[tuple[NodeId, str, int]]] = {}
    offered: set[str] = set()
    for member in inside.node:
        demand(isinstance(member.fact.body, MemberRecord), Rule.INDEXES, f"{member.name} is no member")
        said = statuses(member)
        for key, fact in member.services.items():
            body = fact.body
            if key_of(body) != key:  # type: ignore[arg-type]
                raise BrokenRuleError(Rule.CATALOG, f"{body} stands at {key}")
            if isinstance(body, ServiceRecord):
                what = (member.id, body.key, body.port)
                expected.setdefault(body.name, set()).add(what)
                if member.is_live:
                    offered.add(body.name)
                if member.is_live and is_callable(body, said):
                    visible.setdefault(body.name, set()).add(what)
    catalog = inside.catalog
    demand(set(inside.names) == set(expected), Rule.CATALOG, f"names {sorted(inside.names)}")
    demand(catalog.names() == sorted(offered), Rule.CATALOG, f"visible names {catalog.names()}")
    for name, everything in expected.items():
        found = {(i.owner, i.key, i.port) for i in catalog.lookup(name, any=True)}
        demand(
            found == everything, Rule.CATALOG, f"a lookup of every {name} finds {found ^ everything} wrongly"
        )
        shown, right = {(i.owner, i.key, i.port) for i in catalog.lookup(name)}, visible.get(name, set())
        demand(shown == right, Rule.CATALOG, f"a lookup of {name} finds {shown ^ right} wrongly")


def statuses(member: Member) -> dict[str, StatusRecord]:
    """What a member says of its services, by their keys; of all of them, by the empty one."""
    return {
        fact.body.key: fact.body for fact in member.services.values() if isinstance(fact.body, StatusRecord)
    }


def is_callable(service: ServiceRecord, said: dict[str, StatusRecord]) -> bool:
    """Whether nothing that its owner says of it, or of all that it offers, keeps callers away."""
    about = [said[key] for key in (service.key, "") if key in said]
    if service.checked and service.key not in said:
        return False
    return not any(status.maintenance or (2 in (found for _, found in status.checks)) for status in about)
