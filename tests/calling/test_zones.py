"""Zones in balance: whatever the sizes, nobody gets more than a quarter above its share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.calling.zones import TOLERANCE, shares

ZONES = st.sampled_from(["a", "b", "c", "d"])


@pytest.mark.parametrize(
    ("own", "members", "weights", "result"),
    [
        ("a", {"a": 5, "b": 5}, {"a": 3.0, "b": 3.0}, {"a": 1.0}),
        ("a", {"a": 5, "b": 5}, {"b": 3.0}, {"b": 1.0}),
        ("a", {"a": 6, "b": 4}, {"a": 1.0, "b": 1.0}, {"a": 1.0}),
        ("a", {"a": 8, "b": 2}, {"a": 1.0, "b": 1.0}, {"a": 0.78125, "b": 0.21875}),
        ("a", {}, {"a": 1.0, "b": 1.0}, {"a": 1.0}),
        ("c", {"a": 1, "c": 1}, {"a": 1.0, "b": 3.0}, {"b": 1.0}),
        # Nobody has more than it needs: the rest goes by weight.
        ("a", {"a": 9, "b": 1}, {"a": 1.0, "b": 9.0}, {"a": 0.1 / 0.72, "b": 1 - 0.1 / 0.72}),
    ],
)
def test_table(
    own: str, members: dict[str, int], weights: dict[str, float], result: dict[str, float]
) -> None:
    found = {zone: share for zone, share in shares(own, members, weights).items() if share}
    assert found == pytest.approx(result)


@given(
    st.dictionaries(ZONES, st.integers(1, 1_000), min_size=1),
    st.dictionaries(ZONES, st.integers(1, 1_000), min_size=1),
)
def test_if_all_do_so_every_zone_answers_its_share(members: dict[str, int], weights: dict[str, int]) -> None:
    everybody, total = sum(members.values()), sum(weights.values())
    load = dict.fromkeys(weights, 0.0)
    for zone, count in members.items():
        parts = shares(zone, members, dict(weights))
        assert sum(parts.values()) == pytest.approx(1.0)
        assert all(0.0 <= part <= 1.0 + 1e-9 for part in parts.values())
        for other, part in parts.items():
            if part:
                load[other] += part * count / everybody
    for zone, weight in weights.items():
        assert load[zone] <= weight / total / (1 - TOLERANCE) + 1e-9
