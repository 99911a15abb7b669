"""Everything that a malicious member may do: one function a move, drawn at random at every step.

Each takes the rogue and the other members as it knows them. None of them needs more than its own key,
the cluster's key, and what it has heard.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import msgspec

from gossip.core.keys import keys_of
from gossip.core.members import Member
from gossip.core.messages import (
    Ack,
    Busy,
    DialBack,
    Frame,
    Gossip,
    Hello,
    KeyAsk,
    Listing,
    NotMe,
    Offer,
    Page,
    Ping,
    PingRequest,
    Report,
    Verdict,
)
from gossip.core.records import (
    KEY_MARK_BYTES,
    Accusation,
    Ban,
    Body,
    Deletion,
    EventRecord,
    Fact,
    Opaque,
    ServiceRecord,
    StatusRecord,
)
from gossip.core.types import MAX_VERSION, NodeId
from sim.birth import WALL_MS
from sim.siege.rogue import Rogue

__all__ = ["MOVES", "Move"]

Move: TypeAlias = Callable[[Rogue, Sequence[Member], random.Random], None]

BUCKETS = 2_048
NEWS_MAX = 40
EVENTS = 12


def accuse(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Accuse as many as its rate allows others to believe, and more."""
    facts = []
    for victim in dice.sample(others, min(len(others), 5)):
        body = Accusation(rogue.id, victim.id, victim.incarnation, dice.randrange(4))
        facts.append(rogue.sign(body))
    _tell_all(rogue, others, facts)


def accuse_one(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Evidence against one, told to everybody but that one."""
    victim = dice.choice(others)
    body = Accusation(rogue.id, victim.id, victim.incarnation, 1 + dice.randrange(2))
    fact = rogue.sign(body)
    _tell_all(rogue, [other for other in others if other is not victim], [fact])


def accuse_wrongly(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Accuse of lives that never were, or are over."""
    victim = dice.choice(others)
    at = dice.choice((1, victim.incarnation - 1, victim.incarnation + 1, MAX_VERSION))
    _tell_all(rogue, others, [rogue.sign(Accusation(rogue.id, victim.id, max(1, at), 0))])


def accuse_by_phantoms(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Let nodes that do not exist accuse one that does, all at once."""
    while len(rogue.phantoms) < 8:
        rogue.imagine(version=rogue.incarnation, birth=rogue.me.record.birth, port=1 + dice.randrange(65_535))
    victim = dice.choice(others)
    facts = []
    for phantom in dice.sample(sorted(rogue.phantoms), 8):
        accusation = Accusation(phantom, victim.id, victim.incarnation, dice.randrange(4))
        facts += [rogue.voice(phantom), rogue.notaries[phantom].issue(accusation)]
    _tell_all(rogue, others, facts)


def imagine_members(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Members that do not exist, with names and addresses of those that do."""
    facts = []
    for _ in range(6):
        victim = dice.choice(others)
        host, port = dice.choice((victim.address, rogue.address, ("10.99.0.9", 1 + dice.randrange(65_535))))
        phantom = rogue.imagine(version=rogue.incarnation + dice.randrange(9), birth=1, host=host, port=port)
        record = msgspec.structs.replace(rogue.phantoms[phantom], name=dice.choice((victim.name, "db")))
        rogue.phantoms[phantom] = record
        facts.append(rogue.voice(phantom))
    _tell_all(rogue, others, facts)


def squat(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Take another's name, or its address, for its own."""
    victim = dice.choice(others)
    changes = dice.choice(
        (
            {"name": victim.name, "birth": 1},
            {"host": victim.address[0], "port": victim.address[1]},
            {"name": rogue.me.name, "host": rogue.address[0], "port": rogue.address[1]},
        )
    )
    rogue.said = max(rogue.incarnation, rogue.said) + 1
    _tell_all(rogue, others, [rogue.own(version=rogue.said, **changes)])


def leap(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """An incarnation far ahead, and a floor with it."""
    version = rogue.said = min(MAX_VERSION - 1_000_000, rogue.said + dice.choice((1 << 20, 1 << 40)))
    phase = dice.randrange(3)
    facts = [rogue.own(version=version, phase=phase, floor=dice.choice((0, version)))]
    phantom = rogue.imagine(version=MAX_VERSION, birth=MAX_VERSION)
    _tell_all(rogue, others, [*facts, rogue.voice(phantom)])


def replay(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Say again what others have said long ago, in the name of one of them."""
    if rogue.heard:
        old = dice.sample(list(rogue.heard), min(len(rogue.heard), NEWS_MAX))
        _tell_raw(rogue, others, old, sender=dice.choice(others).id)


def forge(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Facts of others that they never signed: leaving, refuting, services, deletions, events, bans."""
    victim = dice.choice(others)
    record = victim.record
    above = record.version + 1
    bodies: list[Body] = [
        msgspec.structs.replace(record, version=above, phase=1),
        msgspec.structs.replace(record, version=above, host="10.99.0.1"),
        ServiceRecord(victim.id, above, "web", "web", "10.99.0.1", 1, (), {}, 1),
        Deletion(victim.id, above, "web"),
        StatusRecord(victim.id, above, "web", (("c", 2),), False, ""),
        EventRecord(victim.id, above, "deploy", b"x"),
        Ban(rogue.id, above, victim.id, "", ""),
        Opaque(99, victim.id, above, "k"),
    ]
    facts = [dice.randbytes(64) + msgspec.msgpack.encode(body) for body in bodies]
    if rogue.heard:
        # A true signature before other words.
        facts.append(dice.choice(rogue.heard)[:64] + msgspec.msgpack.encode(bodies[0]))
    _tell_raw(rogue, others, facts)


def flood(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Hundreds of datagrams to one: pings, requests, rubbish for facts."""
    victim = dice.choice(others)
    for number in range(150):
        kind = number % 3
        if kind == 0:
            ping = Ping(dice.getrandbits(63), rogue.id, victim.id, victim.address, dice.randbytes(8), b"", ())
            rogue.say(victim.address, ping)
        elif kind == 1:
            other = dice.choice(others)
            request = PingRequest(dice.getrandbits(63), rogue.id, other.id, other.address, 60_000)
            rogue.say(victim.address, request)
        else:
            rogue.say(victim.address, Gossip(dice.randbytes(16), (dice.randbytes(80),)))


def crowd(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Hundreds of strangers that mean whoever was there before: each is pinged back, and does not answer."""
    victim = dice.choice(others)
    for _ in range(150):
        nobody, before = dice.randbytes(16), dice.randbytes(16)
        question = Ping(dice.getrandbits(63), nobody, before, victim.address, bytes(8), bytes(44), ())
        rogue.say(victim.address, question)


def use_helpers(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Ask for as many favours as there are, in anybody's name, about one; each is to take a minute."""
    helper, other = dice.choice(others), dice.choice(others)
    for _ in range(150):
        name = dice.choice((rogue.id, dice.choice(others).id, dice.randbytes(16)))
        request = PingRequest(dice.getrandbits(63), name, other.id, other.address, 60_000)
        rogue.say(helper.address, request)


def agree(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Whatever others have missed: tell one, in many names, that all hold just its view."""
    victim = dice.choice(others)
    for other in others:
        ping = Ping(dice.getrandbits(63), other.id, victim.id, victim.address, rogue.view, b"", ())
        rogue.say(victim.address, ping)
        rogue.say(victim.address, Ack(ping.seq, other.id, victim.address, rogue.view, b"", ()))


def hang_up(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Call to join, as itself or as another, and be gone before that address is tried."""
    victim = dice.choice(others)
    for _ in range(10):
        name = dice.choice((rogue.me, dice.choice(others)))
        hello = Hello(name.id, name.fact.raw, True, rogue.view, dice.randbytes(BUCKETS))
        rogue.call(victim.address, hello, end=dice.random() < 0.8)


def events(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """User events and services without end."""
    base = rogue.said
    rogue.said += EVENTS
    facts = []
    for number in range(EVENTS):
        name = f"s{dice.randrange(10_000)}"
        body: Body = EventRecord(rogue.id, base + number, "e", b"x")
        if number % 2:
            body = ServiceRecord(rogue.id, base + number, name, "web", "", 1, (), {}, 1)
        facts.append(rogue.sign(body))
    _tell_all(rogue, dice.sample(others, min(3, len(others))), facts)


def answer_for_others(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Acks and refusals in the name of others, for pings of its own and guessed ones."""
    for ping, source in list(rogue.asked)[-8:]:
        other = dice.choice(others)
        rogue.say(source, Ack(ping.seq, other.id, ping.address, dice.randbytes(8), b"", ()))
        rogue.say(source, Report(ping.seq, other.id, dice.randrange(4)))
        wrong = msgspec.structs.replace(ping, target=other.id, address=other.address)
        rogue.say(source, rogue.not_me(wrong))
        rogue.say(source, NotMe(ping.seq, other.address, other.fact.raw, dice.randbytes(64)))


def pretend(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Pings and gossip in the name of others, with views that nobody has."""
    for victim in dice.sample(others, min(len(others), 5)):
        other = dice.choice(others)
        view = dice.randbytes(8)
        lie = struct.pack(">11f", *(dice.choice((0.0, 1e9, float("nan"), -3.0, 10.0)) for _ in range(11)))
        seq = dice.getrandbits(63)
        rogue.say(victim.address, Ping(seq, other.id, victim.id, victim.address, view, lie, ()))
        rogue.say(victim.address, Gossip(other.id, ()))


def help_wrongly(rogue: Rogue, _others: Sequence[Member], dice: random.Random) -> None:
    """From now on, or no more: false reports, places that are none, no acks."""
    rogue.lies_as_helper = dice.random() < 0.7
    rogue.lies_of_place = dice.random() < 0.5
    rogue.is_mute = dice.random() < 0.2


def sync_wrongly(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Conversations that make no sense: listings, offers and pages of anything, in any order."""
    victim = dice.choice(others)
    me, view = rogue.me, dice.randbytes(8)
    name = dice.choice((me, dice.choice(others)))
    hashes = dice.randbytes(8 * 64)
    old = tuple(dice.sample(list(rogue.heard), min(len(rogue.heard), 200)))
    rubbish = tuple(dice.randbytes(100) for _ in range(20))
    known = tuple(other.id for other in others)
    triples = tuple((dice.randbytes(8), dice.randrange(1 << 53), dice.randbytes(8)) for _ in range(50))
    frames: list[Frame] = [
        Hello(name.id, name.fact.raw, dice.random() < 0.5, view, dice.randbytes(BUCKETS)),
        Listing(name.id, name.fact.raw, view, ((dice.randrange(256), hashes, hashes),), ()),
        Listing(me.id, me.fact.raw, view, (), tuple((n, dice.randbytes(BUCKETS)) for n in range(3))),
        Offer(hashes, triples, known, triples),
        Page(old, hashes, last=False),
        Page(rubbish, b"", last=dice.random() < 0.5),
        DialBack(me.id, me.fact.raw, 10_000),
        Gossip(dice.choice(others).id, old[:NEWS_MAX]),
        Verdict(True, False, me.address, victim.address),
        Busy(600_000, tuple(dice.choice(others).address for _ in range(3))),
    ]
    hello = Hello(me.id, me.fact.raw, dice.random() < 0.3, view, dice.randbytes(BUCKETS))
    rogue.call(victim.address, hello, *dice.sample(frames, 4), end=dice.random() < 0.3)
    for stream in list(rogue.open)[-4:]:
        rogue.write(stream, *dice.sample(frames, 2))


def hold_streams(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Open streams and say nothing on them, or one long thing after another."""
    victim = dice.choice(others)
    for _ in range(20):
        rogue.call(victim.address)
    page = Page(tuple(dice.randbytes(1_000) for _ in range(200)), b"", last=False)
    me = rogue.me
    hello = Hello(me.id, me.fact.raw, False, dice.randbytes(8), dice.randbytes(BUCKETS))
    rogue.call(victim.address, hello, page, page, page)


def claim_keys(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Changes of keys that nobody has begun, with the numbers of any time, to keys that nobody has."""
    known = [mark for other in others if (record := keys_of(other)) for mark, _ in record.keys]
    told = max((record.epoch for other in others if (record := keys_of(other))), default=0)
    today = (WALL_MS + int(1_000 * dice.uniform(0.0, 2 * 86_400))) // 1_000
    epoch = dice.choice((1, max(1, told), told + 1, told + 1_000, today, 1 << 40, MAX_VERSION))
    rogue.claim(epoch, dice.choice([*known, dice.randbytes(KEY_MARK_BYTES)]), insists=dice.random() < 0.3)


def hand_keys(rogue: Rogue, others: Sequence[Member], dice: random.Random) -> None:
    """Ask for keys as itself and as others, and hand out what is none, asked or not."""
    rogue.lies_of_keys = dice.random() < 0.5
    for victim in dice.sample(others, min(len(others), 3)):
        name = dice.choice((rogue.me, dice.choice(others)))
        record = keys_of(victim)
        mark = dice.choice([bytes(KEY_MARK_BYTES), *(mark for mark, _ in (record.keys if record else ()))])
        ask = KeyAsk(name.id, name.fact.raw, mark)
        rogue.call(victim.address, dice.choice((ask, rogue.grant(victim.id, mark))), end=dice.random() < 0.5)


def rest(_rogue: Rogue, _others: Sequence[Member], _dice: random.Random) -> None:
    """Behave."""


MOVES: Final[dict[str, Move]] = {
    move.__name__: move
    for move in (
        *(accuse, accuse_one, accuse_wrongly, accuse_by_phantoms, imagine_members, squat, leap, replay),
        *(forge, flood, events, answer_for_others, pretend, help_wrongly, sync_wrongly, hold_streams),
        *(claim_keys, hand_keys, crowd, use_helpers, agree, hang_up, rest),
    )
}


def _tell_all(rogue: Rogue, others: Sequence[Member], facts: Sequence[Fact]) -> None:
    _tell_raw(rogue, others, [fact.raw for fact in facts])


def _tell_raw(
    rogue: Rogue, others: Sequence[Member], facts: Sequence[bytes], sender: NodeId | None = None
) -> None:
    """Gossip to each, in packets that may be sent."""
    packet: list[bytes] = []
    for raw in facts:
        if sum(map(len, packet)) + len(raw) > 1_200:
            _send(rogue, others, packet, sender)
            packet = []
        packet.append(raw)
    _send(rogue, others, packet, sender)


def _send(rogue: Rogue, others: Sequence[Member], facts: list[bytes], sender: NodeId | None) -> None:
    for other in others:
        rogue.say(other.address, Gossip(sender or rogue.id, tuple(facts)))
