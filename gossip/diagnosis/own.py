"""What is wrong with the agent itself, as far as it can tell without asking anybody."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gossip.diagnosis.facts import Doubted, Me, Other, Refused
from gossip.diagnosis.finding import Finding, listed, note, problem, span

__all__ = ["conflict_text", "own_findings"]

LATELY = 600.0
"""Seconds: what happened before is history."""
OFTEN = 3
"""So many doubts within `LATELY` are no accident."""
OFTEN_APART = 5.0
"""Seconds: doubts that are closer are one; a wake-up that is late is often followed by another."""
MUTE_APART = 60.0
"""The same, of datagrams that did not leave: who can send none finds it out once a probe, whose periods
stretch to nine times their length meanwhile."""
LAG = 0.1
HEALTH = 3

_WHY_REFUSED = {
    "cluster": (
        "other_cluster",
        "of another cluster than {cluster!r}, or damaged on the way",
        "Give both the same --cluster, or take this agent's address out of that one's --join.",
    ),
    "sealed": (
        "other_key",
        "sealed with a key that this agent does not have",
        "Give both agents the same key, or both --insecure.",
    ),
    "clear": (
        "in_clear",
        "not sealed, and this agent takes only what is",
        "Give that agent the cluster's key (--key-file).",
    ),
    "version": (
        "other_version",
        "in the layout of another version of the protocol, or no agent's",
        "Upgrade the older agent, if it is one.",
    ),
}


def own_findings(me: Me) -> Iterator[Finding]:
    """Everything about the agent itself but its paths."""
    yield from _identity(me)
    yield from _running(me)
    yield from _reputation(me)
    yield from _strangers(me)
    yield from _cluster(me)
    if me.maintenance is not None:
        why = f" ({me.maintenance})" if me.maintenance else ""
        yield note(
            "maintenance",
            f"This node is in maintenance{why}: lookups give none of its services.",
            "When that is over: gossip maintenance off.",
        )


def _identity(me: Me) -> Iterator[Finding]:
    if "duplicate_identity" in me.flags:
        yield problem(
            "duplicate_identity",
            "Another process runs with the key of this agent, which has stopped to announce itself.",
            "Stop the other and start this one again, or give this one a data directory of its own.",
        )
    if "banned" in me.flags:
        yield problem(
            "banned",
            "The cluster's authority has banned this node: no other agent listens to it.",
            "Ask who holds the authority's key why; as a new node (another --data-dir, a new invitation) this"
            " machine may come back.",
        )
    if me.same_name:
        yield problem(
            "name_conflict",
            conflict_text(f"this agent ({me.address})", me.same_name, f"called {me.name!r}"),
            "Give one of them another --name.",
        )
    if me.same_address:
        yield problem(
            "address_conflict",
            conflict_text("this agent", me.same_address, f"said to be at {me.address}"),
            "Give each an address of its own with --advertise.",
        )


def conflict_text(first: str, others: tuple[Other, ...], how: str) -> str:
    """As in: Two live members are called 'web': this agent (a:1) and n7 at b:1 (id 00ff00ff)."""
    shown = [first, *(f"{each.name} at {each.address} (id {each.id[:8]})" for each in others)]
    count = "Two" if len(shown) == 2 else str(len(shown))
    return f"{count} live members are {how}: {listed(shown)}."


# -- whether it was running


def _running(me: Me) -> Iterator[Finding]:
    lately = [each for each in me.doubts if each.ago_s < LATELY]
    for code, what, advice, of, is_last in _doubts_by_cause(lately):
        doubting = is_last and "doubting" in me.flags
        last = of[-1]
        often = f", {len(of)} times within {span(LATELY)}" if len(of) > 1 else ""
        text = f"{what(last)} {span(last.ago_s)} ago{often}."
        if doubting:
            text += " It judges nobody until it has heard others again."
        make = problem if doubting or len(of) >= OFTEN else note
        yield make(code, text, advice)
    if not lately and me.lag_s >= LAG:
        yield note(
            "lag",
            f"Its timers came up to {span(me.lag_s)} late within the last minute.",
            "Give this host or container more CPU: beyond 0.25 s the agent no longer trusts itself.",
        )


def _doubts_by_cause(
    doubts: list[Doubted],
) -> Iterator[tuple[str, Callable[[Doubted], str], str, list[Doubted], bool]]:
    """Each cause with its words and its doubts, oldest first; of those that were one, the worst or last.

    With each, whether it is why the agent has doubted itself last.
    """
    for code, is_it, what, advice in _CAUSES:
        apart = MUTE_APART if code == "mute" else OFTEN_APART
        kept: list[Doubted] = []
        for each in doubts:
            if not is_it(each):
                continue
            if not kept or kept[-1].ago_s - each.ago_s > apart:
                kept.append(each)
            elif code == "mute" or each.late_s + each.gap_s >= kept[-1].late_s + kept[-1].gap_s:
                kept[-1] = each
        if kept:
            yield code, what, advice, kept, is_it(doubts[-1])


_CAUSES: tuple[tuple[str, Callable[[Doubted], bool], Callable[[Doubted], str], str], ...] = (
    (
        "clock_gap",
        lambda doubt: doubt.gap_s > 0.25 and doubt.gap_s >= doubt.late_s,
        lambda doubt: (
            f"The clocks of this host moved {span(doubt.gap_s)} ahead of the running time:"
            " it was suspended, or its wall clock was set,"
        ),
        "If nobody suspended it, have its clock slewed (chrony) and not set.",
    ),
    (
        "starved",
        lambda doubt: doubt.late_s > 0.25 and doubt.late_s > doubt.gap_s,
        lambda doubt: (
            f"This agent was not running for {span(doubt.late_s)} (stopped, or starved of CPU or memory)"
        ),
        "Give this host or container more CPU and memory, or find out who stopped the agent.",
    ),
    (
        "overflow",
        lambda doubt: doubt.overflow,
        lambda _: "Datagrams for this agent were dropped, its receive buffer being full,",
        "Raise net.core.rmem_max (4 MiB is asked for), or give the agent more CPU.",
    ),
    (
        "mute",
        lambda doubt: doubt.mute,
        lambda _: "None of its datagrams left this host",
        "Look at the interface, the routes and the outgoing firewall rules of this host.",
    ),
)


# -- what others think of it


def _reputation(me: Me) -> Iterator[Finding]:
    lately = [each for each in me.accused if each.ago_s is not None and each.ago_s < LATELY]
    if lately:
        last = min(each.ago_s or 0.0 for each in lately)
        silent = all(each.kind in ("silent", "gave_up") for each in lately)
        who = listed(each.by for each in lately)
        text = (
            f"{who} accused this agent within {span(LATELY)}, last {span(last)} ago, and it had to refute"
            f" that{': they had heard nothing from it' if silent else ''}."
        )
        yield note("accused", text, "If this goes on, its datagrams or theirs are lost on the way.")
    if me.health >= HEALTH:
        yield note(
            "health",
            f"This agent doubts what it hears (health {me.health} of 8, 0 is well): its probes fail, or it is"
            " accused, so it waits longer before it accuses anybody.",
        )


# -- who speaks to it


def _strangers(me: Me) -> Iterator[Finding]:
    by_reason: dict[str, list[Refused]] = {}
    for each in me.refused:
        by_reason.setdefault(each.reason, []).append(each)
    for reason, hosts in by_reason.items():
        last = min(each.ago_s for each in hosts)
        where = listed(_where(each) for each in hosts)
        count = sum(each.count for each in hosts)
        times = "once" if count == 1 else f"{count} times"
        when = f"({times}, last {span(last)} ago)"
        if reason in _WHY_REFUSED:
            code, what, advice = _WHY_REFUSED[reason]
            yield problem(code, f"What {where} sent was {what.format(cluster=me.cluster)} {when}.", advice)
        elif reason not in ("own", "unknown_kind", "truncated"):
            yield note("unreadable", f"What {where} sent could not be read: {reason} {when}.")


def _where(refused: Refused) -> str:
    return refused.address.rpartition(":")[0] + " (TCP)" if refused.stream else refused.address


# -- the cluster as a whole


def _cluster(me: Me) -> Iterator[Finding]:
    live = me.members.get("alive", 1) + me.members.get("suspect", 0)
    if "banned" in me.flags:
        return  # nobody answers the banned: that is said, and all of it
    failing = [each for each in me.seeds if each.problem]
    alone = live <= 1
    if "isolated" in me.flags:
        yield problem(
            "isolated",
            "This agent hears nobody, while it knows of others: the network is gone, or all of them are.",
            "Look at the interface, the routes and the firewall of this host.",
        )
    for each in failing:
        make = problem if alone else note
        yield make(
            "seed",
            f"The seed {each.seed} has not let this agent join: {each.problem}.",
            _seed_advice(each.problem),
        )
    if alone and not failing:
        yield note("alone", "This agent knows no other live member.", "To meet others: gossip join ADDRESS.")
    if "view_disagrees" in me.flags and "duplicate_identity" not in me.flags:
        # Of who has yielded to its twin, others hold another record than it does.
        yield problem(
            "view_disagrees",
            "Its view differs from a member's, and a repair with that one changed nothing.",
            "Restart this agent if it stays so, and report it: this should not happen.",
        )


def _seed_advice(trouble: str) -> str:
    if trouble.startswith("unreachable at"):
        return ""  # what to do is said by the seed
    if "the name cannot be resolved" in trouble:
        return "Correct --join, or see to the resolution of names on this host."
    if "broke the connection off" in trouble or "does not speak" in trouble:
        return (
            "What runs there may be of another cluster name or key:"
            " compare --cluster and 'gossip keys list' on both."
        )
    if "the authority has banned it" in trouble:
        return ""  # what to do is said of the ban
    if "another with a copy of its key" in trouble:
        return (
            "If another agent runs there, one has a copy of the other's data directory: stop this one, move"
            " node.key out of its own, and it takes a key of its own when it starts. If that is this very"
            " agent, take it out of --join."
        )
    if "is not let in" in trouble:
        return "Ask who holds the authority's key for an invitation of this node's own ('gossip invite')."
    return "Start an agent there, let UDP and TCP through to it, or correct --join."
