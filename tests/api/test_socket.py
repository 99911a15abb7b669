"""The local socket as clients meet it: every method, every kind of bad input, every bound."""

from __future__ import annotations

import json
import os
import random
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from gossip.api import connection as connection_module
from gossip.api import socket as socket_module
from gossip.api.jsonrpc import MAX_LINE_BYTES
from gossip.api.socket import listen
from gossip.core.types import Status
from gossip.errors import StoreError, TransportError
from tests.api.served import request, served

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("method", "params", "code", "kind", "words"),
    [
        ("nothing", {}, -32601, "unknown_method", "nothing"),
        ("checks.update", {}, -32602, "bad_params", "id"),
        ("checks.update", {"id": "a", "status": "up"}, -32602, "bad_params", "status"),
        ("checks.update", {"id": "a", "status": "passing", "note": "n" * 4097}, -32602, "bad_params", "note"),
        ("checks.update", {"id": "zz", "status": "passing"}, -32000, "not_found", "zz"),
        ("maintenance.set", {}, -32602, "bad_params", "on"),
        ("agent.reload", {"x": 1}, -32602, "bad_params", "x"),
        ("agent.reload", {}, -32000, "refused", "without anything to reload"),
        ("agent.doctor", {"timeout": 0.5}, -32602, "bad_params", "$.timeout"),
        ("agent.doctor", {"timeout": 31}, -32602, "bad_params", "$.timeout"),
        ("agent.doctor", {"member": "zz"}, -32000, "not_found", "zz"),
        ("keys.find", {}, -32601, "unknown_method", "keys.find"),
        ("keys.add", {"key": "x" * 257}, -32602, "bad_params", "$.key"),
        ("keys.use", {}, -32602, "bad_params", "name"),
        ("keys.use", {"name": ""}, -32602, "bad_params", "$.name"),
        ("keys.rotate", {"insist": 1}, -32602, "bad_params", "$.insist"),
        ("services.lookup", {}, -32602, "bad_params", "service"),
        ("services.lookup", {"service": "web", "tag": "x"}, -32602, "bad_params", "`tag`"),
        ("services.lookup", {"service": 5}, -32602, "bad_params", "$.service"),
        ("services.watch", {"service": 5}, -32602, "bad_params", "$.service"),
        ("services.register", {"name": "web"}, -32602, "bad_params", "port"),
        ("services.register", {"name": "web", "port": 65_536}, -32602, "bad_params", "$.port"),
        ("agent.info", {"x": 1}, -32602, "bad_params", "`x`"),
        ("agent.join", {"addresses": []}, -32602, "bad_params", "$.addresses"),
        ("agent.evict", {"member": "n1", "ban": True}, -32000, "refused", "--ban --key FILE"),
        ("agent.ban", {"record": "xyz"}, -32000, "refused", "hexadecimal"),
        ("agent.ban", {"record": "00" * 1_101}, -32602, "bad_params", "$.record"),
        ("agent.evict", {"member": "n1"}, -32000, "refused", "alive"),
        ("agent.evict", {"member": "zz"}, -32000, "not_found", "zz"),
        ("services.deregister", {"id": "zz"}, -32000, "not_found", "zz"),
    ],
)
async def test_errors(
    tmp_path: Path, method: str, params: dict[str, Any], code: int, kind: str, words: str
) -> None:
    async with served(tmp_path) as here:
        here.agent.node.add("n1")
        client = await here.connect()
        error = (await client.ask(method, **params))["error"]
        assert (error["code"], error["data"]["kind"]) == (code, kind)
        assert words in error["message"]
        assert "\n" not in error["message"]
        assert (await client.call("agent.info"))["name"] == "n0"


async def test_every_method_answers_in_its_shape(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        node = here.agent.node
        other = node.add("n1")
        node.rtts[other] = 0.0123
        client = await here.connect()
        assert await client.call("services.register", name="web", port=80, tags=["v2"], meta={"a": "b"}) == {
            "id": "web",
            "version": node.saved_version,
        }
        lookup = await client.call("services.lookup", service="web")
        assert lookup == {
            "instances": [
                {
                    "service": "web",
                    "id": "web",
                    "node": "n0",
                    "node_id": node.id.hex(),
                    "address": "127.0.0.1",
                    "port": 80,
                    "tags": ["v2"],
                    "meta": {"zone": "a"},
                    "weight": 1,
                    "status": "passing",
                    "zone": "a",
                }
            ],
            "index": node.catalog.index,
        }
        listed = await client.call("services.list")
        assert listed == {
            "services": [{"name": "web", "instances": 1, "tags": ["v2"], "failing": 0}],
            "index": node.catalog.index,
        }
        members = await client.call("members.list")
        assert [row["name"] for row in members["members"]] == ["n0", "n1"]
        assert members["members"][0]["flags"] == ["self"]
        assert members["members"][0]["services"] == 1
        assert await client.call("rtt", b="n1") == {"from": "n0", "to": "n1", "rtt_ms": 12.3}
        assert await client.call("rtt", a="n1", b="n0") == {"from": "n1", "to": "n0", "rtt_ms": None}
        assert (await client.call("agent.join", addresses=["a:1", "bad"]))["results"] == [
            {"address": "a:1", "ok": True, "detail": ""},
            {"address": "bad", "ok": False, "detail": ""},
        ]
        node.set_status(other, Status.DEAD)
        assert await client.call("agent.evict", member="n1") == {"id": other.hex(), "name": "n1"}
        assert await client.call("checks.update", id="c", status="warning", note="slow") == {
            "id": "c",
            "status": "warning",
        }
        assert here.agent.reported == [("c", "warning", "slow")]
        assert await client.call("checks.list") == {"checks": [], "index": 0}
        assert await client.call("maintenance.set", on=True, id="web", reason="r") == {
            "id": "web",
            "on": True,
        }
        assert await client.call("maintenance.set", on=False) == {"id": "", "on": False}
        assert here.agent.maintained == [("web", "r"), ("", None)]
        assert await client.call("services.deregister", id="web") == {"id": "web"}
        assert await client.call("services.lookup", service="web") == {
            "instances": [],
            "index": node.catalog.index,
        }
        assert await client.call("agent.leave") == {"left": True}
        with trio.fail_after(5):
            await here.agent.ended.wait()


async def test_pipelined_requests_are_answered_in_order_and_notifications_not(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.node.put(here.agent.node.id, "w", "web", 80)
        client = await here.connect()
        lines = [request(n, "services.lookup", service="web" if n % 2 else "db") for n in range(500)]
        quiet = b'{"jsonrpc":"2.0","method":"services.lookup","params":{"service":"web"}}\n'
        wrong = b'{"jsonrpc":"2.0","method":"services.lookup","params":{}}\n'
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.send, (b"\n" + quiet + wrong).join(lines))
            for n in range(500):
                answer = await client.line()
                assert answer["id"] == n
                assert len(answer["result"]["instances"]) == n % 2


@pytest.mark.parametrize("split", [1, 3, 7, 1000])
async def test_a_line_may_come_in_pieces(tmp_path: Path, split: int) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        data = request(1, "members.list") + b"\r\n \n" + request("two", "services.list")
        for start in range(0, len(data), split):
            await client.send(data[start : start + split])
            await trio.lowlevel.checkpoint()
        assert (await client.line())["id"] == 1
        assert (await client.line())["id"] == "two"


async def test_batches(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        items: list[Any] = [
            {"jsonrpc": "2.0", "id": 1, "method": "services.register", "params": {"name": "web", "port": 1}},
            {"jsonrpc": "2.0", "method": "services.list"},
            {"jsonrpc": "2.0", "id": 2, "method": "nothing"},
            5,
            {"jsonrpc": "2.0", "id": 3, "method": "services.watch", "params": {"service": "web"}},
            [],
            {"jsonrpc": "2.0", "id": 4, "method": "services.list"},
        ]
        await client.send(b" " + json.dumps(items).encode() + b"\n")
        answers = await client.line()
        assert [answer["id"] for answer in answers] == [1, 2, None, 3, None, 4]
        codes = [answer.get("error", {}).get("code") for answer in answers]
        assert codes == [None, -32601, -32600, -32600, -32600, None]
        await client.send(b"[]\n[1\n")
        assert {(await client.line())["error"]["code"] for _ in range(2)} == {-32600, -32700}
        await client.send(json.dumps(items[1:2]).encode() + b"\n" + request(9, "agent.info"))
        assert (await client.line())["id"] == 9


async def test_a_batch_whose_answers_are_too_many_is_cut_clearly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gossip.api.calls.MAX_BATCH_ANSWER_BYTES", 2_000)
    async with served(tmp_path) as here:
        client = await here.connect()
        items = [json.loads(request(n, "members.list")) for n in range(100)]
        await client.send(json.dumps(items).encode() + b"\n")
        answers = await client.line()
        assert [answer["id"] for answer in answers] == list(range(100))
        assert "result" in answers[0]
        assert answers[-1]["error"]["data"]["kind"] == "limit"


@pytest.mark.parametrize("ended", [True, False])
async def test_an_overlong_line_gets_an_error_and_the_end(tmp_path: Path, ended: bool) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        await client.send(request(1, "agent.info") + b"x" * (MAX_LINE_BYTES + 1) + b"\n" * ended)
        assert (await client.line())["id"] == 1
        answer = await client.line()
        assert (answer["id"], answer["error"]["data"]["kind"]) == (None, "limit")
        assert await client.line() is None
        assert (await (await here.connect()).call("agent.info"))["name"] == "n0"


async def test_the_longest_line_is_still_a_request(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        line = request(1, "services.lookup", service="web")[:-1]
        await client.send(line + b" " * (MAX_LINE_BYTES - len(line)) + b"\n")
        assert (await client.line())["result"]["instances"] == []


async def test_garbage_never_ends_what_can_go_on(tmp_path: Path, rng: random.Random) -> None:
    async with served(tmp_path) as here:
        client = await here.connect()
        good = request(1, "services.lookup", service="web")[:-1]
        for number in range(300):
            choice = rng.randrange(3)
            if choice == 0:
                junk = rng.randbytes(rng.randrange(60)).replace(b"\n", b"")
            elif choice == 1:
                mutated = bytearray(good)
                for _ in range(rng.randrange(1, 4)):
                    mutated[rng.randrange(len(mutated))] = rng.choice(b'{}[]",:0a\x00\xff')
                junk = bytes(mutated)
            else:
                junk = good[: rng.randrange(len(good))]
            await client.send(junk + b"\n" + request(f"after {number}", "agent.info"))
            with trio.fail_after(20):
                while (answer := await client.line()).__class__ is list or answer.get(
                    "id"
                ) != f"after {number}":
                    assert answer is not None
            assert answer["result"]["name"] == "n0"


async def test_what_was_asked_before_the_end_is_answered(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.disk = trio.Event()
        client = await here.connect()
        # The last line lacks its newline, as `printf` leaves it.
        await client.send(
            request(1, "services.register", name="web", port=80) + request(2, "services.list")[:-1]
        )
        await client.stream.send_eof()
        assert (await client.line())["id"] == 2
        here.agent.disk.set()
        assert (await client.line())["id"] == 1
        assert await client.line() is None


async def test_a_disk_that_fails_is_told_and_the_agent_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.problem = StoreError("/data: the disk is full: free some space")
        client = await here.connect()
        error = (await client.ask("services.register", name="web", port=80))["error"]
        assert (error["code"], error["data"]["kind"]) == (-32000, "store")
        assert (await client.call("services.lookup", service="web"))["instances"] == []


async def test_a_slow_change_does_not_hold_up_others(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.disk = trio.Event()
        client = await here.connect()
        await client.send(
            b"".join(request(n, "services.register", name=f"w{n}", port=80) for n in range(200))
        )
        other = await here.connect()
        assert (await other.call("agent.info"))["name"] == "n0"
        here.agent.disk.set()
        assert {(await client.line())["id"] for _ in range(200)} == set(range(200))


async def test_a_service_held_by_a_connection_ends_with_it(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        watcher = await here.connect()
        holder = await here.connect()
        await holder.call("services.register", name="web", port=80, while_connected=True)
        await holder.call("services.register", name="db", port=81, hold=True)
        # Registered again by somebody else, without a tie: it stays.
        await watcher.call("services.register", name="db", port=81)
        await watcher.call("services.watch", service="web")
        await holder.stream.aclose()
        note = await watcher.line()
        assert note["params"]["instances"] == []
        assert len((await watcher.call("services.lookup", service="db"))["instances"]) == 1


async def test_a_registration_that_ends_after_its_connection_is_taken_back(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.agent.disk = trio.Event()
        watcher = await here.connect()
        await watcher.call("services.watch", service="web")
        holder = await here.connect()
        await holder.send(request(1, "services.register", name="web", port=80, while_connected=True))
        await holder.ask("agent.info")
        # Reset, not half-closed: nothing can be answered any more.
        holder.stream.socket.close()
        await trio.testing.wait_all_tasks_blocked(0.05)
        here.agent.disk.set()
        assert len((await watcher.line())["params"]["instances"]) == 1
        assert (await watcher.line())["params"]["instances"] == []


async def test_a_client_that_never_reads_is_held_back_then_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "STALL_SECONDS", 0.3)
    async with served(tmp_path) as here:
        for n in range(200):
            here.agent.node.put(here.agent.node.id, f"w{n}", "web", 80)
        client = await here.connect()
        # Its requests fill both sockets long before they could fill the agent.
        with pytest.raises(trio.BrokenResourceError):
            await client.send(request(1, "services.lookup", service="web") * 500_000)
        assert (await (await here.connect()).call("agent.info"))["name"] == "n0"


async def test_one_too_many_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_module, "MAX_CONNECTIONS", 3)
    async with served(tmp_path) as here:
        clients = [await here.connect() for _ in range(3)]
        for client in clients:
            await client.call("agent.info")
        late = await here.connect()
        assert (await late.line())["error"]["data"]["kind"] == "limit"
        assert await late.line() is None
        await clients[0].stream.aclose()
        with trio.fail_after(10):
            while True:
                retry = await here.connect()
                await retry.send(request(1, "agent.info"))
                answer = await retry.line()
                if answer is not None and "result" in answer:
                    break


async def test_the_socket_is_for_user_and_group_and_goes_with_the_agent(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        assert stat.S_IMODE(here.path.stat().st_mode) == 0o660
    assert not here.path.exists()


async def test_another_agents_socket_is_not_removed(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        here.path.unlink()
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(here.path))
            inode = here.path.stat().st_ino
    assert here.path.stat().st_ino == inode


def _live(path: Path) -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(0)
    # Kept open by the caller's frame: a listener whose program still runs.
    _KEPT.append(sock)


_KEPT: list[socket.socket] = []


@pytest.fixture
def closing() -> Any:
    yield
    while _KEPT:
        _KEPT.pop().close()


def _stale(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (_live, "an agent already answers"),
        (lambda path: path.write_text("mine"), "no socket"),
        (lambda path: path.mkdir(), "no socket"),
    ],
)
@pytest.mark.usefixtures("closing")
def test_a_path_that_is_taken(tmp_path: Path, prepare: Callable[[Path], object], words: str) -> None:
    path = tmp_path / "s.sock"
    prepare(path)
    with pytest.raises(TransportError, match=words) as caught:
        listen(path)
    assert str(path) in str(caught.value)
    assert path.exists()


def test_a_dead_agents_socket_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "s.sock"
    path.parent.mkdir(parents=True)
    _stale(path)
    listen(path).close()


def test_the_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "s.sock"
    listen(path).close()
    assert path.is_socket()


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(TransportError, match="shorter"):
        listen(tmp_path / ("x" * 120))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(TransportError, match="not allowed"):
        listen(tmp_path / "s.sock")


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TransportError, match="--socket"):
        listen(tmp_path / "file" / "s.sock")


def test_the_test_socket_is_short_enough(tmp_path: Path) -> None:
    assert len(str(Path(tmp_path) / "s.sock")) < 107


async def test_a_held_service_that_another_connection_is_registering_outlives_its_first_holder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program's new version registers while its old one ends: its own service must not go with it."""
    async with served(tmp_path) as here:
        old, new = await here.connect(), await here.connect()
        await old.call("services.register", name="web", port=1, hold=True)
        register, disk = here.agent.register, trio.Event()

        async def register_slowly(wanted: Any) -> tuple[str, int]:
            # The record has its version before the disk has it: a deletion that is made now is newer.
            done = await register(wanted)
            await disk.wait()
            return done

        monkeypatch.setattr(here.agent, "register", register_slowly)
        await new.send(request(1, "services.register", name="web", port=2, hold=True))
        await trio.testing.wait_all_tasks_blocked(0.01)
        await old.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        disk.set()
        assert (await new.line())["result"]["id"] == "web"
        await trio.testing.wait_all_tasks_blocked(0.01)
        found = await new.call("services.lookup", service="web")
        assert [each["port"] for each in found["instances"]] == [2]
        await new.stream.aclose()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert here.agent.node.catalog.lookup("web") == []
