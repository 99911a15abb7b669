"""One scenario and seed, one log: in any process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gossip.core.effects import Close, Dial, Send, Write
from tests.sim.scripted import frame, packet, say, scripted

ROOT = Path(__file__).parents[2]


def play(seed: int, *, codec: bool = True) -> str:
    """A scenario with every kind of chance in it; its log's hash."""
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


def test_the_hash_is_of_what_happened() -> None:
    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1, codec=False) == play(1, codec=False)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_does_not_depend_on_the_order_of_sets(hash_seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    code = "from tests.sim.test_determinism import play; print(play(1))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert done.stdout.strip() == play(1)
