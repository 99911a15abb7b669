"""Who hears of an update by gossip alone, and what gossip costs: laws of chance, in virtual time.

How the core is run alone, and the law itself, stand in `bench/misses.py`.
"""

from __future__ import annotations

import math
import random

import pytest
from msgspec.structs import replace

from bench.misses import ALONE, gossip_law, limit_of_peers, measure, misses_of_peers, sending
from gossip.core.params import LAN, Params
from sim.network import link
from sim.world import LATENCY, World
from tests.world import Traffic, cluster

OVERLAP = 0.02
"""Seconds from one update to the next where they may share packets."""


# -- the law


def drawn(nodes: int, sends: int, rng: random.Random) -> int:
    """How many nodes one update misses, with the draws made one by one."""
    source: dict[int, int | None] = {0: None}
    waiting = [0]
    while waiting:
        carrier = waiting.pop()
        peers = [peer for peer in range(nodes) if peer not in (carrier, source[carrier])]
        for peer in rng.sample(peers, min(sends, len(peers))):
            if peer not in source:
                source[peer] = carrier
                waiting.append(peer)
    return nodes - len(source)


@pytest.mark.parametrize(("nodes", "sends"), [(4, 1), (5, 2), (9, 3), (30, 3)])
def test_the_law_is_that_of_draws_made_one_by_one(nodes: int, sends: int, rng: random.Random) -> None:
    runs = 4_000
    missed = [drawn(nodes, sends, rng) for _ in range(runs)]
    law = gossip_law(nodes, sends)
    assert sum(missed) / runs == pytest.approx(law.mean, abs=3 * law.deviation / math.sqrt(runs))
    spread = math.sqrt(law.some * (1 - law.some) / runs)
    assert sum(map(bool, missed)) / runs == pytest.approx(law.some, abs=3 * spread)


def test_in_a_large_cluster_the_law_is_n_times_e_to_the_minus_sends() -> None:
    for sends in (7, 8, 9):
        assert gossip_law(999, sends).mean == pytest.approx(999 * math.exp(-sends), rel=0.05)


def test_in_a_small_one_fewer_are_missed() -> None:
    """Different peers, never the source: with nine nodes this is a quarter of the asymptotic law."""
    assert gossip_law(9, 3).mean < 0.25 * 9 * math.exp(-3)
    assert gossip_law(9, 8).some == 0


def test_the_rule_of_the_peers_misses_most_just_below_a_power_of_ten() -> None:
    """What their rule was found to miss when it was simulated: 6.4 % at 9, 3 % at 99."""
    assert [limit_of_peers(nodes) for nodes in (9, 10, 99, 100, 999)] == [4, 8, 8, 12, 12]
    assert misses_of_peers(9) == pytest.approx(0.064, abs=0.001)
    assert misses_of_peers(99) == pytest.approx(0.03, abs=0.002)
    assert misses_of_peers(10) < 0.001


@pytest.mark.parametrize(
    ("nodes", "sends", "updates"),
    [(9, 2, 900), (9, 3, 900), (99, 3, 60), (99, 5, 90), pytest.param(999, 10, 12, marks=pytest.mark.slow)],
)
def test_the_core_misses_as_many_as_the_law_says(nodes: int, sends: int, updates: int, seed: int) -> None:
    row = measure(nodes, updates, sending(nodes, sends), seed=seed)
    law = gossip_law(nodes, sends)
    assert row.limit == sends
    assert row.missed / updates == pytest.approx(law.mean, abs=3 * law.deviation / math.sqrt(updates))
    spread = math.sqrt(law.some * (1 - law.some) / updates)
    assert row.missing / updates == pytest.approx(law.some, abs=3 * spread + 1 / updates)


# -- the shipped limit


@pytest.mark.parametrize(
    ("nodes", "updates"), [(9, 500), (99, 200), pytest.param(999, 5, marks=pytest.mark.slow)]
)
def test_with_the_shipped_limit_nobody_misses_anything(nodes: int, updates: int, seed: int) -> None:
    row = measure(nodes, updates, ALONE, seed=seed, spacing=OVERLAP)
    assert (row.missed, row.updates) == (0, updates)
    assert row.packets_each <= row.limit <= LAN.send_limit(nodes)


# -- after repair


def repaired_by(params: Params, nodes: int) -> float:
    """Seconds in which repair has brought everything to everybody, even with a fifth of packets lost.

    A round: the wait with its jitter, the period in which it is looked at, and a stream that at worst
    runs into its deadline. Each round at least doubles those who know, but for bad luck: four rounds more.
    """
    wait = 1.5 * max(params.sync_wait, params.send_limit(nodes) * params.gossip_interval)
    return (math.ceil(math.log2(nodes)) + 4) * (wait + 2 * params.period + params.stream_timeout)


@pytest.mark.parametrize("nodes", [2, 9, 33])
def test_after_repair_nobody_misses_anything_however_little_was_sent(nodes: int, seed: int) -> None:
    """One send for each node and item, a fifth of all packets lost: gossip alone would fail."""
    params = replace(
        LAN, send_extra=1 - math.ceil(math.log(nodes)), eager_extra=-math.ceil(math.log(nodes)) + 1
    )
    world = cluster(nodes, seed=seed, params=params)
    world.network.default = link(LATENCY, loss=0.2)
    ports: dict[str, int] = {}
    for number in range(30):
        host = world.rng.choice(world.hosts)
        host.register("web", number + 1)
        ports[host.name] = number + 1
        world.run(0.1)
    assert nodes == 2 or not everybody_has(world, ports), "gossip alone has sufficed: nothing is shown"
    world.run_until(lambda: everybody_has(world, ports), repaired_by(params, nodes))


def everybody_has(world: World, ports: dict[str, int]) -> bool:
    return all(
        {instance.node: instance.port for instance in host.node.catalog.lookup("web")} == ports
        for host in world.hosts
    )


# -- what gossip costs


@pytest.mark.parametrize("nodes", [3, 16, 64, pytest.param(128, marks=pytest.mark.slow)])
def test_messages_do_not_grow_with_the_cluster_and_an_idle_one_only_pings(nodes: int) -> None:
    """One ping a period and node, and its ack; nothing else, whatever the size."""
    periods = 30
    world = cluster(nodes, codec=nodes < 128)
    world.run(10)
    traffic = Traffic(world.hosts)
    world.run(periods * LAN.period)
    sent = traffic.sent()
    assert set(sent) == {"Ping", "Ack"}
    assert sent["Ping"] / nodes == pytest.approx(periods, abs=1)
    assert abs(sent["Ack"] - sent["Ping"]) <= nodes
    for host in world.hosts:
        assert traffic.sent(host)["Ping"] <= periods + 1
        # Everybody probes everybody once a round, so who is probed by many now is left alone later.
        assert traffic.sent(host)["Ack"] <= 2 * (periods + nodes - 1)


def test_who_is_busy_says_more_than_pings() -> None:
    """Or the test above would hold of a world that counts nothing else."""
    world = cluster(16)
    world.run(10)
    traffic = Traffic(world.hosts)
    world.hosts[3].register("web")
    world.run(5)
    assert traffic.sent()["Gossip"] >= 15
