"""*The* precedence rule, as a literal table.

Theory. What one node holds of another changes for three kinds of news: the member's own record
(a life), the member's own leaving record (the end of a life, by its own word), and somebody
else's accusation. Each speaks of one incarnation, and is newer than, the same as, or older than
the one held. The owner's word of a newer incarnation beats everything, whatever is held: that is
why a restart, a return or a change of address needs no timer. Nobody else's word ever makes a
member dead: an accusation starts or shortens a clock, and the clock is local (`detector`).

SWIM (section 4.2) orders alive < suspect < confirm within an incarnation and lets a confirm be
final for all; here only the middle step travels.
"""

from __future__ import annotations

import enum

from gossip.core.types import Status

__all__ = ["TABLE", "Action", "Age", "News", "judge"]


class News(enum.Enum):
    """What is said of a member."""

    RECORD = "record"
    LEAVING = "leaving record"
    ACCUSATION = "accusation"


class Age(enum.Enum):
    """The incarnation that it speaks of, against the one that is held."""

    OLDER = "older"
    SAME = "same"
    NEWER = "newer"


class Action(enum.Enum):
    """What this node does about it."""

    DROP = "drop"
    ADD = "add"
    """Unknown until now: becomes a member, alive."""
    BURY = "add as left"
    """Unknown, and already gone: a tombstone, so that an older record cannot bring it to life."""
    UPDATE = "update"
    REFUTE = "refuted"
    """Alive again by its own word: the suspicion and its accusations end."""
    REVIVE = "back"
    """Dead or left, and alive again by its own word."""
    LEAVE = "left"
    SUSPECT = "suspect"
    """First accusation: the clock starts now, by this node's own time."""
    CONFIRM = "confirm"
    """One more accuser: the clock may shorten."""
    FETCH = "fetch"
    """It speaks of a life that is not known here: ask for the record, believe nothing yet."""


_A, _S, _D, _L = Status.ALIVE, Status.SUSPECT, Status.DEAD, Status.LEFT

TABLE: dict[tuple[News, Age], dict[Status, Action]] = {
    (News.RECORD, Age.NEWER): {_A: Action.UPDATE, _S: Action.REFUTE, _D: Action.REVIVE, _L: Action.REVIVE},
    (News.RECORD, Age.SAME): {_A: Action.DROP, _S: Action.DROP, _D: Action.DROP, _L: Action.DROP},
    (News.RECORD, Age.OLDER): {_A: Action.DROP, _S: Action.DROP, _D: Action.DROP, _L: Action.DROP},
    (News.LEAVING, Age.NEWER): {_A: Action.LEAVE, _S: Action.LEAVE, _D: Action.LEAVE, _L: Action.UPDATE},
    (News.LEAVING, Age.SAME): {_A: Action.LEAVE, _S: Action.LEAVE, _D: Action.LEAVE, _L: Action.DROP},
    (News.LEAVING, Age.OLDER): {_A: Action.DROP, _S: Action.DROP, _D: Action.DROP, _L: Action.DROP},
    (News.ACCUSATION, Age.NEWER): {_A: Action.FETCH, _S: Action.FETCH, _D: Action.FETCH, _L: Action.FETCH},
    (News.ACCUSATION, Age.SAME): {_A: Action.SUSPECT, _S: Action.CONFIRM, _D: Action.DROP, _L: Action.DROP},
    (News.ACCUSATION, Age.OLDER): {_A: Action.DROP, _S: Action.DROP, _D: Action.DROP, _L: Action.DROP},
}

UNKNOWN: dict[News, Action] = {
    News.RECORD: Action.ADD,
    News.LEAVING: Action.BURY,
    News.ACCUSATION: Action.DROP,
}
"""About a member that is not known here, at any incarnation."""


def judge(news: News, status: Status | None, held: int, said: int) -> Action:
    """What to do about `news` of incarnation `said`, holding `status` at incarnation `held`."""
    if status is None:
        return UNKNOWN[news]
    age = Age.NEWER if said > held else Age.SAME if said == held else Age.OLDER
    return TABLE[(news, age)][status]
