"""What checks find: gossiped as small records of their own, and what lookups make of them."""

from __future__ import annotations

import pytest

from gossip.core.events import EventKind
from gossip.core.records import MAX_CHECKS, StatusRecord
from gossip.core.types import Kind, Status, Verdict
from gossip.errors import LimitError, NotFoundError, RefusedError
from sim.host import Host
from sim.world import World
from tests.core.rig import Rig
from tests.world import all_see, cluster

PASSING, WARNING, CRITICAL = Verdict.PASSING, Verdict.WARNING, Verdict.CRITICAL


def states(host: Host, service: str = "web") -> list[str]:
    """The state of each instance of those that are there, in the order of lookups."""
    return [
        instance.status
        for instance in host.node.catalog.lookup(service, any=True)
        if instance.status not in ("dead", "left")
    ]


def settled(world: World, word: str) -> bool:
    return all(states(host) == [word] for host in world.running())


def test_a_check_that_turns_is_known_to_all_at_once_and_hides_the_instance() -> None:
    world = cluster(5)
    a, *_ = world.hosts
    a.register("web", 8_080)
    a.report("web", CRITICAL)
    world.run(0.5)
    assert settled(world, "critical")
    assert all(host.lookup("web") == [] for host in world.running())
    assert all(host.node.catalog.names() == ["web"] for host in world.running())
    a.report("web", WARNING)
    world.run(0.5)
    assert settled(world, "warning")
    assert all(host.lookup("web") == [a.name] for host in world.running())
    a.report("web", PASSING)
    world.run(0.5)
    assert settled(world, "passing")
    assert world.converged()


def test_an_instance_with_checks_is_critical_until_their_status_is_known() -> None:
    """The service's record may come first, or alone: nobody may be sent to what has not been found well."""
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, a.say_service("web", 8_000, checked=True))
    assert rig.node.catalog.lookup("web") == []
    assert [each.status for each in rig.node.catalog.lookup("web", any=True)] == ["critical"]
    rig.hear(a, a.say_status("web", (("http", PASSING),)))
    assert [each.checks for each in rig.node.catalog.lookup("web")] == [(("http", "passing"),)]


def test_the_state_is_the_first_word_that_applies() -> None:
    rig = Rig()
    a, b = rig.members(2)
    rig.hear(a, a.say_service("web", 8_000))

    def state() -> str:
        (found,) = rig.node.catalog.lookup("web", any=True)
        return found.status

    assert state() == "passing"
    rig.hear(a, a.say_status("", (("disk", WARNING),)))
    assert state() == "warning"
    a.acks = False
    rig.hear(b, b.accuse(a, Kind.SILENT))
    assert state() == "suspect"
    rig.hear(b, a.say_status("web", (("http", CRITICAL),)))
    assert state() == "critical"
    rig.hear(b, a.say_status("", (("disk", PASSING),), maintenance=True, note="new disk"))
    assert state() == "maintenance"
    (found,) = rig.node.catalog.lookup("web", any=True)
    assert found.note == "new disk"
    assert found.checks == (("http", "critical"), ("node:disk", "passing"))
    rig.run_until(lambda: rig.status(a) is Status.DEAD, 90)
    assert state() == "dead"


def test_watchers_are_told_what_they_can_see_and_nothing_twice() -> None:
    rig = Rig()
    (a,) = rig.members(1)
    rig.hear(a, a.say_service("web", 8_000))
    rig.hear(a, a.say_service("db", 9_000))

    def told() -> list[tuple[str, str]]:
        found = [
            (event.name, event.detail) for _, event in rig.events if event.kind is EventKind.SERVICE_CHANGED
        ]
        rig.events.clear()
        return found

    told()
    rig.hear(a, a.say_status("web", (("http", CRITICAL),)))
    assert told() == [("web", "critical")]
    rig.hear(a, a.say_status("web", (("http", CRITICAL),)))
    assert told() == []
    rig.hear(a, a.say_status("", (), maintenance=True))
    assert sorted(told()) == [("db", "maintenance"), ("web", "maintenance")]
    rig.hear(a, a.say_status("", ()))
    assert sorted(told()) == [("db", "passing"), ("web", "critical")]


def test_a_status_goes_with_its_service_and_does_not_come_back() -> None:
    world = cluster(4)
    a, b, *_ = world.hosts
    a.register("web", 8_080)
    a.report("web", CRITICAL)
    world.run(1)
    world.partition([[b]])
    a.deregister("web")
    world.run(1)
    a.register("web", 8_080)
    world.run(1)
    assert states(a) == ["passing"]
    world.heal()
    world.run_until(lambda: world.converged() and settled(world, "passing"), limit=120)
    assert states(b) == ["passing"]


def test_a_restarted_owner_takes_back_what_its_former_life_found() -> None:
    """Statuses are on no disk: who is shown one of its own that it does not hold answers it."""
    world = cluster(4)
    a, b, *_ = world.hosts
    b.register("web", 8_080)
    b.report("web", CRITICAL)
    world.run(1)
    world.crash(b)
    world.run_until(lambda: all_see(world, b, Status.DEAD), limit=90)
    world.restart(b)
    world.run_until(lambda: world.converged() and settled(world, "passing"), limit=60)
    assert a.lookup("web") == [b.name]


def test_what_checks_find_survives_a_raised_floor() -> None:
    world = cluster(3)
    a, *_ = world.hosts
    a.register("web", 8_080)
    a.register("old", 8_081)
    a.report("web", CRITICAL)
    a.report("old", WARNING)
    a.report("", WARNING)
    a.deregister("old")
    assert a.node.deletions == 2, "the service's, and that of its status"
    world.run(1)
    floor = a.do(lambda node, _now: node.next_version())
    a.register("web", 8_080)
    a.do(lambda node, now: node.raise_floor(floor, now))
    assert a.node.deletions == 0
    world.run_until(lambda: world.converged() and settled(world, "critical"), limit=30)
    for host in world.running():
        (found,) = host.node.catalog.lookup("web", any=True)
        assert found.checks == (("check", "critical"), ("node:check", "warning"))


def test_a_check_that_turns_behind_a_cut_is_not_seen_and_its_owner_is_given_up_in_time() -> None:
    """Scenario 95: the owner alone decides; others hold its last word until they suspect it."""
    world = cluster(6)
    a, b, *_ = world.hosts
    a.register("web", 8_080, checked=True)
    a.report("web", PASSING)
    world.run(1)
    world.partition([[a]])
    cut = world.now
    a.report("web", CRITICAL)
    assert states(a) == ["critical"]
    others = [host for host in world.hosts if host is not a]
    world.run(0.5)
    assert all(states(host) == ["passing"] for host in others)
    world.run_until(
        lambda: not any(host.node.catalog.lookup("web", no_suspect=True) for host in others), limit=30
    )
    assert world.now - cut < 12, "a few periods and what the word needs to go round"
    world.run_until(lambda: all(host.lookup("web") == [] for host in others), limit=60)
    world.heal()
    world.run_until(
        lambda: world.converged() and all(states(host) == ["critical"] for host in world.hosts), limit=60
    )
    assert b.lookup("web") == []


def test_what_cannot_be_said_is_refused() -> None:
    world = cluster(1)
    (a,) = world.hosts
    with pytest.raises(NotFoundError, match="no service 'web' is registered"):
        a.report("web", CRITICAL)
    a.register("web", 8_080)
    many = tuple((f"c{number}", 0) for number in range(MAX_CHECKS + 1))
    with pytest.raises(LimitError, match="17 checks of one service; the limit is 16"):
        a.node.prepare_status("web", many)
    with pytest.raises(LimitError, match="note is 129 bytes; the limit is 128"):
        a.node.prepare_status("web", (), note="x" * 129)
    with pytest.raises(Exception, match="have one name"):
        a.node.prepare_status("web", (("c", 0), ("c", 1)))
    a.do(lambda node, now: node.leave(now))
    with pytest.raises(RefusedError, match="leaving"):
        a.node.prepare_status("web", ())


def test_the_record_is_small() -> None:
    world = cluster(1)
    (a,) = world.hosts
    a.register("web", 8_080)
    fact = a.report("web", CRITICAL, check="http")
    assert isinstance(fact.body, StatusRecord)
    assert fact.body.verdict is CRITICAL
    assert len(fact.raw) < 130
