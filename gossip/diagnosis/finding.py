"""A finding, and how its sentence is put together."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from gossip.diagnosis.facts import Accused, Peer

__all__ = ["Finding", "accusers", "listed", "note", "problem", "span", "state_of"]

NAMES_MAX = 4


class Finding(Struct, frozen=True):
    """One thing that is wrong (`problem`), or worth knowing (`note`)."""

    code: str
    severity: str
    text: str
    """What, since when, and who saw it."""
    advice: str
    """What to do; empty if there is nothing to do."""
    member: str = ""
    """The name of the member that it is about; empty: the agent itself."""
    member_id: str = ""


def problem(code: str, text: str, advice: str, about: Peer | None = None) -> Finding:
    """Something is wrong."""
    return _finding("problem", code, text, advice, about)


def note(code: str, text: str, advice: str = "", about: Peer | None = None) -> Finding:
    """Something to know; nothing is wrong because of it."""
    return _finding("note", code, text, advice, about)


def _finding(severity: str, code: str, text: str, advice: str, about: Peer | None) -> Finding:
    name, number = ("", "") if about is None else (about.name, about.id)
    return Finding(code, severity, text, advice, name, number)


def listed(names: Iterable[str]) -> str:
    """`a`, `a and b`, `a, b and c`, `a, b, c, d and 3 more`."""
    known = list(names)
    if len(known) > NAMES_MAX + 1:
        known = [*known[:NAMES_MAX], f"{len(known) - NAMES_MAX} more"]
    return known[0] if len(known) == 1 else f"{', '.join(known[:-1])} and {known[-1]}" if known else ""


def span(seconds: float) -> str:
    """A duration in its largest unit or two: `0.8 s`, `40 s`, `3 min 20 s`, `2 h`, `5 d`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for unit, size, below, smaller in (
        ("d", 86_400, "h", 3_600),
        ("h", 3_600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{count} {unit}" + (f" {rest // smaller} {below}" if rest >= smaller else "")
    return f"{whole} s"


_CHARGES = {
    "silent": "silence",
    "refused": "a closed port",
    "not_me": "another node at its address",
    "gave_up": "silence to the end",
}


def accusers(accused: Iterable[Accused], *, before: bool = False) -> str:
    """`a and b accuse it of silence, c of a closed port`, or `had accused it`; empty if nobody does."""
    by_kind: dict[str, list[str]] = {}
    for each in accused:
        by_kind.setdefault(_CHARGES.get(each.kind, each.kind), []).append(each.by)
    parts = [f"{listed(names)} {{}}of {charge}" for charge, names in by_kind.items()]
    verb = "accuse it " if any(len(names) > 1 for names in list(by_kind.values())[:1]) else "accuses it "
    if before:
        verb = "had accused it "
    return ", ".join(part.format(verb if at == 0 else "") for at, part in enumerate(parts))


def state_of(peer: Peer) -> str:
    """`web-3 is suspect for 12 s (a accuses it of silence)`; of one that is alive, its name alone."""
    if peer.status == "alive":
        return peer.name
    said = accusers(peer.accused)
    return f"{peer.name} is {peer.status} for {span(peer.for_s)}" + (f" ({said})" if said else "")
