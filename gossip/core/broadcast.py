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

from collections.abc import Hashable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from gossip.core.params import Params
from gossip.core.sizes import news_bytes
from gossip.core.types import NodeId

if TYPE_CHECKING:
    import random

__all__ = ["Broadcasts", "Item", "Slot"]

Slot: TypeAlias = Hashable
RELAYS_MAX = 512
"""About what two seconds of ticks and eager packets can carry; beyond it relays are left to repair."""
SMALL_SENDS = 4
"""In a cluster so small that everybody is told in fewer sends, an item is sent this often."""


class Item:
    """One piece of news on its way: what it is, who has it, how often it was sent."""

    __slots__ = ("cost", "have", "member", "own", "raw", "sends", "slot", "told")

    def __init__(self, slot: Slot, raw: bytes, *, member: bool, own: bool, source: NodeId | None) -> None:
        self.slot = slot
        self.raw = raw
        self.cost = news_bytes(raw)
        self.member = member
        self.own = own
        self.sends = 0
        self.have: dict[NodeId, None] = {} if source is None else {source: None}
        """Who sent it here, and so needs no telling."""
        self.told = dict(self.have)
        """Those, and whom it was sent to."""


class Broadcasts:
    """The queue of one node."""

    def __init__(self, params: Params) -> None:
        self._params = params
        self._items: dict[Slot, Item] = {}
        self._tiers: list[dict[Slot, Item]] = []
        self._relays = 0
        self._members = 0
        """Items about members; the others are about services and events."""
        self.pruned = 0
        """Relays dropped for want of room; repair brings what they said."""

    def __len__(self) -> int:
        return len(self._items)

    def add(self, slot: Slot, raw: bytes, *, member: bool, own: bool, source: NodeId | None) -> Item:
        """Queue news; whatever was queued for the same slot is replaced."""
        self.drop(slot)
        item = Item(slot, raw, member=member, own=own, source=source)
        self._items[slot] = item
        self._tier(0)[slot] = item
        self._members += member
        if not own:
            self._relays += 1
            if self._relays > RELAYS_MAX:
                self._prune()
        return item

    def drop(self, slot: Slot) -> None:
        item = self._items.pop(slot, None)
        if item is not None:
            self._forget(item)

    def holds(self, slot: Slot) -> bool:
        return slot in self._items

    def heard(self, slot: Slot, raw: bytes, source: NodeId) -> None:
        """`source` turned out to have this news too: there is no need to tell it."""
        item = self._items.get(slot)
        if item is not None and item.raw == raw:
            item.have[source] = None
            item.told[source] = None

    def heard_all(self, source: NodeId) -> None:
        """`source` is given the whole view: whoever joins after news arose need not be told of it.

        In a storm of joins this decides whether the sends go where they are needed: most nodes
        know an item from their own join, pass nothing on, and only the earliest lack it.
        """
        for item in self._items.values():
            item.have[source] = None
            item.told[source] = None

    def head(self, peers: int) -> Item | None:
        """The item that should be sent next, or None; those sent often enough are dropped."""
        for sends, tier in enumerate(self._tiers):
            if sends >= self.limit(peers):
                self._retire(tier)
                continue
            own = next((item for item in tier.values() if item.own), None)
            if own is not None:
                return own
            for item in tier.values():
                return item
        return None

    def limit(self, peers: int) -> int:
        """How often an item is sent, among `peers` members besides this one."""
        return min(self._params.send_limit(peers + 1), max(SMALL_SENDS, peers))

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
        if not self._items:
            return ()
        limit = self.limit(peers)
        chosen: list[Item] = []
        left = budget
        mixed = 0 < self._members < len(self._items)
        share = budget // 2 if mixed else budget
        shares = {True: share, False: share}
        late: list[Item] = []
        for item in self._queue(limit) if only is None else only:
            if target in item.told or (only is not None and self._items.get(item.slot) is not item):
                continue
            if item.cost > left or len(chosen) == 64:
                if left < 80:
                    break
                continue
            if item.cost > shares[item.member] and (chosen or late):
                # The first is due, however large; after it, each kind has its half.
                late.append(item)
                continue
            shares[item.member] -= item.cost
            left -= item.cost
            chosen.append(item)
        for item in late:
            if item.cost <= left and len(chosen) < 64:
                left -= item.cost
                chosen.append(item)
        for item in chosen:
            self._charge(item, target, limit)
        return tuple(item.raw for item in chosen)

    def untold(self, item: Item, peers: Sequence[NodeId], count: int, rng: random.Random) -> list[NodeId]:
        """Up to `count` of `peers`, drawn at random among those not yet told of `item`."""
        if len(peers) <= 4 * count or len(item.told) * 2 > len(peers):
            fresh = [peer for peer in peers if peer not in item.told]
            return rng.sample(fresh, min(count, len(fresh)))
        drawn: dict[NodeId, None] = {}
        for _ in range(8 * count):
            peer = peers[rng.randrange(len(peers))]
            if peer not in item.told:
                drawn[peer] = None
                if len(drawn) == count:
                    break
        return list(drawn)

    def _queue(self, limit: int) -> Iterator[Item]:
        """Least-sent first, own before relayed; lazily, since a packet is soon full."""
        for tier in self._tiers[:limit]:
            if not tier:
                continue
            if self._relays < len(self._items):
                yield from (item for item in tier.values() if item.own)
                yield from (item for item in tier.values() if not item.own)
            else:
                yield from tier.values()

    def _charge(self, item: Item, target: NodeId, limit: int) -> None:
        if self._tier(item.sends).pop(item.slot, None) is None:
            return
        item.sends += 1
        item.told[target] = None
        if item.sends >= limit:
            self._finish(item)
            return
        self._tier(item.sends)[item.slot] = item

    def next_round(self, peers: int) -> None:
        """Begin again with what everybody was told: once a tick, so that repeats are not lost together."""
        for item in [item for item in self._items.values() if len(item.told) >= peers]:
            self.go_round(item, peers)

    def go_round(self, item: Item, peers: int) -> None:
        """Everybody was told once: a small cluster goes round again, for the sake of loss."""
        if len(item.have) >= peers or item.sends >= self.limit(peers):
            self.drop(item.slot)
        else:
            item.told = dict(item.have)

    def _retire(self, tier: dict[Slot, Item]) -> None:
        for item in list(tier.values()):
            self.drop(item.slot)

    def _finish(self, item: Item) -> None:
        if self._items.get(item.slot) is item:
            del self._items[item.slot]
            self._relays -= not item.own
            self._members -= item.member

    def _forget(self, item: Item) -> None:
        if item.sends < len(self._tiers):
            self._tiers[item.sends].pop(item.slot, None)
        self._relays -= not item.own
        self._members -= item.member

    def _tier(self, sends: int) -> dict[Slot, Item]:
        while len(self._tiers) <= sends:
            self._tiers.append({})
        return self._tiers[sends]

    def _prune(self) -> None:
        """Drop the relay that has been sent most."""
        for tier in reversed(self._tiers):
            for item in tier.values():
                if not item.own:
                    self.drop(item.slot)
                    self.pruned += 1
                    return
