"""What is said of it when a node begins to doubt itself."""

from __future__ import annotations

import pytest

from gossip.core.events import EventKind
from gossip.core.outlet import ENOUGH
from tests.core.rig import Rig


@pytest.mark.parametrize(
    ("late", "gap", "overflow", "unsent", "why"),
    [
        (7.5, 0.0, False, 0, "not running for 7.500 s"),
        (0.001, 60.0, False, ENOUGH, "not running for 60.000 s"),
        (0.001, 0.0, False, ENOUGH, "no datagram leaves this host"),
        (0.001, 0.0, True, 0, "datagrams for it were dropped: its buffer is full"),
    ],
)
def test_the_log_has_the_reason(late: float, gap: float, overflow: bool, unsent: int, why: str) -> None:
    rig = Rig()
    rig.members(2)
    rig.do(lambda now: rig.node.pulse(late, gap, overflow, unsent, now))
    assert [event.detail for _, event in rig.events if event.kind is EventKind.DOUBT] == [why]
