"""A malicious member among 20: a fixed band of seeds.

More of them: gossip-sim siege --seeds 0..999, and the same with --loss 2.
"""

from __future__ import annotations

import pytest

from sim.siege.moves import MOVES
from sim.siege.trial import Besieged, work

SECONDS = 1.5
PART = 5


@pytest.mark.slow
@pytest.mark.parametrize("first", [0, 5])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_no_healthy_member_is_declared_dead(first: int, loss: float) -> None:
    for seed in range(first, first + PART):
        came = work(Besieged(seed, seconds=SECONDS, loss=loss))
        assert came.passed, came


@pytest.mark.slow
def test_nor_where_it_may_invent_members_as_long_as_nothing_is_lost() -> None:
    for seed in range(3):
        came = work(Besieged(seed, seconds=SECONDS, invited=False))
        assert came.passed, came


def test_a_seed_gives_the_same_moves_again_and_all_moves_come() -> None:
    task = Besieged(3, nodes=5, seconds=12.0)
    came = work(task)
    assert came == work(task)
    assert came.passed
    assert set(came.moves) == set(MOVES)
