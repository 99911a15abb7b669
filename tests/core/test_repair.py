"""When a node repairs, and with whom: what others say, or do on the line, puts it off and prevents it not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from gossip.core.effects import Close, Dial
from gossip.core.messages import Ack, Hello, Ping, Verdict
from gossip.core.repair import LONGEST
from gossip.core.types import Kind
from tests.core.rig import Peer, Rig

OTHER = b"\x07" * 8
"""What all hold who have the record that the node has missed."""
LONG = 300


def hold_another_view(peer: Peer) -> None:
    """From now on it acks with a view that is not the node's own."""
    agree = peer.ack

    def disagree(ping: Ping, *facts: object, **changes: object) -> Ack:
        return agree(ping, *facts, **{"view": OTHER, **changes})  # type: ignore[arg-type]

    peer.ack = disagree  # type: ignore[method-assign]


def hang_up(rig: Rig, reason: str = "eof") -> None:
    """The conversation that the node has opened is over, and has brought nothing."""
    opener = rig.node._repair._opener
    if opener is not None:
        rig.do(lambda now: rig.node.stream_closed(opener.stream, reason, now))


def opened(rig: Rig, *peers: Peer) -> int:
    """How many repairs it has opened with these, so far."""
    there = {peer.address for peer in peers}
    wait = rig.node.params.stream_timeout
    return sum(isinstance(e, Dial) and e.timeout == wait and e.address in there for e in rig.effects)


# -- what others say


def echo(rig: Rig, who: Peer) -> None:
    rig.feed(who.ping(), who)


def call(rig: Rig, who: Peer) -> None:
    stream = rig.node.stream_accepted(("10.9.9.9", 4_000), rig.now)
    assert stream is not None
    rig.frame(stream, Hello(who.id, who.current.raw, False, bytes(8), bytes(2_048)))
    rig.do(lambda now: rig.node.stream_closed(stream, "eof", now))


@pytest.mark.parametrize("noise", [echo, call])
@pytest.mark.parametrize("count", [2, 8])
def test_one_that_agrees_all_the_time_or_calls_prevents_no_repair(
    noise: Callable[[Rig, Peer], None], count: int
) -> None:
    """There was none for ever: anybody's agreement, were it in a member's name, set the time back."""
    rig = Rig()
    hostile, *honest = rig.members(count)
    for peer in honest:
        hold_another_view(peer)
    for _ in range(LONG):
        noise(rig, hostile)
        rig.run(1)
        hang_up(rig)
    assert LONG / 100 <= opened(rig, *honest) <= LONG / 15


def test_nor_do_many_whose_acks_are_made_up() -> None:
    """An ack counts where a probe waits for it; under its name anybody may send others."""
    rig = Rig()
    hostile, *honest = rig.members(5)
    for peer in honest:
        hold_another_view(peer)
    for _ in range(LONG):
        for peer in honest:
            rig.feed(Ack(1, peer.id, hostile.address, rig.view, b"", ()), hostile)
            rig.feed(peer.ping(), hostile)
        rig.run(1)
        hang_up(rig)
    assert opened(rig, *honest) >= LONG / 60


def test_a_few_that_disagree_for_long_cause_no_repair_where_most_agree() -> None:
    rig = Rig()
    peers = rig.members(8)
    for peer in peers[:2]:
        hold_another_view(peer)
    for _ in range(LONG):
        for peer in peers[2:]:
            rig.feed(peer.ping(), peer)
        rig.run(1)
    assert opened(rig, *peers) == 0


def test_no_sooner_than_what_is_on_its_way_takes() -> None:
    rig = Rig()
    agreeing, *others = rig.members(8)
    for peer in others:
        hold_another_view(peer)
    for _ in range(15):
        echo(rig, agreeing)
        rig.run(1)
    assert opened(rig, *others) == 0


# -- who stays on the line


def from_the_future(rig: Rig, source: Peer, about: Peer) -> None:
    """What has the node ask `source` at once: it speaks of a record that is not here."""
    # Whoever agreed just now is asked nothing.
    rig.node._repair._agreed_at = float("-inf")
    rig.hear(source, source.accuse(about, Kind.SILENT, incarnation=about.version + 1))


def test_who_stays_on_the_line_is_not_asked_again_at_once() -> None:
    """It kept the only conversation that a node opens for ever, by a datagram a minute."""
    rig = Rig()
    hostile, accomplice, about = rig.members(3)
    hostile.stream = True
    from_the_future(rig, hostile, about)
    assert opened(rig, hostile) == 1
    rig.run(20)
    hang_up(rig)
    for source in (hostile, accomplice):
        rig.run(30)
        from_the_future(rig, source, about)
    assert opened(rig, hostile, accomplice) == 1
    rig.run(30)
    from_the_future(rig, hostile, about)
    assert opened(rig, hostile) == 2


def test_who_was_quick_is() -> None:
    rig = Rig()
    one, about = rig.members(2)
    from_the_future(rig, one, about)
    hang_up(rig)
    rig.run(1.1)
    from_the_future(rig, one, about)
    assert opened(rig, one) == 2


def test_who_took_long_comes_after_the_others() -> None:
    rig = Rig()
    slow, *others = rig.members(3)
    for peer in (slow, *others):
        hold_another_view(peer)
    while not opened(rig, slow):
        hang_up(rig)
        rig.run_until(lambda: rig.node._repair._opener)
    rig.run(9)
    hang_up(rig, "timeout")
    before = opened(rig, *others)
    for _ in range(35):
        rig.run(1)
        hang_up(rig)
    assert opened(rig, slow) == 1
    assert opened(rig, *others) - before >= 8
    for peer in others:
        peer.acks, peer.helps = False, None
    rig.run(30)
    assert opened(rig, slow) >= 2, "and where there is nobody else, it is asked"


@pytest.mark.parametrize("is_told", [True, False], ids=["told", "closed before it is told"])
def test_a_stop_in_the_middle_is_not_the_peers(is_told: bool) -> None:
    rig = Rig()
    one, other, about = rig.members(3)
    from_the_future(rig, one, about)
    rig.now += 3_600
    if is_told:
        rig.do(lambda now: rig.node.pulse(3_600, 0.0, False, 0, now))
    hang_up(rig, "reset")
    rig.run(2 if is_told else 4 * LONGEST)
    before = opened(rig, other)
    from_the_future(rig, other, about)
    assert opened(rig, other) == before + 1


def test_a_verdict_is_said_once() -> None:
    rig = Rig()
    hostile, about = rig.members(2)
    from_the_future(rig, hostile, about)
    stream = rig.dialled(hostile.address)
    verdict = Verdict(reached=True, degraded=False, address=hostile.address, seen=hostile.address)
    assert rig.frame(stream, verdict) == []
    assert Close(stream) in rig.frame(stream, verdict)
    assert rig.node.counters["frame_unexpected"] == 1
    assert rig.node._repair._opener is None
