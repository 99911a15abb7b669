"""How much this node trusts itself (Lifeguard's local health, and doubt).

Health is a count from 0 (well) to `health_max`: a missed ack or an accusation raises it, an ack
lowers it, and it stretches every period and wait. Doubt is sharper and short: a node whose own
wake-ups were late, or whose clocks jumped, was not running, and must not judge others by what it
could not have heard. Both end by themselves.
"""

from __future__ import annotations

from gossip.core.params import Params
from gossip.core.types import NodeId

__all__ = ["ACCUSERS_MAX", "Health"]

ACCUSERS_MAX = 192
"""How many accusers of this node are remembered."""

DOUBT_GOOD_PERIODS = 2
DOUBT_MAX_PERIODS = 10
"""A doubt that had no end would let one dead member mute this node for ever."""
REST_PERIODS = 10
"""After one of that length this node judges as ever for so long, whatever is lost on the way to it: whoever
floods it would have it judge nobody, ever."""


class Health:
    """The score, and whether this node is in doubt of itself."""

    __slots__ = (
        "_good",
        "_heard",
        "_last_heard",
        "_params",
        "_periods",
        "_refuted_at",
        "_refuted_by",
        "_rest",
        "doubting",
        "score",
    )

    def __init__(self, params: Params) -> None:
        self._params = params
        self.score = 0
        self.doubting = False
        self._good = 0
        self._periods = 0
        self._rest = 0
        self._heard: dict[NodeId, None] = {}
        self._last_heard: dict[NodeId, None] = {}
        self._refuted_at = float("-inf")
        self._refuted_by: dict[NodeId, float] = {}

    @property
    def factor(self) -> int:
        """What every period and wait is multiplied by: 1 to health_max + 1."""
        return self.score + 1

    def acked(self) -> None:
        if self.score:
            self.score -= 1

    def failed(self, missing_nacks: int) -> None:
        """A probe failed. Missing nacks weigh only while few others were heard meanwhile."""
        heard = len(self._heard) + len(self._last_heard.keys() - self._heard.keys())
        extra = 1 if missing_nacks > 0 and heard < 2 else 0
        self._raise(1 + extra)

    def refuted(self, accuser: NodeId, patience: float, now: float) -> None:
        """This node had to defend itself: at most once a period, once per accuser in `patience` s."""
        last = self._refuted_by.get(accuser, float("-inf"))
        if now - self._refuted_at < self._params.period or now - last < patience:
            return
        self._refuted_at = now
        self._refuted_by[accuser] = now
        if len(self._refuted_by) > ACCUSERS_MAX:
            del self._refuted_by[next(iter(self._refuted_by))]
        self._raise(1)

    def _raise(self, by: int) -> None:
        self.score = min(self._params.health_max, self.score + by)

    def heard(self, who: NodeId) -> None:
        # More than two are not told apart by any rule.
        if len(self._heard) < 2:
            self._heard[who] = None

    @property
    def resting(self) -> bool:
        """Whether lost datagrams are no reason to doubt: the last such doubt had to be ended."""
        return self._rest > 0

    def start_doubt(self) -> None:
        if not self.doubting:
            # A doubt renewed is the same doubt: it ends with the first one's time.
            self._periods = 0
        self.doubting = True
        self._good = 0
        self._heard.clear()

    def period_ended(self, n: int) -> bool:
        """Close a probe period that was woken in time; True if a doubt ended with it."""
        enough = len(self._heard) >= (1 if n <= 2 else 2)
        self._last_heard, self._heard = self._heard, {}
        if not self.doubting:
            self._rest = max(0, self._rest - 1)
            return False
        self._periods += 1
        self._good = self._good + 1 if enough else 0
        if self._good >= DOUBT_GOOD_PERIODS or self._periods >= DOUBT_MAX_PERIODS:
            self.doubting = False
            self._rest = 0 if self._good >= DOUBT_GOOD_PERIODS else REST_PERIODS
            return True
        return False
