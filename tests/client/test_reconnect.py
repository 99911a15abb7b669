"""The blocking client and an agent that goes and comes back."""

from __future__ import annotations

import threading
import time

import pytest

import gossip
from gossip.client.backoff import FIRST, LONGEST, Backoff
from tests.client.scripted import Reply, ScriptedAgent, an_instance


def test_a_backoff_doubles_up_to_its_bound_and_starts_again() -> None:
    whole = Backoff(lambda: 0.0)
    waits = [whole.wait() for _ in range(12)]
    assert waits[0] == FIRST
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST
    whole.reset()
    assert whole.wait() == FIRST
    assert Backoff(lambda: 0.999).wait() == pytest.approx(FIRST / 2, rel=0.01)
    assert FIRST / 2 <= Backoff().wait() <= FIRST


def test_a_call_finds_the_agent_again(agent: ScriptedAgent) -> None:
    agent.script["events.send"] = Reply({"id": 1})
    with gossip.connect(agent.path) as g:
        agent.go_away()
        back = threading.Timer(0.1, agent.come_back)
        back.start()
        assert g.event("deploy") == 1, "it had not been sent"
        back.join()


def test_what_may_have_been_carried_out_is_not_repeated_and_a_read_is(agent: ScriptedAgent) -> None:
    agent.script["events.send"] = Reply(silent=True, close=True)
    agent.script["services.lookup"] = Reply(silent=True, close=True)
    with gossip.connect(agent.path, timeout=0.5) as g:
        with pytest.raises(gossip.UnreachableError) as caught:
            g.event("deploy")
        assert caught.value.may_have_acted
        assert agent.methods.count("events.send") == 1
        with pytest.raises(gossip.UnreachableError):
            g.lookup("web")
        assert agent.methods.count("services.lookup") > 1


def test_an_agent_that_stays_away_is_an_error_in_time(agent: ScriptedAgent) -> None:
    with gossip.connect(agent.path, timeout=0.3) as g:
        agent.go_away()
        began = time.monotonic()
        with pytest.raises(gossip.UnreachableError, match="no agent answers"):
            g.info()
        assert time.monotonic() - began < 5
    agent.come_back()


def test_a_held_registration_is_made_again_though_nobody_calls(agent: ScriptedAgent) -> None:
    agent.script["services.register"] = Reply({"id": "w1", "version": 1})
    agent.script["services.deregister"] = Reply({"id": "w1"})
    with gossip.connect(agent.path) as g:
        g.register("web", 80, while_connected=True)
        for rounds in (2, 3):
            agent.go_away()
            agent.come_back()
            deadline = time.monotonic() + 30
            while agent.methods.count("services.register") < rounds:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        assert agent.asked[-1][1] == {
            "name": "web", "port": 80, "tags": [], "id": "w1", "while_connected": True,
        }  # fmt: skip
        g.deregister("w1")
        agent.go_away()
        agent.come_back()
        agent.script["agent.info"] = Reply({})
        g.info()
        assert agent.methods.count("services.register") == 3


def test_a_watch_resumes_with_the_whole_value_and_says_so(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [an_instance()], "index": 7})
    with gossip.connect(agent.path) as g, g.watch("web") as views:
        assert not next(views).resync
        agent.go_away()
        assert views.next(timeout=0.2) is None
        agent.come_back()
        view = next(views)
        assert (view.resync, view.index) == (True, 7)


def test_a_closed_client_says_so_at_once(agent: ScriptedAgent) -> None:
    g = gossip.connect(agent.path, timeout=60)
    g.close()
    for call in (g.info, lambda: g.watch("web")):
        with pytest.raises(gossip.UnreachableError, match="is closed"):
            call()


def test_a_watch_that_is_closed_ends_also_in_another_thread(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 7})
    with gossip.connect(agent.path) as g:
        views = g.watch("web")
        assert len(next(views)) == 0
        rest: list[gossip.ServiceView] = []
        reader = threading.Thread(target=lambda: rest.extend(views))
        reader.start()
        views.close()
        reader.join(30)
        assert not reader.is_alive()
        assert rest == []
        assert views.next() is None
        assert list(views) == []
    assert agent.methods.count("services.watch") == 1
