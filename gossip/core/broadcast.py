"""What to tell next, to whom, within a byte budget.

Theory. If each node that carries an item sends it L times, to peers drawn at random, an item
misses a given node with probability e^-L, so that somebody among n misses it in n x e^-L of
cases (Demers et al. 1987, section 1.4: residue s = e^-m for every kind of push). With
L = ceil(ln n) + 10 that is e^-10, and the first sends leave at once, not at the next tick.

One slot per subject: newer news replaces older and starts at zero. An item goes to no peer twice,
nor to one it came from, until everybody was told. Least-sent first, own before relayed; members
and services each have a fair share of every packet, so that neither starves the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from gossip.core.params import Params
from gossip.core.records import Accusation, EventRecord, Fact, MemberRecord, key_of
from gossip.core.sizes import news_bytes
from gossip.core.types import ID_BYTES, NodeId

if TYPE_CHECKING:
    import random

__all__ = ["Broadcasts", "Item", "Slot", "accusation_slot", "slot_of"]

Slot: TypeAlias = Hashable
RELAYS_MAX = 512
"""About what two seconds of ticks and eager packets can carry; beyond it relays are left to repair."""
SMALL_SENDS = 4
"""In a cluster so small that everybody is told in fewer sends, an item is sent this often."""
NEWS_MAX = 64
"""Facts of one packet: the receiver's bound."""
ROOM_MIN = 80
"""Bytes: no fact is shorter, so less room than this is full."""
MISFITS_MAX = 16
"""So many items that do not fit what is left of a packet, and it leaves as it is."""
AGREEING = 10
"""So many peers in a row that hold just this node's view, and what it relays of that view is no news: were
a share s of all still without it, they would not have met one with chance (1 - s)^10; repair finds those."""
INSISTENCE = 8
"""So often news on which this node insists is told anew, each time as often as is usual: for some nine
seconds, the longest clock of a suspicion among a thousand."""
COPIES_ENOUGH = 3
"""News that can do without telling everybody is dropped when so many have sent it here: it is spreading. The
share that misses it is small (Demers et al. 1987, table 1: counter and feedback), its cost a third."""
HALF_BYTES = ID_BYTES // 2
GIVEN_MAX = 4_096
"""So many peers that were given the whole view are remembered; who was so longest ago is told again."""


def slot_of(fact: Fact) -> Slot:
    """The slot for which a fact competes. A member record's is its owner's id: the most frequent of all."""
    body = fact.body
    if isinstance(body, MemberRecord):
        return body.owner
    if isinstance(body, Accusation):
        return accusation_slot(body.subject, body.owner)
    if isinstance(body, EventRecord):
        return ("event", body.owner, body.version, fact.hash)
    return ("record", body.owner, key_of(body))


def _is_record(slot: Slot) -> bool:
    return isinstance(slot, bytes) or (isinstance(slot, tuple) and slot[0] == "record")


def accusation_slot(subject: NodeId, accuser: NodeId) -> Slot:
    """The slot of one accuser's word against one member."""
    return ("accuse", subject, accuser)


class Item(Struct, eq=False, gc=False):
    """One piece of news on its way: what it is, who has it, how often it was sent.

    The second halves of ids stand in `have` and `sent` one after the other: hundreds of items wait in a
    storm, and a set for each would take many times the room. Should two nodes share one, one of them is told
    by repair.
    """

    slot: Slot
    raw: bytes
    number: int
    """Counted over all items of the queue's life."""
    cost: int
    member: bool
    own: bool
    viewed: bool
    """Whether it is part of the view that fingerprints are of: a record, no accusation and no event."""
    patient: bool
    """Whether it ends when it is heard often enough, instead of being sent as often as the law asks."""
    have: bytes = b""
    """Who has it by themselves."""
    sent: bytes = b""
    """Whom else it was sent to since everybody was told last."""
    sends: int = 0
    givings: int = 0
    """How many whole views had been given when it was last asked who has it."""

    def is_told(self, peer: NodeId) -> bool:
        """Whether `peer` needs no telling."""
        half = peer[HALF_BYTES:]
        # Nearly always a look at the bytes says no; a hit may be parts of two ids.
        return (half in self.have and _place(self.have, half) >= 0) or (
            half in self.sent and _place(self.sent, half) >= 0
        )

    def has(self, peer: NodeId) -> None:
        """`peer` turned out to have it."""
        half = peer[HALF_BYTES:]
        if _place(self.have, half) < 0:
            self.have += half
            at = _place(self.sent, half)
            if at >= 0:
                self.sent = self.sent[:at] + self.sent[at + HALF_BYTES :]

    @property
    def told(self) -> int:
        """How many need no telling."""
        return (len(self.have) + len(self.sent)) // HALF_BYTES


def _place(halves: bytes, half: bytes) -> int:
    """Where it stands among `halves`; -1 if it does not."""
    at = halves.find(half)
    while at > 0 and at % HALF_BYTES:
        at = halves.find(half, at + 1)
    return at


class Broadcasts:
    """The queue of one node."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self.items: dict[Slot, Item] = {}
        """What is queued; to be read only. Whether there is anything is asked at each input."""
        self._tiers: list[dict[Slot, Item]] = []
        """By sends, and of each number of sends own ones first: what is at 2 x sends + relayed."""
        self._relays = 0
        self._patient = 0
        self._members = 0
        """Items about members; the others are about services and events."""
        self._numbered = 0
        self._given: dict[NodeId, int] = {}
        """Who was given the whole view, and the number of the last item then; in the order of giving."""
        self._givings = 0
        self._agreed: deque[int] = deque(maxlen=AGREEING)
        """The number of the last item whenever a peer's view was this node's, since one was not."""
        self._limits = (-1, 0)
        self._insisted: Item | None = None
        """What is told again and again until somebody has it, and how often yet."""
        self._again = 0
        self.pruned = 0
        """Relays dropped for want of room; repair brings what they said."""

    def __len__(self) -> int:
        return len(self.items)

    def add(
        self,
        slot: Slot,
        raw: bytes,
        *,
        member: bool,
        own: bool,
        source: NodeId | None,
        patient: bool = False,
        insist: bool = False,
    ) -> Item:
        """Queue news; whatever was queued for the same slot is replaced.

        Args:
            slot: see `slot_of`.
            raw: the signed bytes.
            member: whether it is about a member.
            own: whether it is this node's own word.
            source: who sent it here.
            patient: whether few need to be told.
            insist: whether it is told on, as often as is usual and a few times more, until it turns out that
                somebody has it: another one tells it too, or holds this node's view.
        """
        if slot in self.items:
            self.drop(slot)
        self._numbered += 1
        have = b"" if source is None else source[HALF_BYTES:]
        item = Item(
            slot,
            raw,
            self._numbered,
            news_bytes(raw),
            member,
            own,
            _is_record(slot),
            patient,
            have,
            givings=self._givings,
        )
        self.items[slot] = item
        self._tier(0 if own else 1)[slot] = item
        self._members += member
        self._patient += patient
        if insist:
            self._insisted, self._again = item, INSISTENCE
        if not own:
            self._relays += 1
            if self._relays > RELAYS_MAX:
                self._prune()
        return item

    def drop(self, slot: Slot) -> None:
        item = self.items.pop(slot, None)
        if item is not None:
            self._forget(item)

    @property
    def is_patient(self) -> bool:
        """Whether all that is queued is."""
        return self._patient == len(self.items)

    def holds(self, slot: Slot) -> bool:
        return slot in self.items

    def waits(self, item: Item) -> bool:
        """Whether it is still to be told: neither replaced nor told enough."""
        return self.items.get(item.slot) is item

    def heard(self, slot: Slot, raw: bytes, source: NodeId) -> None:
        """`source` turned out to have this news too: there is no need to tell it."""
        item = self.items.get(slot)
        if item is not None and item.raw == raw:
            item.has(source)
            if item.patient and len(item.have) >= COPIES_ENOUGH * HALF_BYTES:
                self.drop(slot)

    def heard_facts(self, facts: Iterable[Fact], source: NodeId) -> None:
        """As `heard`, of each of `facts`."""
        for fact in facts:
            self.heard(slot_of(fact), fact.raw, source)

    def heard_all(self, source: NodeId) -> None:
        """`source` is given the whole view: whoever joins after news arose need not be told of it.

        In a storm of joins this decides whether the sends go where they are needed: most nodes
        know an item from their own join, pass nothing on, and only the earliest lack it.
        """
        if not self.items:
            return
        self._given.pop(source, None)
        self._given[source] = self._numbered
        self._givings += 1
        if len(self._given) > GIVEN_MAX:
            del self._given[next(iter(self._given))]

    def compared(self, *, agreed: bool) -> None:
        """A peer told the fingerprint of its view: whether it was this node's own.

        Views agree long before a storm of joins has been told as often as the law asks; then there is
        nobody left to be told. Own news goes on, and so does what no fingerprint covers.
        """
        if not agreed:
            self._agreed.clear()
            return
        self._agreed.append(self._numbered)
        self._insisted = None
        if not self._relays or len(self._agreed) < AGREEING:
            return
        last = self._agreed[0]
        known = []
        for item in self.items.values():
            if item.number > last:
                break
            if not item.own and item.viewed:
                known.append(item.slot)
        for slot in known:
            self.drop(slot)

    def known_to(self, item: Item) -> int:
        """How many have the item by themselves, those included who were given the whole view since."""
        fresh, item.givings = self._givings - item.givings, self._givings
        if fresh:
            for peer in islice(reversed(self._given), fresh):
                item.has(peer)
        return len(item.have) // HALF_BYTES

    def head(self, peers: int) -> Item | None:
        """The item that should be sent next, or None; those sent often enough are dropped."""
        limit = self.limit(peers)
        for place, tier in enumerate(self._tiers):
            if not tier:
                continue
            if place >= 2 * limit:
                self._retire(tier)
                continue
            for item in tier.values():
                return item
        return None

    def limit(self, peers: int) -> int:
        """How often an item is sent, among `peers` members besides this one."""
        if self._limits[0] != peers:
            self._limits = (peers, min(self._params.send_limit(peers + 1), max(SMALL_SENDS, peers)))
        return self._limits[1]

    def pick(
        self, target: NodeId, budget: int, peers: int, only: Sequence[Item] | None = None
    ) -> tuple[bytes, ...]:
        """News for `target` that fits `budget` bytes, charged as sent.

        Args:
            target: who will be told.
            budget: bytes that the facts and their length prefixes may take.
            peers: how many members there are besides this node.
            only: choose among these items instead of the whole queue.
        """
        if not self.items:
            return ()
        limit = self.limit(peers)
        half = target[HALF_BYTES:]
        chosen: list[Item] = []
        left = budget
        given = self._given.get(target, 0)
        mixed = 0 < self._members < len(self.items)
        share = budget // 2 if mixed else budget
        shares = [share, share]
        late: list[Item] = []
        misfits = 0
        for item in self._queue(limit) if only is None else self._still(only):
            if item.number <= given or ((half in item.have or half in item.sent) and item.is_told(target)):
                continue
            cost = item.cost
            if cost > left:
                misfits += 1
                if left < ROOM_MIN or misfits == MISFITS_MAX:
                    break
            elif cost > shares[item.member] and (chosen or late):
                # The first is due, however large; after it, each kind has its half.
                late.append(item)
            else:
                shares[item.member] -= cost
                left -= cost
                chosen.append(item)
                if len(chosen) == NEWS_MAX:
                    break
        for item in late:
            if item.cost <= left and len(chosen) < NEWS_MAX:
                left -= item.cost
                chosen.append(item)
        self._charge(chosen, target, limit)
        return tuple([item.raw for item in chosen])

    def untold(self, item: Item, peers: Sequence[NodeId], count: int, rng: random.Random) -> list[NodeId]:
        """Up to `count` of `peers`, drawn at random among those not yet told of `item`."""
        self.known_to(item)
        if len(peers) <= 4 * count or item.told * 2 > len(peers):
            fresh = [peer for peer in peers if not item.is_told(peer)]
            return rng.sample(fresh, min(count, len(fresh)))
        drawn: dict[NodeId, None] = {}
        for _ in range(8 * count):
            peer = peers[int(rng.random() * len(peers))]
            if not item.is_told(peer):
                drawn[peer] = None
                if len(drawn) == count:
                    break
        return list(drawn)

    def _queue(self, limit: int) -> Iterator[Item]:
        """Least-sent first, own before relayed; lazily, since a packet is soon full."""
        return chain.from_iterable([tier.values() for tier in self._tiers[: 2 * limit] if tier])

    def _still(self, items: Iterable[Item]) -> Iterator[Item]:
        """Those that have been neither replaced nor sent often enough."""
        held = self.items.get
        return (item for item in items if held(item.slot) is item)

    def _charge(self, items: list[Item], target: NodeId, limit: int) -> None:
        """Each was sent to `target` once."""
        half = target[HALF_BYTES:]
        for item in items:
            self._untier(item)
            item.sends += 1
            item.sent += half
            if item.sends >= limit and not self._goes_on(item):
                del self.items[item.slot]
                self._left(item)
            else:
                self._tier(2 * item.sends + (not item.own))[item.slot] = item

    def _goes_on(self, item: Item) -> bool:
        """Whether it was sent as often as is usual, and begins again since nobody is known to have it."""
        if item is not self._insisted or item.have or not self._again:
            return False
        self._again -= 1
        item.sends, item.sent = 0, b""
        return True

    def next_round(self, peers: int) -> None:
        """Begin again with what everybody was told: once a tick, so that repeats are not lost together."""
        given = len(self._given)
        for item in [item for item in self.items.values() if item.told + given >= peers]:
            self.known_to(item)
            if item.told >= peers:
                self.go_round(item, peers)

    def go_round(self, item: Item, peers: int) -> None:
        """Everybody was told once: a small cluster goes round again, for the sake of loss."""
        if self.known_to(item) >= peers or item.sends >= self.limit(peers):
            self.drop(item.slot)
        else:
            item.sent = b""

    def _retire(self, tier: dict[Slot, Item]) -> None:
        for item in list(tier.values()):
            self.drop(item.slot)

    def _forget(self, item: Item) -> None:
        self._untier(item)
        self._left(item)

    def _left(self, item: Item) -> None:
        if item is self._insisted:
            self._insisted = None
        self._relays -= not item.own
        self._members -= item.member
        self._patient -= item.patient
        if not self.items:
            # New ones: what has once been large stays so when it is emptied.
            self.items, self._given, self._tiers = {}, {}, []

    def _untier(self, item: Item) -> None:
        place = 2 * item.sends + (not item.own)
        tier = self._tiers[place]
        del tier[item.slot]
        if not tier:
            # A new one: a storm passes through all of them, and what has once been large stays so.
            self._tiers[place] = {}

    def _tier(self, place: int) -> dict[Slot, Item]:
        while len(self._tiers) <= place:
            self._tiers.append({})
        return self._tiers[place]

    def _prune(self) -> None:
        """Drop the relay that has been sent most."""
        for tier in reversed(self._tiers[1::2]):
            for item in tier.values():
                self.drop(item.slot)
                self.pruned += 1
                return
