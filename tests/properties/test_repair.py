"""What a repair costs: it follows what differs, not what is held."""

from __future__ import annotations

import pytest

from bench.repair import BASE_BYTES, DIFFERENCE_BYTES, DIFFERENCES, measure
from gossip.core import sync

RECORDS = 10_000


@pytest.mark.parametrize("differences", [d for d in DIFFERENCES if d])
def test_a_repair_of_d_of_10_000_records_costs_4_kib_and_600_bytes_for_each(
    differences: int, seed: int
) -> None:
    """Beyond the records themselves, which travel once each."""
    row = measure(differences, RECORDS, seed=seed)
    assert row.repairs == 1
    assert 0 < row.overhead_bytes <= BASE_BYTES + DIFFERENCE_BYTES * differences == row.allowed_bytes


def test_two_nodes_that_hold_the_same_10_000_records_send_pings_and_acks_only(seed: int) -> None:
    row = measure(0, RECORDS, seed=seed)
    assert (row.repairs, row.overhead_bytes) == (0, 0)


def test_the_cost_of_one_difference_is_the_same_in_a_hundredth_of_the_records(seed: int) -> None:
    """All but the listing of one bucket: a 256th of what is held, 8 bytes a record."""
    large, small = (measure(1, records, seed=seed) for records in (RECORDS, RECORDS // 100))
    assert large.overhead_bytes - small.overhead_bytes <= 2 * 8 * RECORDS / 256


@pytest.mark.parametrize("differences", [1, 30, 300])
def test_a_repair_with_buckets_too_long_to_list_ends_the_same_way(
    differences: int, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with more than 65,536 records, where a bucket is first split 256-fold again."""
    monkeypatch.setattr(sync, "SPLIT_OVER", 2)
    row = measure(differences, 2_000, seed=seed)
    assert row.repairs == 1
    # A split bucket costs its 256 fingerprints, and each differing one of these is listed.
    assert row.overhead_bytes <= BASE_BYTES + (2_200 + DIFFERENCE_BYTES) * min(differences, 256)


@pytest.mark.parametrize("pairs", range(10))
def test_two_nodes_that_disagree_do_not_repair_twice(pairs: int, seed: int) -> None:
    """Both notice at the same time; who was called on waits for what comes of it."""
    row = measure(1, 200, seed=seed + pairs)
    assert row.repairs == 1
