"""What is not due in a conversation ends it, so that few bytes cannot cost a walk over the view each."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest

from gossip.core import sync
from gossip.core.effects import Close, Dial, Notify, Write
from gossip.core.events import EventKind
from gossip.core.members import Member, MemberTable
from gossip.core.messages import Frame, Hello, Listing, Offer, Page
from gossip.core.records import Notary
from gossip.core.sync import BUCKETS, MEMBER_KEY, Digest, Held, bucket_of
from gossip.core.types import Status, StreamId
from tests.core.rig import Peer, Rig
from tests.world import cluster

MARKS = b"\xff" * 2_048
"""Of a view that is another in every bucket."""
HAVE = ((b"1" * 8, 1, b"2" * 8),)
OFFER = Offer(b"", HAVE, ())


def listing(peer: Peer, buckets: Iterable[int] = (), split: Iterable[int] = ()) -> Listing:
    """That it holds nothing in these buckets, and cannot list those."""
    listed = tuple((bucket, b"", b"") for bucket in buckets)
    return Listing(peer.id, peer.current.raw, bytes(8), listed, tuple((coarse, MARKS) for coarse in split))


def fine(coarse: int) -> range:
    return range(BUCKETS + 256 * coarse, BUCKETS + 256 * coarse + 256)


def called(rig: Rig, peer: Peer) -> StreamId:
    """A conversation that the peer has opened, with a view that is another in every bucket."""
    stream = rig.node.stream_accepted(peer.address, rig.now)
    assert stream is not None
    rig.frame(stream, Hello(peer.id, peer.current.raw, False, bytes(8), MARKS))
    return stream


def opened(rig: Rig, peer: Peer) -> StreamId:
    """A conversation that the node has opened."""
    effects = rig.do(lambda now: rig.node._repair.open(rig.member(peer), now))
    (stream,) = [effect.stream for effect in effects if isinstance(effect, Dial)]
    return stream


def answers(rig: Rig, stream: StreamId, frame: Frame) -> list[Frame]:
    """What is written to a frame that was due."""
    effects = rig.frame(stream, frame)
    assert rig.node.counters["frame_unexpected"] == 0
    return [effect.frame for effect in effects if isinstance(effect, Write)]


def refuses(rig: Rig, stream: StreamId, frame: Frame) -> None:
    """The frame ends the stream and has no answer, and neither has what comes behind it."""
    effects = [effect for effect in rig.frame(stream, frame) if not isinstance(effect, Notify)]
    assert effects == [Close(stream)]
    assert rig.node.counters["frame_unexpected"] == 1
    assert rig.frame(stream, frame) == []


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def split_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every bucket is too long to list, were it empty."""
    monkeypatch.setattr(sync, "SPLIT_OVER", -1)


# -- who was called


def test_one_offer_is_taken_from_a_caller(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = called(rig, a)
    answers(rig, stream, OFFER)
    refuses(rig, stream, OFFER)
    assert rig.node._repair.served == 0


@pytest.mark.parametrize(
    ("buckets", "split"),
    [((), ()), ((0,), ()), (fine(0), ()), ((), (0,))],
    ids=["empty", "coarse", "fine", "split"],
)
def test_a_caller_has_nothing_to_list_where_nothing_was_split(
    rig: Rig, buckets: Iterable[int], split: Iterable[int]
) -> None:
    (a,) = rig.members(1)
    refuses(rig, called(rig, a), listing(a, buckets, split))
    assert rig.node._repair.served == 0


@pytest.mark.usefixtures("split_all")
def test_fine_buckets_of_what_was_split_are_listed_once(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = called(rig, a)
    for coarse in (3, 200):
        (offer,) = answers(rig, stream, listing(a, fine(coarse)))
        assert isinstance(offer, Offer)
    refuses(rig, stream, listing(a, [*fine(7), fine(3)[9]]))


@pytest.mark.usefixtures("split_all")
def test_no_more_listings_are_taken_than_were_asked_for(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = called(rig, a)
    for _ in range(BUCKETS):
        answers(rig, stream, listing(a))
    refuses(rig, stream, listing(a))


@pytest.mark.usefixtures("split_all")
@pytest.mark.parametrize("buckets", [(0,), (300, 300)], ids=["coarse", "twice"])
def test_what_was_split_is_not_listed_otherwise(rig: Rig, buckets: tuple[int, ...]) -> None:
    (a,) = rig.members(1)
    refuses(rig, called(rig, a), listing(a, buckets))


@pytest.mark.usefixtures("split_all")
def test_what_was_split_is_not_split_again(rig: Rig) -> None:
    (a,) = rig.members(1)
    refuses(rig, called(rig, a), listing(a, split=(0,)))


# -- who has called


@pytest.mark.parametrize(
    ("buckets", "split"),
    [((1, 1), ()), ((), (1, 1)), ((1,), (1,)), ((300,), ())],
    ids=["listed twice", "split twice", "listed and split", "fine"],
)
def test_a_called_peer_lists_or_splits_each_coarse_bucket_once(
    rig: Rig, buckets: tuple[int, ...], split: tuple[int, ...]
) -> None:
    (a,) = rig.members(1)
    refuses(rig, opened(rig, a), listing(a, buckets, split))
    assert rig.node.counters["repair_failed"] == 1
    assert opened(rig, a), "and the next repair can be opened"


def test_a_called_peer_lists_once(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = opened(rig, a)
    (offer,) = answers(rig, stream, listing(a, range(BUCKETS)))
    assert isinstance(offer, Offer)
    refuses(rig, stream, listing(a, split=range(BUCKETS)))


def test_a_called_peer_offers_once_for_each_listing(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = opened(rig, a)
    lists = answers(rig, stream, listing(a, split=(0, 1)))
    assert [type(each) for each in lists] == [Listing, Listing]
    for _ in lists:
        (page,) = answers(rig, stream, OFFER)
        assert page == Page((), b"2" * 8, last=True)
    refuses(rig, stream, OFFER)


def test_nothing_is_offered_before_it_was_listed(rig: Rig) -> None:
    (a,) = rig.members(1)
    refuses(rig, opened(rig, a), OFFER)


def test_a_joiner_is_told_that_a_seed_said_what_was_not_due(rig: Rig) -> None:
    (seed,) = rig.members(1)
    rig.do(lambda now: rig.node.join(["seed"], now))
    rig.do(lambda now: rig.node.resolved("seed", [seed.address], "", now))
    refuses(rig, rig.dialled(seed.address), OFFER)
    (done,) = [event for _, event in rig.events if event.kind is EventKind.JOIN_DONE]
    assert "the node that answers there said what was not due" in done.detail


# -- pages


@pytest.mark.parametrize(
    "page",
    [Page((), b"", last=True), Page((), b"1" * 8, last=False)],
    ids=["the last of none", "asking for what was not offered"],
)
def test_a_page_answers_something(rig: Rig, page: Page) -> None:
    (a,) = rig.members(1)
    refuses(rig, called(rig, a), page)


def test_pages_come_before_an_offer_and_for_it_and_then_no_more(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = called(rig, a)
    page = Page((a.service("web", 2_000).raw,), b"", last=False)
    answers(rig, stream, page)
    answers(rig, stream, OFFER)
    answers(rig, stream, page)
    answers(rig, stream, Page((), b"", last=True))
    refuses(rig, stream, page)


def test_a_record_that_a_page_wants_many_times_is_given_once(rig: Rig) -> None:
    (a,) = rig.members(1)
    stream = opened(rig, a)
    (offer,) = answers(rig, stream, listing(a, range(BUCKETS)))
    assert isinstance(offer, Offer)
    wants = rig.node.me.fact.hash.to_bytes(8, "big") * 1_000
    given = answers(rig, stream, Page((), wants, last=False))
    assert given == [Page((rig.node.me.fact.raw,), b"", last=True)]


# -- what it costs, and whom it does not meet


@pytest.mark.usefixtures("split_all")
def test_places_are_made_once_for_all_offers(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    places = Digest.places

    def counted(digest: Digest, buckets: Iterable[int], notary: Notary) -> dict[int, Held]:
        nonlocal made
        made += 1
        return places(digest, buckets, notary)

    monkeypatch.setattr(Digest, "places", counted)
    (a,) = rig.members(1)
    stream = opened(rig, a)
    for _ in answers(rig, stream, listing(a, split=range(20))):
        answers(rig, stream, OFFER)
    assert made == 1


def test_a_split_bucket_is_walked_once_whatever_is_asked_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    peers = [Peer(Rig(), number, "n", ("10.0.0.1", 1)) for number in range(40)]
    table = MemberTable(random.Random(0))
    table.me, *others = [Member(peer.current, Status.ALIVE, 0.0) for peer in peers]
    for other in others:
        table.add(other)
    digest = Digest(table)
    walked: Counter[bytes] = Counter()

    def counted(owner: bytes, key: tuple[int, str]) -> int:
        walked[owner] += 1
        return bucket_of(owner, key)

    monkeypatch.setattr(sync, "bucket_of", counted)
    for coarse in {bucket_of(peer.id, MEMBER_KEY) >> 8 for peer in peers}:
        digest.compare(digest.list_fine(coarse, MARKS))
    assert set(walked.values()) == {1}
    assert len(walked) == len(peers)


def test_nothing_that_honest_nodes_say_is_not_due(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With every long way taken: buckets split on both sides, news, tombstones and the dead on both."""
    monkeypatch.setattr(sync, "SPLIT_OVER", 2)
    world = cluster(6, seed=seed)
    one, other = world.hosts[:3], world.hosts[3:]
    for host in world.hosts:
        host.register("web", key="gone")
    world.run(3)
    world.partition([one])
    world.crash(one[2])
    for host in (*one[:2], *other):
        host.deregister("gone")
        for number in range(20):
            host.register("web", port=number + 1)
    world.run(60)
    world.heal()
    world.run_until(world.converged, limit=200)
    living = [*one[:2], *other]
    assert sum(host.node.counters["repairs"] for host in living) > 0
    assert (
        sum(host.node.counters["frame_unexpected"] + host.node.counters["repair_failed"] for host in living)
        == 0
    )
