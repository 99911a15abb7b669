"""What every reading endpoint takes beside its own: which cluster, since when, of what, how near."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from gossip.api.consul.words import Refusal, parse_bool, parse_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gossip.api.http.values import Request

__all__ = ["Question", "pairs", "refuse_other_cluster", "switch"]

WAIT_SECONDS: Final = 300.0
MAX_WAIT_SECONDS: Final = 600.0
NOWHERE: Final = (
    ("X-Consul-Index", "1"),
    ("X-Consul-Knownleader", "false"),
    ("X-Consul-Lastcontact", "0"),
)
MAX_INDEX: Final = 2**64 - 1


class Question(Struct, frozen=True):
    """The common part of a query."""

    index: int
    """0: answer at once."""
    wait: float
    """Seconds, without the jitter."""
    cached: bool
    stale: bool
    near: str
    filter: str
    node_meta: tuple[tuple[str, str], ...]
    pretty: bool
    empty: bool
    """It asks for what there is none of here: another cluster's peerings."""


def read(asked: Request, cluster: str) -> Question:
    """Raises `Refusal` where Consul does."""
    refuse_other_cluster(asked, cluster)
    stale, consistent = "stale" in asked.query, "consistent" in asked.query
    if stale and consistent:
        raise Refusal(400, "Cannot specify ?stale with ?consistent, conflicting semantics.")
    for name in ("ns", "partition"):
        if asked.text(name) not in ("", "default", "*"):
            raise Refusal(400, f"Invalid {name} {asked.text(name)[:64]!r}: there is only default")
    return Question(
        _index(asked.text("index")),
        _wait(asked.text("wait")),
        "cached" in asked.query,
        stale,
        asked.text("near"),
        asked.text("filter"),
        tuple(sorted(pairs(asked.query.get("node-meta", ())).items())),
        "pretty" in asked.query,
        asked.text("peer") not in ("", "local"),
    )


def refuse_other_cluster(asked: Request, cluster: str, given: str = "") -> None:
    """Raises `Refusal` if it is about another datacenter than this cluster."""
    wanted = given or asked.text("dc")
    if wanted.lower() not in ("", cluster.lower()):
        has_index = asked.method == "GET" and not asked.path.startswith("/v1/status/")
        raise Refusal(500, "No path to datacenter", NOWHERE if has_index else ())


def switch(asked: Request, name: str) -> bool:
    """A yes or no: absent is no, without a value yes."""
    if name not in asked.query:
        return False
    value = asked.text(name)
    found = True if value == "" else parse_bool(value)
    if found is None:
        raise Refusal(400, f"Invalid value for ?{name}")
    return found


def pairs(texts: Sequence[str]) -> dict[str, str]:
    """`key:value` texts."""
    return {key: value for key, _, value in (text.partition(":") for text in texts)}


def _index(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 20 or int(text) > MAX_INDEX:
        raise Refusal(400, "Invalid index")
    return int(text)


def _wait(text: str) -> float:
    if not text:
        return WAIT_SECONDS
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise Refusal(400, "Invalid wait time") from None
    if seconds < 0:
        raise Refusal(400, "Invalid wait time")
    return min(seconds, MAX_WAIT_SECONDS) or WAIT_SECONDS
