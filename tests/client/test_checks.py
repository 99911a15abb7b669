"""Checks as values: the mapping that each sends, and the methods that speak of them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

import gossip
from tests.client.scripted import Reply, ScriptedAgent

if TYPE_CHECKING:
    from gossip.client.checks import Check


@pytest.mark.parametrize(
    ("check", "mapping"),
    [
        (gossip.HTTPCheck("http://h/"), {"http": "http://h/"}),
        (
            gossip.HTTPCheck(
                "https://h/",
                interval=5,
                timeout="500ms",
                method="HEAD",
                headers={"a": "b"},
                expect_status="200-399",
                expect_body="ok",
                body="x",
                tls_skip_verify=True,
            ),
            {
                "http": "https://h/",
                "interval": "5s",
                "timeout": "500ms",
                "method": "HEAD",
                "headers": {"a": "b"},
                "expect_status": "200-399",
                "expect_body": "ok",
                "body": "x",
                "tls_skip_verify": True,
            },
        ),
        (gossip.TCPCheck("h:1", interval=0.00001), {"tcp": "h:1", "interval": "0.00001s"}),
        (gossip.GRPCCheck("h:1/s", tls=True), {"grpc": "h:1/s", "tls": True}),
        (gossip.CommandCheck("exit 1"), {"command": "exit 1"}),
        (gossip.CommandCheck(("a", "b c")), {"command": ["a", "b c"]}),
        (gossip.TTLCheck(15), {"ttl": "15s"}),
        (gossip.TTLCheck("1m", start="passing"), {"ttl": "1m", "start": "passing"}),
        (gossip.AliasCheck("node:n2"), {"alias": "node:n2"}),
        (
            gossip.ContainerCheck(
                "c",
                id="i",
                name="n",
                passes_before_passing=2,
                failures_before_warning=1,
                failures_before_critical=3,
                deregister_after=90.5,
                note="why",
            ),
            {
                "container": "c",
                "id": "i",
                "name": "n",
                "passes_before_passing": 2,
                "failures_before_warning": 1,
                "failures_before_critical": 3,
                "deregister_after": "90.5s",
                "note": "why",
            },
        ),
    ],
)
def test_the_mapping_says_what_was_said_and_no_more(check: Check, mapping: dict[str, Any]) -> None:
    assert check.mapping() == mapping


def test_a_check_cannot_be_changed() -> None:
    check = gossip.TTLCheck(1)
    with pytest.raises(AttributeError):
        check.ttl = 2  # type: ignore[misc]


def test_a_registration_carries_its_checks(agent: ScriptedAgent) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 1})
    with gossip.connect(agent.path) as g:
        g.register("web", 80, check=gossip.TTLCheck(1), checks=[gossip.TCPCheck("h:1")])
        g.register("web", 80, checks=[gossip.TCPCheck("h:1")])
    assert [params["checks"] for _, params in agent.asked] == [
        [{"ttl": "1s"}, {"tcp": "h:1"}],
        [{"tcp": "h:1"}],
    ]


def test_a_diagnosis_is_asked_for_and_read(agent: ScriptedAgent) -> None:
    found = {
        "code": "udp_both", "severity": "problem", "member": "b", "member_id": "bb", "text": "No datagram.",
        "advice": "Open it.", "later": "a field of a later release",
    }  # fmt: skip
    agent.script["agent.doctor"] = Reply(
        {"ok": False, "summary": "1 problem", "findings": [found], "facts": {"more": 0}}
    )
    with gossip.connect(agent.path) as g:
        g.doctor()
        diagnosis = g.doctor("b", timeout=2.0)
    finding = gossip.Finding("udp_both", "problem", "No datagram.", "Open it.", "b", "bb")
    assert diagnosis == gossip.Diagnosis(False, "1 problem", (finding,), {"more": 0})
    assert [params for _, params in agent.asked] == [{"timeout": 5.0}, {"timeout": 2.0, "member": "b"}]


def test_health_is_told_and_read(agent: ScriptedAgent) -> None:
    row = {
        "id": "web:ttl", "name": "ttl", "service": "web", "service_id": "web", "kind": "ttl",
        "status": "critical", "output": "late", "since": "2026-11-21T12:00:00Z", "next_s": None,
    }  # fmt: skip
    agent.script = {
        "checks.update": Reply({"id": "web", "status": "passing"}),
        "checks.list": Reply({"checks": [row], "index": 1}),
        "maintenance.set": Reply({"id": "", "on": True}),
        "agent.reload": Reply(
            {"services": 3, "added": 1, "changed": 0, "removed": 2, "problems": ["name: later"]}
        ),
    }
    with gossip.connect(agent.path) as g:
        g.update_check("web", "warning")
        g.passing("web", "fine")
        g.warning("web")
        g.failing("web", "disk")
        (state,) = g.checks()
        g.maintenance(True, reason="upgrade")
        g.maintenance(False, "web")
        assert g.reload() == gossip.client.ReloadResult(3, 1, 0, 2, ("name: later",))
    assert state == gossip.CheckState(
        "web:ttl", "ttl", "web", "web", "ttl", "critical", "late",
        dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC), None,
    )  # fmt: skip
    assert [params for method, params in agent.asked if method == "checks.update"] == [
        {"id": "web", "status": "warning", "note": ""},
        {"id": "web", "status": "passing", "note": "fine"},
        {"id": "web", "status": "warning", "note": ""},
        {"id": "web", "status": "critical", "note": "disk"},
    ]
    assert [params for method, params in agent.asked if method == "maintenance.set"] == [
        {"on": True, "id": "", "reason": "upgrade"},
        {"on": False, "id": "web", "reason": ""},
    ]
