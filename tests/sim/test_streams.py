"""TCP, emulated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from gossip.core.effects import Close, Dial, Effect, Write
from gossip.core.params import LAN
from sim.host import Host
from sim.network import link
from sim.streams import LIFE_FACTOR
from sim.world import LATENCY, World
from tests.sim.scripted import frame, say, script, scripted

MS = 0.0005
"""One way, in seconds."""
IDLE = LAN.stream_timeout


def pair(**settings: Any) -> tuple[World, Host, Host]:
    world = scripted(2, **settings)
    a, b = world.hosts
    return world, a, b


def story(host: Host) -> list[tuple[str, Any]]:
    return [(word, what) for word, what in script(host).heard if word != "start"]


def dial(a: Host, b: Host, *more: Effect, timeout: float = 5.0) -> None:
    say(a, Dial(1, b.address, timeout), *more)


@pytest.mark.parametrize("codec", [True, False])
def test_a_conversation(codec: bool) -> None:
    world, a, b = pair(codec=codec)

    def answer(word: str, what: Any) -> Iterable[Effect]:
        return [Write(1_001, frame(9)), Close(1_001)] if what == frame(2) else []

    script(b).react = answer
    dial(a, b, Write(1, frame(1)), Write(1, frame(2)))
    world.run(1)
    assert story(a) == [("opened", 1), ("frame", frame(9)), ("closed", "eof")]
    assert story(b) == [("accepted", a.address), ("frame", frame(1)), ("frame", frame(2))]
    assert script(a).at("opened") == [2 * MS]
    assert script(b).at("accepted") == [3 * MS]
    assert script(b).at("frame") == [3 * MS, 3 * MS]
    assert script(a).at("frame") == [4 * MS]
    assert (script(a).streams, script(b).streams) == ([1, 1], [1_001, 1_001])
    assert a.agent.ends == b.agent.ends == {}


def test_closing_flushes_and_the_other_side_hears_the_end() -> None:
    world, a, b = pair()
    dial(a, b, Write(1, frame(1)), Close(1))
    world.run(1)
    assert story(a) == []
    assert story(b) == [("accepted", a.address), ("frame", frame(1)), ("closed", "eof")]


def test_a_dial_that_is_closed_before_it_opens_and_says_nothing_never_happened() -> None:
    world, a, b = pair()
    dial(a, b, Close(1))
    world.run(60)
    assert story(a) == story(b) == []


def test_a_full_core_ends_the_stream() -> None:
    world, a, b = pair()
    script(b).accepts = False
    dial(a, b, Write(1, frame(1)))
    world.run(1)
    assert story(b) == [("accepted", a.address), ("count", "stream_limit")]
    assert story(a) == [("opened", 1), ("closed", "eof")]


@pytest.mark.parametrize(
    ("cause", "reason", "after"),
    [
        ("closed port", "refused", 2 * MS),
        ("other port", "refused", 2 * MS),
        ("firewall", "timeout", 5.0),
        ("machine gone", "timeout", 5.0),
        ("no such address", "timeout", 5.0),
        ("cut there", "timeout", 5.0),
        ("cut back", "timeout", 5.0),
        ("deaf", "timeout", 5.0),
        ("all lost", "timeout", 5.0),
    ],
)
def test_how_a_dial_fails(cause: str, reason: str, after: float) -> None:
    world, a, b = pair()
    address = b.address
    match cause:
        case "closed port":
            world.crash(b)
        case "other port":
            address = (b.address[0], 1)
        case "firewall":
            world.crash(b)
            b.refuses = False
        case "machine gone":
            world.crash(b, machine=True)
        case "no such address":
            address = ("10.9.9.9", 1)
        case "cut there":
            world.network.cut(a, b)
        case "cut back":
            world.network.cut(b, a)
        case "deaf":
            b.deaf = True
        case _:
            world.network.default = link(LATENCY, loss=1.0)
    say(a, Dial(1, address, 5.0))
    world.run(60)
    assert story(a) == [("closed", reason)]
    assert script(a).at("closed") == [after]
    assert a.agent.ends == {}


@pytest.mark.parametrize(("healed", "opened"), [(0.5, 1), (1.5, 3), (3.5, 7)])
def test_a_lost_syn_is_sent_again_after_one_two_and_four_seconds(healed: float, opened: float) -> None:
    world, a, b = pair()
    world.network.cut(a, b)
    dial(a, b, timeout=20)
    world.run(healed)
    world.heal()
    world.run(20)
    assert script(a).at("opened") == [opened + 2 * MS]
    assert len(script(b).at("accepted")) == 1


def test_a_lost_answer_to_a_syn_costs_the_same() -> None:
    world, a, b = pair()
    world.network.cut(b, a)
    dial(a, b, timeout=20)
    world.run(0.5)
    world.heal()
    world.run(20)
    assert script(a).at("opened") == [1 + 2 * MS]
    assert len(script(b).at("accepted")) == 1


@pytest.mark.parametrize(("healed", "arrives"), [(0.1, 0.2), (0.3, 0.6), (1.0, 1.4)])
def test_lost_data_is_sent_again_after_200_ms_doubling_and_keeps_its_order(
    healed: float, arrives: float
) -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    world.network.cut(a, b)
    say(a, Write(1, frame(1)))
    world.run(0.05)
    say(a, Write(1, frame(2)))
    world.run(healed - 0.05)
    world.heal()
    world.run(5)
    assert script(b).what("frame") == [frame(1), frame(2)]
    assert script(b).at("frame") == pytest.approx([1 + arrives + MS] * 2)


def test_a_cut_that_stays_ends_both_sides_by_their_own_deadlines() -> None:
    world, a, b = pair()
    dial(a, b, Write(1, frame(1)))
    world.run(1)
    world.partition([[a], [b]])
    say(a, Write(1, frame(2)))
    world.run(60)
    assert story(a)[-1] == story(b)[-1] == ("closed", "timeout")
    assert script(a).at("closed") == [1 + IDLE]
    assert script(b).at("closed") == [pytest.approx(3 * MS + IDLE)]


def test_each_frame_moves_the_deadline_on_but_not_beyond_the_longest_life() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    for _ in range(20):
        say(a, Write(1, frame(1)))
        world.run(IDLE / 2)
    assert script(a).at("closed") == [pytest.approx(2 * MS + LIFE_FACTOR * IDLE)]
    assert len(script(b).what("frame")) in (11, 12, 13)


def test_a_killed_process_ends_its_streams_and_late_data_is_reset() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    world.crash(b)
    world.run(1)
    assert story(a) == [("opened", 1), ("closed", "eof")]


def test_data_for_a_process_that_is_gone_is_answered_with_a_reset() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    world.network.cut(b, a)
    world.crash(b)
    world.run(0.1)
    world.network.heal()
    say(a, Write(1, frame(1)))
    world.run(0.05)
    assert story(a) == [("opened", 1), ("closed", "refused")]


def test_a_reset_after_something_was_heard_is_no_refusal() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    say(b, Write(1_001, frame(1)))
    world.run(1)
    world.network.cut(b, a)
    world.crash(b)
    world.network.heal()
    say(a, Write(1, frame(1)))
    world.run(0.05)
    assert story(a)[-1] == ("closed", "reset")


def test_a_machine_that_is_gone_says_nothing() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    world.crash(b, machine=True)
    world.run(60)
    assert story(a) == [("opened", 1), ("closed", "timeout")]


def test_the_kernel_of_a_stopped_process_completes_handshakes_and_takes_data() -> None:
    """So that a stream opens says nothing about the program behind it."""
    world, a, b = pair()
    world.pause(b)
    dial(a, b, Write(1, frame(1)))
    world.run(1)
    assert story(a) == [("opened", 1)]
    assert story(b) == []
    world.resume(b)
    assert story(b) == [("accepted", a.address), ("frame", frame(1))]


def test_a_stopped_dialler_hears_of_its_stream_when_it_goes_on() -> None:
    world, a, b = pair()
    dial(a, b, Write(1, frame(1)))
    world.pause(a)
    world.run(1)
    assert story(b) == [("accepted", a.address)]
    world.resume(a)
    world.run(1)
    assert story(a) == [("opened", 1)]
    assert story(b) == [("accepted", a.address), ("frame", frame(1))]


def test_loss_delays_streams_and_loses_nothing() -> None:
    world, a, b = pair(loss=0.3, seed=3)
    for number in range(1, 21):
        say(a, Dial(number, b.address, 60.0), Write(number, frame(number)), Close(number))
    world.run(200)
    assert sorted(int(heard.reason) for heard in script(b).what("frame")) == [*range(1, 21)]
    assert max(script(b).at("frame")) > 1


def test_damage_in_a_stream_ends_it_as_malformed() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    end = a.agent.ends[1]
    assert end.out is not None
    end.out.put((end.peer, b"\0\0\0\1x", 5), 5)
    world.run(1)
    assert story(b) == [("accepted", a.address), ("count", "malformed"), ("closed", "malformed")]
    assert story(a) == [("opened", 1), ("closed", "eof")]


def test_frames_are_counted() -> None:
    world, a, b = pair()
    dial(a, b, Write(1, frame(1)))
    world.run(1)
    size = 4 + 58 + len(b"\x92\x16\xa11")
    assert a.sent.kinds == {"Turned": [1, size]}
    assert b.received.kinds == {"Turned": [1, size]}
