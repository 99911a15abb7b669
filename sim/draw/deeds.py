"""What was done to the world, in few words and one line a moment; and what the nodes said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct

from gossip.core.events import EventKind
from sim.draw.story import SECOND, Tables, rows

__all__ = ["Deed", "deeds_of", "news_of"]

TOLD = frozenset(kind.value for kind in EventKind)
LIVES = frozenset({"started", "ended"})
NAMES = 3
"""Names that a line has in full; of more it tells how many."""
WORDS = {
    "member_joined": "alive",
    "member_refuted": "refutes",
    "member_suspected": "suspect",
    "member_failed": "dead",
    "member_left": "left",
}
"""What the list of events tells of a member, when first anybody says so."""


class Deed(Struct, frozen=True):
    """Something done at one moment."""

    at_s: float
    text: str
    short: str
    """Without the names of the nodes."""


def deeds_of(tables: Tables) -> list[Deed]:
    """All that was done, in order; to several nodes at one moment is one deed."""
    names = dict(rows(tables["nodes"], "number", "name"))
    deeds: dict[tuple[int, str, str], list[int]] = {}
    for at_us, host, kind, detail in rows(tables["events"], "at_us", "host", "kind", "detail"):
        if kind not in TOLD and kind not in LIVES:
            deeds.setdefault((at_us, kind, detail), []).append(host)
    return [_deed(at_us, kind, detail, hosts, names) for (at_us, kind, detail), hosts in deeds.items()]


def news_of(tables: Tables) -> Iterator[tuple[float, str, str]]:
    """Time in seconds, text and kind, in order: who was first to say a new thing of a node."""
    names = dict(rows(tables["nodes"], "number", "name"))
    last: dict[int, str] = {}
    for at_us, host, subject, kind, former in rows(
        tables["events"], "at_us", "host", "subject", "kind", "former"
    ):
        if kind in LIVES:
            last[host] = kind
            continue
        word = WORDS.get(kind)
        if word is None or former or subject not in names or last.get(subject) == kind:
            continue
        last[subject] = kind
        who, whom = names.get(host, "?"), names[subject]
        told = f"{whom} refutes, hears {who}" if kind == "member_refuted" else f"{who} holds {whom} {word}"
        yield at_us / SECOND, told, word


def _deed(at_us: int, kind: str, detail: str, hosts: list[int], names: Mapping[int, Any]) -> Deed:
    known = [names[host] for host in hosts if host in names]
    text = short = kind
    if known:
        more = f" and {len(known) - NAMES} more" if len(known) > NAMES else ""
        text += f" {', '.join(known[:NAMES])}{more}"
        short += f" ({len(known)})" if len(known) > 1 else f" {known[0]}"
    if detail:
        text += f": {detail}"
    return Deed(at_us / SECOND, text, short)
