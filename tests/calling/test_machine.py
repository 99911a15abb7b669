"""Whatever is offered, called and failed, a balancer picks somebody whenever there is somebody."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gossip.calling.balancer import Balancer, Places, Question
from gossip.calling.target import key_of
from tests.calling.targets import T

if TYPE_CHECKING:
    from gossip.calling.records import Record

INSTANCES = st.builds(
    T,
    id=st.sampled_from("abcde"),
    weight=st.sampled_from([0, 1, 1, 5, 1_000]),
    status=st.sampled_from(["passing", "passing", "warning", "suspect"]),
    zone=st.sampled_from(["", "n", "s"]),
    tags=st.sampled_from([(), ("v2",)]),
    node_id=st.sampled_from(["1", "2"]),
)
PLACES = st.builds(
    Places,
    zone=st.sampled_from(["", "n", "s", "w"]),
    members=st.dictionaries(st.sampled_from(["", "n", "s"]), st.integers(0, 9)),
    rtt_ms=st.dictionaries(st.sampled_from(["1", "2"]), st.floats(0, 500)),
)
QUESTIONS = st.builds(
    Question,
    tags=st.sampled_from([frozenset[str](), frozenset({"v2"})]),
    near=st.booleans(),
    zone=st.booleans(),
    subset=st.integers(0, 3),
    no_suspect=st.booleans(),
)


class Calls(RuleBasedStateMachine):
    """One balancer and the calls that it has given away."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.balancer: Balancer[T] = Balancer(random.Random(7).random, name="me")
        self.offered: tuple[T, ...] = ()
        self.places = Places()
        self.under_way: list[Record] = []

    @rule(offered=st.lists(INSTANCES, max_size=8, unique_by=key_of))
    def offer(self, offered: list[T]) -> None:
        self.offered = tuple(offered)

    @rule(places=PLACES)
    def place(self, places: Places) -> None:
        self.places = places

    @rule(seconds=st.sampled_from([0.0, 0.5, 9.0, 100.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(
        question=QUESTIONS,
        key=st.sampled_from([None, None, "k"]),
        tried=st.sets(st.integers(0, 7), max_size=4),
        begins=st.booleans(),
    )
    def pick(self, question: Question, key: str | None, tried: set[int], begins: bool) -> None:
        avoid = [key_of(each) for place, each in enumerate(self.offered) if place in tried]
        found = self.balancer.pick(self.offered, self.now, question, self.places, avoid, key)
        fit = [
            each
            for each in self.offered
            if question.tags.issubset(each.tags) and not (question.no_suspect and each.status == "suspect")
        ]
        fit = [each for each in fit if key_of(each) not in avoid]
        # Without weight it is called only when nobody has any, of those that have not been tried.
        fit = [each for each in fit if each.weight] or fit
        assert (found is None) == (not fit)
        if found is not None:
            assert found in fit
            if begins:
                self.under_way.append(self.balancer.begin(found))

    @rule(number=st.integers(0, 99), ok=st.sampled_from([True, False, False, None]), times=st.integers(1, 6))
    def end(self, number: int, ok: bool | None, times: int) -> None:
        for _ in range(min(times, len(self.under_way))):
            record = self.under_way.pop(number % len(self.under_way))
            self.balancer.end(record, self.now, ok, 0.01)

    @invariant()
    def counts_are_counts(self) -> None:
        for record in self.under_way:
            assert record.under_way == self.under_way.count(record)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
