"""What a world must come through with one log, in any process: no pytest here, any Python can run it."""

from __future__ import annotations

from gossip.core.effects import Close, Dial, Send, Write
from sim.latency import Lognormal, Uniform
from sim.links import Burst, link
from sim.meters import total
from sim.processor import Costs
from sim.world import World
from tests.sim.scripted import frame, packet, say, scripted


def play(seed: int, *, codec: bool = True) -> str:
    """Scripts on links with chance in them; the log's hash."""
    world = scripted(5, seed=seed, loss=0.2, duplication=0.1, codec=codec)
    for number in range(40):
        sender, receiver = world.rng.sample(world.hosts, 2)
        say(
            sender,
            Send(receiver.address, packet(number)),
            Dial(number, receiver.address, 5.0),
            Write(number, frame(number)),
            Close(number),
        )
        if number % 10 == 9:
            world.restart(receiver)
        world.run(0.1)
    world.run(60)
    return world.log_hash()


def suffer(seed: int, *, codec: bool = True) -> str:
    """The shipped core under every fault of machines and links that there is; the log's hash."""
    world = World(seed, codec=codec, latency=Uniform(200, 3_000), costs=Costs())
    a, b, c, d, e, f = world.grow(8)[:6]
    world.run(5)
    world.network.default = link(
        Lognormal(1_500, 0.6),
        loss=0.05,
        duplication=0.05,
        burst=Burst(0.01, 0.2, 0.9),
        reordering=0.1,
        reorder_us=20_000,
        bandwidth=200_000,
    )
    world.set_link(a, b, link(Uniform(50_000, 90_000), loss=0.3, mtu=900))
    world.set_clock_rate(b, 40_000)
    world.set_clock_rate(c, -70_000)
    world.starve(d, 3_000)
    for number in range(30):
        a.register(f"s{number}", 80 + number)
    world.run(8)
    world.network.cut(e, f)
    world.pause(c)
    world.suspend(e)
    world.jump_wall(f, 3_600)
    world.fail_sends(b)
    world.run(4)
    world.set_clock_rate(c, 300_000)
    world.resume(c)
    world.resume(e)
    world.fail_sends(b, False)
    world.starve(d, 1)
    world.restart(f, identity="new")
    world.restart(a, address="new", registrations="lost")
    world.partition([world.hosts[:3]])
    world.run(10)
    world.heal()
    world.costs = None
    world.leave(world.hosts[6])
    world.run(15)
    assert {"burst", "loss", "cut"} <= set(world.network.dropped)
    assert total(host.sent for host in world.hosts).count("Offer", "Page") > 1
    assert c.node.counters["doubts"]
    assert d.node.counters["doubts"]
    return world.log_hash()
