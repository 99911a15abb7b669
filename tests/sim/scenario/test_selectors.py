"""Who is meant."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from sim.host import Host
from sim.scenario.crew import Crew
from sim.scenario.values import Selector
from sim.world import World


def make_crew() -> Crew:
    """Ten hosts: n0 to n3 in rack-a and eu, n4 to n6 in rack-b and us, the others in no group and us."""
    world, crew = World(), Crew()
    for number in range(10):
        host = world.add(start=False)
        host.zone = "eu" if number < 4 else "us"
        crew.add(host, "rack-a" if number < 4 else "rack-b" if number < 7 else "")
    return crew


def chosen(written: object, fits: Callable[[Host], bool] = lambda _host: True) -> list[int]:
    hosts = make_crew().choose(Selector.parse(written), random.Random(1), fits)
    return [host.number for host in hosts]


@pytest.mark.parametrize(
    ("written", "numbers"),
    [
        ("all", list(range(10))),
        ("rack-a", [0, 1, 2, 3]),
        ("us", [4, 5, 6, 7, 8, 9]),
        ("n7", [7]),
        (["rack-b", "n0", "n5"], [0, 4, 5, 6]),
        ("9 of rack-a", [0, 1, 2, 3]),
        ("100% of eu", [0, 1, 2, 3]),
        ("next 2 of rack-b", [4, 5]),
    ],
)
def test_places_and_lists(written: object, numbers: list[int]) -> None:
    assert chosen(written) == numbers


@pytest.mark.parametrize(
    ("written", "count", "among"),
    [
        (3, 3, range(10)),
        ("30%", 3, range(10)),
        ("1%", 1, range(10)),
        ("2 of us", 2, range(4, 10)),
        ("50% of rack-a", 2, range(4)),
    ],
)
def test_chance_takes_so_many_of_a_place(written: object, count: int, among: range) -> None:
    numbers = chosen(written)
    assert len(numbers) == len(set(numbers)) == count
    assert set(numbers) <= set(among)


def test_only_those_who_fit_are_meant() -> None:
    assert chosen(9, lambda host: host.number % 2 == 0) == [0, 2, 4, 6, 8]


def test_next_goes_round_and_passes_over_who_does_not_fit() -> None:
    crew, rng, selector = make_crew(), random.Random(1), Selector.parse("next of rack-a")
    taken = [crew.choose(selector, rng, lambda host: host.number != 1)[0].number for _ in range(5)]
    assert taken == [0, 2, 3, 0, 2]


def test_the_rest_is_everybody_but_the_others() -> None:
    crew, rng = make_crew(), random.Random(1)
    others = crew.choose(Selector.parse("us"), rng)
    assert [host.number for host in crew.choose(Selector.parse("rest"), rng, others=others)] == [0, 1, 2, 3]


@pytest.mark.parametrize("written", [0, "0 of rack-a", [], "", True, 1.5, "three of rack-a"])
def test_what_means_nobody_is_refused(written: object) -> None:
    with pytest.raises(ValueError):
        Selector.parse(written)
