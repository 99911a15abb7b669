"""What scrapes by discovery, unmodified: services come, change, fall ill and go, and are found as they are.

Prometheus gathers what it discovers for five seconds before it acts on it: hence one story for all of them.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.agent.processes import until
from tests.interop.api import put
from tests.interop.scrapers import Scraper, newer_prometheus, older_prometheus, vmagent

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.worlds import World

SERVICE = "exporter"
ADDRESSES = ("127.0.0.2:9100", "127.0.0.3:9100", "127.0.0.4:9100")


def discovery(kind: str, how: dict[str, Any], *labels: str) -> dict[str, Any]:
    # vmagent shows a change only of what ends up in labels.
    kept = [{"source_labels": [label], "target_label": label.strip("_")} for label in labels]
    job = {"job_name": "found", f"{kind}_sd_configs": [how], "relabel_configs": kept}
    return {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}


def by_consul(world: World) -> dict[str, Any]:
    how = {"server": world.http(0), "services": [SERVICE], "tags": ["metrics"], "refresh_interval": "1s"}
    return discovery("consul", how, "__meta_consul_tags")


def by_http(world: World) -> dict[str, Any]:
    url = f"http://{world.http(0)}/v1/sd/prometheus?service={SERVICE}&tag=metrics"
    return discovery("http", {"url": url, "refresh_interval": "1s"}, "__meta_gossip_health")


def register(world: World, place: int, *tags: str) -> None:
    host, _, port = ADDRESSES[place].partition(":")
    put(
        world.http(place),
        "/v1/agent/service/register",
        {
            "ID": f"{SERVICE}-{place}",
            "Name": SERVICE,
            "Address": host,
            "Port": int(port),
            "Tags": ["metrics", *tags],
            "Meta": {"owner": "web"},
            "Check": {"TTL": "10m", "Status": "passing"},
        },
    )


def begin(world: World, folder: Path, stack: ExitStack) -> tuple[list[Scraper], list[Scraper]]:
    """Those that speak Consul's API, and those that read lists of targets."""
    consul = [
        older_prometheus(folder / "older", by_consul(world)),
        vmagent(folder / "vmagent", by_consul(world)),
    ]
    http = []
    if world.name != "consul":
        http = [
            newer_prometheus(folder / "newer", by_http(world)),
            vmagent(folder / "vmagent-http", by_http(world)),
        ]
    for each in (*consul, *http):
        stack.enter_context(each)
    return consul, http


def health(scraper: Scraper) -> dict[str, str]:
    return {address: labels["__meta_gossip_health"] for address, labels in scraper.targets().items()}


@pytest.mark.slow
def test_services_come_change_and_go(world: World, tmp_path: Path) -> None:
    for place in range(3):
        register(world, place)
    with ExitStack() as stack:
        consul, http = begin(world, tmp_path, stack)
        for each in (*consul, *http):
            until("all three are found", lambda each=each: set(each.targets()) == set(ADDRESSES))
        for each in consul:
            found = each.targets()[ADDRESSES[1]]
            assert found["__meta_consul_node"] == "two"
            assert found["__meta_consul_service"] == SERVICE
            assert found["__meta_consul_service_id"] == f"{SERVICE}-1"
            assert found["__meta_consul_service_port"] == "9100"
            assert found["__meta_consul_tags"] == ",metrics,"
            assert found["__meta_consul_service_metadata_owner"] == "web"
            assert found["__meta_consul_dc"]
        for each in http:
            found = each.targets()[ADDRESSES[1]]
            assert found["__meta_gossip_node"] == "two"
            assert found["__meta_gossip_service"] == SERVICE
            assert found["__meta_gossip_service_id"] == f"{SERVICE}-1"
            assert found["__meta_gossip_tags"] == ",metrics,"
            assert found["__meta_gossip_meta_owner"] == "web"
            assert found["__meta_gossip_cluster"] == "gossip"
            assert set(health(each).values()) == {"passing"}

        # All at once: a deregistration, a new tag, a failing check, and the node of the third.
        put(world.http(0), f"/v1/agent/service/deregister/{SERVICE}-0")
        register(world, 1, "v2")
        put(world.http(1), f"/v1/agent/check/fail/service:{SERVICE}-1?note=ill")
        world.kill(2)
        for each in consul:
            until("one is gone", lambda each=each: ADDRESSES[0] not in each.targets())
            until(
                "the new tag",
                lambda each=each: each.targets()[ADDRESSES[1]]["__meta_consul_tags"] == ",metrics,v2,",
            )
        for each in http:
            until("one is gone", lambda each=each: ADDRESSES[0] not in each.targets())
            until("an ill one", lambda each=each: health(each).get(ADDRESSES[1]) == "critical")
            until("a dead node", lambda each=each: health(each).get(ADDRESSES[2]) in (None, "critical"))
