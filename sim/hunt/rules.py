"""What must hold in any world: each rule by the words in which a failure names it."""

from __future__ import annotations

import enum

__all__ = ["Rule"]


class Rule(enum.StrEnum):
    """One invariant."""

    INCARNATION = "incarnations rise"
    """What one node holds of another never goes back to an older word of it."""
    FINAL = "who is dead or left lives again only by a newer word of its own"
    """And is forgotten only as a tombstone."""
    ONE_VALUE = "one value per version"
    """One counter numbers all that a node says, so that a version has one text."""
    OWNERS = "only owners write"
    """Whatever is held was signed by the node that it speaks for."""
    TOMBSTONES = "a deletion holds against what is older"
    NEWEST = "the newest version stays"
    """Of each key, while the owner is remembered, unless the owner's floor voids it."""
    KEPT = "what was registered here is offered here"
    LEASED = "no version is used that the disk has not reserved"
    OWN_ID = "a node's own id lives while it runs"
    """It is no member of its own table, alive, and leaves only when it is told to."""
    DOUBT = "who was not running accuses nobody"
    """Nor buries anybody."""
    CLOCKS = "every suspect has accusers and a clock that runs, and nobody else has"
    INDEXES = "members and their indexes agree"
    FINGERPRINT = "the fingerprint is the xor of what is live"
    CATALOG = "the catalog holds what the members do"
    REVISION = "nothing held changes without a new revision"
    ONCE = "an event is told once"
    BOUNDED = "queues and tables are bounded"
    CONVERGENCE = "without faults all nodes come to one view, with all that was registered"
    """In the time that `calm_limit` derives from the settings; and it lasts."""
    CRASH = "the code does not fail"
    """No exception that nobody expects."""
