"""What is still due from the peer of a conversation.

The steps of a conversation are few and each is taken once, so what it may cost is bounded by what is
held: a listing of each bucket, an offer for each listing, and the pages of each offer. Whoever could have
one of them again and again would have this node walk its view, or send it, as often for a few bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

from gossip.core.messages import Listing, Page
from gossip.core.sync import BUCKETS

__all__ = ["Due"]


class Due:
    """Counts what is due, and takes it; what is not due is not taken, and ends the conversation.

    Args:
        listings: listings that are due.
        offers: offers that are due besides those that answer listings of this side.
        split: coarse buckets of which this side has sent the fine fingerprints, if it was called: fine
            buckets of these are listed then, once each, and no others. None, if it has called: then it
            is coarse buckets that are listed or split, once each.
    """

    def __init__(self, listings: int, offers: int, split: Iterable[int] | None = None) -> None:
        self.listings = listings
        self.offers = offers
        self.pages = 0
        """Transfers of pages that are due: as many pages that are the last one."""
        self._asks = 0
        """How many of these may ask for something in their turn."""
        self._split = None if split is None else frozenset(split)
        self._came: set[int] = set()
        """Buckets that were listed or split."""

    @property
    def answers(self) -> int:
        """Offers and transfers that are due."""
        return self.offers + self.pages

    def listed(self) -> None:
        """This side has listed: an offer is due."""
        self.offers += 1

    def offered(self) -> None:
        """This side has offered: pages are due, which may ask for what was offered."""
        self.pages += 1
        self._asks += 1

    def asked(self) -> None:
        """This side has asked for what was offered: pages are due."""
        self.pages += 1

    def take_listing(self, listing: Listing) -> bool:
        buckets = [bucket for bucket, _, _ in listing.buckets]
        if not self.listings or not self._may_list(buckets, split=bool(listing.split)):
            return False
        buckets += (bucket for bucket, _ in listing.split)
        fresh = set(buckets)
        if len(fresh) < len(buckets) or fresh & self._came:
            return False
        self._came |= fresh
        self.listings -= 1
        return True

    def _may_list(self, buckets: list[int], *, split: bool) -> bool:
        if self._split is None:
            return all(bucket < BUCKETS for bucket in buckets)
        # Of a coarse bucket this is -1, which is no coarse one's number.
        return not split and all((bucket - BUCKETS) >> 8 in self._split for bucket in buckets)

    def take_offer(self) -> bool:
        if not self.offers:
            return False
        self.offers -= 1
        return True

    def take_page(self, page: Page) -> bool:
        """Pages come while an answer is due: accusations before an offer, and then what is wanted."""
        if not self.answers or (page.last and not self.pages) or (page.wants and not self._asks):
            return False
        self.pages -= page.last
        self._asks -= bool(page.wants)
        return True
