"""The last look: how often it asks, how long it waits, and what one lost datagram costs."""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.messages import Ping
from gossip.core.params import LAN
from gossip.core.types import Kind, Status
from tests.core.rig import RTT, Peer, Rig

QUIET = msgspec.structs.replace(LAN, period=1_000.0, suspicion_alpha=0.001)


def looked_at(accusers: int) -> tuple[Rig, Peer, float]:
    """A member looked at by a node that knows its round trip, on the word of so many; and since when."""
    rig = Rig(params=QUIET)
    *others, x = rig.members(8)
    rig.node._prober.start = lambda *_: None  # type: ignore[method-assign]
    rig.member(x).sample_rtt(RTT)
    x.acks = False
    for accuser in others[:accusers]:
        rig.hear(accuser, accuser.accuse(x))
    rig.run_until(lambda: x.got(Ping), 10)
    return rig, x, rig.now


@pytest.mark.parametrize(("accusers", "pings"), [(1, 3), (3, 3), (4, 1)])
def test_the_fewer_accuse_the_oftener_it_asks(accusers: int, pings: int) -> None:
    """Where as many accuse as bring the clock to its minimum, once is enough."""
    rig, x, since = looked_at(accusers)
    rig.run_until(lambda: rig.status(x) is Status.DEAD, 10)
    assert len(x.got(Ping)) == pings
    assert rig.now - since == pytest.approx(pings * LAN.direct_max / 10)
    assert {ping.target for ping in x.got(Ping)} == {x.id}


@pytest.mark.parametrize("answered", [0, 1, 2])
def test_an_ack_of_any_of_them_ends_it(answered: int) -> None:
    rig, x, _ = looked_at(1)
    rig.run_until(lambda: len(x.got(Ping)) == answered + 1, 10)
    rig.feed(x.ack(x.got(Ping)[0]), x)
    assert rig.status(x) is Status.ALIVE
    rig.run(5)
    assert len(x.got(Ping)) == answered + 1
    assert not rig.node._pings._expected


def test_a_refusal_ends_it_at_once() -> None:
    rig, x, since = looked_at(1)
    rig.do(lambda now: rig.node.refused(x.address, now))
    assert rig.status(x) is Status.DEAD
    assert rig.now == since


def test_on_evidence_of_two_the_look_is_taken_at_once() -> None:
    rig = Rig(params=QUIET)
    a, b, *_, x = rig.members(8)
    x.acks = False
    for accuser in (a, b):
        rig.hear(accuser, accuser.accuse(x, Kind.REFUSED))
    rig.run(0)
    assert x.got(Ping)
