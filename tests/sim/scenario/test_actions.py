"""Each word of `do`, and what it does to the world, when, and for how long."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sim.chance import threshold
from sim.clock import SECOND
from sim.errors import ScenarioError
from sim.host import Host
from sim.scenario import faults
from sim.scenario.director import Director
from sim.scenario.scenario import Scenario
from sim.scenario.services import has_service
from sim.scenario.stage import Stage
from sim.scenario.witness import Unwatched
from sim.world import World

GROUPS = """
nodes = 6
duration = "60s"
[[group]]
name = "a"
count = 2
[[group]]
name = "b"
count = 2
"""


class Show:
    """A scenario that is directed step by step."""

    def __init__(self, text: str, head: str = GROUPS, seed: int = 1) -> None:
        self.stage = Stage(Scenario.parse(head + text), seed, codec=False)
        self.world: World = self.stage.world
        self.director = Director(self.stage, Unwatched())
        self.director.warm_up()
        self.director.begin()

    def at(self, seconds: float) -> Show:
        self.director.pass_to(self.director.origin_us + round(seconds * SECOND))
        return self

    def which(self, holds: Callable[[Host], object]) -> list[int]:
        return [host.number for host in self.world.hosts if holds(host)]

    def passes(self, sender: int, receiver: int) -> bool:
        return self.world.network.passes(self.world.hosts[sender], self.world.hosts[receiver])


def act(text: str) -> str:
    return f"[[action]]\n{text}\n"


def down(host: Host) -> bool:
    return host.process is None


def stopped(host: Host) -> bool:
    return host.process is not None and host.process.stopped


def test_a_crash_takes_the_machine_or_only_the_agent() -> None:
    show = Show(act('at="1s"\ndo="crash"\nnodes="a"') + act('at="1s"\ndo="crash"\nnodes="b"\nmachine=false'))
    assert show.at(0.999).which(down) == []
    assert show.at(1).which(down) == [0, 1, 2, 3]
    assert show.which(lambda host: not host.up) == [0, 1]


def test_who_is_down_can_start_again_as_the_same_or_as_another() -> None:
    crash = act('at="5s"\ndo="crash"\nnodes=["n1", "n2"]')
    show = Show(crash + act('at="6s"\ndo="restart"') + act('at="7s"\ndo="restart"\nnodes="n3"'))
    before = [(host.id, host.address) for host in show.at(5).world.hosts]
    assert show.at(8).which(down) == []
    assert show.which(lambda host: host.lives == 2) == [1, 2], "who runs is not restarted"
    assert [(host.id, host.address) for host in show.world.hosts] == before
    show = Show(crash + act('at="6s"\ndo="restart"\nidentity="new"\naddress="new"'))
    before = [(host.id, host.address) for host in show.at(5).world.hosts]
    after = [(host.id, host.address) for host in show.at(8).world.hosts]
    changed = [number for number in range(6) if before[number][0] != after[number][0]]
    assert changed == [1, 2] == [number for number in range(6) if before[number][1] != after[number][1]]


def test_a_restart_can_stop_first_and_take_its_time() -> None:
    show = Show(
        act('at="5s"\nevery="4s"\nuntil="13s"\ndo="restart"\nnodes="next of b"\nstop="hand_over"\ndown="2s"')
    )
    assert show.at(6.5).which(down) == [2]
    assert show.at(8).which(down) == []
    assert show.at(10.5).which(down) == [3]
    assert show.at(30).which(lambda host: host.lives == 2) == [2, 3]
    assert show.world.converged()


def test_services_of_files_are_registered_again_when_the_disk_lost_them() -> None:
    service = '[[service]]\nname = "web"\nnodes = "a"\ncount = 2\n'
    show = Show(service + act('at="5s"\ndo="restart"\nnodes="n1"\nstop="crash"\ndisk="lost"'))
    assert show.at(4).which(lambda host: has_service(host, "web-1")) == [0, 1]
    assert show.at(20).which(lambda host: has_service(host, "web-1")) == [0, 1]
    assert show.world.hosts[5].lookup("web") == ["n0", "n0", "n1", "n1"]


def test_who_leaves_is_held_for_left() -> None:
    show = Show(act('at="5s"\ndo="leave"\nnodes="n4"') + act('at="5s"\ndo="hand_over"\nnodes="n5"')).at(8)
    assert show.which(down) == [4, 5]
    assert show.world.hosts[0].view() == {
        "n1": "alive",
        "n2": "alive",
        "n3": "alive",
        "n4": "left",
        "n5": "alive",
    }


def test_new_nodes_join_over_a_time_with_what_is_for_their_group() -> None:
    service = '[[service]]\nname = "web"\nnodes = "b"\n[[service]]\nname = "one"\nnodes = 1\n'
    show = Show(service + act('at="5s"\ndo="join"\ncount=4\ngroup="b"\nover="4s"'))
    assert len(show.at(5).world.running()) == 7
    assert len(show.at(7).world.running()) == 9
    assert len(show.at(20).world.running()) == 10
    assert show.which(lambda host: has_service(host, "web")) == [2, 3, 6, 7, 8, 9]
    assert len(show.which(lambda host: has_service(host, "one"))) == 1
    assert show.world.converged()


@pytest.mark.parametrize("word", ["pause", "suspend"])
def test_who_is_stopped_goes_on_after_its_time_or_when_told(word: str) -> None:
    show = Show(act(f'at="5s"\ndo="{word}"\nnodes="a"\nfor="2s"') + act(f'at="5s"\ndo="{word}"\nnodes="b"'))
    assert show.at(6).which(stopped) == [0, 1, 2, 3]
    assert show.which(lambda host: not host.up) == ([0, 1, 2, 3] if word == "suspend" else [])
    assert show.at(7).which(stopped) == [2, 3]
    show = Show(act(f'at="5s"\ndo="{word}"\nnodes="b"') + act('at="8s"\ndo="resume"\nnodes="n2"'))
    assert show.at(8).which(stopped) == [3]
    assert show.which(lambda host: not host.up) == ([3] if word == "suspend" else [])


def test_a_node_that_crashed_while_it_was_stopped_does_not_go_on() -> None:
    show = Show(
        act('at="5s"\ndo="pause"\nnodes="n1"\nfor="5s"')
        + act('at="6s"\ndo="crash"\nnodes="n1"')
        + act('at="7s"\ndo="restart"\nnodes="n1"')
        + act('at="8s"\ndo="pause"\nnodes="n1"')
    )
    assert show.at(11).which(stopped) == [1], "the first pause does not end the second"


def test_sides_of_a_full_partition_and_the_rest_are_apart() -> None:
    show = Show(act('at="5s"\ndo="partition"\nsides=["a", "b"]\nfor="5s"')).at(5)
    assert show.passes(0, 1)
    assert show.passes(4, 5)
    assert not any((show.passes(0, 2), show.passes(2, 0), show.passes(0, 4), show.passes(4, 2)))
    show.at(10)
    assert all(show.passes(sender, receiver) for sender in range(6) for receiver in range(6))


def test_a_partial_partition_leaves_the_rest_out() -> None:
    show = Show(act('at="5s"\ndo="partition"\nsides=["a", "b"]\nkind="partial"\nfor="5s"')).at(5)
    assert not any((show.passes(0, 2), show.passes(3, 1)))
    assert all((show.passes(0, 4), show.passes(4, 0), show.passes(2, 5)))
    assert show.at(10).passes(0, 2)


def test_a_one_way_partition_is_open_the_other_way() -> None:
    show = Show(act('at="5s"\ndo="partition"\nsides=["a"]\nkind="one_way"')).at(5)
    assert not show.passes(0, 4)
    assert all((show.passes(4, 0), show.passes(0, 1), show.passes(2, 4)))


def test_a_cut_outlives_a_partition_and_another_cut() -> None:
    show = Show(
        act('at="5s"\ndo="cut"\nnodes="n0"\nto="n4"\nboth=false\nfor="20s"')
        + act('at="6s"\ndo="partition"\nsides=["a"]\nfor="2s"')
        + act('at="9s"\ndo="cut"\nnodes="a"\nto=["n4", "n5"]\nfor="2s"')
    )
    assert (show.at(5).passes(0, 4), show.passes(4, 0)) == (False, True)
    assert (show.at(8.5).passes(0, 4), show.passes(4, 0), show.passes(1, 4)) == (False, True, True)
    assert (show.at(10).passes(0, 4), show.passes(4, 0), show.passes(5, 1)) == (False, False, False)
    assert (show.at(11.5).passes(0, 4), show.passes(4, 0), show.passes(5, 1)) == (False, True, True)
    assert show.at(25).passes(0, 4)


def test_flapping_comes_and_goes_until_it_ends_or_all_is_healed() -> None:
    flap = act('at="5s"\ndo="flap"\nnodes="a"\ndown="2s"\nup="1s"\nfor="10s"')
    show = Show(flap)
    times = [5, 6.9, 7.1, 7.9, 8.1, 9.9, 10.1, 14.1, 15.1, 17.5]
    assert [show.at(at).passes(0, 5) for at in times] == [
        False,
        False,
        True,
        True,
        False,
        False,
        True,
        False,
        True,
        True,
    ]
    show = Show(flap + act('at="6s"\ndo="heal"'))
    assert [show.at(at).passes(0, 5) for at in (5.5, 6.5, 8.5, 11.5)] == [False, True, True, True]


def test_links_and_the_network_change_and_change_back() -> None:
    show = Show(
        act('at="5s"\ndo="link"\nnodes="n0"\nto="n1"\nboth=false\nloss="50%"\nfor="5s"')
        + act('at="6s"\ndo="network"\nloss="10%"\nlatency="3ms"\nfor="5s"')
    ).at(7)
    network, (first, second) = show.world.network, show.world.hosts[:2]
    assert network.line(first, second).loss == threshold(0.5)
    assert network.line(second, first).loss == threshold(0.1)
    assert network.line(second, first).latency.draw(0) == 3_000
    show.at(12)
    assert network.line(first, second) == network.line(second, first)
    assert network.default.loss == 0


def test_too_many_pairs_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "PAIRS_MAX", 7)
    with pytest.raises(ScenarioError, match='write do = "partition"'):
        Show(act('do="cut"\nnodes="a"')).at(1)


def test_faults_of_hosts_begin_and_end() -> None:
    show = Show(
        act('at="5s"\ndo="loss"\nnodes="n1"\nincoming="25%"\noutgoing=1\nfor="2s"')
        + act('at="5s"\ndo="mute"\nnodes="n2"\nfor="2s"')
        + act('at="5s"\ndo="deaf"\nnodes="n3"\nfor="2s"')
        + act('at="5s"\ndo="refusals"\nhow="silent"\nnodes="b"\nfor="2s"')
    ).at(5)
    lossy = show.world.hosts[1]
    assert (lossy.loss_in, lossy.loss_out) == (threshold(0.25), threshold(1.0))
    assert (show.which(lambda host: host.mute), show.which(lambda host: host.deaf)) == ([2], [3])
    assert show.which(lambda host: host.refusals == "silent") == [2, 3]
    show.at(7)
    assert (lossy.loss_in, lossy.loss_out) == (0, 0)
    assert show.which(lambda host: host.mute or host.deaf or host.refusals != "sent") == []


def test_a_group_has_its_own_faults_from_the_start_and_gets_them_back() -> None:
    head = """
    nodes = 3
    [zones]
    names = ["eu", "us"]
    [[group]]
    name = "bad"
    count = 1
    loss_in = "10%"
    refusals = "limited"
    starve = 5
    zone = "us"
    """
    show = Show(act('at="1s"\ndo="loss"\nnodes="bad"\nfor="1s"'), head).at(1)
    bad = show.world.hosts[0]
    assert (bad.loss_in, bad.refusals, bad.zone) == (0, "limited", "us")
    assert show.at(2).world.hosts[0].loss_in == threshold(0.1)
    assert [host.zone for host in show.world.hosts] == ["us", "us", "eu"]


def test_a_starved_node_is_late() -> None:
    show = Show(act('at="5s"\ndo="starve"\nnodes="n3"\nfactor=20000\nfor="10s"'), "nodes = 6\n")
    show.at(25)
    doubts = [host.node.counters["doubts"] for host in show.world.hosts]
    assert doubts[3] > 0
    assert sum(doubts) == doubts[3]


def test_clocks_go_wrong() -> None:
    show = Show(
        act('at="5s"\ndo="clock_rate"\nnodes="n1"\nppm=100000\nfor="10s"')
        + act('at="5s"\ndo="jump_wall"\nnodes="n2"\nby="-1m"')
    ).at(20)
    assert show.world.hosts[1].agent.now == pytest.approx(21.0)
    assert show.world.hosts[2].wall_shift_us == -60 * SECOND


def test_what_nodes_say_of_themselves() -> None:
    show = Show(
        act('at="5s"\ndo="register"\nname="api"\nnodes=["n1", "n2"]\nport=9\ntags=["x"]')
        + act('at="6s"\ndo="tags"\nnodes="n1"\ntags={role="db"}')
        + act('at="7s"\ndo="event"\nname="deploy"\nnodes="n1"')
        + act('at="8s"\ndo="deregister"\nkey="api"\nnodes=["n2", "n3"]')
    ).at(7.5)
    seen = show.world.hosts[5].node
    assert [(found.node, found.port, found.tags) for found in seen.catalog.lookup("api")] == [
        ("n1", 9, ("x",)),
        ("n2", 9, ("x",)),
    ]
    assert seen.find("n1").record.tags == {"role": "db"}
    assert [found.node for found in show.at(9).world.hosts[5].node.catalog.lookup("api")] == ["n1"]


def test_checks_that_turn_hide_instances() -> None:
    show = Show(
        act('at="5s"\ndo="register"\nname="api"\nnodes=["n1", "n2"]')
        + act('at="6s"\ndo="check"\nkey="api"\nnodes="n1"\nfinds="critical"')
        + act('at="8s"\ndo="check"\nnodes="n2"\nfinds="warning"')
        + act('at="10s"\ndo="check"\nkey="api"\nfinds="passing"')
    ).at(7)
    catalog = show.world.hosts[5].node.catalog
    assert [(found.node, found.status) for found in catalog.lookup("api")] == [("n2", "passing")]
    show.at(9)
    assert [(found.node, found.status) for found in catalog.lookup("api")] == [("n2", "warning")]
    show.at(11)
    assert [(found.node, found.status) for found in catalog.lookup("api")] == [
        ("n1", "passing"),
        ("n2", "warning"),
    ]


def test_churn_keeps_to_its_keys_and_ends() -> None:
    show = Show(act('at="5s"\ndo="churn"\nrate=40\nnodes="a"\nservices=2\nfor="10s"')).at(14)
    owners = {found.node for found in show.world.hosts[5].node.catalog.lookup("churn")}
    keys = {found.key for found in show.world.hosts[5].node.catalog.lookup("churn")}
    assert owners <= {"n0", "n1"}
    assert keys <= {"churn-0", "churn-1"}
    versions = [host.node.next_version() for host in show.at(16).world.hosts[:2]]
    assert sum(host.disk.records != {} for host in show.world.hosts) == 2
    assert [host.node.next_version() for host in show.at(20).world.hosts[:2]] == [
        version + 1 for version in versions
    ]


def test_starts_can_be_spread_and_a_world_can_start_converged() -> None:
    show = Show("", 'nodes = 5\nstart = "over 10s"\n')
    assert [len(show.at(at).world.running()) for at in (0, 3, 5, 9)] == [1, 2, 3, 5]
    show = Show(act('at="1s"\ndo="crash"\nnodes=1'), 'nodes = 5\nstart = "converged"\n')
    assert show.world.converged()
    assert show.director.origin_us > 0
    assert len(show.at(0.9).world.running()) == 5
    assert len(show.at(1).world.running()) == 4


def test_each_action_has_randomness_of_its_own() -> None:
    crash = act('at="5s"\ndo="crash"\nnodes=2')
    alone = Show(crash).at(6).which(down)
    assert Show(crash + act('at="1s"\ndo="mute"\nnodes=3')).at(6).which(down) == alone
    assert any(Show(crash, seed=seed).at(6).which(down) != alone for seed in range(2, 6))
