"""Many tasks on all cores, and a file that remembers which are done."""

from __future__ import annotations

from sim.farm.ledger import Ledger
from sim.farm.pool import spread

__all__ = ["Ledger", "spread"]
