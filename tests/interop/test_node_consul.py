"""npm's client `consul`, unmodified: the life of a service as its calls and its watches tell it."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.agent.processes import PATIENCE, until
from tests.interop.worlds import SIZE
from tests.support import PEERS, ROOT, clean_environment, requires_package, requires_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.interop.worlds import World


class Watch:
    """What a watch has said."""

    def __init__(self) -> None:
        self.value: Any = None
        self.changes = 0
        self.errors: list[str] = []

    def ids(self) -> set[str]:
        return {each["Service"]["ID"] for each in self.value or ()}


class Client:
    """The program `node/client.js`."""

    def __init__(self, world: World) -> None:
        requires_package("node", "consul")
        self._child = subprocess.Popen(
            [
                requires_program("node"),
                str(ROOT / "tests" / "interop" / "node" / "client.js"),
                *(world.http(place) for place in range(SIZE)),
            ],
            env=clean_environment({"NODE_PATH": str(PEERS / "node" / "node_modules")}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._watches: dict[str, Watch] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            message = json.loads(line)
            if "id" in message:
                self._answers[message["id"]] = message
                continue
            watch = self._watches[message["watch"]]
            if "value" in message:
                assert int(message["index"]) > 0
                watch.value = message["value"]
                watch.changes += 1
            else:
                watch.errors.append(message.get("error", "ended"))

    def _say(self, message: dict[str, Any]) -> None:
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps(message).encode() + b"\n")
        self._child.stdin.flush()

    def ask(self, agent: int, call: str, **options: object) -> dict[str, Any]:
        """The whole answer: a result, or an error and its status."""
        self._number += 1
        number = self._number
        self._say({"id": number, "agent": agent, "call": call, **({"options": options} if options else {})})
        answer: dict[str, Any] = until(f"an answer to {call}", lambda: self._answers.pop(number, None))
        return answer

    def call(self, agent: int, call: str, **options: object) -> Any:
        answer = self.ask(agent, call, **options)
        assert "error" not in answer, answer
        return answer["result"]

    def watch(self, agent: int, call: str, **options: object) -> Watch:
        name = f"w{len(self._watches)}"
        watch = self._watches[name] = Watch()
        # Longer than a test waits: a change that the watch was not woken for shows.
        self._say({"watch": name, "agent": agent, "call": call, "options": {"wait": "60s", **options}})
        until(f"the first value of {call}", lambda: watch.changes)
        return watch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.wait(PATIENCE)
        self._child.stdout.close()


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with Client(world) as client:
        yield client


def test_the_life_of_a_service(world: World, client: Client) -> None:
    everything = client.watch(0, "health.service", service="films")
    well = client.watch(0, "health.service", service="films", passing=True)
    names = client.watch(0, "catalog.service.list")
    nodes = client.watch(0, "health.state", state="critical")
    for place in (1, 2):
        client.call(
            place,
            "agent.service.register",
            name="films",
            id=f"films-{place}",
            address="127.0.0.7",
            port=8_000,
            tags=["v1"],
            meta={"owner": "web"},
            check={"ttl": "10m", "status": "passing", "deregister_critical_service_after": "1h"},
        )
    until("both are well", lambda: well.ids() == everything.ids() == {"films-1", "films-2"})
    until("the name is listed", lambda: names.value.get("films") == ["v1"])
    client.call(1, "agent.check.fail", id="service:films-1", note="queue is full")
    until("a failing check", lambda: well.ids() == {"films-2"})
    until("its check", lambda: "service:films-1" in checks(nodes))
    assert client.call(1, "agent.check.list")["service:films-1"]["Output"] == "queue is full"
    client.call(1, "agent.check.pass", id="service:films-1")
    until("it has recovered", lambda: well.ids() == {"films-1", "films-2"})
    client.call(1, "agent.service.maintenance", id="films-1", enable=True, reason="disks")
    until("maintenance", lambda: well.ids() == {"films-2"})
    client.call(1, "agent.service.maintenance", id="films-1", enable=False)
    until("its end", lambda: well.ids() == {"films-1", "films-2"})
    world.kill(2)
    until("a failing node", lambda: well.ids() == {"films-1"})
    until("the node's check", lambda: "serfHealth" in checks(nodes))
    client.call(1, "agent.service.deregister", id="films-1")
    until("a deregistration", lambda: well.ids() == set() and everything.ids() == {"films-2"})
    for watch in (everything, well, names, nodes):
        assert watch.errors == []


def checks(watch: Watch) -> set[str]:
    return {each["CheckID"] for each in watch.value}


def test_its_other_calls(world: World, client: Client) -> None:
    told = client.call(0, "agent.self")
    assert told["Config"]["NodeName"] == "one"
    assert {each["Name"] for each in client.call(0, "agent.members")} == set(world.names)
    assert client.call(0, "catalog.datacenters") == [told["Config"]["Datacenter"]]
    assert [each["Node"] for each in client.call(0, "catalog.node.list")] == sorted(world.names)
    assert client.call(0, "catalog.node.services", node="two")["Node"]["Node"] == "two"
    assert client.call(0, "status.leader") in client.call(0, "status.peers")
    assert client.call(0, "catalog.service.nodes", service="absent") == []
    assert client.call(0, "health.node", node="two")[0]["CheckID"] == "serfHealth"

    client.call(1, "agent.check.register", name="own", id="own", ttl="10m", notes="by hand")
    client.call(1, "agent.check.warn", id="own", note="slow")
    assert client.call(1, "agent.check.list")["own"]["Status"] == "warning"
    client.call(1, "agent.check.deregister", id="own")
    client.call(1, "agent.maintenance", enable=True, reason="disks")
    assert client.call(1, "agent.check.list")["_node_maintenance"]["Notes"] == "disks"
    client.call(1, "agent.maintenance", enable=False)

    events = client.watch(2, "event.list", name="deploy")
    fired = client.call(0, "event.fire", name="deploy", payload="version 7")
    until("the event", lambda: [each["ID"] for each in events.value] == [fired["ID"]])
    # A plain call decodes what it gets.
    assert client.call(2, "event.list", name="deploy")[0]["Payload"] == "version 7"

    assert client.ask(0, "agent.service.register", name="x", port=1, check={"ttl": "soon"})["status"] == 400
    failed = client.ask(0, "agent.forceLeave", node="nobody")
    assert failed["status"] == 500
    assert "No node found with name 'nobody'" in failed["error"]


def test_what_needs_consensus_is_refused(world: World, client: Client) -> None:
    if world.name == "consul":
        pytest.skip("Consul has it")
    assert client.call(0, "kv.get", key="absent") is None
    assert client.ask(0, "kv.set", key="a", value="b")["status"] == 501
    assert client.ask(0, "session.create")["status"] == 501
    assert client.call(0, "session.list") == []
    assert client.call(0, "query.list") == []
