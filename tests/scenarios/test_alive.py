"""Scenarios 21 to 30: what a member says of itself, and what is made of it."""

from __future__ import annotations

import itertools
import random

import pytest

from gossip.core.effects import Send
from gossip.core.events import EventKind
from gossip.core.messages import Gossip, Hello, Turned, Verdict
from gossip.core.records import Accusation, Deletion, Fact, MemberRecord, ServiceRecord
from gossip.core.types import Address, Phase, Status
from gossip.errors import LocalProtocolError
from tests.core.rig import HOME, INCARNATION, Peer, Rig
from tests.world import about, cluster, puppet, say

ELSEWHERE: Address = ("10.7.7.7", 7_947)


def bring(rig: Rig, x: Peer, accuser: Peer, status: Status) -> None:
    """Have the node hold `x` so."""
    match status:
        case Status.SUSPECT:
            rig.hear(accuser, accuser.accuse(x))
        case Status.DEAD:
            x.acks = False
            rig.run_until(lambda: rig.status(x) is Status.DEAD)
        case Status.LEFT:
            rig.hear(accuser, x.again(phase=Phase.LEAVING))
    assert rig.status(x) is status
    rig.quieten()


def test_a_new_node_is_added_told_and_gossiped_on() -> None:
    """Scenario 21."""
    rig = Rig()
    a, b = rig.members(2)
    x = rig.peer("x")
    rig.hear(a, x.current)
    assert rig.status(x) is Status.ALIVE
    assert rig.about(x) == [EventKind.MEMBER_JOINED]
    assert b.got(Gossip) == [Gossip(rig.id, (x.current.raw,), life=1)], "at once"
    assert a.got(Gossip) == [], "never back to whom it came from"


def test_nobody_enters_by_its_own_word() -> None:
    """Scenario 21: it is introduced, by a seed that has reached it; others trust the relay."""
    rig = Rig()
    (a,) = rig.members(1)
    x = rig.peer("x")
    rig.hear(x, x.current)
    assert rig.status(x) is None
    assert rig.node.counters["uninvited"] == 1
    rig.hear(a, x.current)
    assert rig.status(x) is Status.ALIVE
    rig.hear(x, x.again(tags={"a": "1"}))
    assert rig.member(x).record.tags == {"a": "1"}, "a member speaks for itself"


def test_the_same_twice_is_one_event_and_one_piece_of_news() -> None:
    """Scenario 22: from several, in one packet and in many."""
    rig = Rig()
    a, b, c = rig.members(3)
    x = rig.peer("x")
    for relayer in (a, b, a, c):
        rig.hear(relayer, x.current, x.current)
        rig.run(0.3)
    assert rig.about(x) == [EventKind.MEMBER_JOINED]
    rig.run(10)
    rig.quieten()
    rig.hear(a, x.current)
    rig.run(2)
    assert x.current.raw not in b.got_news() + c.got_news(), "what changes nothing is not passed on"


def test_a_newer_record_ends_a_suspicion_and_is_no_join() -> None:
    """Scenario 23."""
    rig = Rig()
    a, b, x = rig.members(3)
    bring(rig, x, a, Status.SUSPECT)
    rig.hear(b, x.again())
    assert rig.status(x) is Status.ALIVE
    assert rig.about(x)[1:] == [EventKind.MEMBER_SUSPECTED, EventKind.MEMBER_REFUTED]
    assert not rig.member(x).accusations
    rig.run(60)
    assert rig.about(x)[-1] is EventKind.MEMBER_REFUTED, "its clock does not run on"
    assert rig.status(x) is Status.ALIVE


def test_a_refutation_takes_the_accusations_out_of_the_queue() -> None:
    """Scenario 23."""
    rig = Rig()
    a, *_, x = rig.members(20)
    charge = a.accuse(x)
    rig.hear(a, charge)
    rig.hear(a, x.again())
    rig.quieten_peers()
    rig.run(5)
    assert all(charge.raw not in peer.got_news() for peer in rig.peers)
    assert any(x.current.raw in peer.got_news() for peer in rig.peers)


def test_a_change_is_told_as_an_update_and_a_mere_rise_is_not() -> None:
    """Scenario 24."""
    rig = Rig()
    a, x = rig.members(2)
    rig.hear(a, x.again(tags={"rack": "7"}))
    assert rig.about(x) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_UPDATED]
    assert rig.member(x).record.tags == {"rack": "7"}
    rig.hear(a, x.again(tags={"rack": "7"}))
    assert rig.about(x) == [EventKind.MEMBER_JOINED, EventKind.MEMBER_UPDATED]
    assert rig.member(x).incarnation == x.version


@pytest.mark.parametrize("status", [Status.ALIVE, Status.SUSPECT, Status.DEAD])
def test_of_two_texts_of_one_version_all_keep_the_same(status: Status) -> None:
    """Scenario 24: the one with the larger hash, whichever came first; the status stays as it is."""
    kept = set()
    for flip in (False, True):
        rig = Rig()
        a, x = rig.members(2)
        x.again()
        texts = [x.say(tags={"text": word}) for word in "ab"]
        rig.hear(a, texts[flip])
        bring(rig, x, a, status)
        accusations = dict(rig.member(x).accusations)
        rig.hear(a, texts[not flip])
        rig.hear(a, texts[flip])
        assert rig.status(x) is status
        assert rig.member(x).accusations == accusations
        kept.add(rig.member(x).fact.raw)
    assert kept == {max(texts, key=lambda fact: fact.hash).raw}


def foreign(rig: Rig, version: int, **changes: object) -> Fact:
    """A record under the node's own key that this life did not write."""
    node = rig.node
    fields = {name: getattr(node._own.me.record, name) for name in MemberRecord.__struct_fields__}
    return rig.notary.issue(MemberRecord(**{**fields, "boot": 1, "birth": 1, "version": version, **changes}))


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.LEAVING])
@pytest.mark.parametrize("ahead", [1, 500])
def test_a_record_of_a_former_life_is_outdone(ahead: int, phase: Phase) -> None:
    """Scenario 25: alive or left makes no difference, and it is told at once."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, foreign(rig, INCARNATION + ahead, tags={"old": "1"}, phase=phase))
    assert rig.node.incarnation == INCARNATION + ahead + 1
    mine = rig.node._own.me.record
    assert (mine.tags, mine.phase) == ({}, Phase.RUNNING)
    assert a.got_news() == [rig.node._own.me.fact.raw]
    assert rig.node.health == 0


def test_of_the_same_version_the_larger_hash_wins_and_is_outdone_if_it_is_not_mine() -> None:
    """Scenario 25: a fast restart within one version."""
    outcomes = set()
    for text in range(20):
        rig = Rig()
        (a,) = rig.members(1)
        other = foreign(rig, INCARNATION, tags={"old": str(text)})
        mine = rig.node._own.me.fact
        rig.hear(a, other)
        raised = rig.node.incarnation > INCARNATION
        assert raised is (other.hash > mine.hash)
        outcomes.add(raised)
    assert outcomes == {True, False}


def test_an_older_record_of_mine_changes_nothing() -> None:
    """Scenario 25."""
    rig = Rig()
    (a,) = rig.members(1)
    effects = rig.hear(a, foreign(rig, INCARNATION - 1))
    assert rig.node.incarnation == INCARNATION
    assert effects == []


@pytest.mark.parametrize("status", Status)
def test_another_address_is_taken_at_once_when_signed_and_newer(status: Status) -> None:
    """Scenarios 26 and 27: whatever the member is held for; only it can have said so."""
    rig = Rig()
    a, x = rig.members(2)
    bring(rig, x, a, status)
    rig.hear(a, x.again(host=ELSEWHERE[0]))
    assert rig.member(x).address == ELSEWHERE
    assert rig.status(x) is Status.ALIVE
    assert rig.member(x).flags == ()


@pytest.mark.parametrize("age", [-1, 0])
@pytest.mark.parametrize("status", Status)
def test_a_late_packet_with_another_address_revives_nobody(status: Status, age: int) -> None:
    """Scenarios 26 and 27: not even one who left."""
    rig = Rig()
    a, x = rig.members(2)
    rig.hear(a, x.again())
    bring(rig, x, a, status)
    held = rig.member(x)
    old = x.say(version=held.incarnation + age, host=ELSEWHERE[0])
    if old.hash > held.fact.hash and age == 0:
        return  # of one version, the larger hash is the record: see scenario 24
    rig.hear(a, old)
    assert rig.member(x).address != ELSEWHERE
    assert rig.status(x) is status


def test_an_address_that_nobody_signed_is_refused() -> None:
    """Scenarios 26 and 27: forged by another member, and by whoever copies its public key."""
    rig = Rig()
    a, x = rig.members(2)
    true = x.say(version=x.version + 1, host=ELSEWHERE[0])
    forged = a.notary.sign(true.raw[64:]) + true.raw[64:]
    effects = rig.feed(Gossip(a.id, (forged,)), a)
    assert effects == []
    assert rig.node.counters["signature"] == 1
    assert rig.member(x).address != ELSEWHERE


def test_a_member_that_moved_is_followed() -> None:
    """Scenario 26, in a cluster: killed, and back at another address before anybody noticed."""
    world = cluster(4, seed=26)
    x = world.hosts[2]
    world.restart(x, address="new")
    world.run_until(world.converged, limit=30)
    for host in world.running():
        member = host.node.members.get(x.id)
        assert host is x or (member is not None and member.address == x.address)
        assert EventKind.MEMBER_FAILED not in about(host, x)


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.LEAVING])
def test_a_leaver_that_hears_itself_alive_leaves_again(phase: Phase) -> None:
    """Scenario 28: it signs `left` above what it heard, and joins nothing."""
    rig = Rig()
    a, b = rig.members(2)
    rig.do(rig.node.leave)
    left = rig.node.incarnation
    rig.hear(a, foreign(rig, left + 7, phase=phase))
    mine = rig.node._own.me.record
    assert (mine.version, mine.phase) == (left + 8, Phase.LEAVING)
    rig.run(0.3)
    assert rig.node._own.me.fact.raw in a.got_news() + b.got_news()


def test_a_leaver_that_hears_its_own_former_record_does_nothing() -> None:
    """Scenario 28."""
    rig = Rig()
    (a,) = rig.members(1)
    former = rig.node._own.me.fact
    rig.do(rig.node.leave)
    left = rig.node.incarnation
    rig.hear(a, former)
    rig.hear(a, a.accuse(rig))
    assert rig.node.incarnation == left
    assert rig.node._own.me.record.phase == Phase.LEAVING


def test_versions_that_are_not_shared_are_refused() -> None:
    """Scenario 29: for a new member and for an update, and a later record that shares one is taken."""
    rig = Rig()
    a, x = rig.members(2)
    y = rig.peer("y")
    held = rig.member(x).fact
    rig.hear(a, y.again(protocol_min=2, protocol_max=3))
    rig.hear(a, x.again(protocol_min=2, protocol_max=3))
    assert rig.status(y) is None
    assert rig.member(x).fact is held
    assert rig.node.counters["protocol_range"] == 2
    rig.hear(a, y.again(protocol_min=1, protocol_max=3))
    assert rig.status(y) is Status.ALIVE


def test_versions_that_make_no_sense_can_not_be_said() -> None:
    """Scenario 29."""
    rig = Rig()
    x = rig.peer("x")
    for low, high in ((2, 1), (0, 300), (-1, 1)):
        with pytest.raises(LocalProtocolError):
            x.say(protocol_min=low, protocol_max=high)


def test_a_joiner_without_a_shared_version_is_told_so() -> None:
    """Scenario 29."""
    rig = Rig()
    x = rig.peer("x")
    record = x.again(protocol_min=2, protocol_max=2)
    stream = rig.node.stream_accepted(x.address, rig.now)
    assert stream is not None
    effects = rig.frame(stream, Hello(x.id, record.raw, True, rig.view, bytes(2_048)))
    (turned,) = [frame for effect in effects if isinstance(frame := getattr(effect, "frame", None), Turned)]
    assert "1 to 1 here, 2 to 2 there" in turned.reason
    assert rig.status(x) is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "224.0.0.1", "localhost", "10.0.0.01"])
def test_an_address_of_no_host_can_not_be_said(host: str) -> None:
    """Scenario 30."""
    x = Rig().peer("x")
    with pytest.raises(LocalProtocolError):
        x.say(host=host)


def test_the_nodes_own_address_is_nobody_elses() -> None:
    """Scenario 30: so that a former identity of this host is never learnt, nor comes back."""
    rig = Rig()
    a, x = rig.members(2)
    stranger = rig.peer("former", HOME)
    rig.hear(a, stranger.current)
    assert rig.status(stranger) is None
    bring(rig, x, a, Status.DEAD)
    rig.hear(a, x.again(host=HOME[0], port=HOME[1]))
    assert rig.status(x) is Status.DEAD
    assert rig.node.counters["own_address"] == 2


def test_loopback_is_refused_to_who_comes_from_another_host() -> None:
    """Scenario 30."""
    rig = Rig()
    x = rig.peer("x")
    record = x.again(host="127.0.0.1")
    stream = rig.node.stream_accepted(("10.0.0.9", 40_000), rig.now)
    assert stream is not None
    effects = rig.frame(stream, Hello(x.id, record.raw, True, rig.view, bytes(2_048)))
    frames = [frame for effect in effects if (frame := getattr(effect, "frame", None)) is not None]
    (verdict,) = frames
    assert isinstance(verdict, Verdict)
    assert not verdict.reached
    assert (verdict.address, verdict.seen) == (("127.0.0.1", 7_947), ("10.0.0.9", 40_000))
    assert rig.status(x) is None


def test_two_at_one_address_are_flagged_until_one_is_gone() -> None:
    """Scenario 26, ours: a conflict is of two members that live, and both are told of."""
    rig = Rig()
    a, x, y = rig.members(3)
    rig.hear(a, y.again(host=x.address[0]))
    assert rig.member(x).flags == rig.member(y).flags == ("address_conflict",)
    rig.hear(a, y.again(host=ELSEWHERE[0]))
    assert rig.member(x).flags == rig.member(y).flags == ()


def test_news_travels_to_every_node_once() -> None:
    """Scenarios 21 and 22, in a cluster that loses and repeats packets: one event at each."""
    world = cluster(7, seed=21, loss=0.1, duplication=0.3)
    host, core = puppet(world, *world.hosts[3:6])
    world.run_until(lambda: all(other.sees(host) is Status.ALIVE for other in world.hosts[:7]), limit=20)
    for tags in ({"a": "1"}, {"a": "2"}):
        news = core.news(core.record(tags=tags))
        say(host, *[Send(other.address, news) for other in world.hosts[3:6]])
        world.run(10)
    for other in world.hosts[:7]:
        joined, *rest = [kind for kind in about(other, host) if kind is not EventKind.MEMBER_FLAGGED]
        assert joined is EventKind.MEMBER_JOINED
        assert rest == [EventKind.MEMBER_UPDATED] * 2


# -- any order of arrival


class Story:
    """Facts of one owner, and of those who accuse it, as they may arrive: in any order, any often."""

    def __init__(self, chance: random.Random) -> None:
        self.rig = rig = Rig(chance.randrange(100))
        self.relayers = rig.members(5)
        self.x = rig.peer("x")
        self.facts: list[Fact] = []
        floor = 0
        for version in range(INCARNATION, INCARNATION + chance.randrange(1, 7)):
            if chance.random() < 0.2:
                floor = min(version, floor + chance.randrange(400, 900))
            phase = Phase.LEAVING if chance.random() < 0.25 else Phase.RUNNING
            tags = {"rack": str(chance.randrange(2))}
            self.facts.append(self.x.say(version=version, phase=phase, floor=floor, tags=tags))
        for version in range(1, 1_000, 90):
            key = chance.choice("abc")
            gone = chance.random() < 0.3
            self.facts.append(self.x.deletion(key, version) if gone else self.x.service(key, version))
        for accuser in self.relayers[1:]:
            at = INCARNATION + chance.randrange(7)
            self.facts.append(accuser.accuse(self.x, incarnation=at))

    def deliver(self, chance: random.Random) -> None:
        """All facts once, some twice, in packets of any size, by anybody."""
        pile = self.facts + chance.sample(self.facts, len(self.facts) // 3)
        chance.shuffle(pile)
        while pile:
            count = chance.randrange(1, 5)
            packet, pile = pile[:count], pile[count:]
            self.rig.hear(chance.choice(self.relayers), *packet)

    def outcome(self) -> tuple[object, ...]:
        member = self.rig.member(self.x)
        services = sorted(fact.raw for fact in member.services.values())
        return member.status, member.fact.raw, services, sorted(member.accusations)

    def expected(self) -> tuple[object, ...]:
        """Worked out from the set of facts, whatever came when."""
        records = [(body, fact.raw) for fact in self.facts if isinstance(body := fact.body, MemberRecord)]
        top, raw = max(records, key=lambda record: record[0].version)
        newest: dict[str, tuple[int, bytes]] = {}
        accusers = []
        for fact in self.facts:
            body = fact.body
            if isinstance(body, Accusation):
                if body.incarnation == top.version and top.phase == Phase.RUNNING:
                    accusers.append(body.owner)
            elif isinstance(body, ServiceRecord | Deletion) and body.version >= top.floor:
                newest[body.key] = max(newest.get(body.key, (0, b"")), (body.version, fact.raw))
        left = top.phase == Phase.LEAVING
        status = Status.LEFT if left else Status.SUSPECT if accusers else Status.ALIVE
        return status, raw, sorted(fact for _, fact in newest.values()), sorted(accusers)


@pytest.mark.parametrize("run", range(60))
def test_any_order_of_arrival_ends_in_one_view(run: int, seed: int) -> None:
    """Scenarios 21 to 27, 31 to 33 and 37: delivered twice, in any order, in packets of any size."""
    chance = random.Random(seed + run)
    story = Story(random.Random(chance.random()))
    first = random.Random(chance.random())
    story.deliver(first)
    story.deliver(first)
    assert story.outcome() == story.expected()

    fingerprint = story.rig.node.fingerprint
    events = len(story.rig.events)
    effects = len(story.rig.effects)
    story.deliver(first)
    assert story.outcome() == story.expected()
    assert story.rig.node.fingerprint == fingerprint
    assert len(story.rig.events) == events, "what is known is no event"
    fetches = {"Dial", "Write"}
    new = [type(effect).__name__ for effect in story.rig.effects[effects:]]
    assert set(new) <= fetches, "and no news; accusations of what is not known yet are asked about"


@pytest.mark.parametrize("phases", list(itertools.product([Phase.RUNNING, Phase.LEAVING], repeat=3)))
def test_the_last_word_counts_in_every_order(phases: tuple[Phase, ...]) -> None:
    """Scenarios 27 and 47: each of the 6 orders of 3 versions, each of them alive or leaving."""
    for order in itertools.permutations(range(3)):
        rig = Rig()
        (a,) = rig.members(1)
        x = rig.peer("x")
        facts = [x.say(version=INCARNATION + at, phase=phase) for at, phase in enumerate(phases)]
        for at in order:
            rig.hear(a, facts[at])
        assert rig.status(x) is (Status.LEFT if phases[2] is Phase.LEAVING else Status.ALIVE)
        assert rig.member(x).fact is facts[2]
        joined = rig.about(x).count(EventKind.MEMBER_JOINED)
        gone = rig.about(x).count(EventKind.MEMBER_LEFT)
        assert joined - gone == (phases[2] is Phase.RUNNING)
