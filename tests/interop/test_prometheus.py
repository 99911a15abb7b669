"""A real Prometheus, as Debian ships it, reads a real agent; what we give for it holds together."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.processes import Process, until
from tests.interop.scrapers import Scraper, newer_prometheus
from tests.support import ROOT, requires_program, run_program

if TYPE_CHECKING:
    from pathlib import Path

DASHBOARD = ROOT / "examples" / "grafana-dashboard.json"
ALERTS = ROOT / "examples" / "alerts.yml"


def queries() -> list[str]:
    """What the dashboard asks, as Grafana sends it with every agent chosen."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return [each.replace("$instance", ".*").replace("$__rate_interval", "10s") for each in asked]


def alerts() -> list[str]:
    """The expressions of the rules, without what they are compared with."""
    text = ALERTS.read_text()
    return re.findall(r"^ +expr: (.*)$", text, re.MULTILINE)


def test_the_alert_rules_are_sound() -> None:
    checked = run_program([requires_program("promtool"), "check", "rules", str(ALERTS)])
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "10 rules found" in checked.stdout


def test_alerts_and_dashboard_ask_for_metrics_that_there_are() -> None:
    table = (ROOT / "gossip" / "api" / "http" / "METRICS.md").read_text()
    known = set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE))
    asked = set(re.findall(r"\b(?:gossip|process)_\w+", " ".join([*queries(), *alerts()])))
    assert {re.sub(r"_bucket$", "", name) for name in asked} <= known


def scraping(targets: list[str]) -> dict[str, Any]:
    """A configuration with which all of them are scraped every second."""
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(ALERTS)],
        "scrape_configs": [{"job_name": "gossip", "static_configs": [{"targets": targets}]}],
    }


@pytest.mark.slow
def test_every_query_of_the_dashboard_returns_data(tmp_path: Path) -> None:
    requires_program("prometheus")
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    with Process(folders[0], "--http", "127.0.0.1:0", name="a") as first, first.ask() as ask:
        addresses = ask.call("agent.info")["addresses"]
        second = Process(folders[1], "--http", "127.0.0.1:0", "--join", addresses["gossip"], name="b")
        with second, second.ask() as other:
            targets = [addresses["http"], other.call("agent.info")["addresses"]["http"]]
            with newer_prometheus(tmp_path / "prometheus", scraping(targets)) as server:
                until("both are scraped", lambda: len(server.ask("up == 1")) == 2)
                for query in queries():
                    until(f"data for {query}", partial(server.ask, query))
                until("the rules are evaluated", lambda: all_evaluated(server))


def all_evaluated(server: Scraper) -> bool:
    rules = [rule for group in server.get("rules").get("groups", ()) for rule in group["rules"]]
    assert not [rule for rule in rules if rule.get("lastError")], rules
    return bool(rules) and all(rule["health"] == "ok" for rule in rules)
