"""The pure parts of the bench: statistics, parsing, verdicts, the report. Nothing here measures anything."""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import time
from pathlib import Path
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import __main__ as command
from bench import catalog, proc, report, run
from bench.agents import Agent, BenchError
from bench.cluster import SYSTEMS
from bench.dns import parse_report
from bench.faces import BUCKET, lag_quantile
from bench.gap import is_refused
from bench.lookups import requests
from bench.loop import Loop
from bench.peer_gossip import GossipAgent
from bench.peer_kinship import KinshipAgent
from bench.peer_serf import SerfAgent, parse_log
from bench.stats import scaled, summarize, table
from bench.steps import Plan
from bench.targets import Judgement, Results, judge

# ------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("gap --rounds 0", "'0' must be a whole number of 1 or more"),
        ("sealing --rounds -3", "'-3' must be a whole number of 1 or more"),
        ("detection --sizes 16,x", "'x' must be a whole number of 1 or more"),
        ("run --only idle,nothing", "'nothing' is none of "),
        ("http --seconds nan", "'nan' must be a number of seconds above 0"),
        ("calling --seconds 0", "'0' must be a number of seconds above 0"),
        ("misses --share 1.5", "'1.5' must be a number above 0, and 1 at most"),
    ],
)
def test_a_wrong_number_is_told_before_anything_is_measured(
    typed: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(typed.split())
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


# ------------------------------------------------------------------------------------------ statistics


def test_a_summary_has_median_and_range() -> None:
    summary = summarize([3.0, 1.0, 2.0, 10.0, 4.0])
    assert (summary.count, summary.median, summary.low, summary.high, summary.missing) == (5, 3, 1, 10, 0)


def test_a_sample_that_never_came_counts_as_the_slowest() -> None:
    assert summarize([1.0, None, 2.0]).median == 2.0
    assert summarize([1.0, None, 2.0]).missing == 1
    assert math.isinf(summarize([1.0, None, None]).median)


def test_no_samples_are_no_zero() -> None:
    assert summarize([]).is_empty
    assert math.isnan(summarize([]).median)


@given(st.lists(st.floats(0, 1e9), min_size=1))
def test_the_median_lies_within_the_range(values: list[float]) -> None:
    summary = summarize(values)
    assert summary.low <= summary.median <= summary.high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.0123456, "0.0123"),
        (1.5, "1.50"),
        (13.24, "13.2"),
        (204512.3, "204,512"),
        (math.nan, "-"),
        (math.inf, "never"),
    ],
)
def test_numbers_have_three_digits_and_no_exponent(value: float, text: str) -> None:
    assert scaled(value) == text


def test_a_table_is_markdown() -> None:
    assert table(["a", "b"], [["x", "1"]]) == "| a | b |\n|---|--:|\n| x | 1 |"


def test_a_cell_tells_median_range_and_what_is_missing() -> None:
    assert report.cell(summarize([0.002]), 1e3) == "2.00"
    assert report.cell(summarize([1, 2, 3])) == "2.00 (1.00 - 3.00)"
    assert report.cell(summarize([1, 2, None])) == "2.00 (1.00 - never), 1 of 3 never"
    assert report.cell(summarize([])) == "-"


# --------------------------------------------------------------------------------------------- parsing


def test_counters_of_the_network_are_read_by_name() -> None:
    text = "Udp: InDatagrams OutDatagrams\nUdp: 3 4\nTcp: OutSegs MaxConn\nTcp: 7 -1\n"
    assert proc.parse_counters(text) == {
        "Udp.InDatagrams": 3,
        "Udp.OutDatagrams": 4,
        "Tcp.OutSegs": 7,
        "Tcp.MaxConn": -1,
    }


def test_this_process_and_its_network_can_be_read() -> None:
    pid = os.getpid()
    rss, pss = proc.read_memory(pid)
    assert 0 < pss <= rss
    assert proc.read_usage(pid).cpu_s > 0
    assert proc.read_traffic().octets >= 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("2026/11/21 23:42:26 [INFO] serf: EventMemberJoin: n01 127.0.0.1", ("alive", "n01")),
        ("2026/11/21 23:42:26 [INFO] serf: EventMemberFailed: n01 127.0.0.1", ("dead", "n01")),
        ("2026/11/21 23:42:26 [INFO] serf: EventMemberLeave: n01 127.0.0.1", ("left", "n01")),
        ("2026/11/21 23:42:26 [INFO] serf: EventMemberLeave (forced): n01 127.0.0.1", ("left", "n01")),
        ("2026/11/21 23:42:28 [INFO] serf: EventMemberUpdate: n01", ("update", "n01")),
        ("2026/11/21 23:42:29 [INFO] agent: Received event: user-event: event-2", ("event", "event-2")),
        ("2026/11/21 23:42:29 [INFO] agent: Received event: member-update", None),
        ("2026/11/21 23:42:29 [INFO] agent.ipc: Accepted client: 127.0.0.1:52454", None),
    ],
)
def test_serf_log_lines_tell_what_happened(line: str, told: tuple[str, str] | None) -> None:
    assert parse_log(line) == told


def test_lookup_requests_are_one_a_line_and_of_one_length() -> None:
    lines = requests("ten", 64).splitlines(keepends=True)
    assert len(lines) == 64
    assert len({len(line) for line in lines}) == 1
    assert len({json.loads(line)["id"] for line in lines}) == 64
    assert json.loads(lines[0])["params"] == {"service": "ten"}


# ---------------------------------------------------------------------------------------------- agents


@pytest.mark.parametrize("system", sorted(SYSTEMS))
def test_an_agent_counts_members_by_status(system: str, tmp_path: Path) -> None:
    agent = SYSTEMS[system](0, tmp_path, Loop(), 17000)
    agent.see("n00", "alive")
    agent.see("n01", "alive")
    agent.see("n01", "alive")
    assert agent.present == 2
    agent.see("n01", "suspect")
    assert agent.present == 2
    agent.see("n01", "dead")
    assert (agent.present, agent.counts["dead"]) == (1, 1)
    with pytest.raises(BenchError, match="not started"):
        _ = agent.pid


def _until(agent: Agent, condition: Any) -> None:
    assert agent.loop.wait(condition, 10) is not None


def test_gossip_is_followed_over_its_local_socket(tmp_path: Path) -> None:
    agent = GossipAgent(0, tmp_path, Loop(), 17000)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(agent.path))
        listener.listen()
        agent.knock()
        server, _ = listener.accept()
        with server, server.makefile("rw") as file:
            asked = [json.loads(file.readline())["method"] for _ in range(4)]
            assert asked == ["agent.info", "members.watch", "services.watch", "events.watch"]

            def say(**message: Any) -> None:
                file.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
                file.flush()

            me, other = ({"name": name, "status": "alive"} for name in ("n00", "n01"))
            say(id=1, result={"name": "n00"})
            say(id=2, result={"watch": 1, "members": [me], "index": 1})
            _until(agent, lambda: agent.answered_at is not None and agent.present == 1)
            value = {"watch": 1, "event": "member_joined", "member": other, "index": 2}
            say(method="members.watch", params=value)
            _until(agent, lambda: agent.present == 2)
            say(method="services.watch", params={"watch": 2, "instances": [{"id": "c1"}], "index": 3})
            say(method="events.watch", params={"watch": 3, "name": "event-0", "payload": ""})
            _until(agent, lambda: {"c1", "event-0"} <= agent.heard)
            agent.change("c2")
            request = json.loads(file.readline())
            assert request["params"] == {"name": "bench", "id": "c2", "port": 8080}
            say(id=request["id"], error={"code": -32000, "message": "no room", "data": {"kind": "refused"}})
            _until(agent, lambda: "c2" in agent.acknowledged)
            assert agent.failures == ["services.register: no room"]
    _until(agent, lambda: agent._socket is None)


def test_serf_is_followed_over_its_rpc_socket(tmp_path: Path) -> None:
    agent = SerfAgent(0, tmp_path, Loop(), 17000)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        agent.rpc = listener.getsockname()
        agent.knock()
        server, _ = listener.accept()
        with server:

            def say(*values: dict[str, Any]) -> None:
                server.sendall(b"".join(msgpack.packb(value, use_bin_type=False) for value in values))

            handshake, stats, monitor, joined = ({"Seq": seq, "Error": ""} for seq in (1, 2, 3, 4))
            say(handshake, stats, {"agent": {"name": "n00"}}, monitor)
            _until(agent, lambda: agent.answered_at is not None)
            say(monitor, {"Log": "[INFO] serf: EventMemberJoin: n00 127.0.0.1"})
            say(monitor, {"Log": "[INFO] serf: EventMemberJoin: n01 127.0.0.1"})
            _until(agent, lambda: agent.present == 2)
            agent.join("127.0.0.1:1")
            say(
                {**joined, "Error": "refused"},
                {"Num": 0},
                monitor,
                {"Log": "[INFO] serf: EventMemberUpdate: n01"},
            )
            _until(agent, lambda: "update:n01" in agent.heard)
            assert "join" in agent.acknowledged
            assert agent.failures == ["join: refused"]
    _until(agent, lambda: agent._socket is None)


def test_kinship_is_followed_by_lines() -> None:
    agent = KinshipAgent(1, Path(), Loop(), 17000)
    for words in (["ready"], ["sees", "n01", "alive"], ["heard", "c1"], ["done", "c1"]):
        agent._take(words)
    assert agent.answered_at is not None
    assert agent.present == 1
    assert agent.heard == {"c1"}
    assert "c1" in agent.acknowledged


def test_waiting_ends_with_the_condition_or_the_deadline() -> None:
    loop = Loop()
    here, there = socket.socketpair()
    came: list[bytes] = []
    with here, there:
        loop.add(here.fileno(), lambda: came.append(here.recv(16)))
        there.sendall(b"now")
        assert loop.wait(lambda: bool(came), 10) is not None
        began = time.monotonic()
        assert loop.wait(lambda: False, 0.02) is None
        assert time.monotonic() - began >= 0.02


# -------------------------------------------------------------------------------------------- verdicts


def _samples(**quantities: list[float | None]) -> dict[str, list[float | None]]:
    return quantities


def _verdicts(samples: dict[str, Any]) -> dict[str, bool | None]:
    return {one.target: one.is_met for one in judge(Results(samples))}


def test_targets_against_serf_are_judged_by_medians() -> None:
    samples = {
        "gossip": {"3": _samples(join_seeds=[0.1, 0.2, 0.9], change=[0.05], idle_cpu=[0.12])},
        "serf": {"3": _samples(join_seeds=[0.4, 0.4, 100.0], change=[0.2], idle_cpu=[0.12])},
    }
    verdicts = _verdicts(samples)
    assert verdicts["Join, started with seeds, at most half of serf's, 3 agents"] is True
    assert verdicts["... and no tail: slowest at most 3 x the median, 3 agents"] is False
    assert verdicts["A change until all have it, at most a fifth of serf's, 3 agents"] is False
    assert verdicts["Idle CPU no more than serf's, 3 agents"] is True
    assert not any("event" in target.lower() for target in verdicts)


def test_a_target_without_the_peer_is_not_called_met() -> None:
    samples = {"gossip": {"3": _samples(change=[0.05])}}
    assert _verdicts(samples)["A change until all have it, at most a fifth of serf's, 3 agents"] is None


def test_a_measurement_that_never_came_misses_its_target() -> None:
    samples = {"gossip": {"3": _samples(change=[None])}, "serf": {"3": _samples(change=[0.2])}}
    assert _verdicts(samples)["A change until all have it, at most a fifth of serf's, 3 agents"] is False


def test_absolute_targets_are_judged_in_their_units() -> None:
    samples = {
        "gossip": {
            "0": _samples(
                start=[0.49], command=[0.121], ratio_one_single_free=[0.6], lookup_ten_batch_free=[1e5]
            ),
            "48": _samples(rss=[48e6], pss=[48.1e6]),
        }
    }
    verdicts = _verdicts(samples)
    assert verdicts["Process start to answering"] is True
    assert verdicts["`gossip members`, from start to exit"] is False
    assert verdicts["RSS with 48 members"] is True
    assert verdicts["PSS with 48 members"] is False
    assert verdicts["Lookups one at a time, 1 instance, free: share of a bare echo"] is True
    assert verdicts["Lookups pipelined by 64, 10 instances, free"] is True


def test_a_verdict_is_told_with_its_limit() -> None:
    assert Judgement("x", 0.1, 0.2, "s").row() == ("x", "0.100 s", "≤ 0.200 s", "met")
    assert Judgement("x", 1.0, 2.0, "", at_least=True).row() == ("x", "1.00", "≥ 2.00", "**missed**")
    assert Judgement("x", 1.0, math.nan, "s").row() == ("x", "1.00 s", "-", "not measured")


# ---------------------------------------------------------------------------------------------- report


def _results(samples: dict[str, Any], **changes: Any) -> dict[str, Any]:
    results = {
        "command": "scripts/bench --quick",
        "date": "2026-11-21 12:00 UTC",
        "machine": {
            "processor": "P",
            "cores": "2",
            "memory": "8 GB",
            "kernel": "K",
            "python": "CPython 3.11",
        },
        "repeats": 5,
        "quick": False,
        "plan": {"settle_s": 10.0, "idle_s": 30.0, "changes": 3, "starts": 20},
        "versions": {"gossip": "gossip 0.1", "serf": "serf 0.9"},
        "absent": {"kinship": "no network"},
        "isolated": True,
        "errors": [],
        "samples": samples,
    }
    return results | changes


def test_the_report_tells_numbers_verdicts_and_what_is_absent() -> None:
    samples = {
        "gossip": {"3": _samples(join_seeds=[0.1]), "0": _samples(start=[0.2])},
        "serf": {"3": _samples(join_seeds=[0.3], idle_cpu=[0.1])},
    }
    shown = report.Table("Repair", ["d", "bytes"], [["0", "0"]], "Two nodes.")
    text = report.render(_results(samples), [shown])
    assert (
        "| Join, started with seeds, at most half of serf's, 3 agents | 0.100 s | ≤ 0.150 s | met |" in text
    )
    assert "| started with seeds, 3 agents | 0.100 | 0.300 |" in text
    assert "| start to answering | 200 | - |" in text
    assert "Not measured: kinship (no network)." in text
    assert "## Repair\n\nTwo nodes.\n\n| d | bytes |" in text
    assert "smoke run" not in text
    assert "## Lookups" not in text


def test_the_report_says_what_weakens_it() -> None:
    text = report.render(_results({}, quick=True, isolated=False, errors=["life serf at 3: gone"]), [])
    assert "smoke run" in text
    assert "shared with the machine" in text
    assert "Failed: life serf at 3: gone." in text
    assert "## Targets" not in text


def test_saved_tables_come_back_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "_TABLES", tmp_path / "tables")
    assert report.load_tables() == []
    report.save_table("b", report.Table("B", ["x"], [["1"]], ""))
    report.save_table("a", report.Table("A", ["x"], [["1"]], ""))
    assert [shown.title for shown in report.load_tables()] == ["A", "B"]


# ------------------------------------------------------------------------------------------------- run


def _groups(plan: Plan, together: bool) -> list[list[tuple[str, str, int]]]:
    groups = run._groups(["gossip", "serf"], [3], 2, plan, together)
    return [[(task.step, task.system, task.size) for task in group] for group in groups]


def test_systems_take_turns_within_each_round() -> None:
    assert _groups(Plan(frozenset({"kill"})), together=False) == [
        [("life", "gossip", 3)],
        [("life", "serf", 3)],
        [("life", "gossip", 3)],
        [("life", "serf", 3)],
    ]


def test_a_smoke_run_runs_systems_together() -> None:
    groups = _groups(Plan(frozenset({"leave", "start", "lookups"})), together=True)
    assert groups[0] == [("start", "gossip", 0), ("start", "serf", 0)]
    assert groups[1] == [("told", "gossip", 3), ("told", "serf", 3)]
    assert groups[-1] == [("lookups", "gossip", 0)]


def test_wrong_options_are_refused() -> None:
    parser = argparse.ArgumentParser()
    run.add_arguments(parser)
    arguments = parser.parse_args(["--nodes", "3,16", "--only", "idle,join", "--peers", "serf"])
    assert (arguments.nodes, arguments.only, arguments.peers) == ([3, 16], ["idle", "join"], ["serf"])
    with pytest.raises(SystemExit):
        parser.parse_args(["--only", "everything"])


def test_the_delays_of_changes_are_paired_by_their_turn() -> None:
    answered: dict[int, float] = {}
    seen: dict[int, float] = {}
    lines = [
        b'{"id":1,"result":{"watch":1}}',
        b'{"method":"catalog.watch","params":{"instances":[{"meta":{"turn":"7"}},{"meta":{}}]}}',
        b'{"method":"catalog.watch","params":{"ready":true}}',
    ]
    catalog._note(lines, 2.0, answered, seen)
    catalog._note(lines[1:], 3.0, answered, seen)
    assert (answered, seen) == ({1: 2.0}, {7: 2.0, 0: 2.0})
    assert catalog._quantiles([0.003] * 99 + [0.5], 1e3, "ms") == ("3.00 ms", "500.00 ms")
    assert json.loads(catalog._registration(1_234, 7))["params"]["name"] == "s234"


# ----------------------------------------------------------------------------------------------- faces


def test_a_quantile_is_of_what_came_in_between_and_even_within_a_bucket() -> None:
    before = {0.001: 10.0, 0.010: 10.0, math.inf: 10.0}
    after = {0.001: 60.0, 0.010: 110.0, math.inf: 110.0}
    assert lag_quantile(before, after, 0.25) == pytest.approx(0.0005)
    assert lag_quantile(before, after, 0.75) == pytest.approx(0.0055)
    assert lag_quantile(before, {**after, math.inf: 1_000.0}, 0.99) == 0.010, "beyond the last bound"
    assert math.isnan(lag_quantile(before, before, 0.99))


def test_buckets_are_read_from_a_scrape() -> None:
    text = (
        "# TYPE gossip_loop_lag_seconds histogram\n"
        'gossip_loop_lag_seconds_bucket{le="0.0005"} 3.0\n'
        'gossip_loop_lag_seconds_bucket{le="+Inf"} 4.0\n'
        "gossip_loop_lag_seconds_count 4.0\n"
    )
    assert BUCKET.findall(text) == [("0.0005", "3.0"), ("+Inf", "4.0")]


# ------------------------------------------------------------------------------------------------- gap


def test_a_port_refuses_while_nobody_listens_there() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        assert not is_refused(port)
    # Loopback tells at once; on a busy machine perhaps not before we look.
    until = time.monotonic() + 10
    while not is_refused(port):
        assert time.monotonic() < until


def test_what_dnsperf_says_is_read() -> None:
    text = "  Queries sent:  9\n  Queries lost:         2 (0.01%)\n  Queries per second:   24823.366058\n"
    assert parse_report(text) == (24823.366058, 2)
    with pytest.raises(BenchError, match="dnsperf said: no server"):
        parse_report("no server")
