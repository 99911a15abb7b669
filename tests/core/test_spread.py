"""What waits to leave at once is what is still news."""

from __future__ import annotations

from gossip.core.effects import Send
from gossip.core.messages import Gossip
from gossip.core.types import Kind
from tests.core.rig import Peer, Rig

SERVICES = 64


def flood(rig: Rig, peer: Peer, version: int) -> None:
    """One member says something new of each of its services."""
    for at in range(SERVICES):
        rig.hear(peer, peer.service(f"s{at}", version + at))


def told_at_once(rig: Rig, raw: bytes) -> int:
    sent = [each.message for each in rig.effects if isinstance(each, Send)]
    return sum(raw in message.news for message in sent if isinstance(message, Gossip))


def test_a_flood_of_one_members_updates_leaves_nothing_behind() -> None:
    rig = Rig()
    flooder, accuser, *_, accused = rig.members(30)
    for beat in range(100):
        flood(rig, flooder, 2_000 + SERVICES * beat)
        rig.run(0.1)
        assert len(rig.node._spread._fresh) <= SERVICES + 1
    rig.effects.clear()
    rig.hear(accuser, accuser.accuse(accused, Kind.REFUSED))
    answer = accused.again()
    rig.hear(accused, answer)
    rig.run(0.2)
    assert told_at_once(rig, answer.raw) >= 3
