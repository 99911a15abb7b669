"""Services: where they are listed, when they go, and that what was taken away stays away."""

from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from gossip.core.events import EventKind
from gossip.core.params import LAN
from gossip.core.records import Deletion, ServiceRecord
from gossip.core.types import Kind, Phase, Status
from gossip.errors import LimitError, NotFoundError, RefusedError
from sim.host import Host
from sim.world import World
from tests.core.rig import Rig
from tests.world import all_see, cluster

SERVICE_EVENTS = (
    EventKind.SERVICE_REGISTERED,
    EventKind.SERVICE_CHANGED,
    EventKind.SERVICE_DEREGISTERED,
)


def words(rig: Rig, *, any: bool = False, no_suspect: bool = False) -> list[tuple[str, str]]:
    found = rig.node.catalog.lookup("web", any=any, no_suspect=no_suspect)
    return [(instance.node, instance.status) for instance in found]


def test_services_leave_the_lookups_with_their_owner_and_return_with_it() -> None:
    """Scenario 93: at suspect or at dead, as the query says; on its return nobody registers anew."""
    rig = Rig()
    a, b, c = rig.members(3)
    rig.hear(c, c.service("web", 2_000))
    assert words(rig) == words(rig, no_suspect=True) == [(c.name, "passing")]
    c.acks = False
    rig.hear(a, a.accuse(c))
    assert words(rig) == [(c.name, "suspect")]
    assert words(rig, no_suspect=True) == []
    rig.run_until(lambda: rig.status(c) is Status.DEAD, 90)
    assert words(rig) == []
    assert words(rig, any=True) == [(c.name, "dead")]
    assert rig.node.catalog.names() == []
    rig.hear(b, c.again())
    assert words(rig, no_suspect=True) == [(c.name, "passing")]
    assert rig.node.catalog.names() == ["web"]


def test_a_crashed_agent_has_its_services_again_when_it_is_back() -> None:
    """Scenario 93."""
    world = cluster(4)
    a, b, *_ = world.hosts
    b.register("web", 8_080)
    world.run(2)
    world.crash(b)
    world.run_until(lambda: all_see(world, b, Status.DEAD), limit=90)
    assert all(host.lookup("web") == [] for host in world.running())
    world.restart(b)
    world.run_until(lambda: all(host.lookup("web") == [b.name] for host in world.hosts), limit=30)
    assert a.node.catalog.lookup("web")[0].port == 8_080


def test_an_upgrade_of_the_agent_disturbs_no_lookup() -> None:
    """Scenario 93: services of a restarting owner stay listed, after the others."""
    world = cluster(4)
    a, b, c, _ = world.hosts
    a.register("web")
    c.register("web")
    world.run(2)
    world.hand_over(a)
    world.run(1)
    assert [(i.node, i.status) for i in b.node.catalog.lookup("web")] == [
        (c.name, "passing"),
        (a.name, "restarting"),
    ]
    world.restart(a)
    world.run_until(lambda: {i.status for i in b.node.catalog.lookup("web")} == {"passing"}, limit=5)
    world.hand_over(a)
    world.run_until(lambda: b.lookup("web") == [c.name], limit=LAN.restart_grace + 3)
    assert b.sees(a) is Status.LEFT


def test_what_was_deregistered_during_a_partition_stays_so_when_it_heals() -> None:
    """Scenario 94."""
    world = cluster(4)
    a, b, c, d = world.hosts
    a.register("web", key="keep")
    a.register("web", key="drop")
    world.run(3)
    world.partition([[a, b], [c, d]])
    a.deregister("drop")
    world.run(2)
    assert len(c.lookup("web")) == 2
    assert len(b.lookup("web")) == 1
    world.heal()
    world.run_until(world.converged, limit=60)
    for host in world.hosts:
        assert [instance.key for instance in host.node.catalog.lookup("web")] == ["keep"]


def test_what_was_deregistered_while_others_held_its_owner_dead_stays_so() -> None:
    """Scenario 94: through death and return, and with the deletion itself hidden meanwhile."""
    world = cluster(4)
    a, _, c, d = world.hosts
    a.register("web", key="keep")
    a.register("web", key="drop")
    world.run(3)
    world.partition([[a]])
    world.run_until(lambda: all_see(world, a, Status.DEAD), limit=90)
    a.deregister("drop")
    world.heal()
    world.run_until(world.converged, limit=90)
    for host in (c, d):
        assert [instance.key for instance in host.node.catalog.lookup("web")] == ["keep"]


def test_two_nodes_may_register_one_service_id() -> None:
    """Scenario 97: both are kept; a key counts within its owner."""
    world = cluster(3)
    a, b, c = world.hosts
    a.register("web", 1_001, key="web-1")
    b.register("web", 1_002, key="web-1")
    world.run(2)
    assert [(i.node, i.port) for i in c.node.catalog.lookup("web")] == [(a.name, 1_001), (b.name, 1_002)]
    a.deregister("web-1")
    world.run(2)
    for host in world.hosts:
        assert [(i.node, i.port) for i in host.node.catalog.lookup("web")] == [(b.name, 1_002)]


def test_nobody_writes_into_anothers_services() -> None:
    """Scenario 97: a record counts for who signed it."""
    rig = Rig()
    a, b = rig.members(2)
    rig.hear(a, a.service("web", 2_000))
    stolen = b.notary.issue(ServiceRecord(b.id, 3_000, "web", "web", "", 1, (), {}, 1))
    forged = stolen.raw[:64] + stolen.raw[64:].replace(b.id, a.id)
    rig.hear(b, rig.archive.parse(forged))
    assert [instance.port for instance in rig.node.catalog.lookup("web")] == [80]
    assert rig.node.counters["signature"] == 1


def test_a_watch_sees_every_visible_state_once_and_in_order() -> None:
    """Scenario 98: each event has the next index, and the lookup at that moment is the state."""
    rig = Rig()
    a, b = rig.members(2)
    catalog = rig.node.catalog
    states = [(catalog.index_of("web"), words(rig))]

    def step(*facts: object, run: float = 0.0) -> None:
        before = len(rig.events)
        rig.hear(a, *facts)  # type: ignore[arg-type]
        rig.run(run)
        told = [event for _, event in rig.events[before:] if event.kind in SERVICE_EVENTS]
        indexes = [event.index for event in told]
        assert indexes == list(range(states[-1][0] + 1, states[-1][0] + 1 + len(told)))
        assert len(told) <= 1
        if told:
            states.append((indexes[-1], words(rig)))
        assert catalog.index == catalog.index_of("web") == states[-1][0]

    step(b.service("web", 2_000))
    step(b.service("web", 2_001, port=81))
    step(b.service("web", 2_002, port=81))  # a new version of the same words is no change
    step(b.service("web", 2_001, port=80))  # nor is an old one
    b.acks = False
    step(a.accuse(b, Kind.SILENT))
    step(run=60.0)
    step(b.service("web", 2_003, port=82))  # changes while hidden are not seen
    step(b.again(phase=int(Phase.LEAVING)))  # dead or left is one to who looks services up
    b.acks = True
    step(b.again(host="10.7.7.7"))
    step(b.again(phase=int(Phase.LEAVING)))
    step(b.again())
    step(b.deletion("web", 2_004))
    assert [state for _, state in states] == [
        [],
        [(b.name, "passing")],
        [(b.name, "passing")],
        [(b.name, "suspect")],
        [],
        [(b.name, "passing")],
        [],
        [(b.name, "passing")],
        [],
    ]
    assert catalog.lookup("web", any=True) == []


def test_a_watcher_can_rebuild_each_state_from_the_events_alone(rng: random.Random) -> None:
    """Scenario 98, over random schedules: who follows the events holds what a lookup finds, at every step."""
    for turn in range(20):
        rig = Rig(turn)
        peers = rig.members(4)
        shown: dict[tuple[str, str], str] = {}
        index = rig.node.catalog.index
        version = 2_000
        for _ in range(60):
            version += 1
            peer, key = rng.choice(peers), str(rng.randrange(3))
            before = len(rig.events)
            match rng.randrange(7):
                case 0 | 1:
                    rig.hear(peer, peer.service(key, version, port=80 + rng.randrange(2)))
                case 2:
                    rig.hear(peer, peer.deletion(key, version))
                case 3:
                    accuser = rng.choice([other for other in peers if other is not peer])
                    rig.hear(accuser, accuser.accuse(peer))
                case 4:
                    phase = rng.choice([Phase.RUNNING, Phase.RUNNING, Phase.LEAVING, Phase.RESTARTING])
                    rig.hear(peer, peer.again(phase=int(phase)))
                case 5:
                    rig.hear(peer, peer.say(version=version, floor=version))
                case _:
                    peer.acks = rng.random() < 0.5
                    rig.run(rng.random() * 20)
            for _, event in rig.events[before:]:
                if event.kind not in SERVICE_EVENTS:
                    continue
                assert event.index == index + 1
                index = event.index
                which = (event.node, event.key)
                if event.kind is EventKind.SERVICE_DEREGISTERED or event.detail in ("dead", "left"):
                    shown.pop(which, None)
                else:
                    shown[which] = event.detail or shown.get(which, "passing")
            found = {(i.node, i.key) for i in rig.node.catalog.lookup("web")}
            assert set(shown) == found, f"turn {turn}"


def test_an_instance_without_an_address_follows_its_owner() -> None:
    rig = Rig()
    a, _ = rig.members(2)
    rig.hear(a, a.service("web", 2_000))
    assert rig.node.catalog.lookup("web")[0].host == a.address[0]
    index = rig.node.catalog.index
    rig.hear(a, a.again(host="10.7.7.7"))
    assert rig.node.catalog.lookup("web")[0].host == "10.7.7.7"
    assert rig.node.catalog.index == index + 1


def test_a_lookup_asks_for_all_tags_and_puts_those_first_that_should_be_called() -> None:
    rig = Rig()
    a, b, c = rig.members(3)
    for peer, tags in ((a, ("x", "y")), (b, ("x",)), (c, ())):
        rig.hear(peer, peer.notary.issue(ServiceRecord(peer.id, 2_000, "web", "web", "", 80, tags, {}, 1)))
    rig.hear(b, b.accuse(a))
    lookup = rig.node.catalog.lookup
    assert [i.node for i in lookup("web")] == [b.name, c.name, a.name]
    assert [i.node for i in lookup("web", ["x"])] == [b.name, a.name]
    assert [i.node for i in lookup("web", ["x", "y"])] == [a.name]
    assert lookup("web", ["z"]) == lookup("nothing") == []


def test_a_service_over_a_limit_is_refused_with_the_limit_and_the_number_on_a_node_has_one() -> None:
    rig = Rig(params=replace(LAN, services_max=2))

    def prepare(key: str, **meta: str) -> None:
        fact = rig.node.prepare_service(key, "web", "", 80, (), meta, 1)
        rig.do(lambda now: rig.node.publish(fact, now))

    with pytest.raises(LimitError, match="640"):
        prepare("a", **{f"k{number}": "x" * 200 for number in range(6)})
    prepare("a")
    prepare("b")
    with pytest.raises(LimitError, match="2"):
        prepare("c")
    prepare("a")
    deletion = rig.node.prepare_deletion("a")
    rig.do(lambda now: rig.node.publish(deletion, now))
    prepare("c")
    with pytest.raises(NotFoundError):
        rig.node.prepare_deletion("a")
    rig.do(rig.node.leave)
    with pytest.raises(RefusedError):
        prepare("b")


def test_what_is_prepared_is_not_visible_before_it_is_published_and_an_older_one_never() -> None:
    rig = Rig()
    older = rig.node.prepare_service("a", "web", "", 80, (), {}, 1)
    newer = rig.node.prepare_service("a", "web", "", 81, (), {}, 1)
    assert words(rig) == []
    rig.do(lambda now: rig.node.publish(newer, now))
    rig.do(lambda now: rig.node.publish(older, now))
    assert [instance.port for instance in rig.node.catalog.lookup("web")] == [81]


def test_a_node_forgets_its_deletions_and_what_lives_stays_listed() -> None:
    """Scenario 72, the owner's side: what lives is signed anew, then the floor rises above the deletions."""
    world = cluster(3, params=replace(LAN, services_max=40))
    a, *others = world.hosts
    a.register("api", key="stays")
    for number in range(30):
        a.register("web", key=f"job-{number}")
        a.deregister(f"job-{number}")
    world.run(5)
    assert a.node.deletions == 30
    floor = a.node.next_version()
    with pytest.raises(RefusedError, match="stays"):
        a.do(lambda node, now: node.raise_floor(floor, now))
    a.register("api", key="stays")
    world.run(5)
    a.do(lambda node, now: node.raise_floor(floor, now))
    world.run(5)
    assert (a.node.deletions, len(a.node.saved())) == (0, 1)
    for host in others:
        member = host.node.members.get(a.id)
        assert member is not None
        assert [fact.body.owner for fact in member.services.values()] == [a.id]
        assert host.lookup("api") == [a.name]
        assert len(host.told(EventKind.SERVICE_DEREGISTERED, "api")) == 0
    assert world.converged()


def test_a_lagging_peer_does_not_bring_back_what_its_owner_has_forgotten() -> None:
    """Scenario 72: cut off meanwhile, it is reset by the floor instead."""
    world = cluster(4)
    a, b, c, lagging = world.hosts
    a.register("web", key="drop")
    a.register("web", key="keep")
    world.run(3)
    world.partition([[lagging]])
    a.deregister("drop")
    floor = a.node.next_version()
    a.register("web", key="keep")
    world.run(3)
    a.do(lambda node, now: node.raise_floor(floor, now))
    world.run(3)
    assert a.node.deletions == 0
    assert len(lagging.lookup("web")) == 2
    before = [len(host.told(EventKind.SERVICE_REGISTERED)) for host in (b, c)]
    world.heal()
    world.run_until(world.converged, limit=60)
    for host in world.hosts:
        assert [instance.key for instance in host.node.catalog.lookup("web")] == ["keep"]
    assert [len(host.told(EventKind.SERVICE_REGISTERED)) for host in (b, c)] == before


def test_a_peer_that_lagged_behind_the_floor_is_reset_and_brings_nothing_back() -> None:
    """Scenario 72."""
    rig = Rig()
    a, b = rig.members(2)
    old, new = a.service("old", 2_000), a.service("new", 3_000)
    rig.hear(a, old, new)
    rig.hear(a, a.say(floor=3_000, version=3_001))
    assert [i.key for i in rig.node.catalog.lookup("web")] == ["new"]
    rig.node._intake.forget_recent()
    rig.hear(b, old)
    assert [i.key for i in rig.node.catalog.lookup("web")] == ["new"]


def held(host: Host, owner: Host) -> dict[str, int]:
    """Key and version of the owner's services that this node lists."""
    member = host.node.me if host is owner else host.node.members.get(owner.id)
    if member is None:
        return {}
    return {
        fact.body.key: fact.body.version
        for fact in member.services.values()
        if isinstance(fact.body, ServiceRecord)
    }


class Memory:
    """Watches that nothing deleted is ever shown again to a node that knew of the deletion."""

    def __init__(self, world: World) -> None:
        self.known: dict[tuple[int, int, bytes, str], int] = {}
        world.watchers.append(self.check)

    def check(self, host: Host) -> None:
        for member in host.node:
            for fact in member.services.values():
                body = fact.body
                if isinstance(body, ServiceRecord | Deletion):
                    which = (host.number, host.lives, body.owner, body.key)
                    assert body.version >= self.known.get(which, 0), f"{host.name} went back on {body}"
                    self.known[which] = body.version


@pytest.mark.parametrize("turn", range(5))
def test_whatever_happens_all_end_with_what_the_owners_hold_and_nobody_goes_back(
    turn: int, seed: int
) -> None:
    """Scenarios 72 and 94, over random schedules: registrations, deletions, cuts, crashes, restarts."""
    world = cluster(5, seed=seed + turn, loss=0.05, duplication=0.2)
    Memory(world)
    rng = world.rng
    for _ in range(40):
        host = rng.choice(world.hosts)
        key = str(rng.randrange(6))
        match rng.randrange(8):
            case 0 | 1 | 2 if host.process is not None:
                host.register("web", rng.randrange(1, 9), key=key)
            case 3 | 4 if host.process is not None and key in held(host, host):
                host.deregister(key)
            case 5:
                world.partition([rng.sample(world.hosts, 2)])
            case 6:
                world.heal()
            case 7 if host.process is not None and rng.random() < 0.5:
                world.crash(host)
            case _ if host.process is None:
                lost = rng.random() < 0.3
                world.restart(host, registrations="lost" if lost else "kept")
            case _:
                pass
        world.run(rng.choice([0.01, 1.0, 10.0]))
    world.heal()
    for host in world.hosts:
        if host.process is None:
            world.restart(host)
    world.run_until(world.converged, limit=200)
    for owner in world.hosts:
        for host in world.hosts:
            assert held(host, owner) == held(owner, owner), f"seed {world.seed}"


def test_many_services_of_one_node_come_by_stream_and_starve_no_news_of_members() -> None:
    """Scenario 99: repair brings them over a stream, while a crash is seen as soon as ever."""
    world = cluster(6)
    a, b, *_ = world.hosts
    for number in range(4_000):
        a.register(f"s{number}", 1 + number)
    world.crash(b)
    crashed = world.now
    world.run_until(lambda: all_see(world, b, Status.DEAD), limit=60)
    assert world.now - crashed < 40
    world.run_until(world.converged, limit=60)
    for host in world.running():
        assert len(host.node.catalog.names()) == 4_000
        assert host.node.members.counts[Status.ALIVE] == 4
    assert sum(host.node.counters["repairs"] for host in world.running()) > 0


def test_a_node_knows_that_it_waits_for_others() -> None:
    """While there is somebody to join, and no view but its own was seen."""
    world = World(seed=3)
    first = world.add()
    assert not first.node.is_waiting, "it has no seeds"
    second = world.add()
    assert second.node.is_waiting
    lost = world.add(seeds=["10.99.0.1:7946"])
    itself = world.add(seeds=["10.99.0.2:7946"], address=("10.99.0.2", 7_946))
    world.run(5)
    assert not second.node.is_waiting
    assert lost.node.is_waiting, "nobody is there"
    assert not itself.node.is_waiting, "a list of seeds that all have names itself too"
    late = world.add(seeds=[], address=("10.99.0.1", 7_946))
    world.run(60)
    assert not lost.node.is_waiting
    assert not late.node.is_waiting
    world.crash(first)
    world.run(60)
    assert not second.node.is_waiting, "it knows what there was"
