"""What a member can do to real agents on real sockets: it has the key, is let in, and signs what it likes.

The same in virtual time, move by move and at random, is in `tests/scenarios/test_attacks.py` and `sim.siege`.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from gossip.core.records import Accusation, Ban, EventRecord, MemberRecord
from gossip.core.types import MAX_VERSION, Kind
from gossip.wire.identity import Identity
from tests.agent.processes import until
from tests.agent.relayed import BURST, CLUSTER, KEY, Cluster, asked, counters
from tests.agent.thief import Thief

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.slow

NAMES = ("ada", "bob", "cyd")
PHANTOMS = 40
FLOOD = 3_072


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, *NAMES, "mallory") as cluster:
        cluster.register("bob", "payroll")
        cluster.forget()
        yield cluster


@pytest.fixture
def rogue(cluster: Cluster) -> Iterator[Thief]:
    """A program on a member's host, with its key: the agent there answers what is asked of it as ever."""
    with Thief(cluster.relay, KEY, CLUSTER) as rogue:
        secret = (cluster.folder / "mallory" / "data" / "node.key").read_bytes()
        rogue.identity = Identity(secret, CLUSTER)
        yield rogue


def honest(cluster: Cluster, rogue: Thief) -> dict[str, MemberRecord]:
    """The records of those who are what they say."""
    for name in (*NAMES, "mallory"):
        seed = cluster.relay.doors["bob"].outside if name == "ada" else cluster.seed
        (result,) = asked(cluster[name], "agent.join", addresses=[seed])["results"]
        assert result["ok"]
    return {name: rogue.members()[name] for name in NAMES}


def tell_all(cluster: Cluster, rogue: Thief, facts: Sequence[bytes]) -> None:
    for name in NAMES:
        for at in range(0, len(facts), 4):
            rogue.tell(name, *facts[at : at + 4])
        cluster.has_read(name)


def phantom(rogue: Thief, number: int, **fields: object) -> tuple[Identity, bytes]:
    """A node that does not exist, and its record."""
    made = Identity(hashlib.sha256(b"phantom %d" % number).digest(), CLUSTER)
    record = rogue.identity.parse(rogue.record(f"phantom-{number}")).body
    assert isinstance(record, MemberRecord)
    body = msgspec.structs.replace(record, owner=made.id, public_key=made.public_key, **fields)
    return made, made.issue(body).raw


def is_well(cluster: Cluster, theirs: dict[str, MemberRecord]) -> bool:
    """Whether all hold all alive that are what they say, at their own addresses, and find bob's service."""
    for name in NAMES:
        rows = {row["id"]: row for row in asked(cluster[name], "members.list")["members"]}
        for other in NAMES:
            row = rows[theirs[other].owner.hex()]
            if (row["name"], row["status"]) != (other, "alive"):
                return False
        if [row["node"] for row in cluster.instances(name, "payroll")] != ["bob"]:
            return False
    return True


def test_a_member_that_lies_puts_nobody_out_on_real_sockets(cluster: Cluster, rogue: Thief) -> None:
    """It evicts, speaks with many voices, squats on a name and an address, takes the last number, floods."""
    theirs = honest(cluster, rogue)
    issue = rogue.identity.issue
    accused = [
        issue(Accusation(rogue.id, each.owner, each.version, kind)).raw
        for each in theirs.values()
        for kind in (Kind.SILENT, Kind.REFUSED)
    ]
    bans = [issue(Ban(rogue.id, 1, each.owner, each.name, "")).raw for each in theirs.values()]
    tell_all(cluster, rogue, [*accused, *bans])
    assert is_well(cluster, theirs)

    bob = theirs["bob"]
    voices = [phantom(rogue, number) for number in range(PHANTOMS)]
    tell_all(cluster, rogue, [record for _, record in voices])
    words = [made.issue(Accusation(made.id, bob.owner, bob.version, Kind.SILENT)).raw for made, _ in voices]
    tell_all(cluster, rogue, words)

    squatter = phantom(rogue, PHANTOMS, name="bob", host=bob.host, port=bob.port)[1]
    mine = msgspec.structs.replace(rogue.members()["mallory"], version=MAX_VERSION)
    tell_all(cluster, rogue, [squatter, issue(mine).raw])

    today = time.time_ns() // 1_000_000
    for start in range(0, FLOOD, BURST):
        for number in range(start, start + BURST):
            rogue.tell("cyd", issue(EventRecord(rogue.id, today + number, "noise", b"x" * 256)).raw)
        cluster.has_read("cyd")

    until("all is well", lambda: is_well(cluster, theirs))
    gone = {row["name"] for row in cluster.happened("member_failed")}
    assert not gone & set(NAMES), "nobody was held dead, by anybody, at any time"
    assert counters(cluster["bob"])["refuted"], "it was accused, and has answered"
    assert counters(cluster["ada"])["ban_unauthorised"] == len(bans)
    heard = [row for row in cluster["cyd"].events() if row["event"] == "event_received"]
    assert len(heard) == FLOOD, "each once, and the agent lives"
    asked(cluster["ada"], "services.register", name="wages", port=4_712)
    until("they go on as before", lambda: all(cluster.instances(name, "wages") for name in NAMES))
