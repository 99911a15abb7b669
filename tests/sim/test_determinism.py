"""One scenario and seed, one log: in any process, under any hash seed, on any Python."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gossip.core.effects import Close, Dial, Send, Write
from sim.latency import Lognormal, Uniform
from sim.links import Burst, link
from sim.meters import total
from sim.processor import Costs
from sim.world import World
from tests.sim.scripted import frame, packet, say, scripted

ROOT = Path(__file__).parents[2]
CODE = (
    "from tests.sim.test_determinism import play, suffer; print(play(1), suffer(1), suffer(1, codec=False))"
)
SUPPORTED = ("3.11", "3.12", "3.13")


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


@functools.cache
def expected() -> list[str]:
    return [play(1), suffer(1), suffer(1, codec=False)]


def elsewhere(python: str, hash_seed: str, path: str) -> list[str]:
    """The hashes as another process finds them."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(
        [python, "-c", CODE], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    return done.stdout.split()


def interpreter(version: str) -> str | None:
    """A Python of that version that can run this code, if there is one: the project's, or on PATH."""
    probe = "import sys, cryptography, msgspec; print('%d.%d' % sys.version_info[:2])"
    environment = {**os.environ, "PYTHONPATH": ""}
    for place in (ROOT / f".venv-{version}/bin/python", ROOT / ".venv/bin/python", f"python{version}"):
        python = shutil.which(place)
        if python is not None:
            done = subprocess.run(
                [python, "-c", probe], check=False, capture_output=True, text=True, env=environment
            )
            if done.stdout.strip() == version:
                return python
    return None


def test_the_hash_is_of_what_happened() -> None:
    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1, codec=False) == play(1, codec=False)
    assert len({*expected(), suffer(2)}) == 4


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_does_not_depend_on_the_order_of_sets(hash_seed: str) -> None:
    assert elsewhere(sys.executable, hash_seed, os.pathsep.join(sys.path)) == expected()


@pytest.mark.parametrize("version", SUPPORTED)
def test_the_hash_does_not_depend_on_the_python(version: str) -> None:
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        pytest.skip("this is the Python that the others are held against")
    python = interpreter(version)
    if python is None:
        pytest.skip(f"no Python {version} with msgspec and cryptography: put one in .venv-{version}")
    assert elsewhere(python, "3", str(ROOT)) == expected()
