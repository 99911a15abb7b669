"""Invitations and bans with real agents: files on their disks, commands at their sockets."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gossip.ca import init, invite
from gossip.cli.program import main
from gossip.config.keyfile import show_key
from tests.agent.processes import Process, until

if TYPE_CHECKING:
    from pathlib import Path


class Place:
    """An authority, and agents that know its public key."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = folder / "ca.key"
        self.public = init(self.key)

    def agent(self, name: str, *options: str) -> Process:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Process(folder, "--authority", self.public, *options, name=name)

    def token(self, name: str = "") -> str:
        return str(invite(self.key, "gossip", name, "", 60.0))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def alive(agent: Process) -> set[str]:
    with agent.ask() as ask:
        return {each["name"] for each in ask.call("members.list")["members"] if each["status"] == "alive"}


def address(agent: Process) -> str:
    with agent.ask() as ask:
        return str(ask.call("agent.info")["addresses"]["gossip"])


def test_invited_agents_meet_others_do_not_and_a_ban_outlasts_a_restart(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    token = place.token()
    a = place.agent("a", "--invite", place.token("a"))
    with a:
        b = place.agent("b", "--invite", token, "--join", address(a))
        with b, Process(place.folder, "--join", address(a), name="open") as stranger:
            until("the invited meet", lambda: alive(a) == alive(b) == {"a", "b"})
            with stranger.ask() as ask:
                (result,) = ask.call("agent.join", addresses=[address(a)])["results"]
            assert "not let in: it has no invitation" in result["detail"]
            assert main(["evict", "b", "--ban", "--key", str(place.key), "--socket", str(a.socket)]) == 0
            said = capsys.readouterr().out
            assert "banned b: " in said
            assert "which is in clear: see 'gossip keygen'" in said
            assert alive(a) == {"a"}
            until("the banned hears of it", lambda: "banned" in info(b)["flags"])
        refused = [event for event in a.events() if event["event"] == "member_refused"]
        assert {event["name"] for event in refused} == {"open"}
    # As systemd would start it again: the same command, with a token that is used.
    with a:
        assert info(a)["bans"] == 1
        with place.agent("b", "--join", address(a)) as b, b.ask() as ask:
            (result,) = ask.call("agent.join", addresses=[address(a)])["results"]
            assert "the authority has banned it" in result["detail"]
        assert alive(a) == {"a"}
        twice = place.agent("c", "--invite", token, "--join", address(a))
        with twice, twice.ask() as ask:
            (result,) = ask.call("agent.join", addresses=[address(a)])["results"]
            assert "its invitation was used before" in result["detail"]


def info(agent: Process) -> dict[str, Any]:
    with agent.ask() as ask:
        return dict(ask.call("agent.info"))


def test_an_agent_without_an_invitation_stops_and_says_what_to_do(place: Place) -> None:
    agent = place.agent("a").start()
    assert agent.wait() == 2
    said = agent.log.read_text()
    node = said.rpartition("gossip invite --id ")[2].split("`")[0]
    with place.agent("a", "--invite", str(invite(place.key, "gossip", "", node, None))) as again:
        assert info(again)["id"] == node


@pytest.mark.parametrize("what", ["expired", "another authority", "another name"])
def test_an_invitation_that_does_not_count_stops_the_agent(place: Place, tmp_path: Path, what: str) -> None:
    key = place.key
    if what == "another authority":
        key = tmp_path / "other.key"
        init(key)
    token = invite(
        key, "gossip", "x" if what == "another name" else "", "", -1.0 if what == "expired" else 60.0
    )
    agent = place.agent("a", "--invite", str(token)).start()
    assert agent.wait() in (1, 2)
    said = agent.log.read_text()
    assert {
        "expired": "this invitation has expired: ask for another one",
        "another authority": "not of the authority that is set here",
        "another name": "invited as 'x', and is called 'a': give --name x",
    }[what] in said
    assert str(token)[-20:] not in said


def test_no_secret_of_an_invitation_is_shown(place: Place) -> None:
    from gossip.config import load

    token = place.token()
    config = load(flags={"invite": token, "authority": place.public, "dev": True}, env={})
    assert token not in repr(config)
    with place.agent("a", "--invite", token, "--log-level", "debug") as agent:
        assert token[-30:] not in json.dumps(info(agent))
        assert token[-30:] not in agent.log.read_text()


def test_a_ban_ends_with_a_change_of_keys_if_that_is_wanted(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where nobody sits at a terminal, nobody is asked."""
    file = place.folder / "cluster.key"
    file.touch(0o600)
    file.write_text(f"{show_key(bytes(range(32)))}\n")
    with place.agent("a", "--invite", place.token("a"), "--key-file", str(file)) as a:
        command = ["--key", str(place.key), "--socket", str(a.socket)]
        assert main(["evict", "ab" * 16, "--ban", *command]) == 0
        assert "change them with 'gossip keys rotate'" in capsys.readouterr().out
        assert main(["evict", "cd" * 16, "--ban", "--rotate", *command]) == 0
        assert "changing to key" in capsys.readouterr().out
        with a.ask() as ask:
            assert len(ask.call("keys.list")["keys"]) == 2
