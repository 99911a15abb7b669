"""A cluster changes its key while members come, go, are away, and while the network fails."""

from __future__ import annotations

import msgspec
import pytest

from gossip.core.events import EventKind
from gossip.core.keys import KeyState, keys_of
from gossip.core.params import LAN
from gossip.core.records import KeyRecord
from gossip.core.rotation import EPOCHS_AHEAD, LINGER_PERIODS, Plan
from gossip.core.types import Status
from gossip.errors import RefusedError
from sim.birth import WALL_MS
from sim.host import Host
from sim.keys import Marks, mark, marks
from sim.process import DISK_US
from sim.world import World

FIRST, NEXT = mark("first"), mark("next")


def cluster(count: int, *, seed: int = 1, loss: float = 0.0) -> World:
    world = World(seed, codec=False, keys=marks(), loss=loss)
    world.grow(count)
    world.run_until(lambda: all(host.node.members.n == count for host in world.hosts), 30)
    world.run(3)
    return world


def ring(host: Host) -> dict[str, str]:
    return {key.name: key.state.label for key in safe(host).held()}


def safe(host: Host) -> Marks:
    found = host.agent.safe
    assert isinstance(found, Marks)
    return found


def rotate(world: World, host: Host, name: str = "next") -> None:
    """As the user's command does: the key is on disk before anything else."""
    safe(host).add(name)
    host.disk.keys = safe(host).save()
    host.do(lambda node, now: node.rotate(mark(name), now))


def claim(liar: Host, epoch: int, target: bytes) -> None:
    """Have it say that it takes part in such a change."""
    lie = KeyRecord(b"", 1, "", epoch, target, False, ((FIRST, 1),))
    liar.do(lambda node, _now: node._own.publish_keys(lie))


def running(world: World) -> list[Host]:
    return [host for host in world.hosts if host.process is not None]


def all_send(world: World, name: str = "next") -> bool:
    return all(ring(host).get(name) == "sending" for host in running(world))


def is_over(world: World, name: str = "next") -> bool:
    return all_send(world, name) and all(
        list(ring(host).values()).count("receiving") == 0 for host in running(world)
    )


def deaths(world: World) -> list[str]:
    return [
        event.name
        for host in world.hosts
        for _, event in host.events
        if event.kind is EventKind.MEMBER_FAILED
    ]


def unread(world: World) -> int:
    return sum(host.node.counters["sealed"] for host in running(world))


def test_all_take_the_key_then_all_seal_with_it_then_all_retire_the_old() -> None:
    world = cluster(12)
    rotate(world, world.hosts[3])
    took = world.run_until(lambda: all_send(world), 20)
    assert took < 10
    assert all(ring(host)["first"] == "receiving" for host in world.hosts)
    world.run_until(lambda: is_over(world), 30)
    assert {tuple(ring(host).items()) for host in world.hosts} == {
        (("first", "retired"), ("next", "sending"))
    }
    assert unread(world) == 0
    assert deaths(world) == []
    # Everybody says so, and nobody anything else.
    world.run(3)
    for host in world.hosts:
        for member in host.node.members:
            record = keys_of(member)
            assert record is not None
            assert record.keys == ((FIRST, KeyState.RETIRED), (NEXT, KeyState.SENDING))


def test_nobody_seals_with_it_before_every_live_member_holds_it() -> None:
    """A member that takes no key (its disk is full, say) is waited for, and named."""
    world = cluster(6)
    stuck = world.hosts[5]
    world.set_link(stuck, world.hosts[0], None)
    stuck.node.keys.locksmith = None
    rotate(world, world.hosts[0])
    world.run(20)
    assert [ring(host)["next"] for host in world.hosts[:5]] == ["receiving"] * 5
    assert [member.name for member in world.hosts[0].node.key_lacking()] == [stuck.name]
    with pytest.raises(RefusedError, match=f"waits for {stuck.name}"):
        rotate(world, world.hosts[0], "another")
    world.crash(stuck)
    world.run_until(lambda: all_send(world), 20)
    assert deaths(world).count(stuck.name) == 5


@pytest.mark.parametrize("after", [0.0, 0.004, 0.02, 0.2, 0.6, 1.0, 1.6, 3.0, 6.0])
@pytest.mark.parametrize("returns", [True, False])
def test_the_one_that_began_may_end_at_any_step(after: float, returns: bool) -> None:
    world = cluster(8)
    first = world.hosts[2]
    rotate(world, first)
    world.run(after)
    world.crash(first)
    if returns:
        world.run(0.5)
        world.start(first)
    world.run(5)
    name = "next"
    if not any("next" in ring(host) for host in running(world) if host is not first):
        # Its plan was not on disk yet, or the only copy of the key is gone with it: somebody begins again.
        assert not returns or after < DISK_US / 1e6
        rotate(world, world.hosts[5], name := "other")
    world.run_until(lambda: all_send(world, name), 40)
    assert unread(world) == 0
    assert set(deaths(world)) <= {first.name}


def test_everybody_restarts_in_the_middle() -> None:
    world = cluster(8)
    rotate(world, world.hosts[0])
    for host in world.hosts:
        world.run(0.3)
        world.restart(host)
    world.run_until(lambda: all_send(world), 60)
    # Who was away before the change is known to nobody: all keep the old key, or the operator insists.
    world.run(30)
    if not is_over(world):
        assert not any(host.node._rotation._was_there for host in world.hosts)
        world.hosts[2].do(lambda node, now: node.insist(now))
    world.run_until(lambda: is_over(world), 30)
    assert deaths(world) == []


def test_who_was_away_is_waited_for_and_catches_up() -> None:
    world = cluster(8)
    away = world.hosts[7]
    world.crash(away, machine=True)
    world.run(15)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    world.run(60)
    assert all(ring(host)["first"] == "receiving" for host in world.hosts[:7])
    assert [member.name for member in world.hosts[0].node.key_away()] == [away.name]
    world.restart(away)
    world.run_until(lambda: is_over(world), 60)
    assert deaths(world) == [away.name] * 7


def test_the_operator_may_insist_and_who_returns_too_late_is_told_what_to_do() -> None:
    world = cluster(8)
    away = world.hosts[7]
    world.crash(away, machine=True)
    world.run(15)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    world.hosts[4].do(lambda node, now: node.insist(now))
    world.run_until(lambda: is_over(world), 40)
    world.restart(away)
    world.run(30)
    assert away.node.members.n == 1
    assert all(host.node.counters["sealed"] for host in world.hosts[:1])
    # As 'gossip keys add' does there.
    safe(away).add("next")
    away.disk.keys = safe(away).save()
    world.crash(away)
    world.start(away)
    safe(away).use(NEXT)
    world.run_until(lambda: away.node.members.n == 8, 40)


def test_the_old_key_stays_a_while_for_who_has_just_come_back_with_it() -> None:
    """What it began under the old key goes on under it."""
    world = cluster(6)
    away = world.hosts[5]
    others = world.hosts[:5]
    world.crash(away, machine=True)
    world.run_until(lambda: all(host.sees(away) is Status.DEAD for host in others), 30)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    world.run(60)
    world.restart(away)
    world.run_until(lambda: ring(away).get("next") == "sending", 60)
    world.run(LINGER_PERIODS * LAN.period - 1)
    assert all(ring(host)["first"] == "receiving" for host in others)
    world.run_until(lambda: is_over(world), 30)
    assert unread(world) <= away.node.counters["sealed"]


def test_who_was_cut_off_is_handed_the_key_when_it_is_back() -> None:
    world = cluster(9)
    rest, cut = world.hosts[:5], world.hosts[5:]
    world.partition([rest, cut])
    world.run(20)
    rotate(world, rest[0])
    world.run_until(lambda: all(ring(host).get("next") == "sending" for host in rest), 20)
    world.run(10)
    assert all("next" not in ring(host) for host in cut)
    world.heal()
    world.run_until(lambda: is_over(world), 90)
    world.run_until(lambda: all(host.node.members.n == 9 for host in world.hosts), 30)


def test_who_is_excluded_gets_no_key_and_is_not_waited_for() -> None:
    world = cluster(8)
    banned = world.hosts[6]
    others = [host for host in world.hosts if host is not banned]
    for host in others:
        host.node.keys.is_excluded = lambda id: id == banned.id
    rotate(world, world.hosts[0])
    world.run_until(lambda: all(ring(host).get("next") == "sending" for host in others), 20)
    world.run_until(lambda: all(ring(host)["first"] == "retired" for host in others), 40)
    world.run(30)
    assert ring(banned) == {"first": "sending"}
    # It goes on recording, and reads nothing any more.
    unread_there, read_there = banned.node.counters["sealed"], banned.received.messages
    world.run(10)
    assert banned.node.counters["sealed"] > unread_there
    assert banned.received.messages == read_there
    # Nor does it get one by coming back.
    world.restart(banned)
    world.run(20)
    assert ring(banned) == {"first": "sending"}


def test_two_changes_at_once_end_in_one() -> None:
    world = cluster(8)
    rotate(world, world.hosts[1], "a")
    rotate(world, world.hosts[6], "b")
    winner = max("ab", key=mark)
    world.run_until(lambda: is_over(world, winner), 90)
    assert deaths(world) == []


def test_a_newcomer_with_the_old_key_is_turned_away_once_the_new_one_is_used() -> None:
    """Whoever has found the old key does not come in with it."""
    world = cluster(5)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    newcomer = world.add()
    newcomer.do(lambda node, _now: node.join([world.hosts[0].spot], world.now))
    world.run(5)
    assert newcomer.node.members.n == 1
    told = [event.detail for _, event in newcomer.events if event.kind is EventKind.JOIN_DONE]
    assert any("seals with key" in each and "gossip keys add" in each for each in told)
    assert ring(newcomer) == {"first": "sending"}


def test_one_that_joins_while_the_key_is_handed_out_takes_part() -> None:
    world = cluster(5)
    rotate(world, world.hosts[0])
    newcomer = world.add()
    world.run_until(lambda: is_over(world) and newcomer.node.members.n == 6, 60)


def test_from_clear_to_sealed_without_stopping_the_cluster() -> None:
    """Scenario 83."""
    world = World(3, codec=False, keys=marks(accepts_clear=True))
    world.grow(6)
    world.run_until(lambda: all(host.node.members.n == 6 for host in world.hosts), 30)
    world.run(3)
    assert all(ring(host) == {"first": "receiving"} for host in world.hosts)
    world.hosts[2].do(lambda node, now: node.rotate(FIRST, now))
    world.run_until(lambda: all_send(world, "first"), 20)
    assert unread(world) == 0
    assert deaths(world) == []


def test_a_change_that_nobody_has_the_key_of_stands_in_no_other_ones_way() -> None:
    """A member that announces keys which it does not hand out."""
    world = cluster(6)
    liar = world.hosts[5]
    for number in range(8):
        claim(liar, 1 + number, b"\xff" * 15 + bytes((number,)))
        world.run(1)
    rotate(world, world.hosts[0])
    honest = [host for host in world.hosts if host is not liar]
    world.run_until(lambda: all(ring(host).get("next") for host in honest), 30)
    claim(liar, 2**40, b"\xff" * 16)
    world.run(2)
    assert all(host.node.counters["key_plan_refused"] for host in honest)


@pytest.mark.parametrize("epoch", [2**53 - 1, 2**40, WALL_MS // 1_000 + EPOCHS_AHEAD])
def test_whoever_lies_about_epochs_is_outbid_by_all_and_by_newcomers_too(epoch: int) -> None:
    """The highest number ended the agent that rotated next, and its restarts; newcomers believed any."""
    world = cluster(5)
    liar = world.hosts[4]
    claim(liar, epoch, FIRST)
    world.run(2)
    late = world.add("late", seeds=[liar])
    world.run(10)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 40)
    world.restart(world.hosts[0])
    rotate(world, late, "another")
    world.run_until(lambda: all_send(world, "another"), 40)


def test_a_change_is_not_hidden_by_invented_ones_and_goes_on_when_their_author_is_banned() -> None:
    world = cluster(6)
    liar, honest = world.hosts[5], world.hosts[:5]
    rotate(world, world.hosts[0])
    for number in range(5):
        claim(liar, 10 + number, b"\xff" * 15 + bytes((number,)))
        world.run(0.05)
    for host in honest:
        host.node.keys.is_excluded = lambda node: node == liar.id
    world.crash(liar, machine=True)
    world.run_until(lambda: all(ring(host).get("next") == "sending" for host in honest), 60)
    rotate(world, honest[1], "another")
    world.run_until(lambda: all(ring(host).get("another") == "sending" for host in honest), 60)


def test_a_node_that_has_just_begun_does_not_take_itself_for_the_cluster() -> None:
    world = cluster(5)
    stuck = world.hosts[4]
    stuck.node.keys.locksmith = None
    rotate(world, world.hosts[0])
    world.run(5)
    world.restart(world.hosts[1])
    world.run(5)
    assert ring(world.hosts[1])["next"] == "receiving"


def test_who_has_begun_since_retires_nothing_that_others_keep() -> None:
    """A joiner is not told of those who were dead by then, and may come back with the older key."""
    world = cluster(6)
    away, fresh = world.hosts[5], world.hosts[2]
    world.crash(away, machine=True)
    world.run(15)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    world.restart(fresh)
    world.run(60)
    assert ring(fresh)["first"] == "receiving"
    world.restart(away)
    world.run_until(lambda: is_over(world), 60)
    assert sum(host.node.counters["sealed"] for host in world.hosts if host is not away) == 0


def test_nobody_goes_back_to_a_key_that_others_have_retired() -> None:
    world = cluster(4)
    rotate(world, world.hosts[0])
    world.run_until(lambda: is_over(world), 60)
    world.run(3)
    with pytest.raises(RefusedError, match="has retired that key"):
        world.hosts[1].do(lambda node, now: node.rotate(FIRST, now))


def test_one_node_alone_changes_its_key() -> None:
    world = World(1, codec=False, keys=marks())
    host = world.add()
    world.run(2)
    rotate(world, host)
    world.run_until(lambda: is_over(world), 60)


def test_plans_and_records_survive_as_they_were() -> None:
    world = cluster(3)
    rotate(world, world.hosts[0])
    world.run_until(lambda: all_send(world), 20)
    plan = world.hosts[1].node.plan
    assert plan == Plan(1, NEXT, (FIRST,), False)
    world.restart(world.hosts[1])
    assert world.hosts[1].node.plan == plan
    world.run_until(lambda: is_over(world), 60)
    rotate(world, world.hosts[2], "third")
    world.run_until(lambda: is_over(world, "third"), 60)
    assert world.hosts[0].node.plan == Plan(2, mark("third"), (), False)
    assert msgspec.structs.astuple(world.hosts[1].node.plan) == (2, mark("third"), (), False)
    assert LAN.period == 1.0
    assert all(member.status is Status.ALIVE for member in world.hosts[0].node.members)
