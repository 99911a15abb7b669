"""What somebody on the network can do to real agents on real sockets, each attack with its outcome.

The same in virtual time is in `tests/scenarios/test_sealed_attacks.py` and `test_attacks.py`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import msgspec
import pytest

from gossip.config.keyfile import show_key
from gossip.core.messages import Turned
from gossip.core.records import Accusation, Body, Deletion, MemberRecord, ServiceRecord, StatusRecord
from gossip.core.types import Kind
from tests.agent.processes import Process, until
from tests.agent.relayed import CLUSTER, KEY, Cluster, asked, counters, found
from tests.agent.thief import Thief

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.slow

REFUSALS = ("cluster", "sealed", "version", "clear", "replayed", "own", "malformed")
"""Why a datagram that was changed may be refused, whichever of its bits was turned."""
DEATHS = ("member_failed", "duplicate_identity", "isolated")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("sealed"), "ada", "bob", "cyd") as cluster:
        yield cluster


@pytest.fixture(scope="module")
def joins(running: Cluster) -> list[bytes]:
    """What those who joined have written to their seed, one stream each."""
    until("the streams are over", lambda: len(running.relay.calls("ada", 2)) >= 2)
    return running.relay.calls("ada", 2)


@pytest.fixture
def cluster(running: Cluster, joins: list[bytes]) -> Iterator[Cluster]:
    """Three agents that share a key, let anybody with it in, and are well before and after."""
    assert joins
    running.agree()
    running.forget()
    yield running
    running.relay.as_it_is()
    running.agree()


def rejoin(cluster: Cluster, name: str = "cyd") -> tuple[bool, str]:
    """Have an agent open a stream to the seed, and what it is told."""
    (result,) = asked(cluster[name], "agent.join", addresses=[cluster.seed])["results"]
    return result["ok"], result["detail"]


# -- who listens


def words_of(cluster: Cluster) -> set[bytes]:
    """What a cluster says that somebody might like to know."""
    rows = asked(cluster["ada"], "members.list")["members"]
    said = {CLUSTER, "crimson", "scarlet", "payroll", "deploy", "tonight", "127.0.0.1", "colour"}
    return {word.encode() for word in said} | {bytes.fromhex(row["id"]) for row in rows}


def overheard(cluster: Cluster) -> tuple[list[bytes], list[bytes]]:
    """Everything in datagrams and in streams, once the cluster has said all that it might keep to itself."""
    cluster.register("ada", "payroll")
    with cluster["bob"].ask() as ask:
        ask.call("events.watch")
        asked(cluster["ada"], "events.send", name="deploy", payload="tonight")
        assert ask.line()["params"]["payload"] == "tonight"
    cluster.restart("bob")
    cluster.agree()
    until("it has heard of it again", lambda: cluster.instances("bob", "payroll"))
    relay = cluster.relay
    return (
        [each.data for each in relay.datagrams],
        [bytes(words) for each in relay.streams for words in (each.said, each.answered)],
    )


def test_an_eavesdropper_reads_nothing(cluster: Cluster, tmp_path: Path) -> None:
    datagrams, streams = overheard(cluster)
    secrets = words_of(cluster) | {KEY, KEY.hex().encode(), show_key(KEY).encode()}
    assert sum(map(len, datagrams)) > 2_000
    assert sum(map(len, streams)) > 2_000
    assert found(secrets, datagrams) == set()
    assert found(secrets, streams) == set()
    assert len(set(datagrams)) == len(datagrams)
    # In clear the same words are there, in both: what was looked for could have been found.
    with Cluster(tmp_path, "ada", "bob", secret=b"") as clear:
        datagrams, streams = overheard(clear)
        words = words_of(clear) - {CLUSTER.encode()}
        assert found(words, datagrams) == words
        assert found(words, streams) == words - {b"deploy", b"tonight"}


# -- who changes bits


def test_flipped_bits_of_datagrams_are_counted_and_change_nothing(
    cluster: Cluster, rng: random.Random
) -> None:
    """Some arrive changed before they arrive as they were, some arrive changed only."""
    flipped = 0

    def bent(data: bytes) -> list[bytes]:
        nonlocal flipped
        if rng.random() < 0.5:
            return [data]
        flipped += 1
        changed = flip(data, rng.randrange(8 * len(data)))
        return [changed] if rng.random() < 0.5 else [changed, data]

    def refused() -> int:
        return sum(counters(agent)[reason] for agent in cluster.agents.values() for reason in REFUSALS)

    held = [cluster.instances("bob", "payroll"), cluster.statuses("bob")]
    before = refused()
    with cluster["ada"].ask() as ask:
        ask.call("events.watch")
        cluster.relay.bend = bent
        names = {f"event-{number}" for number in range(20)}
        for name in sorted(names):
            asked(cluster["bob"], "events.send", name=name)
        until("many are changed", lambda: flipped > 40)
        told = [ask.line()["params"]["name"] for _ in names]
    cluster.relay.as_it_is()
    assert set(told) == names, "all came, and each once"
    cluster.agree()
    for name in cluster.agents:
        cluster.has_read(name)
    assert refused() - before == flipped + len(cluster.agents), "and three markers"
    assert [cluster.instances("bob", "payroll"), cluster.statuses("bob")] == held
    assert cluster.happened(*DEATHS) == []


def flip(data: bytes, bit: int) -> bytes:
    at = bit // 8 % len(data)
    return data[:at] + bytes((data[at] ^ 1 << bit % 8,)) + data[at + 1 :]


FIELDS = {
    "length": (0, "oversized"),
    "version": (4, "version"),
    "key id": (5, "sealed"),
    "session": (6, "cluster"),
    "counter": (29, "cluster"),
    "other session": (30, "cluster"),
    "body": (60, "cluster"),
    "tag": (-1, "cluster"),
}
"""Where a byte of a frame is changed, and what that is counted as."""


@pytest.mark.parametrize("field", FIELDS)
def test_flipped_bits_of_streams_are_counted_and_change_nothing(cluster: Cluster, field: str) -> None:
    """Of the caller's words, and of the answer to them."""
    at, reason = FIELDS[field]

    def bent(offset: int, data: bytes) -> bytes:
        return data if offset else flip(data, 8 * (at % len(data)))

    before = cluster.views()
    counted = {name: counters(cluster[name])[reason] for name in ("ada", "cyd")}
    cluster.relay.bend_said = bent
    ok, detail = rejoin(cluster)
    assert not ok
    assert detail.endswith(
        "broke the connection off, as one of another cluster, with another key or none does"
    )
    cluster.relay.as_it_is()
    cluster.relay.bend_answer = bent
    ok, detail = rejoin(cluster)
    assert not ok
    assert detail.endswith("does not speak this protocol, or is of another cluster")
    cluster.relay.as_it_is()
    for name, count in counted.items():
        cluster.counted(name, reason, count + 1)
        assert counters(cluster[name])[reason] == count + 1
    assert rejoin(cluster) == (True, "joined")
    assert cluster.views() == before
    assert cluster.happened(*DEATHS) == []


# -- who says again what was said


def past(cluster: Cluster) -> None:
    """Something to say again: a service that is gone since, an event that was told, a stream that is over."""
    relay = cluster.relay
    cluster.register("bob", "relic")
    with cluster["ada"].ask() as ask:
        ask.call("events.watch")
        asked(cluster["bob"], "events.send", name="blast")
        assert ask.line()["params"]["name"] == "blast"
    cluster.deregister("bob", "relic")
    assert rejoin(cluster) == (True, "joined")
    until("the stream is over", lambda: all(stream.over for stream in list(relay.streams)))


def test_a_replay_in_the_same_session_changes_nothing(cluster: Cluster) -> None:
    past(cluster)
    again, streams = cluster.relay.said("ada"), cluster.relay.calls("ada")
    before = cluster.views()
    assert cluster.repeat(again, "ada")["replayed"] == len(again) > 2
    count = counters(cluster["ada"])["replayed"]
    for said in streams:
        assert cluster.relay.call("ada", said) == b""
    cluster.counted("ada", "replayed", count + len(streams))
    assert len(streams) >= 1
    assert cluster.views() == before
    assert cluster.instances("ada", "relic") == []


def test_a_replay_to_another_agent_changes_nothing(cluster: Cluster) -> None:
    """Whom nobody said it to: its windows do not know of it."""
    past(cluster)
    again = cluster.relay.said("ada", "bob")
    before = cluster.views()
    cluster.repeat(again, "cyd")
    # All of them are known to it now.
    assert cluster.repeat(again, "cyd")["replayed"] == len(again) > 2
    said = cluster.relay.calls("ada")[-1]
    answer = cluster.relay.call("bob", said, once=True)
    assert found(words_of(cluster), [answer]) == set() != {answer}, "of no use to who has no key"
    assert cluster.relay.call("bob", said) == b"", "and none the second time"
    assert cluster.views() == before
    assert cluster.instances("cyd", "relic") == []


def test_a_replay_of_an_old_session_and_to_who_has_just_restarted_changes_nothing(
    cluster: Cluster, joins: list[bytes]
) -> None:
    """Its windows are empty, nobody else is heard, and what it hears is all from before."""
    past(cluster)
    again, streams = cluster.relay.said("ada"), joins[:1] + cluster.relay.calls("ada")
    cluster.relay.cut = True
    cluster.restart("ada", "bob")
    with cluster["ada"].ask() as ask:
        ask.call("events.watch")
        first = cluster.repeat(again, "ada")
        assert first["stale"] >= 2, "they say which life of the receiver they were meant for"
        assert cluster.repeat(again, "ada")["replayed"] == len(again) > 2
        for said in streams:
            cluster.relay.drop("ada", said)
        cluster.counted("ada", "stream", 1)
        assert cluster.instances("ada", "relic") == []
        cluster.relay.cut = False
        cluster.agree()
        # And once more to who knows everybody again.
        before = cluster.views()
        assert cluster.repeat(again, "ada")["replayed"] == len(again)
        count = counters(cluster["ada"])["replayed"]
        for said in streams:
            assert cluster.relay.call("ada", said) == b""
        cluster.counted("ada", "replayed", count + len(streams))
        assert cluster.views() == before
        assert cluster.instances("ada", "relic") == []
        asked(cluster["cyd"], "events.send", name="after")
        assert ask.line()["params"]["name"] == "after", "the old one was not told again"


def test_a_reflection_changes_nothing(cluster: Cluster, joins: list[bytes]) -> None:
    past(cluster)
    before = cluster.views()
    # From those to whom it was said.
    own = [each._replace(source=each.target) for each in cluster.relay.said(source="bob")]
    assert cluster.repeat(own, "bob")["own"] == len(own) > 2
    # Its own words in the place of an answer.
    count = counters(cluster["cyd"])["own"]
    cluster.relay.mirror = True
    ok, detail = rejoin(cluster)
    cluster.relay.mirror = False
    assert not ok
    assert detail.endswith("does not speak this protocol, or is of another cluster")
    assert counters(cluster["cyd"])["own"] == count + 1
    # And as somebody's call: who has joined hears it from itself, and from the other.
    for said in joins[:2]:
        for name in ("bob", "cyd"):
            cluster.relay.call(name, said)
    assert cluster.views() == before
    assert cluster.happened(*DEATHS) == []


# -- who is of another cluster


def test_an_agent_with_the_same_key_of_another_cluster_does_not_join(
    cluster: Cluster, tmp_path: Path
) -> None:
    before = cluster.views()
    key = cluster.common[cluster.common.index("--key-file") + 1]
    count = counters(cluster["ada"])["cluster"]
    with Process(tmp_path, "--cluster", "mint", "--key-file", key, name="eve") as eve:
        where = asked(eve, "agent.info")["addresses"]["gossip"]
        (there,) = asked(eve, "agent.join", addresses=[cluster.seed])["results"]
        (here,) = asked(cluster["ada"], "agent.join", addresses=[where])["results"]
        assert not there["ok"]
        assert not here["ok"]
        assert "as one of another cluster" in there["detail"]
        assert "as one of another cluster" in here["detail"]
        cluster.counted("ada", "cluster", count + 1)
        # What is said in the one cluster is noise in the other.
        heard = counters(eve)["cluster"]
        again = cluster.relay.said("bob")[-20:]
        host, _, port = where.rpartition(":")
        for each in again:
            cluster.relay.doors[each.source].datagrams.sendto(each.data, (host, int(port)))
        until("all is refused", lambda: counters(eve)["cluster"] == heard + len(again))
        assert [row["name"] for row in asked(eve, "members.list")["members"]] == ["eve"]
    assert cluster.views() == before


# -- who has the cluster's key


@pytest.fixture
def thief(cluster: Cluster) -> Iterator[Thief]:
    with Thief(cluster.relay, KEY, CLUSTER) as thief:
        yield thief


def known(cluster: Cluster, thief: Thief, *names: str) -> dict[str, MemberRecord]:
    """The members' own records, which who has the key can read."""
    for name in names or ("bob", "cyd"):
        assert rejoin(cluster, name) == (True, "joined")
    return thief.members()


@pytest.mark.parametrize("way", ["datagram", "stream"])
def test_words_that_are_forged_with_the_clusters_key_are_refused(
    cluster: Cluster, thief: Thief, way: str
) -> None:
    """In the name of a member, and with the thief's signature: accusations, services, a refutation."""
    if not cluster.instances("ada", "ledger"):
        cluster.register("bob", "ledger")
    tell = thief.tell if way == "datagram" else thief.tell_by_stream
    members = known(cluster, thief)
    bob, cyd = members["bob"], members["cyd"]
    newer = bob.version + 1_000_000
    words: list[Body] = [
        Accusation(bob.owner, cyd.owner, cyd.version, Kind.SILENT),
        Accusation(bob.owner, cyd.owner, cyd.version, Kind.REFUSED),
        ServiceRecord(bob.owner, newer, "ledger", "ledger", "10.66.6.6", 80, (), {}, 1),
        ServiceRecord(bob.owner, newer, "trap", "trap", "10.66.6.6", 80, (), {}, 1),
        StatusRecord(bob.owner, newer, "ledger", (("up", 2),), maintenance=True, note="gone"),
        Deletion(bob.owner, newer, "ledger"),
        msgspec.structs.replace(bob, version=newer, port=9),
        msgspec.structs.replace(bob, version=newer, phase=2),
    ]
    before = cluster.views()
    count = counters(cluster["ada"])
    # From nobody, and in the name of who is said to have said it.
    for number, sender in enumerate((thief.id, bob.owner)):
        salt = 2 * number + (way == "stream")
        tell("ada", *[thief.signed(resalted(word, salt)) for word in words], sender=sender)
        cluster.counted("ada", "signature", count["signature"] + (number + 1) * len(words))
    # Its own accusation is well signed, and nobody's.
    own = thief.identity.issue(Accusation(thief.id, cyd.owner, cyd.version, Kind.REFUSED))
    tell("ada", own.raw)
    cluster.counted("ada", "accuser_unknown", count["accuser_unknown"] + 1)
    assert counters(cluster["ada"])["signature"] == count["signature"] + 2 * len(words)
    assert cluster.views() == before
    assert cluster.instances("ada", "trap") == []
    assert cluster.happened(*DEATHS) == []


def resalted(body: Body, salt: int) -> Body:
    """The same in other bytes, where what was refused once is not looked at again."""
    return (
        body if isinstance(body, Accusation) else msgspec.structs.replace(body, version=body.version + salt)
    )


def test_nobody_is_let_in_by_a_forged_record(cluster: Cluster, thief: Thief) -> None:
    bob = known(cluster, thief)["bob"]
    before, count = cluster.views(), counters(cluster["ada"])["identity"]
    forged = thief.signed(msgspec.structs.replace(bob, version=bob.version + 1))
    assert thief.greet("ada", forged, sender=bob.owner) == [
        Turned("the signature of the member record is wrong")
    ]
    mine = thief.signed(msgspec.structs.replace(bob, public_key=thief.identity.public_key))
    assert thief.greet("ada", mine, sender=bob.owner) == [Turned("the member record is malformed")]
    assert counters(cluster["ada"])["identity"] == count + 1
    assert cluster.views() == before


def test_a_forged_refutation_saves_nobody(cluster: Cluster, thief: Thief) -> None:
    bob = known(cluster, thief)["bob"]
    version = bob.version + 1_000_000
    count = counters(cluster["ada"])["signature"]
    cluster["bob"].signal(signal.SIGSTOP)
    try:
        told = 0

        def dies() -> bool:
            nonlocal told
            status = cluster.statuses("ada")["bob"]
            if status == "suspect":
                told += 1
                for name in ("ada", "cyd"):
                    thief.tell(name, thief.signed(msgspec.structs.replace(bob, version=version + told)))
            return status == "dead"

        until("it is held dead", dies)
        assert told > 5
        cluster.counted("ada", "signature", count + told)
    finally:
        cluster["bob"].signal(signal.SIGCONT)
    cluster.agree()


# -- who has the key, and no invitation


def test_the_clusters_key_without_an_invitation_is_seen_by_nobody(tmp_path: Path) -> None:
    with (
        Cluster(tmp_path, "ada", "bob", invited=True) as cluster,
        Thief(cluster.relay, KEY, CLUSTER) as thief,
    ):
        bob = known(cluster, thief, "bob")["bob"]
        before = cluster.views()
        # An agent as it comes, with the key alone.
        with Process(tmp_path, *cluster.common, "--join", cluster.seed, name="eve") as eve:
            (result,) = asked(eve, "agent.join", addresses=[cluster.seed])["results"]
            assert not result["ok"]
            assert "not let in: it has no invitation" in result["detail"]
            assert [row["name"] for row in asked(eve, "members.list")["members"]] == ["eve"]
        # A program of its own: without a warrant, or with one that it has read on the wire.
        assert bob.warrant
        for name, warrant in (("mallory", b""), ("mallory", bob.warrant), ("bob", bob.warrant)):
            (turned,) = thief.greet("ada", thief.record(name, warrant=warrant))
            assert isinstance(turned, Turned)
            assert "not let in: it has no invitation" in turned.reason
        refused = {row["name"] for row in cluster.happened("member_refused")}
        assert {"eve", "mallory"} <= refused <= {"eve", "mallory", "bob"}
        # What it says is nobody's, whoever is named as who passes it on.
        record = thief.record("mallory")
        accusation = thief.identity.issue(Accusation(thief.id, bob.owner, bob.version, Kind.REFUSED)).raw
        service = thief.identity.issue(ServiceRecord(thief.id, 1, "trap", "trap", "", 80, (), {}, 1)).raw
        for sender in (thief.id, bob.owner):
            thief.tell("ada", record, accusation, service, sender=sender)
            thief.tell_by_stream("ada", record, accusation, service, sender=sender)
        cluster.counted("ada", "accuser_unknown", 4)
        cluster.counted("ada", "orphan", 4)
        assert counters(cluster["ada"])["unwarranted"] >= 4
        assert cluster.views() == before
        assert cluster.instances("ada", "trap") == []
        assert cluster.happened(*DEATHS, "member_suspected") == []
