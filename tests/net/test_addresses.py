"""Which hosts may be sent to, and what becomes of the system's socket addresses."""

from __future__ import annotations

import socket

import pytest

from gossip.net.addresses import family_of, is_loopback, is_same, plain, site


@pytest.mark.parametrize(
    ("host", "family"),
    [
        ("127.0.0.1", socket.AF_INET),
        ("192.0.2.7", socket.AF_INET),
        ("::1", socket.AF_INET6),
        ("2001:db8::1", socket.AF_INET6),
        ("", None),
        ("localhost", None),
        ("example.org", None),
        ("<broadcast>", None),
        ("127.1", None),
        ("0.0.0.0", None),
        ("::", None),
        ("255.255.255.255", None),
        ("224.0.0.1", None),
        ("ff02::1", None),
        ("::ffff:192.0.2.7", None),
        ("fe80::1%eth0", None),
        ("1.2.3.4\0", None),
    ],
)
def test_only_literals_of_one_host_may_be_sent_to(host: str, family: int | None) -> None:
    assert family_of(host) == family


def test_scopes_and_flows_are_dropped() -> None:
    assert plain(("fe80::1%eth0", 7946, 0, 4)) == ("fe80::1", 7946)
    assert plain(("192.0.2.7", 7946)) == ("192.0.2.7", 7946)


def test_one_address_may_be_written_in_two_ways() -> None:
    assert is_same(("2001:db8:0:0::1", 1), ("2001:DB8::1", 1))
    assert not is_same(("2001:db8::1", 1), ("2001:db8::1", 2))
    assert not is_same(("192.0.2.1", 1), ("192.0.2.2", 1))
    assert not is_same(("nonsense", 1), ("192.0.2.2", 1))


def test_loopback() -> None:
    assert is_loopback("127.3.2.1")
    assert is_loopback("::1")
    assert not is_loopback("192.0.2.1")
    assert not is_loopback("localhost")


def test_all_addresses_of_a_64_count_as_one_and_those_of_ipv4_each() -> None:
    assert site("2001:db8:0:1::2") == site("2001:db8:0:1:ffff::") == site("2001:db8:0:1::2%eth0")
    assert site("2001:db8:0:1::2") != site("2001:db8:0:2::2")
    assert site("192.0.2.1") != site("192.0.2.2")
    assert site("no address") == "no address"
