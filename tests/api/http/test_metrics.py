"""What Prometheus is told, and that METRICS.md says the same."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families

from gossip.agent import Agent
from gossip.api.http import metrics
from gossip.api.methods import Registration
from gossip.config import Config
from gossip.core.types import Verdict
from tests.api.http.served import Client
from tests.support import ROOT, run_python

if TYPE_CHECKING:
    from pathlib import Path

TABLE = ROOT / "gossip" / "api" / "http" / "METRICS.md"
ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| (.*?) \| (.*) \|$", re.MULTILINE)


def test_the_table_is_what_the_code_says() -> None:
    said = {name: (kind, labels, text) for name, kind, labels, text in ROW.findall(TABLE.read_text())}
    coded = {}
    for family in metrics.FAMILIES:
        name = f"gossip_{family.name}" + "_total" * family.is_counter
        labels = ", ".join(f"`{label}`" for label in family.labels)
        coded[name] = ("counter" if family.is_counter else "gauge", labels, family.help)
    for each in metrics.HISTOGRAMS:
        coded[f"gossip_{each.name}"] = ("histogram", "", each.help)
    assert {name: row for name, row in said.items() if name.startswith("gossip_")} == coded


def test_every_counter_of_the_source_has_a_family() -> None:
    """What no family names is counted together; a new counter should be put where it belongs."""
    named = set()
    for path in (ROOT / "gossip").rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r"""\.count\(\s*"(\w+)"\s*\)""", text))
        named |= set(re.findall(r"""RemoteProtocolError\(\s*"(\w+)\"""", text))
    other = {
        *("accept_failed", "subscriber_failed", "duplicate_identity", "introduced", "unreachable"),
        *("turned_away", "knocked", "own_record_answered", "accusation_held_back", "refusals"),
    }
    assert named - metrics.COUNTED <= other


async def scrape(agent: Agent) -> dict[str, Any]:
    """All samples of a real scrape, as Prometheus' own client reads them."""
    http = agent.info().addresses.http
    assert http is not None
    host, _, port = http.rpartition(":")
    stream = await trio.open_tcp_stream(host, int(port))
    async with stream:
        answer = await Client(stream).ask("GET", "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: dict[str, Any] = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return samples


def config(tmp_path: Path) -> Config:
    return Config(name="n", socket=tmp_path / "s", bind=(("127.0.0.1", 0),), http=("127.0.0.1", 0))


async def test_a_scrape_reads_the_agent(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        await agent.register(Registration("web", 80))
        agent.node.publish(
            agent.node.prepare_status("web", (("a", Verdict.CRITICAL), ("b", Verdict.PASSING))),
            agent._driver.now(),
        )
        agent.node.count("malformed")
        agent.node.count("a_reason_that_nobody_knows")
        agent.node.round_trips.observe(0.003)
        samples = await scrape(agent)
        expected = {
            "gossip_members{status=alive}": 1,
            "gossip_services_registered": 1,
            "gossip_service_instances": 1,
            "gossip_checks{status=critical}": 1,
            "gossip_checks{status=passing}": 1,
            "gossip_packets_refused_total{reason=malformed}": 1,
            "gossip_other_events_total": 1,
            "gossip_connections{face=http}": 1,
            "gossip_probe_rtt_seconds_bucket{le=0.002}": 0,
            "gossip_probe_rtt_seconds_bucket{le=0.005}": 1,
            "gossip_probe_rtt_seconds_count": 1,
            "gossip_probe_rtt_seconds_sum": 0.003,
        }
        assert {name: samples[name] for name in expected} == expected
        assert "gossip_view_agreement_ratio" not in samples, "nobody is heard"
        assert samples["process_open_fds"] > 3
        again = await scrape(agent)
        assert again["gossip_http_requests_total{code=200,route=/metrics}"] == 1
        assert set(again) >= set(samples)


@pytest.mark.parametrize("module", ["h11", "prometheus_client"])
def test_without_the_face_nothing_of_it_is_loaded(module: str) -> None:
    code = "import sys, gossip.agent; print(*sys.modules)"
    assert module not in run_python("-c", code).stdout.split()
