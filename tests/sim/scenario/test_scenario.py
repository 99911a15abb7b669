"""What a file says becomes a scenario; what cannot be is refused with the place and what to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gossip.core.params import LAN, WAN
from sim.errors import ScenarioError
from sim.scenario.changes import parse_change
from sim.scenario.scenario import Scenario
from sim.scenario.shipped import shipped_names

FULL = """
name = "full"
description = "all that there is"
nodes = 20
duration = "2m"
start = "over 5s"
seeds = 2

[network]
latency = "1ms..2ms"
loss = "5%"
burst = {enter = "1%", leave = 0.5}
bandwidth = "1MB"

[zones]
names = ["eu", "us"]
latency = [["1ms", "40ms"], ["40ms", "1ms"]]

[[group]]
name = "rack-a"
share = "10%"
zone = "us"

[[group]]
name = "rack-b"
count = 5

[settings]
profile = "wan"
period = 2.5

[costs]
received = 9

[[service]]
name = "web"
nodes = ["rack-a", "n19"]

[[action]]
at = "5s"
every = "10s"
until = "1m"
for = "2s"
do = "pause"
nodes = "2 of rack-b"
"""


def test_a_file_is_read_with_its_units() -> None:
    scenario = Scenario.parse(FULL)
    assert (scenario.name, scenario.nodes, scenario.duration_us) == ("full", 20, 120_000_000)
    assert (scenario.start, scenario.stagger_us, scenario.seeds) == ("together", 5_000_000, 2)
    assert scenario.network.loss == 0.05
    assert scenario.network.bandwidth == 1_000_000
    assert scenario.network.burst is not None
    assert (scenario.network.burst.enter, scenario.network.burst.loss) == (0.01, 1.0)
    assert scenario.group_sizes() == {"rack-a": 2, "rack-b": 5}
    assert scenario.params.period == 2.5
    assert scenario.params.gossip_fanout == WAN.gossip_fanout != LAN.gossip_fanout
    assert scenario.costs is not None
    assert (scenario.costs["received"], scenario.costs["checked"]) == (9, 118)
    (action,) = scenario.actions
    assert (action.at, action.every, action.until) == (5_000_000, 10_000_000, 60_000_000)


def test_it_is_written_as_toml_that_says_the_same() -> None:
    scenario = Scenario.parse(FULL)
    again = Scenario.parse(scenario.to_toml())
    assert again.document == scenario.document
    assert again.to_toml() == scenario.to_toml()
    awkward = Scenario.of(
        {"nodes": 1, "description": 'a "quoted"\nline\\ \x7f \u00e9', "settings": {"period": 0.1}}
    )
    assert Scenario.parse(awkward.to_toml()).document == awkward.document


def test_changes_by_dotted_path() -> None:
    scenario = Scenario.parse(FULL)
    changed = scenario.with_changes(
        {
            "network.loss": 0.1,
            "settings.suspicion_alpha": 5.0,
            "group.rack-b.count": 7,
            "action.0.nodes": "all",
            "costs": None,
        }
    )
    assert changed.network.loss == 0.1
    assert changed.params.suspicion_alpha == 5.0
    assert changed.group_sizes()["rack-b"] == 7
    assert changed.costs is None
    assert scenario.network.loss == 0.05, "the first one stays as it was"
    for path in ("group.rack-x.count", "action.7.at", "nodes.more"):
        with pytest.raises(ScenarioError, match=path.split(".", maxsplit=1)[0]):
            scenario.with_changes({path: 1})


def test_a_change_is_read_as_toml_or_else_as_text() -> None:
    assert parse_change("network.loss=0.1") == ("network.loss", 0.1)
    assert parse_change("network.loss = 10%") == ("network.loss", "10%")
    assert parse_change("action=[{do = 'heal'}]") == ("action", [{"do": "heal"}])
    for text in ("loss", "=3"):
        with pytest.raises(ValueError, match="write it like"):
            parse_change(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nodes = ", "no TOML"),
        ("", "needs the key `nodes`"),
        ("nodes = 0", "at least one node"),
        ("nodes = 'many'", "nodes: Expected `int`, got `str`"),
        ("nodes = 3\nnode = 4", "no key `node`"),
        ("nodes = 3\nduration = '0s'", "more than nothing"),
        ("nodes = 3\nduration = 'soon'", "duration: 'soon' is no duration"),
        ("nodes = 3\nstart = 'later'", 'write "together", "converged" or "over 30s"'),
        (
            "nodes = 4\nduration = '20s'\nstart = 'over 40s'",
            "start 30 s after the first, and the run ends after 20 s",
        ),
        ("nodes = 3\nseeds = 4", "seeds is 4"),
        ("nodes = 3\n[network]\nloss = 2", "network, loss: 2 is not from 0 to 1"),
        ("nodes = 3\n[network]\nlatency = '5ms..1ms'", "network, latency"),
        ("nodes = 3\n[network]\nlatency = 'file nowhere.txt'", "nowhere.txt"),
        ("nodes = 3\n[network]\nreordering = 0.1", "reordering needs `reorder`"),
        ("nodes = 3\n[network]\nburst = {enter = 0.1}", "network, burst: it needs the key `leave`"),
        ("nodes = 3\n[network]\nmtu = 'big'", "'big' is no size"),
        ("nodes = 3\n[network]\nmtu = 10", "[network]: an MTU is at least 68 bytes, not 10"),
        ("nodes = 3\n[network]\nbandwidth = 0", "[network]: a bandwidth is at least 1 byte"),
        ("nodes = 3\n[network]\nbacklog = 10", "[network]: a backlog holds at least one packet"),
        ("nodes = 3\n[network]\nburst = {enter = 0.1, leave = 0.0}", "[network]: a burst must end"),
        ("nodes = 3\n[network]\nlossy = 0.1", "network: there is no key `lossy`; do you mean `loss`?"),
        ("nodes = 3\n[zones]\nnames = ['a']\nrtt = 1", "`rtt`; there are names, latency, loss"),
        ("nodes = 3\n[zones]\nnames = ['a']\nlatency = [['1ms', '2ms']]", "1 rows of 1"),
        ("nodes = 3\n[settings]\nperoid = 1.0", "do you mean 'period'"),
        ("nodes = 3\n[settings]\nperiod = 0.0", "period is 0.0: write 0.001 (seconds) or more"),
        ("nodes = 3\n[settings]\nhelpers = -1", "helpers is -1: write 0 or more"),
        ("nodes = 3\n[settings]\nsuspicion_beta = 0.0", "suspicion_beta is 0.0: write a number above 0"),
        ("nodes = 3\n[settings]\nperiod = nan", "[settings]: period is nan"),
        ("nodes = 3\n[settings]\nperiod = inf", "[settings]: period is inf"),
        ("nodes = 3\n[settings]\nperiod = 1e-9", "write 0.001 (seconds) or more"),
        ("nodes = 3\n[settings]\nsuspicion_beta = nan", "suspicion_beta is nan"),
        ("nodes = 3\n[settings]\ndirect_min = nan", "direct_min is nan"),
        ("nodes = 3\n[settings]\ngrace = inf", "grace is inf"),
        ("nodes = 3\n[costs]\nwake = -500", "[costs]: wake is -500"),
        ("nodes = 3\n[settings]\nperiod = 'x'", "[settings]: period: Expected `float`"),
        ("nodes = 3\n[settings]\nprofile = 'moon'", "lan, wan, local"),
        ("nodes = 3\n[settings]\ndirect_min = 9.0", "above direct_max"),
        ("nodes = 3\n[settings]\npacket_bytes = 64", "write 512 or more"),
        ("nodes = 3\n[[group]]\nname = 'a'", "either count or share"),
        ("nodes = 3\n[[group]]\nname = 'a'\ncount = 4", "the groups have 4 nodes"),
        ("nodes = 3\n[[group]]\nname = 'all'\ncount = 1", "'all' cannot be the name"),
        ("nodes = 3\n[[group]]\nname = 'n1'\ncount = 1", "nodes are called n0, n1"),
        ("nodes = 3\n[zones]\nnames = ['n9']", "nodes are called n0, n1"),
        ("nodes = 3\n[[group]]\nname = 'a'\ncount = 1\ntags = {'' = 'x'}", "group 'a': tag name is empty"),
        (
            "nodes = 3\n[[group]]\nname = 'a'\ncount = 1\ntags = {x = 1}",
            "group 1 (a), tags: Expected `str`, got `int`",
        ),
        (
            "nodes = 3\n[[service]]\nname = 'a'\nmeta = {x = 1}",
            "service 1 (a), meta: Expected `str`, got `int`",
        ),
        (
            "nodes = 3\n[[group]]\nname = 'a'\ncount = 1\nrefusals = 'x'",
            "refusals: there is no 'x': write one of sent, silent, limited, lying, rejecting",
        ),
        ("nodes = 3\n[[group]]\nname = 'a'\ncount = 1\nzone = 'eu'", "no zone 'eu'"),
        ("nodes = 3\n[[group]]\nname = 'a'\ncount = 1\nstarve = 0", "a factor from 1"),
        ("nodes = 3\n[[service]]\nname = 'web'\nnodes = 'rack'", "no node, group or zone is called 'rack'"),
        ("nodes = 3\n[[service]]\nname = ''", "service '': service name is empty"),
        (
            "nodes = 3\n[[service]]\nname = 'a'\nport = -1",
            "service 'a': port -1 is not between 1 and 65535, nor 0, for a service without one",
        ),
        ("nodes = 3\n[[service]]\nname = 'a'\ncount = 100000", "write 1 to 4096 (settings.services_max)"),
        (
            "nodes = 3\n[[service]]\nname = 'a'\ncount = 2100\n[[service]]\nname = 'b'\ncount = 2100",
            "a node has 4200 of them, and 4096 is the most",
        ),
        ("nodes = 3\n[[action]]\nat = '1s'", "action 1: it needs the key `do`"),
        ("nodes = 3\n[[action]]\ndo = 'crsh'", "write one of crash, restart"),
        (
            "nodes = 3\n[[action]]\ndo = 'heal'\n[[action]]\ndo = 'crash'\nnode = 1",
            "action 2 (crash): there is no key",
        ),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = 'n7'", "action 1 (crash), nodes: no node"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = 0", "at least one node must be meant"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = 3", "at least one must be left"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = 'all'", "at least one must be left"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = '100%'", "at least one must be left"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nat = '60s'", "60 s is the end of the run"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nat = '61s'", "61 s comes after the end of the run"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nfor = '5s'", "no key `for`"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nuntil = '5s'", "until means nothing without every"),
        ("nodes = 3\n[[action]]\ndo = 'pause'\nfor = '0s'", "for must be more than nothing"),
        ("nodes = 3\n[[action]]\ndo = 'pause'\nevery = '1us'", "raise every"),
        (
            "nodes = 3\n[[action]]\ndo = 'pause'\nat = '9s'\nevery = '1s'\nuntil = '2s'",
            "until comes before at",
        ),
        (
            "nodes = 3\n[[action]]\ndo = 'restart'\nstop = 'x'",
            "action 1 (restart), stop: there is no 'x': write one of crash, leave, hand_over",
        ),
        (
            "nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['n0']\nkind = 'x'",
            "action 1 (partition), kind: there is no 'x': write one of full, partial, one_way",
        ),
        ("nodes = 3\n[[action]]\ndo = 'check'\nfinds = 'x'", "write one of passing, warning, critical"),
        ("nodes = 3\n[[action]]\ndo = 'starve'\nfactor = 0", "a factor from 1"),
        ("nodes = 3\n[[action]]\ndo = 'starve'", "it needs the key `factor`"),
        ("nodes = 3\n[[action]]\ndo = 'crash'\nnodes = 'rest'", "(crash): nodes: `rest` means nothing here"),
        ("nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['rest']", "means nothing in the first of them"),
        ("nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['n0', 'n0']", "nobody is left for side 2 (n0)"),
        ("nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['all', 2]", "nobody is left for side 2 (2)"),
        (
            "nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['n0', 'rest', 1]",
            "nobody is left for side 3 (1)",
        ),
        (
            "nodes = 3\n[[action]]\ndo = 'partition'\nsides = ['all']",
            "with everybody on one side nothing is parted",
        ),
        ("nodes = 3\n[[action]]\ndo = 'cut'\nnodes = 'n0'\nto = 'n0'", "(cut): to: n0 has no link to itself"),
        (
            "nodes = 3\n[[action]]\ndo = 'link'\nnodes = 'all'\nloss = 1",
            "there is no rest where nodes is everybody",
        ),
        ("nodes = 3\n[[action]]\ndo = 'deregister'\nkey = 'x'", "no node ever has a service of the key 'x'"),
        (
            "nodes = 3\n[[service]]\nname='a'\ncount=2\n[[action]]\ndo='check'\nfinds='warning'\nkey='a-2'",
            "(check): key: no node ever has a service of the key 'a-2'",
        ),
        (
            "nodes = 3\n[[service]]\nname = 'a'\n[[service]]\nname = 'a'\nnodes = 'n1'",
            "two of them have the key 'a' on the same nodes",
        ),
        (
            "nodes = 3\n[[service]]\nname='a'\ncount=2\nnodes='n1'\n[[service]]\nname='a-1'\nnodes='n1'",
            "two of them have the key 'a-1' on the same nodes",
        ),
        ("nodes = 3\n[[action]]\ndo = 'clock_rate'\nppm = 9000000", "is no clock"),
        ("nodes = 3\n[[action]]\ndo = 'join'\ncount = 0", "at least 1"),
        ("nodes = 3\n[[action]]\ndo = 'join'\ncount = 1\ngroup = 'x'", "no group 'x'"),
        ("nodes = 3\n[[action]]\ndo = 'flap'\nup = '0s'\ndown = '1s'", "down and up"),
        (
            "nodes = 3\n[[action]]\ndo = 'flap'\nup = '1us'\ndown = '1us'",
            "more than 100000 times: raise down",
        ),
        ("nodes = 3\n[[action]]\ndo = 'partition'\nsides = []", "sides is empty"),
        ("nodes = 3\n[[action]]\ndo = 'churn'\nrate = 0.0", "rate is 0: write a number a second above 0"),
        (
            "nodes = 3\n[[action]]\ndo = 'churn'\nrate = inf",
            "rate is inf: write a number a second above 0, up to",
        ),
        ("nodes = 3\n[[action]]\ndo = 'churn'\nrate = 1e9", "above 0, up to 100,000"),
        ("nodes = 3\n[[action]]\ndo = 'churn'\nrate = 1\nservices = 0", "services is 0: write 1 or more"),
        ("nodes = 3\n[[action]]\ndo = 'event'\nname = 'x'\nsize = 600", "8 to 512"),
        ("nodes = 3\n[[action]]\ndo = 'refusals'\nhow = 'loud'", "action 1 (refusals), how"),
        ("nodes = 3\n[[action]]\ndo = 'link'\nnodes = 1\nmtu = 20", "action 1 (link): an MTU"),
        ("nodes = 3\n[[action]]\ndo = 'network'\nbandwidth = 0", "action 1 (network): a bandwidth"),
        (
            "nodes = 3\n[[action]]\ndo = 'register'\nname = 'a'\nport = 99999",
            "action 1 (register): port 99999",
        ),
        ("nodes = 3\n[[action]]\ndo = 'register'\nname = ''", "action 1 (register): service name is empty"),
        ("nodes = 3\n[[action]]\ndo = 'register'\nname = 'a'\nweight = -3", "action 1 (register): weight -3"),
        (f"nodes = 3\n[[action]]\ndo = 'register'\nname = '{'a' * 65}'", "is 65 bytes; the limit is 64"),
        (f"nodes = 3\n[[action]]\ndo = 'register'\nname = 'a'\ntags = ['{'b' * 300}']", "tag is 300 bytes"),
        (
            f"nodes = 3\n[[action]]\ndo = 'register'\nname = 'a'\ntags = {['b' * 99, 'c' * 99] * 5}",
            "tags and meta are 990 bytes",
        ),
        (f"nodes = 3\n[[action]]\ndo = 'tags'\ntags = {{c = '{'d' * 600}'}}", "action 1 (tags): tag value"),
        ("nodes = 3\n[[action]]\ndo = 'event'\nname = ''", "action 1 (event): event name is empty"),
        (f"nodes = 3\n[[action]]\ndo = 'event'\nname = '{'a' * 65}'", "event name is 65 bytes"),
        (f"nodes = 3\n[[action]]\ndo = 'churn'\nrate = 1\nname = '{'a' * 63}'", "service id is 65 bytes"),
        ("nodes = 3\n[[action]]\ndo = 'jump_wall'\nby = '9999999h'", "a hundred years"),
        ("nodes = 2100\n[[action]]\ndo = 'cut'\nnodes = '50%'", "action 1 (cut): 1050 x 1050 pairs"),
    ],
)
def test_what_cannot_be_is_refused_with_the_place(text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        Scenario.parse(text, "mine.toml")
    assert str(refused.value).startswith("mine.toml: ")
    assert complaint in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "[[action]]\ndo = 'partition'\nsides = ['n0', 'rest']",
        "[[action]]\ndo = 'partition'\nsides = [1, 'all']\nkind = 'partial'",
        "[[action]]\ndo = 'partition'\nsides = ['a', ['n0', 'n4']]",
        "[[action]]\ndo = 'cut'\nnodes = 'a'\nto = 'a'",
        "[[action]]\ndo = 'cut'\nnodes = 'all'\nto = ['n0', 'rest']",
        "[[action]]\ndo = 'check'\nfinds = 'critical'",
        "[[action]]\ndo = 'register'\nname = 'x'\nkey = 'y'\n[[action]]\ndo = 'deregister'\nkey = 'y'",
        "[[action]]\ndo = 'churn'\nrate = 1\n[[action]]\ndo = 'check'\nfinds = 'warning'\nkey = 'churn-3'",
        "[[service]]\nname = 'x'\nnodes = 'n0'\n[[service]]\nname = 'x'\nnodes = 'n4'",
        "[[service]]\nname = 'x'\nnodes = 2\n[[service]]\nname = 'x'\nnodes = 2",
        "[[service]]\nname = 'x'\n[[service]]\nname = 'x'\ncount = 2",
    ],
)
def test_what_may_do_something_is_taken(text: str) -> None:
    Scenario.parse(f"nodes = 5\n[[group]]\nname = 'a'\ncount = 2\n{text}")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.toml: No such file"):
        Scenario.load(tmp_path / "nowhere.toml")
    marked = tmp_path / "marked.toml"
    marked.write_bytes(b"\xef\xbb\xbfnodes = 3\n")
    assert Scenario.load(marked).nodes == 3, "the mark with which some editors begin a file is no TOML"
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"nodes = 3 # \xff")
    with pytest.raises(ScenarioError, match="byte 12 is not UTF-8"):
        Scenario.load(binary)
    with pytest.raises(ScenarioError, match=f"there are {', '.join(shipped_names())}"):
        Scenario.shipped("nothing")


def test_measured_delays_are_looked_for_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "delays.txt").write_text("1ms\n2ms\n3ms\n")
    file = tmp_path / "mine.toml"
    file.write_text('nodes = 2\n[network]\nlatency = "file delays.txt"\n')
    latency = Scenario.load(file).network.latency.latency
    assert {latency.draw(bits << 28) for bits in range(16)} == {1_000, 2_000, 3_000}
