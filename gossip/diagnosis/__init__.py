"""From what is known to what is wrong, in words: pure, and a table for tests.

`facts` is what an agent has gathered, by looking at itself and by trying others. `diagnose` says what follows
from it, and no more than that.
"""

from __future__ import annotations

from gossip.diagnosis.facts import Facts
from gossip.diagnosis.finding import Finding, listed
from gossip.diagnosis.members import member_findings
from gossip.diagnosis.own import own_findings
from gossip.diagnosis.paths import own_paths

__all__ = ["Facts", "Finding", "diagnose", "summary"]


def diagnose(facts: Facts) -> list[Finding]:
    """What is wrong or worth knowing: problems first, and what is the agent's own first of these."""
    found = list(own_findings(facts.me))
    if "banned" not in facts.me.flags:
        # Nobody answers the banned, whatever the ways are like.
        found += _of_others(facts)
    return sorted(found, key=lambda finding: finding.severity != "problem")


def _of_others(facts: Facts) -> list[Finding]:
    found: list[Finding] = []
    told: frozenset[str] = frozenset()
    for finding, words in own_paths(facts.me, facts.peers):
        found += [] if finding is None else [finding]
        told |= words
    return [*found, *member_findings(facts, told)]


def summary(facts: Facts, findings: list[Finding]) -> str:
    """One line: how it stands."""
    problems = sum(finding.severity == "problem" for finding in findings)
    if problems:
        return "1 problem" if problems == 1 else f"{problems} problems"
    alive = facts.me.members.get("alive", 1)
    members = "1 member is alive" if alive == 1 else f"{alive} members are alive"
    whole = [
        peer.name
        for peer in facts.peers
        if (peer.small, peer.full, peer.stream) == ("acked",) * 3
        and peer.back is not None
        and (peer.back.small, peer.back.full, peer.back.stream) == ("acked",) * 3
    ]
    ways = f"; by UDP, full-size datagrams too, and TCP this agent reaches {listed(whole)} and they reach it"
    return f"All is well: {members}{ways if whole else ''}."
