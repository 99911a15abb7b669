"""The cluster's keys in real agents: on disk, over the network, and in the hands of their user."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from gossip import log
from gossip.agent import Agent
from gossip.config import Config, load
from gossip.config.keyfile import show_key
from gossip.core.types import show_address
from gossip.errors import ConfigError, CryptoError, LimitError, NotFoundError, RefusedError, StoreError
from gossip.keeping import content_of
from gossip.origin import Origin
from gossip.store import Store
from gossip.store.files import replace
from gossip.store.files import sealed as line
from gossip.wire.keyring import mark_of
from tests.agent.test_agent import config, until

KEY, OTHER = bytes(range(32)), bytes(range(32, 64))
PERIOD = 0.2


@pytest.fixture(autouse=True)
def lines() -> io.StringIO:
    stream = io.StringIO()
    log.set_up("info", "text", stream)
    return stream


def key_file(folder: Path, secret: bytes = KEY, name: str = "k") -> Path:
    path = folder / name
    path.touch(0o600)
    path.write_text(f"{show_key(secret)}\n")
    return path


def sealed(folder: Path, name: str = "n1", secret: bytes = KEY, **more: object) -> Config:
    file = key_file(folder, secret, f"{name}.key")
    return config(folder, name, key_file=file, probe_period=PERIOD, **more)


def states(agent: Agent) -> dict[str, str]:
    return {key.mark: key.state for key in agent.keys().keys}


async def sees(agent: Agent, count: int) -> None:
    await until(f"it sees {count}", lambda: agent.node.members.n == count)


async def holds(agent: Agent, mark: str, state: str) -> None:
    await until(f"the key is {state}", lambda: states(agent).get(mark) == state)


async def counted(agent: Agent, reason: str) -> None:
    await until(f"{reason} is counted", lambda: agent.info().counters.get(reason, 0))


async def joined(one: Agent, *others: Agent) -> None:
    for other in others:
        assert (await other.join([show_address(one.node.address)]))[0][1]
    everybody = (one, *others)
    for agent in everybody:
        await sees(agent, len(everybody))


MARK, OTHER_MARK = mark_of(KEY).hex(), mark_of(OTHER).hex()


async def test_sealed_agents_join_and_say_so(tmp_path: Path) -> None:
    async with Agent(sealed(tmp_path)) as one, Agent(sealed(tmp_path, "n2")) as two:
        await joined(one, two)
        assert one.info().sealing == f"sealed with key-{MARK[:8]}"
        listed = one.keys()
        assert [(key.mark, key.state) for key in listed.keys] == [(MARK, "sending")]
        await until("n2 says what it holds", lambda: one.keys().members[1].keys == {MARK: "sending"})
        assert listed.change is None


async def test_an_agent_with_another_key_or_none_does_not_come_in_and_each_says_why(tmp_path: Path) -> None:
    """Scenario 81: wrong key, clear text to a sealed node, and the reverse."""
    async with (
        Agent(sealed(tmp_path)) as one,
        Agent(sealed(tmp_path, "n2", OTHER)) as two,
        Agent(config(tmp_path, "n3", probe_period=PERIOD)) as clear,
    ):
        where = show_address(one.node.address)
        for stranger, reason in ((two, "sealed"), (clear, "clear")):
            ((_, ok, detail),) = await stranger.join([where])
            assert not ok
            assert "key" in detail
            await counted(one, reason)
        ((_, ok, detail),) = await one.join([show_address(clear.node.address)])
        assert not ok
        assert [agent.node.members.n for agent in (one, two, clear)] == [1, 1, 1]
        said = json.dumps(await _doctor(one))
        assert "--key-file" in said
        assert "a key that this agent does not have" in said


async def _doctor(agent: Agent) -> Any:
    return msgspec.to_builtins(await agent.doctor(None, 1.0))


async def test_a_rotation_goes_through_real_agents_and_their_restarts(tmp_path: Path) -> None:
    async with Agent(sealed(tmp_path)) as one, Agent(sealed(tmp_path, "n2")) as two:
        third = Agent(sealed(tmp_path, "n3", join=(show_address(one.node.address),)))
        async with third:
            await joined(one, two, third)
            made: Any = await two.change_keys("rotate", "", "", insist=False)
            new = made["mark"]
            for agent in (one, two, third):
                await holds(agent, new, "sending")
            for agent in (one, two, third):
                await holds(agent, MARK, "retired")
            change = one.keys().change
            assert change is not None
            assert (change.stage, change.waiting, change.away) == ("done", [], [])
            assert [agent.info().counters.get("sealed", 0) for agent in (one, two, third)] == [0, 0, 0]
        # The key file holds a retired key now; the data directory counts.
        again = Agent(sealed(tmp_path, "n3", join=(show_address(one.node.address),)))
        async with again:
            await until("it is back", lambda: again.node.members.n == 3)
            assert states(again) == {MARK: "retired", new: "sending"}


async def test_what_is_on_disk_is_for_its_owner_alone_and_has_no_retired_secret(tmp_path: Path) -> None:
    async with Agent(sealed(tmp_path)) as agent:
        await agent.change_keys("add", "spare", show_key(OTHER), insist=False)
        await agent.change_keys("rotate", "spare", "", insist=False)
        await until("it is done", lambda: states(agent) == {MARK: "retired", OTHER_MARK: "sending"})
        path = tmp_path / "n1" / "keys"
        await until("and on disk", lambda: KEY.hex() not in path.read_text())
        assert OTHER.hex() in path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    async with Agent(config(tmp_path)) as agent:
        # Without the key file too: a ring is a ring.
        assert states(agent) == {MARK: "retired", OTHER_MARK: "sending"}


async def test_keys_are_added_used_and_removed_by_hand(tmp_path: Path) -> None:
    async with Agent(sealed(tmp_path)) as one, Agent(sealed(tmp_path, "n2")) as two:
        await joined(one, two)
        await one.change_keys("add", "b", show_key(OTHER), insist=False)
        with pytest.raises(RefusedError, match="n2 could not read this agent"):
            await one.change_keys("use", "b", "", insist=False)
        await two.change_keys("add", "b", show_key(OTHER), insist=False)
        await until("n2 says so", lambda: OTHER_MARK in (one.keys().members[1].keys or {}))
        await until("n1 says so", lambda: OTHER_MARK in (two.keys().members[1].keys or {}))
        for agent in (one, two):
            await agent.change_keys("use", "b", "", insist=False)
        with pytest.raises(RefusedError, match="seals with key b"):
            await one.change_keys("remove", "b", "", insist=False)
        for agent in (one, two):
            await agent.change_keys("remove", f"key-{MARK[:8]}", "", insist=False)
        await trio.sleep(3 * PERIOD)
        assert one.info().counters.get("sealed", 0) == 0
        assert [each.status for each in one.keys().members] == ["alive", "alive"]


async def test_what_is_refused_says_why_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Agent(sealed(tmp_path)) as agent:
        before = agent.keys()
        for what, name, key, problem in (
            ("add", "x", "secret words", CryptoError),
            ("add", "x" * 65, show_key(OTHER), LimitError),
            ("use", "nobody", "", NotFoundError),
            ("remove", "nobody", "", NotFoundError),
            ("remove", MARK[:6], "", RefusedError),
            ("rotate", "nobody", "", NotFoundError),
            ("rotate", MARK[:6], "", RefusedError),
        ):
            with pytest.raises(problem) as failure:
                await agent.change_keys(what, name, key, insist=False)
            assert "secret" not in str(failure.value)
        with pytest.raises(RefusedError, match="no key waits"):
            await agent.change_keys("rotate", "", "", insist=True)
        with monkeypatch.context() as patch:

            def full(_content: object) -> None:
                raise StoreError("the disk is full")

            patch.setattr(agent._store, "save_keys", full)
            for what in ("add", "rotate"):
                with pytest.raises(StoreError):
                    await agent.change_keys(what, "", show_key(OTHER), insist=False)
        assert agent.keys() == before


async def test_an_agent_in_clear_has_no_keys_to_change(tmp_path: Path) -> None:
    async with Agent(config(tmp_path)) as agent:
        assert agent.info().sealing == "clear"
        assert agent.keys().keys == []
        for what in ("add", "use", "remove", "rotate"):
            with pytest.raises(RefusedError, match="runs in clear: restart it with --key-file"):
                await agent.change_keys(what, "x", show_key(KEY), insist=False)
        assert not (tmp_path / "n1" / "keys").exists()


async def test_from_clear_to_sealed_one_agent_at_a_time(tmp_path: Path, lines: io.StringIO) -> None:
    """Scenario 83: restart each with the key and the switch; then one command; then take the switch out."""
    async with Agent(sealed(tmp_path, accept_clear=True)) as one:
        clear = Agent(config(tmp_path, "n2", probe_period=PERIOD))
        async with clear:
            await joined(one, clear)
            assert one.info().sealing == "clear, with keys to receive by, and accepts clear"
            assert one.info().counters["clear_accepted"]
            assert "accept_clear" in lines.getvalue()
            with pytest.raises(RefusedError, match="n2"):
                await one.change_keys("use", MARK, "", insist=False)
        seeds = (show_address(one.node.address),)
        async with Agent(sealed(tmp_path, "n2", accept_clear=True, join=seeds)) as two:
            await until("it is back", lambda: one.node.members.n == two.node.members.n == 2)
            await one.change_keys("rotate", MARK, "", insist=False)
            for agent in (one, two):
                await holds(agent, MARK, "sending")
        # Once it seals, it does so whatever the switch says.
        async with Agent(sealed(tmp_path, "n2", join=seeds)) as two:
            await until("it is back", lambda: one.node.members.n == two.node.members.n == 2)
            assert two.info().sealing == f"sealed with key-{MARK[:8]}"


def start(folder: Path, *, host: str = "192.0.2.1", **flags: object) -> Origin:
    """What an agent begins with; it binds nothing."""
    where = f"{host}:7946"
    given = {"name": "n", "data_dir": str(folder / "n"), "bind": where, "advertise": where, **flags}
    store = Store.open(folder / "n", "machine")
    try:
        return Origin.of(load(flags=given, env={}), store, (host, 7946), 0.0)
    finally:
        store.close()


def speaks_in_clear(origin: Origin) -> bool:
    said = b"what nobody else should read"
    return said in origin.sealer.seal(said) or said in origin.sealer.stream().seal(said)


def test_whoever_forgot_to_change_to_the_key_is_stopped_and_told_what_to_do(tmp_path: Path) -> None:
    """README's way from clear to sealed, without its second step."""
    flags = {"key_file": str(key_file(tmp_path))}
    name = f"key-{MARK[:8]}"
    assert speaks_in_clear(start(tmp_path, accept_clear=True, **flags)), "as it was told"
    for _ in range(2):
        with pytest.raises(ConfigError, match=f"--accept-clear again, run 'gossip keys rotate {name}'"):
            start(tmp_path, **flags)
    assert speaks_in_clear(start(tmp_path, accept_clear=True, **flags)), "and so it goes on"
    origin = start(tmp_path, accept_clear=True, **flags)
    origin.ring.use(mark_of(KEY))
    replace(tmp_path / "n", "keys", line(content_of(origin.ring, origin.node.plan)))
    assert not speaks_in_clear(start(tmp_path, **flags))


def test_a_file_of_no_keys_is_no_leave_to_speak_in_clear(tmp_path: Path) -> None:
    """A life that accepted clear text and had no key leaves one."""
    assert speaks_in_clear(start(tmp_path, insecure=True, accept_clear=True))
    assert (tmp_path / "n" / "keys").exists()
    with pytest.raises(ConfigError, match=r"has no key, .*give --key-file FILE, or --insecure"):
        start(tmp_path)
    for told in ({"insecure": True}, {"accept_clear": True}, {"host": "127.0.0.1"}):
        assert speaks_in_clear(start(tmp_path, **told)), "on loopback nobody has to be told"
    assert not speaks_in_clear(start(tmp_path, key_file=str(key_file(tmp_path))))


async def test_damaged_keys_end_the_start(tmp_path: Path) -> None:
    async with Agent(sealed(tmp_path)):
        pass
    path = tmp_path / "n1" / "keys"
    path.write_bytes(path.read_bytes()[:-10] + b"x")
    with pytest.raises(StoreError, match="keys is damaged: restore it"):
        async with Agent(sealed(tmp_path)):
            pass
    replace(tmp_path / "n1", "keys", line({"keys": [["a", "sending", "00", "00"]], "plan": None}))
    with pytest.raises(StoreError, match="are damaged") as failure:
        async with Agent(sealed(tmp_path)):
            pass
    assert failure.value.__suppress_context__


async def test_an_open_key_file_is_warned_of(tmp_path: Path, lines: io.StringIO) -> None:
    settings = sealed(tmp_path)
    os.chmod(tmp_path / "n1.key", 0o644)  # noqa: PTH101 - one line
    async with Agent(settings) as agent:
        assert "chmod 600" in lines.getvalue()
        shown = f"{lines.getvalue()} {agent.info()} {agent.keys()} {agent.config!r}"
        assert KEY.hex() not in shown
        assert show_key(KEY) not in shown
