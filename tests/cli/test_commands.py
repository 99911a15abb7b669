"""Every command that asks once: what it asks, what it prints, how it ends."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gossip import __version__
from gossip.cli import main
from gossip.errors import DeniedError, LimitError, NotFoundError, RefusedError
from tests.client.scripted import ID_A, ID_B, Reply, ScriptedAgent, a_member, an_instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]


def three_members() -> Reply:
    return Reply(
        {
            "members": [
                a_member("n1", flags=["self"], rtt_ms=None, services=1),
                a_member("n3", id="c" * 32, status="dead", tags={"zone": "b"}, rtt_ms=12.34),
                a_member("n2", id=ID_B, address="[fd00::2]:7946", tags={"zone": "a", "rack": "1"}),
            ],
            "index": 9,
        }
    )


# -- members ---------------------------------------------------------------------------------------


def test_members_for_people(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.list"] = three_members()
    ran = gossip("members")
    assert ran.status == 0
    assert ran.err == ""
    assert ran.out == (
        "NAME  ADDRESS         STATUS  FOR    RTT     SERVICES  FLAGS  TAGS\n"
        "n1    127.0.0.1:7946  alive   3m19s  -       1         self   -\n"
        "n2    [fd00::2]:7946  alive   3m19s  0.25ms  0         -      rack=1,zone=a\n"
        "n3    127.0.0.1:7946  dead    3m19s  12.3ms  0         -      zone=b\n"
    )


def test_members_for_programs_are_the_agents_own_objects(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.list"] = three_members()
    ran = gossip("members", "--json")
    assert ran.status == 0
    assert json.loads(ran.out) == agent.script["members.list"].result["members"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--status", "alive"], ["n1", "n2"]),
        (["--status", "dead", "--status", "left"], ["n3"]),
        (["--tag", "zone=a"], ["n2"]),
        (["--tag", "zone=a", "--tag", "rack=1"], ["n2"]),
        (["--tag", "zone=b", "--status", "dead"], ["n3"]),
    ],
)
def test_members_of_a_kind(agent: ScriptedAgent, gossip: Run, arguments: list[str], names: list[str]) -> None:
    agent.script["members.list"] = three_members()
    ran = gossip("members", "--json", *arguments)
    assert [member["name"] for member in json.loads(ran.out)] == names


def test_members_of_no_kind_that_is_there(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.list"] = three_members()
    ran = gossip("members", "--tag", "zone=z")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "gossip: no member is like that: try without --status and --tag\n"
    assert gossip("members", "--json", "--tag", "zone=z").out == "[]\n"


def test_a_member_with_a_hostile_name_is_shown_not_obeyed(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["members.list"] = Reply({"members": [a_member("\x1b[2Jn1\nn2")], "index": 1})
    assert "\\x1b[2Jn1\\nn2" in gossip("members").out


# -- info, join, leave, evict, rtt ------------------------------------------------------------------


def an_info() -> dict[str, object]:
    return {
        "id": ID_A,
        "name": "n1",
        "cluster": "gossip",
        "version": "0.1.0",
        "addresses": {"gossip": "127.0.0.1:7946", "http": None, "dns": None, "socket": "/run/s"},
        "incarnation": 17,
        "uptime_s": 3_605.5,
        "members": {"alive": 3, "suspect": 0, "dead": 1, "left": 0},
        "services": 2,
        "health": 0,
        "flags": [],
        "view": {"fingerprint": "00ff", "agreement": 0.5},
        "queue": 0,
        "counters": {"packets_received": 12, "malformed": 0},
    }


def test_info_for_people(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.info"] = Reply(an_info())
    ran = gossip("info")
    assert ran.status == 0
    assert ran.out == (
        "name         n1\n"
        f"id           {ID_A}\n"
        "cluster      gossip\n"
        "version      0.1.0\n"
        "address      gossip 127.0.0.1:7946\n"
        "             socket /run/s\n"
        "uptime       1h\n"
        "incarnation  17\n"
        "members      3 alive, 0 suspect, 1 dead, 0 left\n"
        "services     2 instances in lookups\n"
        "health       well\n"
        "view         00ff\n"
        "agreement    50% of the peers hold this view\n"
        "queue        0\n"
        "counter      packets_received 12\n"
    )
    agent.script["agent.info"] = Reply(
        {**an_info(), "sealing": "clear", "authority": "", "admission": "open"}
    )
    assert (
        "services     2 instances in lookups\nsealing      clear\nadmission    open\nhealth       well\n"
        in gossip("info").out
    )


def test_info_of_a_node_in_doubt(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.info"] = Reply(
        an_info() | {"health": 2, "flags": ["isolated"], "view": {"fingerprint": "0", "agreement": None}}
    )
    out = gossip("info").out
    assert "health       doubts itself (2)\n" in out
    assert "agreement    unknown\n" in out
    assert "flags        isolated\n" in out


def test_info_of_a_node_in_maintenance(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.info"] = Reply(an_info() | {"maintenance": "new disks"})
    says = "maintenance  of the whole node (new disks): lookups give none of its services\n"
    assert says in gossip("info").out
    agent.script["agent.info"] = Reply(an_info() | {"maintenance": ""})
    assert "maintenance  of the whole node: lookups give none of its services\n" in gossip("info").out
    agent.script["agent.info"] = Reply(an_info() | {"maintenance": None})
    assert "maintenance" not in gossip("info").out


def test_info_for_programs(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.info"] = Reply(an_info())
    assert json.loads(gossip("info", "--json").out) == an_info()


def test_join_tells_for_each_address_what_happened(agent: ScriptedAgent, gossip: Run) -> None:
    results = [
        {"address": "h1", "ok": True, "detail": "n1, 3 members"},
        {"address": "h2:7", "ok": False, "detail": "refused"},
    ]
    agent.script["agent.join"] = Reply({"results": results})
    ran = gossip("join", "h1", "h2:7")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == (
        "ADDRESS  RESULT  DETAIL\n"
        "h1       joined  n1, 3 members\n"
        "h2:7     failed  refused\n"
    )  # fmt: skip
    assert agent.asked == [("agent.join", {"addresses": ["h1", "h2:7"]})]
    assert json.loads(gossip("join", "h1", "h2:7", "--json").out) == results


def test_a_join_that_worked_nowhere_fails(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.join"] = Reply({"results": [{"address": "h1", "ok": False, "detail": "timeout"}]})
    ran = gossip("join", "h1")
    assert ran.status == 1
    assert "timeout" in ran.out
    assert ran.err.count("\n") == 1


def test_leave(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.leave"] = Reply({"left": True}, close=True)
    assert gossip("leave").out == "left\n"


def test_evict_says_whom(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["agent.evict"] = Reply({"id": ID_B, "name": "n2"})
    assert gossip("evict", "n2").out == "evicted n2\n"
    assert agent.asked == [("agent.evict", {"member": "n2"})]


def test_rtt_of_one_or_two(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["rtt"] = Reply({"from": "n1", "to": "n2", "rtt_ms": 3.456})
    assert gossip("rtt", "n2").out == "3.5ms\n"
    assert json.loads(gossip("rtt", "n1", "n2", "--json").out) == agent.script["rtt"].result
    assert agent.asked == [("rtt", {"b": "n2"}), ("rtt", {"a": "n1", "b": "n2"})]


def test_a_round_trip_that_is_not_known_yet(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["rtt"] = Reply({"from": "n1", "to": "n2", "rtt_ms": None})
    ran = gossip("rtt", "n2")
    assert (ran.status, ran.out) == (1, "")
    assert "try again" in ran.err


# -- services --------------------------------------------------------------------------------------


def test_register_prints_the_id(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.register"] = Reply({"id": "web-1", "version": 3})
    arguments = ["--id", "web-1", "--address", "10.0.0.1", "--tag", "a", "--tag", "b", "--meta", "k=v=w"]
    ran = gossip("register", "web", "--port", "8080", *arguments, "--weight", "0")
    assert (ran.status, ran.out) == (0, "web-1\n")
    assert agent.asked == [
        (
            "services.register",
            {
                "id": "web-1",
                "address": "10.0.0.1",
                "weight": 0,
                "name": "web",
                "port": 8080,
                "tags": ["a", "b"],
                "meta": {"k": "v=w"},
            },
        )
    ]
    assert json.loads(gossip("register", "web", "--port", "1", "--json").out) == {"id": "web-1", "version": 3}


def test_a_service_may_have_no_port(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 3})
    assert gossip("register", "web", "--port", "0").status == 0
    assert agent.asked[0][1]["port"] == 0


def test_a_service_without_a_name_is_refused_by_that_word(agent: ScriptedAgent, gossip: Run) -> None:
    ran = gossip("register", "", "--port", "1")
    assert (ran.status, agent.asked) == (2, [])
    assert "argument NAME: it is empty" in ran.err


def test_register_says_that_it_replaced_another(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 3, "replaced": True})
    ran = gossip("register", "web", "--port", "1")
    assert (ran.status, ran.out) == (0, "web\n")
    assert ran.err == (
        "gossip: this replaces what was registered as 'web' on this node: to have both, give each an --id\n"
    )


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "fd00::1", "fe80::1%eth0", "db-3", "db.example.com.", "a_b.c1", "bücher.de", ""]
)
def test_what_an_address_may_be(agent: ScriptedAgent, gossip: Run, address: str) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 3})
    assert gossip("register", "web", "--port", "1", "--address", address).status == 0


@pytest.mark.parametrize("address", ["no such", " 10.0.0.1", "999.1.1.1", "a.9", "[fd00::1]", "a" * 64])
def test_what_an_address_may_not_be(agent: ScriptedAgent, gossip: Run, address: str) -> None:
    ran = gossip("register", "web", "--port", "1", "--address", address)
    assert (ran.status, agent.asked) == (2, [])
    assert "is not an IP address or a host name" in ran.err


def test_deregister(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.deregister"] = Reply({"id": "web"})
    assert gossip("deregister", "web").out == "deregistered web\n"
    assert agent.asked == [("services.deregister", {"id": "web"})]


def test_services(agent: ScriptedAgent, gossip: Run) -> None:
    rows = [
        {"name": "db", "instances": 1, "tags": [], "failing": 0},
        {"name": "web", "instances": 12, "tags": ["v1", "v2"], "failing": 3},
    ]
    agent.script["services.list"] = Reply({"services": rows, "index": 1})
    assert gossip("services").out == (
        "SERVICE  INSTANCES  FAILING  TAGS\n"
        "db       1          -        -\n"
        "web      12         3        v1,v2\n"
    )  # fmt: skip
    assert json.loads(gossip("services", "--json").out) == rows


def test_no_services(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.list"] = Reply({"services": [], "index": 0})
    ran = gossip("services")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "gossip: no service is registered: see 'gossip register --help'\n"


def test_lookup_prints_host_and_port(agent: ScriptedAgent, gossip: Run) -> None:
    found = [an_instance("a"), an_instance("b", address="fd00::1", port=80)]
    agent.script["services.lookup"] = Reply({"instances": found, "index": 1})
    ran = gossip("lookup", "web")
    assert (ran.status, ran.out, ran.err) == (0, "127.0.0.1:8080\n[fd00::1]:80\n", "")
    assert json.loads(gossip("lookup", "web", "--json").out) == found


def test_lookup_of_any_says_how_each_is(agent: ScriptedAgent, gossip: Run) -> None:
    found = [an_instance("a"), an_instance("b", port=80, status="critical")]
    agent.script["services.lookup"] = Reply({"instances": found, "index": 1})
    assert gossip("lookup", "web", "--any").out == "127.0.0.1:8080  passing\n127.0.0.1:80  critical\n"


def test_lookup_says_that_the_agent_is_isolated(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.lookup"] = Reply({"instances": [an_instance("a")], "index": 1, "isolated": True})
    ran = gossip("lookup", "web")
    assert (ran.status, ran.out) == (0, "127.0.0.1:8080\n")
    assert ran.err == "gossip: the agent hears no other member: this may be old; see 'gossip info'\n"


def test_lookup_passes_its_filters_on(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.lookup"] = Reply({"instances": [an_instance()], "index": 1})
    gossip("lookup", "web", "--tag", "a", "--tag", "b", "--any", "--no-suspect", "--near")
    assert agent.asked == [
        (
            "services.lookup",
            {"service": "web", "tags": ["a", "b"], "any": True, "no_suspect": True, "near": True},
        )
    ]


def test_lookup_of_nothing(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.lookup"] = Reply({"instances": [], "index": 1})
    ran = gossip("lookup", "web")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        "gossip: no instance of 'web': see 'gossip services' for what there is,"
        " and '--any --json' for those that are not well\n"
    )
    assert gossip("lookup", "web", "--json", "--one").out == "[]\n"


def test_one_is_the_nearest_when_near_is_asked(agent: ScriptedAgent, gossip: Run) -> None:
    found = [an_instance("a", port=1, status="suspect"), an_instance("b", port=2)]
    agent.script["services.lookup"] = Reply({"instances": found, "index": 1})
    assert gossip("lookup", "web", "--one", "--near").out == "127.0.0.1:1\n"


def test_one_is_drawn_by_weight_from_those_that_are_well(
    agent: ScriptedAgent, gossip: Run, seed: int
) -> None:
    found = [
        an_instance("a", port=1, weight=3),
        an_instance("b", port=2, weight=1),
        an_instance("c", port=3, weight=0),
        an_instance("d", port=4, weight=9, status="suspect"),
    ]
    agent.script["services.lookup"] = Reply({"instances": found, "index": 1})
    random.seed(seed)
    drawn = [gossip("lookup", "web", "--one").out for _ in range(200)]
    assert set(drawn) == {"127.0.0.1:1\n", "127.0.0.1:2\n"}
    # 150 expected, and 6.1 is a standard deviation.
    assert 120 <= drawn.count("127.0.0.1:1\n") <= 180


def test_one_is_of_the_agents_zone_as_far_as_that_can_answer(
    agent: ScriptedAgent, gossip: Run, seed: int
) -> None:
    found = [an_instance("a", port=1, zone="a"), an_instance("b", port=2, zone="b")]
    found += [an_instance("c", port=3, zone="b", status="suspect", weight=50)]
    agent.script["services.lookup"] = Reply({"instances": found, "index": 1})
    agent.script["members.places"] = Reply({"zone": "a", "zones": {"a": 2, "b": 2}, "rtt_ms": {}})
    assert {gossip("lookup", "web", "--one").out for _ in range(10)} == {"127.0.0.1:1\n"}
    # The instance as the agent says it, not with the weight that it has from here.
    assert '"weight":1,' in gossip("lookup", "web", "--one", "--json").out
    agent.script["members.places"] = Reply({"zone": "a", "zones": {"a": 7}, "rtt_ms": {}})
    random.seed(seed)
    # Half of the weight for all of the members: 0.5 / 0.8 of the calls stay.
    drawn = [gossip("lookup", "web", "--one").out for _ in range(40)]
    assert 13 <= drawn.count("127.0.0.1:1\n") <= 37
    agent.script["members.places"] = Reply({"zone": "elsewhere", "zones": {}, "rtt_ms": {}})
    assert len({gossip("lookup", "web", "--one").out for _ in range(20)}) == 2


def test_one_of_those_without_weight_is_still_one(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["services.lookup"] = Reply({"instances": [an_instance(weight=0)], "index": 1})
    assert gossip("lookup", "web", "--one").out == "127.0.0.1:8080\n"


# -- events, version -------------------------------------------------------------------------------


def test_event(agent: ScriptedAgent, gossip: Run) -> None:
    agent.script["events.send"] = Reply({"id": 5})
    assert gossip("event", "deploy", "v2").out == "sent deploy (5)\n"
    assert gossip("event", "deploy", "--json").out == '{"id":5}\n'
    assert agent.asked == [
        ("events.send", {"name": "deploy", "payload": "v2"}),
        ("events.send", {"name": "deploy", "payload": ""}),
    ]


def test_version_needs_no_agent(gossip: Run) -> None:
    python = ".".join(map(str, sys.version_info[:3]))
    line = f"gossip {__version__} (Python {python})\n"
    assert gossip("version").out == line
    assert gossip("--version").out == line
    assert json.loads(gossip("version", "--json").out) == {"version": __version__, "python": python}


# -- errors ----------------------------------------------------------------------------------------

ASKING = [
    ("members.list", ["members"]),
    ("members.watch", ["members", "--watch"]),
    ("agent.info", ["info"]),
    ("agent.join", ["join", "h"]),
    ("agent.leave", ["leave"]),
    ("agent.evict", ["evict", "n"]),
    ("rtt", ["rtt", "n"]),
    ("services.register", ["register", "web", "--port", "1"]),
    ("services.deregister", ["deregister", "web"]),
    ("services.list", ["services"]),
    ("services.watch", ["services", "--watch"]),
    ("services.lookup", ["lookup", "web"]),
    ("services.watch", ["lookup", "web", "--wait", "1s"]),
    ("services.watch", ["watch", "web"]),
    ("events.send", ["event", "e"]),
    ("events.watch", ["events"]),
]


@pytest.mark.parametrize(("method", "arguments"), ASKING, ids=[" ".join(words) for _, words in ASKING])
def test_what_the_agent_refuses_is_one_line_and_status_1(
    agent: ScriptedAgent, gossip: Run, method: str, arguments: list[str]
) -> None:
    for error in (RefusedError("not now,\nsee the log"), NotFoundError("nobody"), LimitError("too large")):
        agent.script[method] = Reply(error=error)
        ran = gossip(*arguments)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err == f"gossip: {str(error).replace(chr(10), chr(92) + 'n')}\n"


def test_who_is_refused_is_told_his_name(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    agent.script["agent.info"] = Reply(error=DeniedError("user 0 may not ask this agent: user 0"))
    assert gossip("info").err == "gossip: user root (0) may not ask this agent: user 0\n"


@pytest.mark.parametrize(("method", "arguments"), ASKING, ids=[" ".join(words) for _, words in ASKING])
def test_no_agent_at_the_socket_is_status_3(
    agent: ScriptedAgent, gossip: Run, method: str, arguments: list[str]
) -> None:
    ran = gossip(*arguments, "--socket", agent.path + "x")
    assert (ran.status, ran.out) == (3, "")
    assert ran.err.count("\n") == 1
    assert "gossip agent" in ran.err
    assert agent.asked == []


@pytest.mark.parametrize(("method", "arguments"), ASKING, ids=[" ".join(words) for _, words in ASKING])
def test_an_agent_that_dies_before_it_answers_is_status_3(
    agent: ScriptedAgent, gossip: Run, method: str, arguments: list[str]
) -> None:
    agent.script[method] = Reply(raw=b'{"jsonrpc":', close=True)
    ran = gossip(*arguments)
    assert (ran.status, ran.out) == (3, "")
    assert "closed the connection" in ran.err
    assert agent.methods == [method]


def test_the_option_beats_the_environment(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSIP_SOCKET", "/nothing/there")
    agent.script["events.send"] = Reply({"id": 1})
    assert gossip("event", "e", "--socket", agent.path).status == 0


def test_an_output_that_is_full_is_one_line(agent: ScriptedAgent) -> None:
    agent.script["members.list"] = three_members()
    command = [sys.executable, "-m", "gossip", "members", "--socket", agent.path]
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (
        1,
        "gossip: the output cannot be written: No space left on device\n",
    )


def test_an_output_that_is_closed_is_none(agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch) -> None:
    agent.script["members.list"] = three_members()
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["members", "--socket", agent.path]) == 0


def test_a_name_that_is_no_text_is_told(agent: ScriptedAgent, gossip: Run) -> None:
    ran = gossip("lookup", "\udcff")
    assert ran.status == 1
    assert ran.err.startswith("gossip: services.lookup cannot be asked with these values")
    assert ran.err.count("\n") == 1
    assert agent.asked == []
