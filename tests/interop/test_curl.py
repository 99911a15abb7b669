"""curl, as shell scripts use it: what the API says, and how it speaks HTTP."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.agent.processes import PATIENCE, until
from tests.support import clean_environment, requires_program, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.worlds import World

pytestmark = pytest.mark.slow


def curl(world: World, path: str, *words: str, place: int = 0) -> str:
    """What it prints, whatever the status; a line ends as Python's do, and no configuration is read."""
    url = f"http://{world.http(place)}{path}"
    done = run_program([requires_program("curl"), "-q", "-sS", "--max-time", str(PATIENCE), *words, url])
    assert done.returncode == 0, f"{words} {url}: {done.returncode}: {done.stderr}"
    return done.stdout


def status(world: World, path: str, *words: str, place: int = 0) -> int:
    return int(curl(world, path, "-o", "/dev/null", "-w", "%{http_code}", *words, place=place))


def index(world: World, path: str) -> str:
    for line in curl(world, path, "-D", "-", "-o", "/dev/null").splitlines():
        # nginx-upsync looks for exactly these bytes.
        if line.startswith("X-Consul-Index: "):
            return line.partition(": ")[2]
    raise AssertionError(f"no X-Consul-Index with {path}")


def wait_for(world: World, path: str) -> subprocess.Popen[bytes]:
    """A blocking query that waits for longer than a test would."""
    separator = "&" if "?" in path else "?"
    url = f"http://{world.http(0)}{path}{separator}index={index(world, path)}&wait=9m"
    return subprocess.Popen(
        [requires_program("curl"), "-q", "-sS", url], env=clean_environment(), stdout=subprocess.PIPE
    )


def came(query: subprocess.Popen[bytes]) -> list[str]:
    """The ids in the answer to `wait_for`."""
    said, _ = query.communicate(timeout=PATIENCE)
    assert query.returncode == 0
    return [each["Service"]["ID"] for each in json.loads(said)]


def test_the_life_of_a_service(world: World) -> None:
    path = "/v1/health/service/mail?passing"
    query = wait_for(world, path)
    registration = {"Name": "mail", "ID": "mail-2", "Port": 25, "Check": {"TTL": "10m", "Status": "passing"}}
    assert curl(world, "/v1/agent/service/register", "-T-", "-X", "PUT", place=1).startswith("Request decode")
    for place in (1, 2):
        registration["ID"] = f"mail-{place}"
        sent = ["-X", "PUT", "-d", json.dumps(registration)]
        assert status(world, "/v1/agent/service/register", *sent, place=place) == 200
    assert came(query)
    until("both are listed", lambda: len(json.loads(curl(world, path))) == 2)
    query = wait_for(world, path)
    assert status(world, "/v1/agent/check/fail/service:mail-1?note=full", "-X", "PUT", place=1) == 200
    assert came(query) == ["mail-2"]
    assert curl(world, "/v1/agent/health/service/name/mail?format=text", place=1) == "critical"
    assert status(world, "/v1/agent/health/service/id/mail-1", place=1) == 503
    query = wait_for(world, path)
    world.kill(2)
    assert came(query) == []
    assert status(world, "/v1/agent/service/deregister/mail-1", "-X", "PUT", place=1) == 200
    until("it is gone", lambda: ids(world, "/v1/health/service/mail") == ["mail-2"])


def ids(world: World, path: str) -> list[str]:
    return [each["Service"]["ID"] for each in json.loads(curl(world, path))]


def test_its_ways_of_speaking_http(world: World, tmp_path: Path) -> None:
    nodes = json.loads(curl(world, "/v1/catalog/nodes"))
    for words in (["--http1.0"], ["--compressed"], ["-H", "Connection: close"], ["-H", "Host: localhost"]):
        assert json.loads(curl(world, "/v1/catalog/nodes", *words)) == nodes
    old = curl(world, "/v1/catalog/nodes", "--http1.0", "-i").partition("\n\n")[0].lower()
    assert "chunked" not in old
    assert curl(world, "/v1/catalog/nodes?pretty").startswith("[\n    {\n")
    quiet = ["-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}"]
    both = curl(world, "/v1/catalog/nodes", *quiet, f"http://{world.http(0)}/v1/status/leader")
    assert both == "10", "the second request takes the first one's connection"
    large = tmp_path / "large.json"
    check = {"HTTP": "http://127.0.0.1:9/", "Interval": "1h", "Method": "POST", "Body": "x" * 4_000}
    large.write_text(json.dumps({"Name": "large", "Port": 1, "Checks": [check] * 10}))
    for words in (["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"], []):
        sent = ["-X", "PUT", "--data-binary", f"@{large}", *words]
        assert curl(world, "/v1/agent/service/register", "-w", "%{http_code}", *sent) == "200"
    assert "service:large:10" in json.loads(curl(world, "/v1/agent/checks"))
    assert status(world, "/v1/agent/service/deregister/large", "-X", "PUT") == 200


def test_methods_and_wrong_paths(world: World) -> None:
    head = curl(world, "/v1/catalog/nodes", "-I")
    assert head.startswith("HTTP/1.1 405 ")
    assert "\nAllow: OPTIONS,GET\n" in head
    options = curl(world, "/v1/agent/service/register", "-i", "-X", "OPTIONS")
    assert options.startswith("HTTP/1.1 200 ")
    assert "\nAllow: OPTIONS,PUT\n" in options
    assert curl(world, "/v1/catalog/nodes", "-X", "POST") == "method POST not allowed"
    assert status(world, "/v1/nothing") == 404
    assert status(world, "/", "-L") == 200
    assert status(world, "/", "-0", "-X", "OPTIONS") == 200, "what HAProxy's httpchk asks for"
    refused = curl(world, "/v1/health/service/x?wait=1&index=1", "-i")
    assert refused.startswith("HTTP/1.1 400 ")
    assert refused.endswith("\n\nInvalid wait time")
    assert "text/plain" in refused


def test_ids_with_all_kinds_of_characters(world: World) -> None:
    for ident, escaped in (
        ("app#127.0.0.1#3000", "app%23127.0.0.1%233000"),
        ("host:shop:80", "host:shop:80"),
        ("a/b", "a%2Fb"),
        ("c/d", "c/d"),
        ("größe 1", "gr%C3%B6%C3%9Fe%201"),
        ("50%", "50%25"),
        ("a+b", "a+b"),
    ):
        sent = ["-X", "PUT", "-d", json.dumps({"Name": "odd", "ID": ident, "Check": {"TTL": "10m"}})]
        assert status(world, "/v1/agent/service/register", *sent) == 200, ident
        assert json.loads(curl(world, f"/v1/agent/service/{escaped}"))["ID"] == ident
        assert status(world, f"/v1/agent/check/pass/service:{escaped}", "-X", "PUT") == 200, ident
        assert status(world, f"/v1/agent/service/deregister/{escaped}", "-X", "PUT") == 200, ident
        assert ident not in json.loads(curl(world, "/v1/agent/services"))


def test_an_older_index_answers_at_once_and_the_wait_ends(world: World) -> None:
    assert status(world, "/v1/health/service/none?index=1&wait=9m") == 200
    now = index(world, "/v1/health/service/none")
    assert int(now) > 0
    assert status(world, f"/v1/health/service/none?index={now}&wait=100ms") == 200
    if (
        world.name != "consul"
    ):  # which waits for it, so that a client of a restarted agent misses what happens
        assert status(world, f"/v1/health/service/none?index={int(now) + 10_000}&wait=9m") == 200


def test_what_needs_consensus_is_refused(world: World) -> None:
    if world.name == "consul":
        pytest.skip("Consul has it")
    assert status(world, "/v1/kv/absent") == 404
    for method, path in (
        ("PUT", "/v1/kv/a"),
        ("DELETE", "/v1/kv/a"),
        ("PUT", "/v1/session/create"),
        ("PUT", "/v1/txn"),
        ("GET", "/v1/snapshot"),
        ("GET", "/v1/operator/raft/configuration"),
        ("GET", "/v1/config/service-defaults"),
        ("GET", "/v1/connect/ca/roots"),
        ("GET", "/v1/peerings"),
    ):
        answer = curl(world, path, "-i", "-X", method, "-d", "{}")
        assert answer.startswith("HTTP/1.1 501 "), answer
        assert "text/plain" in answer
        assert len(answer.rpartition("\n\n")[2]) > 20, "one sentence says why"
