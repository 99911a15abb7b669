"""Who may be a member: invitations, who has used them first, and bans."""

from __future__ import annotations

import pytest

from gossip.core.events import EventKind
from gossip.core.gate import TOLD_BURST, used_bytes
from gossip.core.messages import Gossip, Hello, Listing, NotMe, Ping, Turned, Used
from gossip.core.params import LAN
from gossip.core.pings import not_me_bytes
from gossip.core.records import Fact
from gossip.core.types import Kind, NodeId, Status
from gossip.errors import RefusedError
from tests.core.rig import HOME, INCARNATION, Peer, Rig

BUCKETS = bytes(2_048)
SECRET = b"i" * 32


def invited(rig: Rig, peer: Peer, secret: bytes = SECRET, *, name: str = "", expires: int = 1 << 40) -> Peer:
    """The peer, with a warrant of an invitation."""
    peer.fields["warrant"] = rig.authority.invite(peer.id, secret, name=name, expires=expires)
    peer.say()
    return peer


def vouched(rig: Rig, count: int) -> list[Peer]:
    """Members, each with an invitation of its own."""
    peers = [rig.peer() for _ in range(count)]
    for peer in peers:
        peer.fields["warrant"] = rig.authority.vouch(peer.id)
        peer.say()
        rig.introduce(peer)
    rig.quieten()
    return peers


def reasons(rig: Rig) -> list[str]:
    return [event.detail for _, event in rig.events if event.kind is EventKind.MEMBER_REFUSED]


# -- admission -------------------------------------------------------------------------------------


def test_who_is_not_invited_is_refused_counted_and_told_of_once() -> None:
    rig = Rig(invited_only=True)
    stranger = rig.peer()
    for _ in range(3):
        rig.introduce(stranger)
    assert rig.status(stranger) is None
    assert rig.node.counters["unwarranted"] == 3
    assert reasons(rig) == ["it has no invitation of this cluster's authority (`gossip invite`)"]


def test_who_is_invited_becomes_a_member() -> None:
    rig = Rig(invited_only=True)
    rig.introduce(invited(rig, rig.peer()))
    assert rig.status(rig.peers[0]) is Status.ALIVE
    assert reasons(rig) == []


def test_where_admission_is_open_everybody_is_let_in() -> None:
    rig = Rig(invited_only=False)
    rig.introduce(rig.peer())
    assert rig.status(rig.peers[0]) is Status.ALIVE


def test_an_invitation_for_another_name_is_of_no_use() -> None:
    rig = Rig(invited_only=True)
    rig.introduce(invited(rig, rig.peer(), name="db-3"))
    assert rig.status(rig.peers[0]) is None
    assert rig.node.counters["warrant_name"] == 1
    assert reasons(rig) == ["it was invited as 'db-3', and calls itself otherwise"]


def test_who_is_born_after_the_end_of_an_invitation_has_not_used_it_in_time() -> None:
    """Who was born before may come at any time: a cluster that was down for a week starts by itself."""
    rig = Rig(invited_only=True)
    early, late = rig.peer(), rig.peer()
    for peer, birth, secret in ((early, 4_000, b"e" * 32), (late, 4_001, b"l" * 32)):
        peer.fields["birth"] = peer.version = birth
        rig.introduce(invited(rig, peer, secret, expires=4))
    assert (rig.status(early), rig.status(late)) == (Status.ALIVE, None)
    assert rig.node.counters["warrant_expired"] == 1
    assert reasons(rig) == ["its invitation had expired before it was used"]


def test_a_member_that_was_invited_by_one_name_cannot_take_another() -> None:
    rig = Rig(invited_only=True)
    peer = invited(rig, rig.peer(name="db-3"), name="db-3")
    rig.introduce(peer)
    rig.hear(peer, peer.again(name="db-4"))
    assert rig.member(peer).name == "db-3"
    assert rig.node.counters["warrant_name"] == 1


def test_the_signatures_of_a_warrant_are_checked_once() -> None:
    """A refutation says the same again: its own signature is all that is new."""
    rig = Rig(invited_only=True)
    peer = invited(rig, rig.peer())
    rig.introduce(peer)
    before = rig.notary.checks
    rig.hear(peer, peer.again())
    assert rig.notary.checks == before + 1


def test_a_joiner_is_turned_away_with_the_reason() -> None:
    rig = Rig(invited_only=True)
    stranger = rig.peer()
    stream = rig.node.stream_accepted(stranger.address, rig.now)
    assert stream is not None
    rig.frame(stream, Hello(stranger.id, stranger.current.raw, True, rig.view, BUCKETS))
    (turned,) = rig.frames(stream)
    assert isinstance(turned, Turned)
    assert "not let in: it has no invitation" in turned.reason
    assert not [each for each in rig.sent(Ping) if each.target == stranger.id], "and its address is not tried"


def test_nothing_is_exchanged_with_who_is_no_member() -> None:
    """A stolen cluster key makes nobody a seed: a joiner gives it no view, and believes it nothing."""
    rig = Rig(invited_only=True)
    impostor = rig.peer()
    rig.do(lambda now: rig.node.join(["seed"], now))
    rig.do(lambda now: rig.node.resolved("seed", [impostor.address], "", now))
    stream = rig.dialled(impostor.address)
    before = len(rig.frames(stream))
    rig.frame(stream, used(rig, impostor, (b"i" * 32, impostor.id)))
    assert rig.node._gate.to_tell() == []
    listing = Listing(impostor.id, impostor.current.raw, rig.view, ((0, b"x" * 8, b""),), ())
    rig.frame(stream, listing)
    assert len(rig.frames(stream)) == before
    assert len(rig.node.members) == 0
    (done,) = [event for _, event in rig.events if event.kind is EventKind.JOIN_DONE]
    assert not done.ok


def test_a_stranger_at_a_members_address_is_no_evidence_unless_it_is_invited() -> None:
    """Otherwise a stolen cluster key and a place in the network would replace any member."""
    rig = Rig(invited_only=True)
    member, _ = vouched(rig, 2)
    member.acks = False
    rig.run_until(lambda: [ping for ping in rig.sent(Ping) if ping.target == member.id])
    ping = [each for each in rig.sent(Ping) if each.target == member.id][-1]
    impostor = rig.peer(address=("10.9.9.9", 1))
    record = impostor.again(host=member.address[0], port=member.address[1])
    signed = impostor.notary.sign(not_me_bytes(ping.seq, ping.target, ping.address))
    rig.feed(NotMe(ping.seq, ping.address, record.raw, signed), impostor.address)
    assert rig.node.counters["not_me_unproven"] == 1


def test_a_flood_of_made_up_nodes_is_no_flood_of_events() -> None:
    rig = Rig(invited_only=True)
    for _ in range(50):
        rig.introduce(rig.peer())
    assert rig.node.counters["unwarranted"] == 50
    assert len(reasons(rig)) == TOLD_BURST
    assert len(rig.node.members) == 0


# -- one invitation, one node ----------------------------------------------------------------------


def two(rig: Rig, births: tuple[int, int] = (5, 6)) -> list[Peer]:
    """Two peers with one invitation."""
    peers = [rig.peer(), rig.peer()]
    for peer, birth in zip(peers, births, strict=True):
        peer.fields["birth"] = birth
        invited(rig, peer)
    return peers


def test_the_second_use_of_an_invitation_is_refused_and_names_the_first() -> None:
    rig = Rig(invited_only=True)
    first, second = two(rig)
    rig.introduce(first)
    rig.introduce(second)
    assert (rig.status(first), rig.status(second)) == (Status.ALIVE, None)
    assert reasons(rig) == [f"its invitation was used before, by 'p1' ({first.id.hex()[:8]})"]


def test_of_two_at_one_time_all_keep_the_same() -> None:
    """In whatever order they hear of them."""
    for order in ((0, 1), (1, 0)):
        rig = Rig(invited_only=True)
        peers = two(rig)
        for number in order:
            rig.introduce(peers[number])
        assert [rig.status(peer) for peer in peers] in (
            [Status.ALIVE, None],
            [Status.ALIVE, Status.LEFT],
        )
        rig.hear(peers[1], peers[1].again())
        assert rig.status(peers[1]) is not Status.ALIVE, "and it does not come back"


def test_an_early_birth_drives_nobody_out_who_is_known_for_a_while() -> None:
    """Whoever finds an old token may name any birth."""
    rig = Rig(invited_only=True)
    victim, thief = two(rig, (500, 1))
    rig.introduce(victim)
    rig.run(LAN.invitation_settles + 1)
    rig.introduce(thief)
    assert (rig.status(victim), rig.status(thief)) == (Status.ALIVE, None)
    assert rig.node.counters["warrant_used"] == 1


def test_a_used_invitation_stays_used_when_its_node_is_gone_and_after_a_restart() -> None:
    rig = Rig(invited_only=True)
    first, second = two(rig)
    rig.introduce(first)
    rig.hear(first, first.again(phase=1))
    later = Rig(invited_only=True, used=rig.node.used_invitations, archive=rig.archive)
    later.introduce(second)
    assert later.status(second) is None
    assert reasons(later) == [f"its invitation was used before, by {first.id.hex()}"]
    later.introduce(first)
    assert later.status(first) is Status.LEFT, "its own it may use again"


def test_the_node_s_own_invitation_is_nobody_elses() -> None:
    rig = Rig(invited_only=True)
    mine = rig.notary
    warrant = rig.authority.invite(mine.id, SECRET)
    own = Rig(invited_only=True, warrant=warrant, archive=rig.archive)
    thief = invited(own, own.peer())
    own.introduce(thief)
    assert own.status(thief) is None
    assert reasons(own) == [f"its invitation was used before, by 'me' ({mine.id.hex()[:8]})"]


def used(rig: Rig, giver: Peer, *holders: tuple[bytes, NodeId]) -> Used:
    """As that peer says it to this node."""
    return Used(rig.notary.id, holders, giver.notary.sign(used_bytes(rig.notary.id, holders)))


def told(rig: Rig, *said: tuple[bytes, NodeId]) -> None:
    """Join by an invited seed, which says so of invitations."""
    seed = rig.peer()
    seed.fields["warrant"] = rig.authority.vouch(seed.id)
    seed.say()
    rig.do(lambda now: rig.node.join(["seed"], now))
    rig.do(lambda now: rig.node.resolved("seed", [seed.address], "", now))
    stream = rig.dialled(seed.address)
    rig.frame(stream, Listing(seed.id, seed.current.raw, rig.view, ((0, b"y" * 8, b""),), ()))
    rig.frame(stream, used(rig, seed, *said))


@pytest.mark.parametrize("wrong", ["signer", "recipient", "words"])
def test_a_recorded_record_lets_nobody_speak_of_invitations(wrong: str) -> None:
    """Who has the key and no invitation shows a member's record and lies in its name."""
    rig = Rig(invited_only=True)
    seed, other = vouched(rig, 2)
    victim = invited(rig, rig.peer())
    said = used(rig, seed, (invitation(rig, victim), b"x" * 16))
    if wrong == "signer":
        said = used(rig, other, *said.holders)
    elif wrong == "recipient":
        data = used_bytes(other.id, said.holders)
        said = Used(other.id, said.holders, seed.notary.sign(data))
    else:
        said = Used(said.recipient, (*said.holders, (b"y" * 32, b"y" * 16)), said.signature)
    lonely = Rig(invited_only=True, archive=rig.archive)
    lonely.do(lambda now: lonely.node.join(["seed"], now))
    lonely.do(lambda now: lonely.node.resolved("seed", [seed.address], "", now))
    stream = lonely.dialled(seed.address)
    lonely.frame(stream, Listing(seed.id, seed.current.raw, rig.view, ((0, b"y" * 8, b""),), ()))
    lonely.frame(stream, said)
    assert lonely.node._gate.to_tell() == []
    lonely.introduce(victim)
    assert lonely.status(victim) is Status.ALIVE


def invitation(rig: Rig, peer: Peer) -> bytes:
    warrant = rig.notary.warrant(peer.current.body)  # type: ignore[arg-type]
    assert warrant is not None
    return warrant.holder


def test_what_a_seed_says_of_invitations_is_not_kept_on_disk() -> None:
    """It may lie; who joins by another in its next life, knows no more of it."""
    rig = Rig(invited_only=True)
    victim = invited(rig, rig.peer())
    told(rig, (invitation(rig, victim), b"x" * 16))
    rig.introduce(victim)
    assert rig.status(victim) is None, "as long as this life lasts"
    assert reasons(rig) == [
        f"its invitation was used before, by {b'x'.hex() * 16}, as the seed of this agent has said"
    ]
    assert rig.node.used_invitations == []
    later = Rig(invited_only=True, used=rig.node.used_invitations, archive=rig.archive)
    later.introduce(victim)
    assert later.status(victim) is Status.ALIVE


def test_what_a_seed_says_keeps_the_second_user_out_and_lets_the_first_in() -> None:
    """And once its record shows it, it is known, and the disk keeps it."""
    rig = Rig(invited_only=True)
    first, second = two(rig)
    told(rig, (invitation(rig, first), first.id))
    rig.introduce(second)
    assert rig.status(second) is None
    rig.introduce(first)
    assert rig.status(first) is Status.ALIVE
    assert rig.node.used_invitations == [(invitation(rig, first), first.id)]
    assert rig.node._gate.to_tell() == []


def test_a_seed_talks_nobody_out_of_an_invitation_that_is_known() -> None:
    rig = Rig(invited_only=True)
    first, second = two(rig)
    rig.introduce(first)
    told(rig, (invitation(rig, first), second.id))
    rig.run(LAN.invitation_settles + 1)
    rig.introduce(second)
    assert (rig.status(first), rig.status(second)) == (Status.ALIVE, None)
    assert rig.node.used_invitations == [(invitation(rig, first), first.id)]


def test_what_seeds_say_has_a_bound_and_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.core.gate.HOLDERS_MAX", 3)
    rig = Rig(invited_only=True)
    told(rig, *((bytes([at]) * 32, b"x" * 16) for at in range(9)))
    assert len(rig.node._gate.to_tell()) == 3
    peers = [invited(rig, rig.peer(), bytes([9 + at]) * 32) for at in range(4)]
    for peer in peers:
        rig.introduce(peer)
    assert [node for _, node in rig.node.used_invitations] == [peer.id for peer in peers[1:]]
    assert rig.node._gate.to_tell() == []


def test_where_everybody_is_let_in_the_first_keeps_its_invitation_too() -> None:
    """Who comes second is a member as one without an invitation is, and is none where they count."""
    rig = Rig(invited_only=False)
    victim, thief = two(rig, (500, 1))
    rig.introduce(victim)
    rig.run(LAN.invitation_settles + 1)
    rig.introduce(thief)
    for peer in (victim, thief):
        rig.hear(peer, peer.again())
    assert (rig.status(victim), rig.status(thief)) == (Status.ALIVE, Status.ALIVE)
    assert rig.node.used_invitations == [(invitation(rig, victim), victim.id)]
    later = Rig(invited_only=True, used=rig.node.used_invitations, archive=rig.archive)
    for peer in (thief, victim):
        later.introduce(peer)
    assert (later.status(victim), later.status(thief)) == (Status.ALIVE, None)


def test_of_two_at_one_time_all_keep_the_same_where_everybody_is_let_in() -> None:
    for order in ((0, 1), (1, 0)):
        rig = Rig(invited_only=False)
        peers = two(rig)
        for number in order:
            rig.introduce(peers[number])
        assert [node for _, node in rig.node.used_invitations] == [peers[0].id]


def test_a_joiner_is_told_who_of_two_members_has_an_invitation() -> None:
    """Their records come in any order, and say nothing of who was first."""
    rig = Rig(invited_only=False)
    victim, thief = two(rig, (500, 1))
    rig.introduce(victim)
    assert rig.node._gate.to_tell() == [], "its own record says it"
    rig.run(LAN.invitation_settles + 1)
    rig.introduce(thief)
    said = rig.node._gate.to_tell()
    assert said == [(invitation(rig, victim), victim.id)]
    newcomer = Rig(invited_only=False, archive=rig.archive)
    the_same = two(newcomer, (500, 1))
    assert [peer.id for peer in the_same] == [victim.id, thief.id]
    told(newcomer, *said)
    for peer in reversed(the_same):
        newcomer.introduce(peer)
    assert newcomer.node.used_invitations == said


# -- names -----------------------------------------------------------------------------------------


def test_a_name_that_the_authority_gave_is_its_nodes_everywhere() -> None:
    """Bound by the authority, else alive, else smallest birth."""
    rig = Rig(invited_only=False)
    squatter, owner = rig.peer(name="db"), rig.peer(name="db")
    owner.fields["birth"] = 900
    for peer in (squatter, invited(rig, owner, name="db")):
        rig.introduce(peer)
    assert rig.node.find("db").id == owner.id
    rig.hear(owner, owner.again(phase=1))
    assert rig.node.find("db").id == owner.id, "even while it is away"


def test_a_stolen_invitation_gives_no_name_where_everybody_is_let_in() -> None:
    rig = Rig(invited_only=False)
    owner, thief = rig.peer(name="db"), rig.peer(name="db")
    owner.fields["birth"], thief.fields["birth"] = 900, 1
    rig.introduce(invited(rig, owner, name="db"))
    rig.run(LAN.invitation_settles + 1)
    rig.introduce(invited(rig, thief, name="db"))
    assert rig.node.find("db").id == owner.id


# -- bans ------------------------------------------------------------------------------------------


def ban(rig: Rig, peer: Peer, version: int = 5) -> Fact:
    return rig.authority.ban(peer.id, version=version, name=peer.name, reason="stolen")


def test_a_banned_member_is_gone_and_nothing_of_it_counts() -> None:
    rig = Rig(invited_only=True)
    bad, good, other = vouched(rig, 3)
    rig.hear(good, bad.service("s", INCARNATION + 1))
    assert len(rig.node.catalog.lookup("web")) == 1
    rig.hear(good, ban(rig, bad))
    assert rig.status(bad) is Status.LEFT
    assert rig.member(bad).flags == ("banned",)
    assert rig.node.catalog.lookup("web") == []
    assert rig.told(EventKind.MEMBER_BANNED) == [bad.name]

    rig.hear(other, bad.again(), bad.service("t", INCARNATION + 9), bad.accuse(good), bad.event(3))
    assert rig.status(good) is Status.ALIVE
    assert rig.status(bad) is Status.LEFT
    assert rig.node.counters["banned"] == 4


def test_a_banned_sender_is_not_answered() -> None:
    rig = Rig(invited_only=True)
    bad, good = vouched(rig, 2)
    rig.hear(good, ban(rig, bad))
    rig.quieten()
    assert rig.feed(bad.ping(), bad) == []
    assert rig.hear(bad, good.again()) == [], "not even with somebody else's word"
    stream = rig.node.stream_accepted(bad.address, rig.now)
    assert stream is not None
    rig.frame(stream, bad.ping())
    assert rig.frames(stream) == []
    stream = rig.node.stream_accepted(bad.address, rig.now)
    assert stream is not None
    rig.frame(stream, Hello(bad.id, bad.current.raw, True, rig.view, BUCKETS))
    assert [type(frame) for frame in rig.frames(stream)] == [Turned]


def test_what_the_banned_has_said_before_counts_no_more() -> None:
    rig = Rig(invited_only=True)
    bad, victim, twice, good = vouched(rig, 4)
    rig.hear(bad, bad.accuse(victim))
    rig.hear(good, good.accuse(twice), bad.accuse(twice))
    rig.hear(good, ban(rig, bad))
    assert rig.status(victim) is Status.ALIVE
    assert rig.status(twice) is Status.SUSPECT, "somebody else accuses it too"
    assert list(rig.member(twice).accusations) == [good.id]


def test_a_ban_comes_before_the_node_and_outlasts_it() -> None:
    rig = Rig(invited_only=False)
    bad = rig.peer()
    rig.feed(Gossip(b"u" * 16, (ban(rig, bad).raw,)), ("10.0.9.9", 1))
    rig.introduce(bad)
    assert rig.status(bad) is None
    again = Rig(invited_only=False, bans=rig.node.bans)
    again.introduce(bad)
    assert again.status(bad) is None
    assert again.node.fingerprint ^ again.node.me.mark == rig.node.fingerprint ^ rig.node.me.mark


def test_a_ban_is_in_the_fingerprint_and_is_passed_on_and_repaired() -> None:
    rig = Rig(invited_only=True)
    bad, good, *_ = vouched(rig, 4)
    before = rig.node.fingerprint
    fact = ban(rig, bad)
    rig.hear(good, fact)
    assert rig.node.fingerprint == before ^ fact.hash ^ rig.member(bad).mark
    rig.run(1.0)
    assert any(fact.raw in peer.got_news() for peer in rig.peers if peer not in (bad, good))


def test_of_two_bans_of_one_node_the_newer_counts() -> None:
    rig = Rig(invited_only=True)
    bad, good = vouched(rig, 2)
    newer = ban(rig, bad, 9)
    for fact in (ban(rig, bad, 5), newer, ban(rig, bad, 7)):
        rig.hear(good, fact)
    assert rig.node.bans == [newer]
    assert rig.told(EventKind.MEMBER_BANNED) == [bad.name]


def test_nobody_but_the_authority_bans() -> None:
    rig = Rig(invited_only=True)
    member, good = vouched(rig, 2)
    forged = Rig(seed=9, invited_only=True).authority.ban(member.id, version=5)
    rig.hear(good, forged)
    assert rig.status(member) is Status.ALIVE
    assert rig.node.counters["signature"] == 1
    none = Rig()
    (other,) = none.members(1)
    none.hear(other, forged)
    assert none.node.counters["ban_unauthorised"] == 1
    assert none.node.bans == []


def test_there_is_room_for_so_many_bans() -> None:
    from msgspec.structs import replace

    rig = Rig(invited_only=True, params=replace(LAN, bans_max=2))
    a, b, c, good = vouched(rig, 4)
    for peer in (a, b, c):
        rig.hear(good, ban(rig, peer))
    assert len(rig.node.bans) == 2
    assert rig.node.counters["bans_full"] == 1
    with pytest.raises(RefusedError, match="there are 2 bans, and there is room for no more"):
        rig.node.check_ban(ban(rig, c).raw)
    assert rig.node.check_ban(ban(rig, a, 99).raw).subject == a.id, "a newer word about one is no other one"


def test_a_node_learns_that_it_is_banned_itself() -> None:
    rig = Rig(invited_only=True)
    good, _ = vouched(rig, 2)
    rig.hear(good, rig.authority.ban(rig.id, version=5, reason="lost"))
    assert "banned" in rig.node.flags
    assert rig.told(EventKind.MEMBER_BANNED) == ["me"]


def test_the_agent_that_is_told_of_a_ban_tells_the_banned_first() -> None:
    rig = Rig(invited_only=True)
    bad, _ = vouched(rig, 2)
    fact = ban(rig, bad)
    rig.do(lambda now: rig.node.ban(fact.raw, now))
    assert bad.got_news() == [fact.raw]


@pytest.mark.parametrize("what", ["rubbish", "another record", "unsigned", "no authority"])
def test_what_is_no_ban_is_refused_before_it_is_written(what: str) -> None:
    rig = Rig(invited_only=True)
    peer = rig.peer()
    raw = {
        "rubbish": b"x" * 80,
        "another record": peer.current.raw,
        "unsigned": bytes(64) + ban(rig, peer).raw[64:],
        "no authority": ban(rig, peer).raw,
    }[what]
    node = (Rig() if what == "no authority" else rig).node
    with pytest.raises(RefusedError):
        node.check_ban(raw)


def test_an_accusation_by_who_is_banned_refutes_nothing() -> None:
    rig = Rig(invited_only=True)
    bad, good = vouched(rig, 2)
    rig.hear(good, ban(rig, bad))
    before = rig.node.incarnation
    rig.hear(good, bad.accuse(rig, Kind.REFUSED))
    assert rig.node.incarnation == before
    assert rig.node.address == HOME
