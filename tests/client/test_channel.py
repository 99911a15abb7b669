"""One blocking connection: calls, pipelining, deadlines, and an agent that goes away."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING

import pytest

from gossip.client.channel import Channel, RawWatch, socket_path
from gossip.errors import (
    GossipError,
    LimitError,
    LocalProtocolError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from tests.client.scripted import Reply, ScriptedAgent

if TYPE_CHECKING:
    from pathlib import Path


def response(number: int, **result: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode() + b"\n"


def test_a_call_sends_named_parameters_and_gives_the_result(agent: ScriptedAgent) -> None:
    agent.script["rtt"] = Reply({"rtt_ms": 1.5})
    with Channel(agent.path) as channel:
        assert channel.call("rtt", {"b": "n2"}) == {"rtt_ms": 1.5}
        assert channel.call("rtt") == {"rtt_ms": 1.5}
    assert agent.asked == [("rtt", {"b": "n2"}), ("rtt", {})]


def test_an_error_leaves_the_channel_usable(agent: ScriptedAgent) -> None:
    agent.script["a"] = Reply(error=RefusedError("not now"))
    agent.script["b"] = Reply({"ok": 1})
    with Channel(agent.path) as channel:
        with pytest.raises(RefusedError, match="not now"):
            channel.call("a")
        assert channel.call("b") == {"ok": 1}
        with pytest.raises(GossipError, match="no method c"):
            channel.call("c")


def test_answers_may_come_in_any_order(agent: ScriptedAgent) -> None:
    agent.batch = 3
    for name in "abc":
        agent.script[name] = Reply({"is": name})
    with Channel(agent.path) as channel:
        answers = channel.call_all([("a", {}), ("b", {}), ("c", {})])
    assert answers == [{"is": "a"}, {"is": "b"}, {"is": "c"}]


def test_many_requests_never_fill_both_sides(agent: ScriptedAgent) -> None:
    """Written first and read afterwards, both sides would wait for the other to take what they wrote."""
    agent.script["echo"] = Reply({"text": "x" * 10_000})
    with Channel(agent.path) as channel:
        answers = channel.call_all([("echo", {"text": "y" * 10_000})] * 500, timeout=60)
    assert len(answers) == 500


def test_of_several_requests_the_first_error_is_raised_when_all_are_answered(agent: ScriptedAgent) -> None:
    agent.script["a"] = Reply({"ok": 1})
    agent.script["b"] = Reply(error=NotFoundError("nobody"))
    with Channel(agent.path) as channel:
        with pytest.raises(NotFoundError):
            channel.call_all([("a", {}), ("b", {}), ("a", {})])
        assert channel.call("a") == {"ok": 1}


def test_a_late_answer_is_not_taken_for_the_next_ones(agent: ScriptedAgent) -> None:
    agent.script["slow"] = Reply(raw=b"")
    agent.script["next"] = Reply(raw=response(0, is_="slow") + response(1, is_="next"))
    with Channel(agent.path) as channel:
        with pytest.raises(UnreachableError, match="took too long"):
            channel.call("slow", timeout=0.05)
        assert channel.call("next") == {"is_": "next"}


def test_an_answer_in_many_pieces_is_one_answer(agent: ScriptedAgent) -> None:
    agent.script["big"] = Reply({"text": "é" * 500_000})
    with Channel(agent.path) as channel:
        assert channel.call("big") == {"text": "é" * 500_000}


@pytest.mark.parametrize(
    ("raw", "close"), [(b"", True), (b'{"jsonrpc":"2.0","id":0,"res', True)], ids=["at once", "in mid-line"]
)
def test_an_agent_that_goes_away_is_unreachable(agent: ScriptedAgent, raw: bytes, close: bool) -> None:
    agent.script["a"] = Reply(raw=raw, close=close)
    with Channel(agent.path) as channel, pytest.raises(UnreachableError, match="closed the connection"):
        channel.call("a")


def test_asking_an_agent_that_has_gone_is_unreachable_not_a_broken_pipe(agent: ScriptedAgent) -> None:
    agent.script["a"] = Reply({}, close=True)
    with Channel(agent.path) as channel:
        channel.call("a")
        for _ in range(2):
            with pytest.raises(UnreachableError):
                channel.call("a")


@pytest.mark.parametrize(
    "raw", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[1,2]\n", b'{"jsonrpc":"2.0","id":0}\n']
)
def test_another_program_at_the_socket_is_told_apart(agent: ScriptedAgent, raw: bytes) -> None:
    agent.script["a"] = Reply(raw=raw)
    with Channel(agent.path) as channel, pytest.raises(LocalProtocolError, match="another program"):
        channel.call("a")


def test_an_error_about_the_line_itself_is_raised(agent: ScriptedAgent) -> None:
    agent.script["a"] = Reply(
        raw=b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not JSON"}}\n'
    )
    with Channel(agent.path) as channel, pytest.raises(GossipError, match="not JSON"):
        channel.call("a")


def test_a_request_over_the_limit_is_not_sent(agent: ScriptedAgent) -> None:
    with Channel(agent.path) as channel, pytest.raises(LimitError):
        channel.call("a", {"text": "x" * (1 << 20)})
    assert agent.asked == []


def test_no_agent_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="gossip agent"):
        Channel(tmp_path / "nothing")


def test_a_socket_that_nobody_listens_at_is_no_agent(agent: ScriptedAgent) -> None:
    left = agent.path + "-left"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(left)
    with pytest.raises(UnreachableError, match="no agent answers"):
        Channel(left)


def test_a_file_is_no_socket(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UnreachableError, match="no agent answers"):
        Channel(tmp_path / "file")


def test_a_path_that_no_socket_can_have_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="no agent's socket"):
        Channel(tmp_path / ("x" * 200))


def test_a_socket_of_somebody_else_says_whom_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidden(socket.socket):
        def connect(self, _address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Forbidden)
    with pytest.raises(UnreachableError, match="its user, its group or root"):
        Channel("/run/gossip.sock")


def test_where_the_agent_listens_is_said_by_the_caller_then_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GOSSIP_SOCKET", "/from/environment")
    assert socket_path("/from/caller") == "/from/caller"
    assert socket_path() == "/from/environment"
    monkeypatch.delenv("GOSSIP_SOCKET")
    assert socket_path().endswith("gossip.sock")


# -- watches ---------------------------------------------------------------------------------------


def test_a_watch_gives_the_value_and_then_each_change(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=[{"watch": 1, "v": 1}, {"watch": 1, "v": 2}])
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        assert [watch.next(10) for _ in range(3)] == [{"v": 0}, {"v": 1}, {"v": 2}]
        assert watch.next(0) is None


def test_a_watch_waits_no_longer_than_it_is_told(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0})
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        watch.next(10)
        assert watch.next(0.02) is None


def test_after_a_resync_the_next_value_says_that_something_is_missing(agent: ScriptedAgent) -> None:
    notes = [{"watch": 1, "resync": True}, {"watch": 1, "v": 9}, {"watch": 1, "v": 10}]
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=notes)
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        assert [watch.next(10) for _ in range(3)] == [{"v": 0}, {"v": 9, "resync": True}, {"v": 10}]


def test_the_newest_of_what_has_arrived_is_enough_for_whole_values(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=[{"watch": 1, "v": n} for n in range(1, 50)])
    agent.script["sync"] = Reply({})
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        channel.call("sync")  # everything that was sent before this answer has now arrived
        assert watch.newest(10) == {"v": 49}
        assert watch.newest(0) is None


def test_notifications_of_another_watch_are_not_this_ones(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=[{"watch": 2, "v": 7}, {"watch": 1, "v": 1}])
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        assert [watch.next(10), watch.next(10)] == [{"v": 0}, {"v": 1}]


def test_a_watch_ends_with_its_agent_after_what_was_still_under_way(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=[{"watch": 1, "v": 1}], close=True)
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        assert [watch.next(10), watch.next(10)] == [{"v": 0}, {"v": 1}]
        with pytest.raises(UnreachableError, match="closed the connection"):
            watch.next(10)


def test_a_notification_without_parameters_is_refused(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1}, then=[b'{"jsonrpc":"2.0","method":"w"}\n'])
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        watch.next(10)
        with pytest.raises(LocalProtocolError, match="no parameters"):
            watch.next(10)


def test_closing_gives_the_descriptor_back(agent: ScriptedAgent) -> None:
    channel = Channel(agent.path)
    number = channel.fileno()
    channel.close()
    with pytest.raises(OSError, match="descriptor"):
        os.fstat(number)


def test_the_newest_value_is_not_lost_when_the_agent_goes_away(agent: ScriptedAgent) -> None:
    agent.script["w"] = Reply({"watch": 1, "v": 0}, then=[{"watch": 1, "v": 1}], close=True)
    with Channel(agent.path) as channel:
        watch = RawWatch(channel, "w")
        value = watch.newest(10)
        # Whether the second value had arrived by then is the kernel's affair.
        if value == {"v": 0}:
            value = watch.newest(10)
        assert value == {"v": 1}
        with pytest.raises(UnreachableError):
            watch.newest(10)
