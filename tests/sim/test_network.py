"""Datagrams and what befalls them."""

from __future__ import annotations

import pytest

from gossip.core.effects import Resolve, Send
from sim.clock import SECOND
from sim.host import Host
from sim.latency import Constant, Uniform
from sim.names import Names
from sim.network import link
from tests.sim.scripted import packet, say, script, scripted


def numbers(host: Host) -> list[int]:
    """The numbers of the packets that arrived, in order."""
    return [int.from_bytes(message.sender, "big") for message in script(host).what("receive")]


def send(sender: Host, receiver: Host, *numbers: int) -> None:
    say(sender, *[Send(receiver.address, packet(number)) for number in numbers])


@pytest.mark.parametrize("codec", [True, False])
def test_a_datagram_arrives_after_the_latency(codec: bool) -> None:
    world = scripted(2, latency=Constant(700), codec=codec)
    a, b = world.hosts
    send(a, b, 1)
    world.run(0.000699)
    assert numbers(b) == []
    world.run(0.000001)
    assert numbers(b) == [1]
    assert script(b).at("receive") == [0.0007]
    assert script(b).sources == [a.address]


def test_loss_takes_about_its_share() -> None:
    world = scripted(2, loss=0.25)
    a, b = world.hosts
    send(a, b, *range(2_000))
    world.run(1)
    assert 1_400 < len(numbers(b)) < 1_600
    assert world.network.dropped["loss"] == 2_000 - len(numbers(b))


def test_everything_is_lost_at_certain_loss() -> None:
    world = scripted(2, loss=1.0)
    a, b = world.hosts
    send(a, b, *range(50))
    world.run(1)
    assert numbers(b) == []


def test_duplication_brings_a_packet_twice_and_spread_reorders() -> None:
    world = scripted(2, duplication=1.0, latency=Uniform(100, 10_000))
    a, b = world.hosts
    send(a, b, *range(50))
    world.run(1)
    assert sorted(numbers(b)) == sorted([*range(50)] * 2)
    assert numbers(b) != sorted(numbers(b))


def test_one_way_cut_and_its_mending() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.network.cut(a, b)
    send(a, b, 1)
    send(b, a, 2)
    world.run(1)
    assert (numbers(a), numbers(b)) == ([2], [])
    world.network.mend(a, b)
    send(a, b, 3)
    world.run(1)
    assert numbers(b) == [3]


def test_a_link_may_differ_in_one_direction() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.set_link(a, b, link(Constant(5_000), loss=0.0))
    send(a, b, 1)
    send(b, a, 2)
    world.run(1)
    assert script(b).at("receive") == [0.005]
    assert script(a).at("receive") == [0.0005]
    world.set_link(a, b, None)
    send(a, b, 3)
    world.run(1)
    assert script(b).at("receive") == [0.005, 1.0005]


def test_a_partition_separates_its_groups_and_the_rest_until_healed() -> None:
    world = scripted(5)
    a, b, c, _, e = world.hosts
    world.partition([[a, b], [c]])
    for sender in world.hosts:
        for receiver in world.hosts:
            if sender is not receiver:
                send(sender, receiver, sender.number)
    world.run(1)
    assert [numbers(host) for host in world.hosts] == [[1], [0], [], [4], [3]]
    world.heal()
    send(a, c, 7)
    send(e, c, 8)
    world.run(1)
    assert numbers(c) == [7, 8]


def test_send_only_and_receive_only_hosts() -> None:
    world = scripted(3)
    a, b, c = world.hosts
    a.mute = True
    b.deaf = True
    send(a, c, 1)
    send(c, a, 2)
    send(b, c, 3)
    send(c, b, 4)
    world.run(1)
    assert (numbers(a), numbers(b), numbers(c)) == ([2], [], [3])


def test_a_closed_port_refuses_after_a_round_trip() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.crash(b)
    send(a, b, 1)
    world.run(1)
    assert script(a).what("refused") == [b.address]
    assert script(a).at("refused") == [0.001]


@pytest.mark.parametrize(
    "cause", ["firewall", "machine", "no such address", "other port", "way back", "restarted"]
)
def test_when_a_closed_port_does_not_refuse(cause: str) -> None:
    world = scripted(2)
    a, b = world.hosts
    target = b.address
    world.crash(b, machine=cause == "machine")
    b.refuses = cause != "firewall"
    if cause == "no such address":
        target = ("10.9.9.9", 7946)
    if cause == "other port":
        world.restart(b)
        target = (b.address[0], 1)
    if cause == "way back":
        world.network.cut(b, a)
    say(a, Send(target, packet(1)))
    if cause == "restarted":
        world.run(0.0007)
        world.restart(a)
    world.run(1)
    assert script(a).what("refused") == ([target] if cause == "other port" else [])


def test_a_host_that_limits_its_errors_sends_six_and_then_one_a_second_to_each_peer() -> None:
    world = scripted(3)
    a, b, c = world.hosts
    world.crash(b)
    b.refusals = "limited"
    for _ in range(200):
        send(a, b, 1)
        world.run(0.1)
    assert len(script(a).what("refused")) == 6 + 19
    send(c, b, *range(10))
    world.run(1)
    assert len(script(c).what("refused")) == 6
    assert world.network.dropped["icmp_limit"] == 200 - 25 + 4
    world.run(3)
    send(c, b, *range(10))
    world.run(1)
    assert len(script(c).what("refused")) == 6 + 4


def test_a_rejecting_host_takes_nothing_and_refuses_all() -> None:
    """As a firewall does: its own words get out."""
    world = scripted(2)
    a, b = world.hosts
    b.refusals = "rejecting"
    send(a, b, *range(5))
    send(b, a, 1, 2)
    world.run(1)
    assert numbers(b) == []
    assert numbers(a) == [1, 2]
    assert script(a).what("refused") == [b.address] * 5


def test_a_lying_host_takes_what_it_refuses() -> None:
    world = scripted(2)
    a, b = world.hosts
    b.refusals = "lying"
    send(a, b, *range(400))
    world.run(1)
    assert numbers(b) == [*range(400)]
    lies = script(a).what("refused")
    assert set(lies) == {b.address}
    assert 160 < len(lies) < 240
    world.network.lie = 0
    send(a, b, 1)
    world.run(1)
    assert len(script(a).what("refused")) == len(lies)
    world.crash(b)
    send(a, b, 1, 2, 3)
    world.run(1)
    assert len(script(a).what("refused")) == len(lies) + 3


def test_whether_a_host_refuses_at_all_can_be_asked_and_set() -> None:
    (host,) = scripted(1).hosts
    assert host.refuses
    host.refuses = False
    assert (host.refusals, host.refuses) == ("silent", False)
    host.refuses = True
    assert host.refusals == "sent"
    host.refusals = "limited"
    assert host.refuses


def test_messages_and_bytes_are_counted_by_node_and_kind() -> None:
    world = scripted(2)
    a, b = world.hosts
    send(a, b, 1, 2)
    world.run(1)
    size = 42 + len(b"\x94\x06\xc4\x10") + 16 + len(b"\x90\x00")
    assert a.sent.kinds == {"Gossip": [2, 2 * size]}
    assert b.received.kinds == {"Gossip": [2, 2 * size]}
    assert (a.sent.messages, a.sent.bytes, a.received.messages) == (2, 2 * size, 0)


@pytest.mark.parametrize(("sized", "size"), [(True, 64), (False, 0)])
def test_sizes_without_the_codec_are_the_same_if_asked_for(sized: bool, size: int) -> None:
    world = scripted(2, codec=False, sized=sized)
    a, b = world.hosts
    send(a, b, 1)
    world.run(1)
    assert (a.sent.bytes, b.received.bytes) == (size, size)


def test_another_cluster_is_counted_and_dropped() -> None:
    world = scripted(2)
    a, b = world.hosts
    world.cluster = "other"
    world.restart(a)
    send(a, b, 1)
    world.run(1)
    assert numbers(b) == []
    assert script(b).what("count") == ["cluster"]


def test_seeds_are_resolved_as_the_table_says_at_that_time() -> None:
    world = scripted(1)
    (a,) = world.hosts
    world.names.table["seed.test"] = ["10.0.0.7", "10.0.0.8"]
    say(a, Resolve("seed.test"), Resolve("seed.test:9"), Resolve("10.0.0.9:1"), Resolve("nobody"))
    world.run(1)
    assert script(a).what("resolved") == [
        ("seed.test", [("10.0.0.7", 7946), ("10.0.0.8", 7946)], ""),
        ("seed.test:9", [("10.0.0.7", 9), ("10.0.0.8", 9)], ""),
        ("10.0.0.9:1", [("10.0.0.9", 1)], ""),
        ("nobody", [], "nobody has no address"),
    ]


@pytest.mark.parametrize("seed", ["fd00::7", "[fd00::7]", "[fd00::7]:7946"])
def test_ipv6_seeds_are_read_with_brackets_and_without(seed: str) -> None:
    assert Names().look_up(seed) == ([("fd00::7", 7946)], "")


def test_a_seed_with_a_bad_port_is_told() -> None:
    assert Names().look_up("host:http") == ([], "'http' is no port")


def test_two_hosts_cannot_have_one_address() -> None:
    world = scripted(1)
    with pytest.raises(ValueError, match="taken by n0"):
        world.add(address=world.hosts[0].address)


def test_a_new_address_leaves_silence_at_the_old_one() -> None:
    world = scripted(2)
    a, b = world.hosts
    old = b.address
    world.restart(b, address="new")
    assert b.address != old
    say(a, Send(old, packet(1)), Send(b.address, packet(2)))
    world.run(1)
    assert numbers(b) == [2]
    assert script(a).what("refused") == []
    assert world.now == SECOND / 1e6
