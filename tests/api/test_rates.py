"""Buckets by source: their pace, and that there is no way to a fresh one."""

from __future__ import annotations

import pytest

from gossip.api.rates import Rates


def used(rates: Rates, source: str, now: float, tries: int) -> int:
    return sum(rates.take(source, now) for _ in range(tries))


@pytest.mark.parametrize("start", [0.0, 0.1, 123_456.789, 1e7 / 3])
def test_a_burst_and_then_the_rate(start: float) -> None:
    rates = Rates(10, 2.0)
    assert used(rates, "10.0.0.1", start, 100) == 20
    assert rates.wait("10.0.0.1", start) == pytest.approx(0.1, abs=1e-5)
    assert used(rates, "10.0.0.1", start + 0.5, 100) == 5
    assert used(rates, "10.0.0.1", start + 0.55, 100) == 0
    assert used(rates, "10.0.0.1", start + 1_000.0, 100) == 20, "no more is saved than a burst"


def test_to_be_refused_costs_nothing_and_what_is_used_in_any_case_does() -> None:
    rates = Rates(10, 2.0)
    assert used(rates, "10.0.0.1", 0.0, 1_000) == 20
    assert rates.wait("10.0.0.1", 0.1) == 0.0
    rates.use("10.0.0.1", 0.1)
    rates.use("10.0.0.1", 0.1)
    assert rates.wait("10.0.0.1", 0.1) == pytest.approx(0.2, abs=1e-5)


def test_one_a_second_has_room_for_one() -> None:
    rates = Rates(1, 0.1)
    assert used(rates, "10.0.0.1", 5.0, 3) == 1
    assert used(rates, "10.0.0.1", 6.0, 3) == 1


def test_sources_are_addresses_and_networks_of_ipv6() -> None:
    rates = Rates(1, 3.0)
    assert used(rates, "10.0.0.1", 0.0, 9) == 3
    assert used(rates, "10.0.0.2", 0.0, 9) == 3
    assert used(rates, "2001:db8::1", 0.0, 2) == 2
    assert used(rates, "2001:db8:0:0:ffff::9", 0.0, 9) == 1, "of the same /64"
    assert used(rates, "2001:db8:0:1::1", 0.0, 9) == 3
    assert used(rates, "fe80::1%eth0", 0.0, 9) == 3


def test_nobody_gets_a_fresh_bucket_by_coming_from_many_addresses() -> None:
    rates = Rates(1, 3.0)
    assert used(rates, "192.0.2.1", 0.0, 9) == 3
    size = len(rates._full)
    for number in range(10_000):
        rates.take(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)
    assert used(rates, "192.0.2.1", 0.0, 9) == 0
    assert len(rates._full) == size
    # All of it comes back with time, whatever happened.
    assert used(rates, "192.0.2.1", 60.0, 9) == 3


def test_who_uses_up_his_own_takes_next_to_nothing_from_others() -> None:
    rates = Rates(100, 2.0)
    # Of a hundred, one may meet two others by chance, one in each row.
    assert sum(used(rates, f"10.0.0.{number}", 0.0, 300) >= 199 for number in range(100)) > 90
    harmed = sum(not rates.take(f"10.{1 + (number >> 8)}.0.{number & 255}", 0.0) for number in range(2_000))
    # By chance it is less than one; never thirty.
    assert harmed < 30
