"""The command line of Consul 1.8.7, a client in Go that is strict about types, against our agents."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.agent.processes import until
from tests.support import clean_environment, requires_peer, run_program

if TYPE_CHECKING:
    from pathlib import Path

    from tests.interop.worlds import World


def program() -> str:
    return requires_peer("consul", "consul", optional=True)


def said(world: World, *words: str, place: int = 0, status: int = 0) -> str:
    """What a command prints; its exit status is as expected."""
    done = run_program([program(), *words], extra={"CONSUL_HTTP_ADDR": world.http(place)})
    assert done.returncode == status, f"{words}: {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def rows(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_life_of_a_service(world: World, tmp_path: Path) -> None:
    definition = tmp_path / "shop.json"
    definition.write_text(
        json.dumps(
            {
                "service": {
                    "id": "shop-1",
                    "name": "shop",
                    "port": 80,
                    "tags": ["a"],
                    "meta": {"k": "v"},
                    "checks": [{"name": "own", "ttl": "10m", "status": "passing"}],
                }
            }
        )
    )
    heard = tmp_path / "heard"
    handler = f"(tr -d ' '; echo) >> {shlex.quote(str(heard))}"
    log = (tmp_path / "log").open("wb")
    watcher = subprocess.Popen(
        [program(), "watch", "-type=service", "-service=shop", "-passingonly=true", handler],
        env=clean_environment({"CONSUL_HTTP_ADDR": world.http(0)}),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    try:
        until("the watch begins", lambda: last(heard) == [])
        assert "Registered service: shop" in said(world, "services", "register", str(definition), place=1)
        until("a registration", lambda: last(heard) == [("two", "shop-1")])
        assert [row[0] for row in rows(said(world, "catalog", "nodes", "-service=shop"))[1:]] == ["two"]
        assert ["shop", "a"] in rows(said(world, "catalog", "services", "-tags"))
        assert ["shop"] in rows(said(world, "catalog", "services", "-node=two"))
        said(world, "maint", "-enable", "-service=shop-1", "-reason=disks", place=1)
        until("maintenance", lambda: last(heard) == [])
        assert "Reason: disks" in said(world, "maint", place=1)
        said(world, "maint", "-disable", "-service=shop-1", place=1)
        until("its end", lambda: last(heard) == [("two", "shop-1")])
        world.kill(1)
        until("a failing node", lambda: last(heard) == [])
        assert ["two", "failed"] in [[row[0], row[2]] for row in rows(said(world, "members"))]
        world.revive()
        said(world, "services", "deregister", "-id=shop-1", place=1)
        until("it is gone", lambda: "shop" not in said(world, "catalog", "services"))
    finally:
        watcher.kill()
        watcher.wait()
        log.close()


def last(heard: Path) -> list[tuple[str, str]] | None:
    """Node and id of what the watch's handler was given last."""
    lines = heard.read_text().split() if heard.exists() else []
    if not lines:
        return None
    try:
        told = json.loads(lines[-1])
    except json.JSONDecodeError:
        return None  # it is being written
    return [(each["Node"]["Node"], each["Service"]["ID"]) for each in told]


def test_members_and_nodes(world: World) -> None:
    listed = rows(said(world, "members"))
    assert [row[0] for row in listed[1:]] == sorted(world.names)
    assert {row[2] for row in listed[1:]} == {"alive"}
    assert all(row[1].startswith("127.0.0.1:") for row in listed[1:])
    (centre,) = said(world, "catalog", "datacenters").split()
    assert {row[6] for row in listed[1:]} == {centre}
    assert "id=" in said(world, "members", "-detailed")
    assert all(row[0].endswith(f".{centre}") for row in rows(said(world, "members", "-wan"))[1:])
    assert said(world, "members", "-status=failed", status=2) == ""
    nodes = rows(said(world, "catalog", "nodes"))
    assert [row[0] for row in nodes[1:]] == sorted(world.names)
    assert len(rows(said(world, "catalog", "nodes", "-near=_agent"))) == 4
    assert len(rows(said(world, "catalog", "nodes", '-filter=Node == "two"'))) == 2
    assert "Failed to create boolean" in said(world, "catalog", "nodes", "-filter=((", status=1)


def test_what_it_asks_of_an_agent(world: World) -> None:
    info = said(world, "info")
    assert "leader_addr = 127.0.0.1:" in info
    assert "reload triggered" in said(world, "reload")
    said(world, "maint", "-enable", "-reason=disks")
    assert "Reason: disks" in said(world, "maint")
    said(world, "maint", "-disable")
    assert said(world, "maint").strip() == ""
    assert "Event ID: " in said(world, "event", "-name=deploy", "version 7")
    for kind in (
        ["service", "-service=absent"],
        ["services"],
        ["nodes"],
        ["checks", "-state=any"],
        ["event", "-name=deploy"],
    ):
        json.loads(said(world, "watch", f"-type={kind[0]}", *kind[1:]))
    assert "Error joining address" in said(world, "join", "127.0.0.1:9", status=1)
    assert "No node found with name 'nobody'" in said(world, "force-leave", "nobody", status=1)
    assert "500" in said(world, "keyring", "-list", status=1)
    # Whether or not both have a coordinate yet.
    done = run_program([program(), "rtt", "one", "two"], extra={"CONSUL_HTTP_ADDR": world.http(0)})
    assert "Estimated" in done.stdout or "Could not find a coordinate" in done.stderr + done.stdout


def test_it_follows_the_log(world: World, tmp_path: Path) -> None:
    if world.name == "consul":
        pytest.skip("this version cannot read its own stream, which is compressed")
    log = tmp_path / "log"
    with log.open("wb") as sink:
        child = subprocess.Popen(
            [program(), "monitor", "-log-level=debug"],
            env=clean_environment({"CONSUL_HTTP_ADDR": world.http(0)}),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
        )
    try:
        world.kill(2)
        until("the log tells of the death", lambda: "three" in log.read_text())
        assert child.poll() is None, log.read_text()
    finally:
        child.kill()
        child.wait()


def test_what_needs_consensus_is_refused(world: World, tmp_path: Path) -> None:
    if world.name == "consul":
        pytest.skip("Consul has it")
    assert "No key exists" in said(world, "kv", "get", "x", status=1)
    for words in (
        ["kv", "put", "x", "y"],
        ["lock", "x", "true"],
        ["operator", "raft", "list-peers"],
        ["snapshot", "save", str(tmp_path / "s")],
        ["config", "list", "-kind=service-defaults"],
    ):
        assert "501" in said(world, *words, status=1)
    assert "501" in said(world, "intention", "check", "a", "b", status=2)
    assert "401 (ACL support disabled)" in said(world, "acl", "token", "list", status=1)


def test_a_node_leaves_and_is_made_to_leave(world: World) -> None:
    world.kill(2)
    until("it has failed", lambda: ["three", "failed"] in states(world))
    said(world, "force-leave", "three")
    until("it counts as left", lambda: ["three", "failed"] not in states(world))
    assert "Graceful leave complete" in said(world, "leave", place=1)
    until("it has left", lambda: ["two", "left"] in states(world))
    until("its node is gone", lambda: "two" not in said(world, "catalog", "nodes"))


def states(world: World) -> list[list[str]]:
    return [[row[0], row[2]] for row in rows(said(world, "members"))]
