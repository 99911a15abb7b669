"""Answers that are kept are those that would be made anew."""

from __future__ import annotations

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gossip.api import lookups as lookups_module
from gossip.api import views
from gossip.api.access import Caller
from gossip.api.calls import Calls
from gossip.api.jsonrpc import RpcError
from gossip.api.lookups import Lookups
from gossip.config.access import Scope
from gossip.core.types import Status
from tests.api.test_watch import QUESTIONS, random_change
from tests.api.world import FakeAgent

encode = msgspec.json.Encoder().encode


@given(st.integers(0, 2**32))
def test_a_kept_answer_equals_a_fresh_one(number: int) -> None:
    rng = random.Random(number)
    agent = FakeAgent()
    owners = [agent.node.id, *(agent.node.add(f"n{i}") for i in range(2))]
    lookups = Lookups(agent)
    for _ in range(30):
        random_change(agent, rng, owners)
        for question in QUESTIONS:
            params = Raw(encode(question))
            fresh = encode(views.instances(agent.node, question))
            assert lookups.answer(params) == fresh
            assert lookups.answer(params) == fresh


ANYBODY = Caller(0, Scope.ADMIN)
IDS = ["1", "42", "0", "-3", "007", "1.5", '"a"', "null", "9" * 16, "9" * 30, "true", "", "5 ", " 5"]
TAILS = [
    ',"method":"services.lookup","params":{"service":"web"}}',
    ',"method":"services.lookup","params":{"service":"web"}}\n',
    ',"method":"services.lookup","params":{"service":"db","any":true}}',
    ',"method":"services.lookup","params":{"service":"web"},"id":7}',
    ',"method":"services.lookup","params":{"service":"web"},"jsonrpc":"1.0"}',
    ',"method":"services.lookup","params":{"service":"web"},"method":"services.list"}',
    ',"method":"services.list"}',
    ',"method":"services.lookup","params":{"servic":"web"}}',
    ',"method":"services.lookup","params":{"service":"web"}',
]


@given(st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(TAILS), st.booleans()), max_size=20))
def test_a_line_that_is_not_decoded_is_answered_as_if_it_were(asked: list[tuple[str, str, bool]]) -> None:
    agent = FakeAgent()
    lookups = Lookups(agent)
    quick = Calls(agent, ANYBODY, lookups, None, None, None, None)  # type: ignore[arg-type]
    for number, (id, tail, change) in enumerate(asked):
        if change:
            agent.node.put(agent.node.id, "w", "web", number + 1)
        line = (f'{{"jsonrpc":"2.0","id":{id}' + tail).encode()
        fresh = Calls(agent, ANYBODY, Lookups(agent), None, None, None, None)  # type: ignore[arg-type]
        assert quick.line(line) == fresh.line(line)


def test_the_way_past_the_decoder_is_taken() -> None:
    agent = FakeAgent()
    lookups = Lookups(agent)
    calls = Calls(agent, ANYBODY, lookups, None, None, None, None)  # type: ignore[arg-type]
    line = b'{"jsonrpc":"2.0","id":%d,"method":"services.lookup","params":{"service":"web"}}'
    first = calls.line(line % 1)
    assert first is not None
    assert lookups.at_once(line % 23) == first.replace(b'"id":1,', b'"id":23,')
    agent.node.put(agent.node.id, "w", "web", 80)
    assert lookups.at_once(line % 23) is None


def test_it_is_the_kept_one() -> None:
    agent = FakeAgent()
    agent.node.put(agent.node.id, "w", "web", 80)
    lookups = Lookups(agent)
    params = Raw(b'{"service":"web"}')
    assert lookups.answer(params) is lookups.answer(Raw(b'{"service":"web"}'))


def test_nearest_first_is_never_kept() -> None:
    agent = FakeAgent()
    a, b = agent.node.add("a"), agent.node.add("b")
    for owner in (a, b):
        agent.node.put(owner, "w", "web", 80)
    lookups = Lookups(agent)
    for first, second in ((a, b), (b, a)):
        agent.node.rtts = {first: 0.001, second: 0.002}
        found = msgspec.json.decode(lookups.answer(Raw(b'{"service":"web","near":true}')))["instances"]
        assert [each["node_id"] for each in found] == [first.hex(), second.hex()]


def test_wrong_questions_are_not_kept() -> None:
    lookups = Lookups(FakeAgent())
    for _ in range(2):
        with pytest.raises(RpcError):
            lookups.answer(Raw(b'{"service":5}'))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups_module, "MAX_CACHED", 5)
    agent = FakeAgent()
    lookups = Lookups(agent)
    for n in range(20):
        lookups.answer(Raw(b'{"service":"web%d"}' % n))
        assert len(lookups._kept) <= 5
    monkeypatch.setattr(lookups_module, "MAX_CACHED_BYTES", 16 * 400)
    for n in range(200):
        lookups.answer(Raw(b'{"service":"web","tags":["%b"]}' % (b"x" * n)))
        assert lookups._size <= 16 * 400
        assert lookups._size == sum(len(text) + len(entry[2]) for text, entry in lookups._kept.items())


def test_an_owner_that_dies_takes_its_instances_out_of_kept_answers() -> None:
    """Scenario 93 at the local socket: gone when dead, marked when suspect, back without registering anew."""
    agent = FakeAgent()
    owner = agent.node.add("n1")
    agent.node.put(owner, "w", "web", 80)
    lookups = Lookups(agent)

    def statuses(**more: bool) -> list[str]:
        answer = msgspec.json.decode(lookups.answer(Raw(encode({"service": "web", **more}))))
        return [each["status"] for each in answer["instances"]]

    assert statuses() == ["passing"]
    agent.node.set_status(owner, Status.SUSPECT)
    assert (statuses(), statuses(no_suspect=True)) == (["suspect"], [])
    agent.node.set_status(owner, Status.DEAD)
    assert (statuses(), statuses(any=True)) == ([], ["dead"])
    agent.node.set_status(owner, Status.ALIVE)
    assert statuses() == ["passing"]


def test_isolation_shows_while_it_lasts_in_kept_answers_too() -> None:
    agent = FakeAgent()
    agent.node.put(agent.node.id, "w", "web", 80)
    lookups = Lookups(agent)
    calls = Calls(agent, ANYBODY, lookups, None, None, None, None)  # type: ignore[arg-type]
    line = b'{"jsonrpc":"2.0","id":%d,"method":"services.lookup","params":{"service":"web"}}'
    before = calls.line(line % 1)
    assert before is not None
    assert "isolated" not in msgspec.json.decode(before)["result"]
    agent.node.is_isolated = True
    for _ in range(2):
        during = calls.line(line % 1)
        assert during is not None
        answer = msgspec.json.decode(during)["result"]
        assert answer.pop("isolated") is True
        assert answer == msgspec.json.decode(before)["result"]
    agent.node.is_isolated = False
    assert calls.line(line % 1) == before
