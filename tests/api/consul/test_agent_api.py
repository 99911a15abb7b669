"""What programs change at their agent: services, checks, maintenance; and how it is shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.api.consul.worlds import Consul, cluster, until

if TYPE_CHECKING:
    from tests.api.consul.worlds import Said


async def checks(consul: Consul) -> dict[str, Any]:
    found: dict[str, Any] = (await consul.get("agent/checks")).json
    return found


async def test_a_registration_is_shown_as_it_was_given(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(
            "web",
            id="web-1",
            tags=["a", "B"],
            port=8001,
            address="127.0.0.31",
            meta={"k": "v"},
            weights={"passing": 5, "warning": 2},
            tagged_addresses={"wan": {"address": "198.51.100.1", "port": 80}},
            enable_tag_override=True,
        )
        own = (await consul.get("agent/services")).json["web-1"]
        assert own == {
            "ID": "web-1",
            "Service": "web",
            "Tags": ["a", "B"],
            "Meta": {"k": "v"},
            "Port": 8001,
            "Address": "127.0.0.31",
            "TaggedAddresses": {
                "lan_ipv4": {"Address": "127.0.0.31", "Port": 8001},
                "wan": {"Address": "198.51.100.1", "Port": 80},
                "wan_ipv4": {"Address": "127.0.0.31", "Port": 8001},
            },
            "Weights": {"Passing": 5, "Warning": 2},
            "EnableTagOverride": True,
            "Datacenter": "dc1",
        }
        (found,) = (await consul.get("health/service/WEB?passing")).json
        assert found["Service"]["Weights"] == {"Passing": 5, "Warning": 2}
        assert [check["CheckID"] for check in found["Checks"]] == ["serfHealth"]
        # What Consul has and our records have not travels in the meta data; it is not shown as such.
        assert (await consul.get("catalog/service/web")).json[0]["ServiceMeta"] == {"k": "v"}
        assert (await consul.put("agent/service/deregister/web-1")).status == 200
        assert (await consul.get("agent/services")).json == {}
        gone = await consul.put("agent/service/deregister/web-1")
        assert (gone.status, gone.text.split(".")[0]) == (404, 'Unknown service ID "web-1"')


async def test_checks_keep_their_ids_and_status_when_a_service_is_registered_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Checks=[{"TTL": "1h"}, {"TTL": "1h", "CheckID": "mine", "Name": "x"}])
        assert list(await checks(consul)) == ["mine", "service:web:1"]
        await consul.put("agent/check/pass/mine?note=well")
        await consul.register(Check={"TTL": "1h"}, Port=81)
        found = await checks(consul)
        assert {id: row["Status"] for id, row in found.items()} == {
            "mine": "passing",
            "service:web": "critical",
            "service:web:1": "critical",
        }
        assert found["mine"]["Output"] == "well"
        said = await consul.put("agent/service/register?replace-existing-checks", {"Name": "web"})
        assert said.status == 200
        assert await checks(consul) == {}


async def test_a_ttl_is_told_by_its_program_and_lapses_without(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Check={"TTL": "1h"})
        assert (await consul.get("health/service/web?passing")).json == []
        for word, status in (
            ("pass", "passing"),
            ("warn", "warning"),
            ("fail", "critical"),
            ("pass", "passing"),
        ):
            assert (await consul.put(f"agent/check/{word}/service:web?note=hi")).status == 200
            row = (await consul.get("health/checks/web")).json[0]
            assert (row["Status"], row["Type"]) == (status, "ttl"), (
                "a program that reports sees itself at once"
            )
        await consul.register(Check={"TTL": "100ms"})
        assert (await consul.put("agent/check/pass/service:web")).status == 200
        await until(lambda: _is_critical(consul))
        assert (await checks(consul))["service:web"]["Output"] == "TTL expired"
        update = {"Status": "warning", "Output": "o"}
        assert (await consul.put("agent/check/update/service:web", update)).status == 200
        assert (await checks(consul))["service:web"]["Output"] == "o"


async def _is_critical(consul: Consul) -> bool:
    return bool((await consul.get("health/state/critical")).json)


async def test_checks_of_the_node_count_for_all_it_offers_and_outlive_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with cluster(tmp_path, data_dir=data) as (consul,):
        await consul.register()
        said = await consul.put("agent/check/register", {"Name": "disk", "TTL": "1h", "Notes": "n"})
        assert said.status == 200
        (found,) = (await consul.get("health/service/web")).json
        assert [(row["CheckID"], row["Status"]) for row in found["Checks"]] == [
            ("disk", "critical"),
            ("serfHealth", "passing"),
        ]
        assert (await consul.put("agent/check/pass/disk")).status == 200
    async with cluster(tmp_path, data_dir=data) as (consul,):
        assert (await checks(consul))["disk"]["Status"] == "passing"
        assert (await consul.put("agent/check/deregister/disk")).status == 200
        assert (await consul.put("agent/check/deregister/disk")).status == 404
    async with cluster(tmp_path, data_dir=data) as (consul,):
        assert await checks(consul) == {}


async def test_a_check_is_added_to_a_service_and_taken_away(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Check={"TTL": "1h", "Status": "passing"})
        more = {"Name": "more", "ID": "m", "TTL": "1h", "ServiceID": "web"}
        assert (await consul.put("agent/check/register", more)).status == 200
        assert (await checks(consul))["m"]["ServiceName"] == "web"
        assert (await checks(consul))["service:web"]["Status"] == "passing", "what was there is left alone"
        assert (await consul.put("agent/check/deregister/m")).status == 200
        assert list(await checks(consul)) == ["service:web"]


async def test_maintenance_hides_and_says_why(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register()
        assert (await consul.put("agent/service/maintenance/web?enable=True&reason=disks")).status == 200
        row = (await checks(consul))["_service_maintenance:web"]
        assert (row["Status"], row["Notes"], row["Type"]) == ("critical", "disks", "maintenance")
        assert (await consul.get("health/service/web?passing")).json == []
        health = await consul.get("agent/health/service/id/web")
        assert (health.status, health.headers["x-consul-reason"]) == (503, "maintenance")
        assert (await consul.put("agent/service/maintenance/web?enable=false")).status == 200
        assert (await consul.put("agent/maintenance?enable=true")).status == 200
        ids = [row["CheckID"] for row in (await consul.get("health/node/n1")).json]
        assert ids == ["_node_maintenance", "serfHealth"]
        assert (await consul.put("agent/maintenance?enable=0")).status == 200
        assert len((await consul.get("health/service/web?passing")).json) == 1


async def test_commands_come_over_http_only_where_that_is_allowed(tmp_path: Path) -> None:
    check = {"Args": ["true"], "Interval": "10s"}
    async with cluster(tmp_path) as (consul,):
        said = await consul.put("agent/service/register", {"Name": "web", "Check": check})
        assert (said.status, said.text[:44]) == (500, "Scripts are disabled on this agent from remo")
        assert (await consul.get("agent/services")).json == {}, "nothing is left behind"
    async with cluster(tmp_path, command_checks="http") as (consul,):
        await consul.register(Check=check)
        await until(lambda: _is_passing(consul))
        assert (await checks(consul))["service:web"]["Type"] == "script"


async def _is_passing(consul: Consul) -> bool:
    return len((await consul.get("health/service/web?passing")).json) == 1


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("agent/service/register", {"Name": "x", "Port": 70_000}, 400, "Invalid service port 70000"),
        ("agent/service/register", {"Name": "x" * 65}, 400, "service id is 65 bytes; the limit is 64"),
        ("agent/service/register", {"Name": "x", "Connect": {"SidecarService": {}}}, 400, "service mesh ("),
        ("agent/service/register", {"Name": "x", "Proxy": {"Upstreams": [{}]}}, 400, "service mesh ("),
        ("agent/service/register", {"Name": "x", "Connect": {"Native": "no"}}, 400, "Request decode failed"),
        ("agent/check/register", {"Name": "serfHealth", "TTL": "1s"}, 400, "Invalid check: the agent itself"),
        ("agent/check/register", {"Name": "c", "ID": "_node_maintenance", "TTL": "1s"}, 400, "Invalid "),
        ("agent/check/register", {"Name": "x", "UDP": "h:1", "Interval": "1s"}, 400, "Invalid check: UDP"),
        ("agent/service/register", {"Name": "x", "Tags": ["t" * 300]}, 400, "tag is 300 bytes"),
        ("agent/service/maintenance/nope?enable=true", None, 404, 'No service registered with ID "nope"'),
        ("agent/service/maintenance/nope", None, 400, "Missing value for enable"),
        ("agent/maintenance?enable=maybe", None, 400, 'Invalid value for enable: "maybe"'),
        ("agent/check/register", {"Name": "c", "TTL": "1s", "ServiceID": "no"}, 404, 'ServiceID "no" '),
        ("agent/check/pass/nope", None, 404, 'Unknown check ID "nope". Ensure that'),
        ("agent/check/update/nope", {"Status": "bad"}, 400, "Invalid check status: 'bad'"),
        ("agent/force-leave/nope", None, 500, "agent: No node found with name 'nope'"),
        ("agent/join/127.0.0.1:9?wan=1", None, 501, "There is one network"),
        ("agent/reload", None, 500, "Failed to reload: "),
        ("kv/a", "x", 501, "KV is not provided by this agent"),
        ("txn", [], 501, "Transactions are not provided"),
        ("session/create", {}, 501, "Sessions are not provided"),
        ("acl/bootstrap", {}, 401, "ACL support disabled"),
        ("agent/token/default", {}, 401, "ACL support disabled"),
        ("no/such/thing", None, 404, ""),
    ],
)  # fmt: skip
async def test_what_is_refused_is_refused_in_a_sentence(
    tmp_path: Path, path: str, body: object, status: int, text: str
) -> None:
    async with cluster(tmp_path) as (consul,):
        said: Said = await consul.put(path, body)
        assert (said.status, said.text[: len(text)]) == (status, text)
        assert said.headers.get("content-type", "text/plain; charset=utf-8") == "text/plain; charset=utf-8"


@pytest.mark.parametrize("output", [b"caf\xe9", b"\\udcff", b"\xff\xfe", "caf\u00e9".encode()])
async def test_a_report_counts_whatever_the_program_prints(tmp_path: Path, output: bytes) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(Check={"TTL": "1h"})
        body = b'{"Status": "passing", "Output": "%s"}' % output
        assert (await consul.put("agent/check/update/service:web", body)).status == 200
        row = (await checks(consul))["service:web"]
        assert (row["Status"], len(row["Output"]) > 0) == ("passing", True)
        said = await consul.put("agent/check/update/service:web", {"Status": "passing", "Output": 5})
        assert said.text.endswith("cannot unmarshal number into Go struct field .Output of type string")


async def test_what_was_read_may_be_registered_again(tmp_path: Path) -> None:
    """Go's clients have a struct for everything, and send the empty ones along."""
    async with cluster(tmp_path) as (consul,):
        await consul.register(Port=80, Proxy={"MeshGateway": {}, "Expose": {}}, Connect={"Native": None})
        (row,) = (await consul.get("health/service/web")).json
        assert row["Service"]["Proxy"] == {"MeshGateway": {}, "Expose": {}}
        said = await consul.put(
            "catalog/register", {"Node": "ext", "Address": "10.1.1.1", "Service": row["Service"]}
        )
        assert (said.status, said.json) == (200, True)
        assert len((await consul.get("health/service/web")).json) == 2


async def test_a_query_that_cannot_be_read_is_told_in_a_sentence(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        said = await consul.get("health/service/web?filter=%ff")
        assert (said.status, said.headers["content-type"]) == (400, "text/plain; charset=utf-8")
        assert said.text.startswith("the query cannot be read")


async def test_one_structure_is_filled_for_all_kinds_of_checks(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        more = {"Timeout": "5s", "OutputMaxSize": 100, "Method": "GET", "TLSSkipVerify": True, "Notes": "n"}
        await consul.register(
            Tags=["", "a"],
            Checks=[
                {"TTL": "1h", **more},
                {"TCP": "127.0.0.1:9", "Interval": "1h", **more},
                {"AliasService": "web", **more},
                {"HTTP": "http://127.0.0.1:9/", "Interval": "1h", **more},
            ],
        )
        found = (await checks(consul)).values()
        assert [row["Type"] for row in found] == ["ttl", "tcp", "alias", "http"]
        assert [row["Timeout"] for row in found] == ["", "5s", "", "5s"]
        assert (await consul.get("catalog/services")).json == {"web": ["a"]}


async def test_ids_have_any_characters(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        await consul.register(id="a/b c#d:80", Check={"TTL": "1h"})
        for path in ("a/b%20c%23d:80", "a%2Fb%20c%23d%3A80"):
            assert (await consul.get(f"agent/service/{path}")).json["ID"] == "a/b c#d:80"
            assert (await consul.put(f"agent/check/pass/service:{path}")).status == 200
        assert (await consul.put("agent/service/deregister/a/b%20c%23d:80")).status == 200


async def test_the_agent_leaves_after_it_has_answered(tmp_path: Path) -> None:
    async with cluster(tmp_path) as (consul,):
        assert (await consul.put("agent/leave")).status == 200
        with trio.fail_after(20.0):
            await consul.agent.finished()
