"""Who may do what at the local socket, by what the kernel says of who connected."""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.lowlevel
from trio.testing import MockClock

from gossip.api import access, connection
from gossip.api import socket as local_socket
from gossip.api.access import SCOPES, Caller, deed
from gossip.api.methods import CHANGES, READS, WATCHES
from gossip.api.socket import listen
from gossip.config.access import Allowed, Principals, Scope
from gossip.errors import DeniedError, TransportError
from tests.api.served import PATIENCE, request, served
from tests.support import clean_environment, requires_root

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator

    from tests.api.served import Client

NOBODY = 65_534
OTHERS = 4_321

# A call of each method that would work, had its caller the right to it.
GOOD: dict[str, dict[str, object]] = {
    "agent.ban": {"record": "00"},
    "agent.evict": {"member": "n1"},
    "agent.join": {"addresses": ["a"]},
    "checks.update": {"id": "web", "status": "passing"},
    "events.send": {"name": "a"},
    "maintenance.set": {"on": True, "id": "web"},
    "rtt": {"b": "n1"},
    "services.deregister": {"id": "web"},
    "services.lookup": {"service": "web"},
    "services.register": {"name": "web", "port": 80},
}


def test_every_method_is_in_the_table_once() -> None:
    assert set(SCOPES) == {*READS, *WATCHES, *CHANGES}
    assert Scope.NONE not in SCOPES.values()


def test_what_is_only_asked_for_is_read_and_what_concerns_the_agent_is_admin() -> None:
    assert {name for name, scope in SCOPES.items() if scope is Scope.WRITE} == {
        *("checks.update", "events.send", "maintenance.set", "services.deregister", "services.register")
    }
    assert {name for name, scope in SCOPES.items() if scope is Scope.ADMIN} == {
        *("agent.ban", "agent.evict", "agent.join", "agent.leave", "agent.reload"),
        *("keys.add", "keys.remove", "keys.rotate", "keys.use"),
    }
    assert all(SCOPES[name] is Scope.READ for name in WATCHES)


@pytest.fixture
def as_scope(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Has whoever connects be somebody with that scope."""

    def choose(scope: Scope, user: int = NOBODY) -> None:
        def caller_of(_sock: socket.socket, allowed: Allowed) -> Caller:
            return Caller(user, scope, allowed)

        monkeypatch.setattr(local_socket, "caller_of", caller_of)

    return choose


@pytest.mark.parametrize("method", sorted(SCOPES))
async def test_each_method_is_for_its_scope_and_above(tmp_path: Path, as_scope: Any, method: str) -> None:
    async with served(tmp_path) as here:
        here.agent.node.add("n1")
        for scope in Scope:
            here.agent.refusals = 0
            here.agent.node.put(here.agent.node.id, "web", "web", 80)
            as_scope(scope)
            answer = await (await here.connect()).ask(method, **GOOD.get(method, {}))
            if scope >= SCOPES[method]:
                assert answer.get("error", {}).get("data", {}).get("kind") != "denied", answer
                assert here.agent.refusals == 0
            else:
                assert answer["error"]["data"]["kind"] == "denied"
                assert (
                    f"user {NOBODY} may not {deed(method)}: the setting allow_" in answer["error"]["message"]
                )
                assert f"({method})" in deed(method)
                assert here.agent.refusals == 1


async def test_who_may_nothing_gets_no_answer_that_was_kept_either(tmp_path: Path, as_scope: Any) -> None:
    async with served(tmp_path) as here:
        here.agent.node.put(here.agent.node.id, "web", "web", 80)
        line = request(7, "services.lookup", service="web")
        as_scope(Scope.READ)
        reader = await here.connect()
        for _ in range(2):
            await reader.send(line)
            assert "result" in await reader.line()
        as_scope(Scope.NONE)
        nobody = await here.connect()
        await nobody.send(line)
        assert (await nobody.line())["error"]["data"]["kind"] == "denied"


async def test_a_batch_is_no_way_round(tmp_path: Path, as_scope: Any) -> None:
    as_scope(Scope.READ)
    async with served(tmp_path) as here:
        client = await here.connect()
        parts = [
            request(1, "agent.info"),
            request(2, "agent.leave"),
            request(3, "services.register", name="a", port=1),
        ]
        await client.send(b"[" + b",".join(part.strip() for part in parts) + b"]\n")
        answers = {each["id"]: each for each in await client.line()}
        assert "result" in answers[1]
        assert [answers[n]["error"]["data"]["kind"] for n in (2, 3)] == ["denied", "denied"]
        assert not here.agent.ended.is_set()


async def test_some_calls_ask_for_more_by_what_they_are_given(tmp_path: Path, as_scope: Any) -> None:
    """A command check runs as the agent's user, and maintenance of the node hides everybody's services."""
    command = {"name": "web", "port": 80, "checks": [{"command": "id"}]}
    async with served(tmp_path) as here:
        for scope, kind in [(Scope.WRITE, "denied"), (Scope.ADMIN, None)]:
            as_scope(scope)
            client = await here.connect()
            for answer in [
                await client.ask("services.register", **command),
                await client.ask("maintenance.set", on=True),
            ]:
                assert answer.get("error", {}).get("data", {}).get("kind") == kind
            assert "result" in await client.ask(
                "services.register", name="web", port=80, checks=[{"tcp": "a:1"}]
            )
            assert "result" in await client.ask("maintenance.set", on=True, id="web")


def test_a_refusal_says_what_was_wanted_and_how_to_be_allowed() -> None:
    only = Principals(users=frozenset({1}))
    with pytest.raises(DeniedError) as refused:
        Caller(9, Scope.NONE, Allowed(only)).need(Scope.WRITE, deed("services.register"))
    assert str(refused.value) == (
        "user 9 may not change services (services.register): the setting allow_read says who may, besides"
        ' root and the agent\'s own user; to be allowed, have "user:9" added to it'
    )
    assert (deed("keys.rotate"), deed("services.lookup")) == (
        "change the cluster's keys (keys.rotate)",
        "ask this agent (services.lookup)",
    )


def test_a_refusal_names_the_setting_that_decides() -> None:
    only = Principals(users=frozenset({1}))
    for allowed, scope, setting in [
        (Allowed(only), Scope.ADMIN, "allow_read"),
        (Allowed(only, only), Scope.ADMIN, "allow_write"),
        (Allowed(only, only, only), Scope.ADMIN, "allow_admin"),
        (Allowed(only, only, only), Scope.WRITE, "allow_write"),
        (Allowed(admin=only), Scope.ADMIN, "allow_admin"),
    ]:
        with pytest.raises(DeniedError, match=f"the setting {setting} says"):
            Caller(9, Scope.NONE, allowed).need(scope, "do that")


async def test_who_connects_is_told_by_the_kernel(tmp_path: Path) -> None:
    async with served(tmp_path) as here:
        await here.connect()
        with trio.fail_after(PATIENCE):
            while not here.local.connections:
                await trio.lowlevel.checkpoint()
        (found,) = here.local._connections
        assert found.user == os.geteuid()
        told = access.caller_of(found._sock, Allowed())
        assert told == Caller(os.geteuid(), Scope.ADMIN, Allowed())
        groups = access._further_groups(found._sock, os.geteuid(), os.getegid())
        assert set(groups) == set(os.getgroups())


class ManyGroups:
    """A socket of a user in so many groups, or of a kernel that knows none."""

    def __init__(self, count: int, number: int = errno.ERANGE) -> None:
        self.groups = struct.pack(f"{count}I", *range(count))
        self.number = number

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        if size < len(self.groups):
            raise OSError(self.number, "")
        return self.groups


@pytest.mark.parametrize("count", [0, 1, 64, 65, 256])
def test_as_many_groups_as_python_asks_for_are_taken_from_the_kernel(count: int) -> None:
    found = access._further_groups(ManyGroups(count), 1, 1)  # type: ignore[arg-type]
    assert found == tuple(range(count))


def test_of_more_groups_the_files_of_the_host_tell() -> None:
    many: Any = ManyGroups(257)
    assert 0 in access._further_groups(many, 0, 0)
    assert access._further_groups(many, 4_000_000_000, 0) == ()
    assert access._further_groups(ManyGroups(257, errno.ENOPROTOOPT), 0, 0) == ()  # type: ignore[arg-type]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """One that others may enter, which tmp_path is not."""
    with tempfile.TemporaryDirectory(prefix="gossip-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


ASKS = """
import json, os, socket, sys
user, groups, path = int(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
os.setgroups(groups); os.setgid(user); os.setuid(user)
with socket.socket(socket.AF_UNIX) as sock:
    sock.connect(path)
    file = sock.makefile("rb")
    for method in sys.argv[4:]:
        sock.sendall(b'{"jsonrpc":"2.0","id":1,"method":"%s"}\\n' % method.encode())
        print("denied" if b'"denied"' in file.readline() else "done")
"""


@pytest.mark.parametrize(
    ("groups", "answers"),
    [([], ["denied", "denied", "denied"]), ([OTHERS], ["done", "denied", "denied"])],
)
async def test_another_user_of_this_host_is_known_by_user_and_supplementary_groups(
    open_folder: Path, groups: list[int], answers: list[str]
) -> None:
    requires_root("to become another user")
    readers, nobody = Principals(groups=frozenset({OTHERS})), Principals(users=frozenset({1}))
    async with served(open_folder, allowed=Allowed(readers, nobody), mode=0o666) as here:
        asked = ("agent.info", "services.register", "agent.leave")
        arguments = (str(NOBODY), json.dumps(groups), str(here.path), *asked)
        done = await trio.run_process(
            [sys.executable, "-c", ASKS, *arguments], capture_stdout=True, env=clean_environment(), cwd="/"
        )
        assert done.stdout.decode().split() == answers


async def test_who_loses_his_right_at_a_reload_loses_his_connections(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """And who gains some has it at once, on the connection that he has."""
    monkeypatch.setattr(
        access, "caller_of", lambda _sock, allowed: Caller(NOBODY, allowed.scope_of(NOBODY), allowed)
    )
    for module in (local_socket, connection):
        monkeypatch.setattr(module, "caller_of", access.caller_of)
    nobody = Principals(users=frozenset({NOBODY}))
    somebody = Principals(users=frozenset({1}))
    async with served(tmp_path, allowed=Allowed(nobody, somebody)) as here:
        client = await here.connect()
        assert "error" in await client.ask("events.send", name="a")
        here.local.allow(Allowed(nobody, nobody))
        assert "result" in await client.ask("events.send", name="a")
        await client.call("members.watch")
        here.local.allow(Allowed(somebody))
        assert await client.line() is None
        assert (await (await here.connect()).ask("agent.info"))["error"]["data"]["kind"] == "denied"


# ---------------------------------------------------------------------------------------- the socket


def test_the_socket_has_the_mode_and_the_group_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "s"
    before = os.umask(0o777)
    try:
        listen(path, 0o666, os.getegid()).close()
    finally:
        os.umask(before)
    status = path.stat()
    assert (status.st_mode & 0o777, status.st_gid) == (0o666, os.getegid())


def test_a_group_that_is_not_ours_to_give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chown(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with pytest.raises(TransportError, match="socket_group has to be a group of the agent's own user"):
        listen(tmp_path / "s", 0o660, 4_321)
    assert not (tmp_path / "s").exists()


# ------------------------------------------------------------------------------------ slow and greedy


async def test_one_user_cannot_take_all_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_scope: Any
) -> None:
    monkeypatch.setattr(local_socket, "MAX_CONNECTIONS", 6)
    as_scope(Scope.READ)
    async with served(tmp_path) as here:
        first = [await here.connect() for _ in range(3)]
        for client in first:
            await client.call("agent.info")
        fourth = await here.connect()
        assert "user 65534 has 3 connections already" in (await fourth.line())["error"]["message"]
        as_scope(Scope.READ, user=1_000)
        await (await here.connect()).call("agent.info")
        await first[0].stream.aclose()
        as_scope(Scope.READ)
        with trio.fail_after(PATIENCE):
            while True:
                again = await here.connect()
                if "result" in await again.ask_or_none("agent.info"):
                    break


async def test_one_user_has_so_many_watches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_scope: Any
) -> None:
    monkeypatch.setattr(local_socket, "MAX_USER_WATCHES", 3)
    as_scope(Scope.READ)
    async with served(tmp_path) as here:
        one, two = await here.connect(), await here.connect()
        for client, method in ((one, "members.watch"), (one, "catalog.watch"), (two, "events.watch")):
            assert "result" in await client.ask(method)
            while method == "catalog.watch" and "params" not in await client.line():
                pass
        assert "3 watches already" in (await two.ask("members.watch"))["error"]["message"]
        as_scope(Scope.READ, user=1_000)
        await (await here.connect()).call("members.watch")
        await one.stream.aclose()
        with trio.fail_after(PATIENCE):
            while here.local.connections > 2:  # noqa: ASYNC110 - the socket tells nobody
                await trio.sleep(0.001)
        await two.call("members.watch")


async def pieces(client: Client, clock: MockClock, line: bytes, pause: float) -> None:
    for byte in line:
        try:
            await client.send(bytes([byte]))
        except trio.BrokenResourceError:
            return
        await trio.testing.wait_all_tasks_blocked(0.01)
        clock.jump(pause)
        await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_line_that_does_not_end_costs_its_connection_and_nothing_else(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    async with served(tmp_path) as here:
        slow, patient = await here.connect(), await here.connect()
        await patient.call("members.watch")
        # A byte every five seconds: whole lines are waited for no longer than that takes.
        await pieces(slow, mock_clock, request(1, "agent.info")[:8], connection.LINE_SECONDS / 6)
        assert await slow.line_or_none() is None
        # Silence between lines is as long as it likes.
        mock_clock.jump(1e6)
        assert "result" in await patient.ask("agent.info")


async def test_a_line_may_begin_in_the_same_read_as_another_ends(
    tmp_path: Path, mock_clock: MockClock
) -> None:
    """Each has its own time: a busy client is never without one that has begun."""
    async with served(tmp_path) as here:
        client = await here.connect()
        line = request(1, "agent.info")
        await client.send(line[:5])
        for _ in range(8):
            await trio.testing.wait_all_tasks_blocked(0.01)
            mock_clock.jump(connection.LINE_SECONDS * 0.9)
            await client.send(line[5:] + line[:5])
            assert (await client.line())["id"] == 1
