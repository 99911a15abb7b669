"""What can be done to a cluster, each as a value: at a time, to hosts by number, and in words.

An act that cannot be done when its time has come (the host is not running, say) is left out. So every list
of acts makes sense, and a failing one can be made shorter by leaving acts out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from sim.hunt.stage import Stage

__all__ = ["Act"]


def spelled(name: str) -> str:
    """`HandOver` as `hand over`: the word of an act in a plan's file."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


class Act(Struct, frozen=True, tag_field="do", tag=spelled, forbid_unknown_fields=True):
    """One thing that is done to a cluster."""

    at_ms: int
    """When, in milliseconds of virtual time."""

    def do(self, stage: Stage) -> bool:
        """Do it now; False if it cannot be done."""
        raise NotImplementedError

    @property
    def word(self) -> str:
        """What kind it is."""
        return spelled(type(self).__name__)

    @property
    def named(self) -> tuple[int, ...]:
        """The numbers of the hosts that it names."""
        named = [getattr(self, field) for field in ("host", "other") if hasattr(self, field)]
        return (*named, *getattr(self, "hosts", ()))
