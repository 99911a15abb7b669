"""The Python face: what each method asks, and what it makes of the answer."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest

import gossip
from gossip.client.channel import Channel
from tests.client.scripted import ID_A, ID_B, Reply, ScriptedAgent, a_member, an_instance

if TYPE_CHECKING:
    from collections.abc import Callable


def test_members_are_typed(agent: ScriptedAgent) -> None:
    row = a_member("n1", tags={"zone": "a"}, flags=["self"], services=2, of_a_later_release=1)
    agent.script["members.list"] = Reply({"members": [row], "index": 4})
    with gossip.connect(agent.path) as g:
        (member,) = g.members()
    assert member == gossip.Member(
        id=ID_A,
        name="n1",
        address="127.0.0.1:7946",
        status="alive",
        incarnation=7,
        tags={"zone": "a"},
        since=dt.datetime(2026, 11, 21, 12, 0, 0, 500_000, tzinfo=dt.UTC),
        rtt_ms=0.25,
        flags=("self",),
        services=2,
    )


def test_the_socket_is_found_by_the_environment(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOSSIP_SOCKET", agent.path)
    agent.script["agent.info"] = Reply({"name": "n1"})
    with gossip.connect() as g:
        assert g.path == agent.path
        assert g.info() == {"name": "n1"}


def test_a_lookup_asks_for_what_was_said_and_for_no_more(agent: ScriptedAgent) -> None:
    agent.script["services.lookup"] = Reply(
        {"instances": [an_instance(tags=["v2"], meta={"commit": "1f"}, address="fd00::1")], "index": 4}
    )
    with gossip.connect(agent.path) as g:
        (found,) = g.lookup("web")
        g.lookup("web", tags=["v2"], any=True, no_suspect=True, near=True)
    assert found.endpoint == "[fd00::1]:8080"
    assert (found.tags, found.meta, found.status) == (("v2",), {"commit": "1f"}, "passing")
    assert [params for _, params in agent.asked] == [
        {"service": "web"},
        {"service": "web", "tags": ["v2"], "any": True, "no_suspect": True, "near": True},
    ]


def test_many_lookups_are_one_round(agent: ScriptedAgent) -> None:
    agent.batch = 3  # would never be reached one at a time
    agent.script["services.lookup"] = Reply({"instances": [an_instance()], "index": 4})
    with gossip.connect(agent.path) as g:
        found = g.lookup_many(["a", "b", "c"])
    assert [(name, len(instances)) for name, instances in found.items()] == [("a", 1), ("b", 1), ("c", 1)]
    assert [params["service"] for _, params in agent.asked] == ["a", "b", "c"]


def test_registering_leaves_out_what_is_the_agents_choice(agent: ScriptedAgent) -> None:
    agent.script["services.register"] = Reply({"id": "web", "version": 12})
    agent.script["services.deregister"] = Reply({"id": "web"})
    with gossip.connect(agent.path) as g:
        assert g.register("web", port=8080) == gossip.Registration("web", 12)
        g.register(
            "web",
            8080,
            id="w1",
            address="10.0.0.1",
            tags=("a", "b"),
            meta={"k": "v"},
            weight=3,
            while_connected=True,
        )
        g.deregister("w1")
    assert agent.asked == [
        ("services.register", {"name": "web", "port": 8080, "tags": []}),
        (
            "services.register",
            {
                "id": "w1",
                "address": "10.0.0.1",
                "meta": {"k": "v"},
                "weight": 3,
                "name": "web",
                "port": 8080,
                "tags": ["a", "b"],
                "while_connected": True,
            },
        ),
        ("services.deregister", {"id": "w1"}),
    ]


def test_services_are_summaries(agent: ScriptedAgent) -> None:
    agent.script["services.list"] = Reply(
        {"services": [{"name": "web", "instances": 3, "tags": ["a", "b"]}], "index": 1}
    )
    with gossip.connect(agent.path) as g:
        assert g.services() == [gossip.ServiceSummary("web", 3, ("a", "b"))]


def test_the_agent_is_told_to_join_evict_send_and_leave(agent: ScriptedAgent) -> None:
    agent.script = {
        "agent.join": Reply({"results": [{"address": "h1", "ok": False, "detail": "refused"}]}),
        "agent.evict": Reply({"id": ID_B, "name": "n2"}),
        "events.send": Reply({"id": 5}),
        "rtt": Reply({"from": "n1", "to": "n2", "rtt_ms": None}),
        "agent.leave": Reply({"left": True}),
    }
    with gossip.connect(agent.path) as g:
        assert g.join(["h1"]) == [gossip.JoinResult("h1", ok=False, detail="refused")]
        g.evict("n2")
        assert g.event("deploy", "v2") == 5
        assert g.rtt("n2") == gossip.RoundTrip("n1", "n2", None)
        g.rtt("n2", "n3")
        g.leave()
    assert agent.asked == [
        ("agent.join", {"addresses": ["h1"]}),
        ("agent.evict", {"member": "n2"}),
        ("events.send", {"name": "deploy", "payload": "v2"}),
        ("rtt", {"b": "n2"}),
        ("rtt", {"a": "n3", "b": "n2"}),
        ("agent.leave", {}),
    ]


@pytest.mark.parametrize(
    ("method", "result", "ask"),
    [
        ("members.list", {}, lambda g: g.members()),
        ("members.list", {"members": [{"id": ID_A}]}, lambda g: g.members()),
        ("members.list", {"members": [a_member(since="yesterday")]}, lambda g: g.members()),
        ("members.list", {"members": [7]}, lambda g: g.members()),
        ("services.lookup", {"instances": None}, lambda g: g.lookup("web")),
        ("services.list", {"services": 3, "index": 1}, lambda g: g.services()),
        ("events.send", {"id": "x"}, lambda g: g.event("e")),
        ("agent.join", {"results": [{}]}, lambda g: g.join(["h"])),
    ],
)
def test_an_answer_of_another_shape_is_one_clear_error(
    agent: ScriptedAgent, method: str, result: Any, ask: Callable[[Any], object]
) -> None:
    agent.script[method] = Reply(result)
    with gossip.connect(agent.path) as g, pytest.raises(gossip.LocalProtocolError, match="shape"):
        ask(g)


# -- watches ---------------------------------------------------------------------------------------


def test_a_service_watch_iterates_over_views(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply(
        {"watch": 1, "instances": [], "index": 1},
        then=[{"watch": 1, "instances": [an_instance("a"), an_instance("b")], "index": 2}],
    )
    with gossip.connect(agent.path) as g, g.watch("web", tags=["v2"]) as views:
        empty, full = next(views), next(views)
    assert (len(empty), empty.index) == (0, 1)
    assert ([instance.id for instance in full], full.index) == (["a", "b"], 2)
    assert agent.asked == [("services.watch", {"service": "web", "tags": ["v2"]})]


def test_a_member_watch_folds_each_change_into_the_whole_list(agent: ScriptedAgent) -> None:
    one, two = a_member("n1"), a_member("n2", id=ID_B)
    agent.script["members.watch"] = Reply(
        {"watch": 1, "members": [one], "index": 1},
        then=[
            {"watch": 1, "event": "member_joined", "member": two, "index": 2},
            {"watch": 1, "event": "member_failed", "member": two | {"status": "dead"}, "index": 3},
            {"watch": 1, "resync": True},
            {"watch": 1, "members": [two], "index": 9},
        ],
    )
    with gossip.connect(agent.path) as g, g.watch_members() as views:
        first, joined, failed, whole = (next(views) for _ in range(4))
    assert ([m.name for m in first], first.event, first.member) == (["n1"], "", None)
    assert [m.name for m in joined] == ["n1", "n2"]
    assert (failed.event, [m.status for m in failed]) == ("member_failed", ["alive", "dead"])
    assert failed.member is not None
    assert failed.member.name == "n2"
    assert ([m.name for m in whole], whole.event, whole.index) == (["n2"], "", 9)


def test_an_event_watch_gives_events_and_says_where_some_are_missing(agent: ScriptedAgent) -> None:
    event = {"watch": 1, "name": "deploy", "payload": "v2", "node": "n2", "node_id": ID_B, "id": 5}
    agent.script["events.watch"] = Reply(
        {"watch": 1}, then=[event, {"watch": 1, "resync": True}, event | {"id": 9}, event | {"id": 10}]
    )
    with gossip.connect(agent.path) as g, g.watch_events("deploy") as events:
        assert [(e.id, e.missed) for e in (next(events), next(events), next(events))] == [
            (5, False),
            (9, True),
            (10, False),
        ]
        assert events.next(timeout=0.02) is None
    assert agent.asked == [("events.watch", {"name": "deploy"})]


def test_a_client_can_ask_while_it_watches(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 1})
    agent.script["services.lookup"] = Reply({"instances": [an_instance()], "index": 2})
    with gossip.connect(agent.path) as g, g.watch("web") as views:
        for view in views:
            assert len(view) == 0
            assert len(g.lookup("web")) == 1
            break


def test_a_watch_that_the_agent_refuses_leaves_no_connection_open(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Channel] = []
    original = Channel.__init__

    def remember(self: Channel, *arguments: Any) -> None:
        original(self, *arguments)
        opened.append(self)

    monkeypatch.setattr(Channel, "__init__", remember)
    agent.script["services.watch"] = Reply(error=gossip.LimitError("too many watches"))
    with gossip.connect(agent.path) as g, pytest.raises(gossip.LimitError):
        g.watch("web")
    assert [channel.fileno() for channel in opened] == [-1, -1]


def test_a_watch_that_is_not_to_reconnect_tells_that_its_agent_went_away(agent: ScriptedAgent) -> None:
    agent.script["services.watch"] = Reply({"watch": 1, "instances": [], "index": 1}, close=True)
    with gossip.connect(agent.path, reconnect=False) as g, g.watch("web") as views:
        next(views)
        with pytest.raises(gossip.UnreachableError):
            next(views)


# -- the package -----------------------------------------------------------------------------------


def test_every_public_name_of_the_package_is_there_or_needs_only_the_agent() -> None:
    names = set(gossip.__all__) - {"Agent"}
    assert {name for name in names if not hasattr(gossip, name)} == set()
    assert set(gossip.__all__) <= set(dir(gossip))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = gossip.nothing_like_it
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = gossip.client.nothing_like_it


def test_a_text_alone_is_one_tag_and_never_its_letters(agent: ScriptedAgent) -> None:
    agent.script["services.lookup"] = Reply({"instances": [], "index": 1})
    with gossip.connect(agent.path) as g:
        g.lookup("web", tags="v2")
        assert agent.asked[-1][1]["tags"] == ["v2"]
        assert list(g.lookup_many("web")) == ["web"]


@pytest.mark.parametrize("value", [float("nan"), "\ud800", object()])
def test_what_json_does_not_have_is_not_sent(agent: ScriptedAgent, value: Any) -> None:
    with gossip.connect(agent.path) as g, pytest.raises(gossip.LocalProtocolError, match="cannot be asked"):
        g.register("web", value)
    assert agent.asked == []


def test_keys_are_listed_and_rotated(agent: ScriptedAgent) -> None:
    agent.script = {
        "keys.list": Reply({"keys": [], "change": None}),
        "keys.rotate": Reply({"name": "next", "mark": "00" * 16}),
    }
    with gossip.connect(agent.path) as g:
        assert g.keys() == {"keys": [], "change": None}
        assert g.rotate_keys() == g.rotate_keys("next", insist=True) == "next"
    assert agent.asked == [
        ("keys.list", {}),
        ("keys.rotate", {"name": "", "key": "", "insist": False}),
        ("keys.rotate", {"name": "next", "key": "", "insist": True}),
    ]
