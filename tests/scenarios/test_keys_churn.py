"""Keys that change every minute, in a cluster that loses packets and whose agents restart all the time.

The hour of fifty agents is `scripts/bench rotation`.
"""

from __future__ import annotations

import pytest

from bench.rotation import churned


@pytest.mark.slow
def test_a_rotation_every_minute_under_churn() -> None:
    outcome = churned(seed=7, nodes=15, minutes=3)
    assert outcome.begun == 3
    assert outcome.restarts > 20
    assert outcome.is_well, outcome
    assert outcome.unread_returned <= outcome.restarts
