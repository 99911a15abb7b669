"""TCP, emulated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest

from gossip.core.effects import Close, Dial, Effect, Send, Write
from gossip.core.messages import Turned
from gossip.core.params import LAN
from sim.chance import threshold
from sim.host import Host
from sim.links import Burst, link
from sim.pipe import SEGMENT
from sim.refusals import Refusals
from sim.streams import LIFE_FACTOR
from sim.world import LATENCY, World
from tests.sim.scripted import frame, packet, say, script, scripted

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


# The network's other faults


def big(size: int) -> Turned:
    return Turned("x" * size)


def test_a_cut_stalls_a_stream_and_what_arrives_after_one_side_gave_up_is_reset() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    say(b, Write(1_001, frame(1)))
    world.run(IDLE - 0.05)
    world.network.cut(a, b, both=True)
    say(a, Write(1, frame(2)))
    world.run(0.1)
    assert story(b)[-1] == ("closed", "timeout")
    assert story(a)[-1] == ("frame", frame(1))
    world.heal()
    world.run(0.4)
    assert story(a)[-1] == ("closed", "reset")
    assert script(b).what("frame") == []
    assert a.agent.ends == b.agent.ends == {}


def test_what_comes_late_is_read_away_for_a_while_and_then_reset() -> None:
    """The reset is lost in a cut, and given again when the data comes again."""
    world, a, b = pair()
    script(b).react = lambda word, _what: [Close(1_001)] if word == "accepted" else []
    dial(a, b)
    world.run(0.001)
    world.network.cut(b, a)
    world.run(1)
    say(a, Write(1, frame(1)))
    world.run(2.3)
    assert story(a) == [("opened", 1)]
    say(a, Write(1, frame(2)))
    world.run(0.1)
    world.heal()
    world.run(0.15)
    assert story(a) == [("opened", 1), ("closed", "refused")]
    assert script(b).what("frame") == []


def test_a_kernel_gives_up_after_a_quarter_of_an_hour() -> None:
    world, a, b = pair(params=msgspec.structs.replace(LAN, stream_timeout=3_600.0))
    dial(a, b)
    world.run(1)
    world.network.cut(a, b)
    say(a, Write(1, frame(1)))
    world.run(924)
    assert story(a) == [("opened", 1)]
    world.run(1)
    assert story(a) == [("opened", 1), ("closed", "reset")]


def test_a_frame_takes_the_bandwidth_of_its_segments() -> None:
    world, a, b = pair(codec=False, sized=True)
    world.network.default = link(LATENCY, bandwidth=100_000)
    dial(a, b, Write(1, big(100_000)))
    world.run(5)
    segments = 1 + a.sent.bytes // SEGMENT
    # SYN, its answer, the last of the handshake, and the frame; the latency twice and once.
    assert script(b).at("accepted") == [pytest.approx((60 + 60 + 52) / 1e5 + 3 * MS)]
    whole = (60 + 60 + 52 + a.sent.bytes + segments * 52) / 1e5 + 3 * MS
    assert script(b).at("frame") == [pytest.approx(whole, rel=0.001)]


def test_a_frame_longer_than_the_backlog_arrives_at_the_line_s_own_pace_and_lets_datagrams_by() -> None:
    world, a, b = pair(codec=False, sized=True)
    world.network.default = link(LATENCY, bandwidth=100_000, backlog=10_000)
    dial(a, b, Write(1, big(500_000)))
    world.run(1)
    for _ in range(20):
        say(a, Send(b.address, packet(1)))
        world.run(0.1)
    heard = script(b).at("receive")
    assert len(heard) == 20
    # Behind half of the backlog at most.
    assert max(at - 1 - turn / 10 for turn, at in enumerate(heard)) < 0.055
    world.run(4)
    segments = 1 + 500_000 / SEGMENT
    assert script(b).at("frame") == [pytest.approx((500_000 + segments * 52) / 1e5, rel=0.02)]
    assert set(world.network.dropped) == set()


def test_streams_share_the_bandwidth() -> None:
    world, a, b = pair(codec=False, sized=True)
    world.network.default = link(LATENCY, bandwidth=100_000, backlog=10_000)
    for number in (1, 2):
        say(a, Dial(number, b.address, 5.0), Write(number, big(100_000)))
    world.run(10)
    first, second = script(b).at("frame")
    assert second == pytest.approx(2.08, rel=0.02)
    assert first > 1.8


def test_an_mtu_is_nothing_to_streams() -> None:
    world, a, b = pair(codec=False, sized=True)
    world.network.default = link(LATENCY, mtu=576)
    dial(a, b, Write(1, big(5_000)))
    world.run(1)
    assert len(script(b).what("frame")) == 1


def test_bursts_and_hosts_take_segments_too_and_they_come_again() -> None:
    world, a, b = pair(codec=False, sized=True, seed=2)
    world.network.default = link(LATENCY, burst=Burst(0.05, 0.3))
    a.loss_out = b.loss_in = threshold(0.1)
    for number in range(1, 21):
        say(a, Dial(number, b.address, 9.0), Write(number, big(20_000)), Close(number))
    world.run(60)
    assert len(script(b).what("frame")) == 20
    assert 0.2 < max(script(b).at("frame")) < 20


def test_a_segment_that_is_overtaken_holds_up_what_came_after_it() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    world.network.default = link(LATENCY, reordering=1.0, reorder_us=3_000)
    say(a, Write(1, frame(1)))
    world.network.default = link(LATENCY)
    say(a, Write(1, frame(2)))
    world.run(1)
    assert script(b).what("frame") == [frame(1), frame(2)]
    assert script(b).at("frame") == pytest.approx([1 + MS + 0.003] * 2)


def test_some_progress_begins_the_doubling_anew() -> None:
    """Forty segments under heavy loss take many rounds of 200 ms, and not 200, 400, 800..."""
    world, a, b = pair(codec=False, sized=True, seed=1)
    dial(a, b)
    world.run(1)
    world.network.default = link(LATENCY, loss=0.7)
    say(a, Write(1, big(200 * SEGMENT)))
    world.run(60)
    (arrived,) = script(b).at("frame")
    rounds = (arrived - 1 - MS) / 0.2
    assert rounds == pytest.approx(round(rounds))
    assert 8 < rounds < 40


@pytest.mark.parametrize("refusals", ["limited", "lying", "sent"])
def test_a_closed_port_resets_however_the_host_limits_its_errors(refusals: Refusals) -> None:
    world, a, b = pair()
    b.refusals = refusals
    dial(a, b)
    world.run(1)
    assert story(a) == [("opened", 1)]
    world.crash(b)
    world.run(1)
    for number in range(10, 20):
        say(a, Dial(number, b.address, 5.0))
    world.run(1)
    assert script(a).what("closed") == ["eof", *["refused"] * 10]


def test_a_rejecting_host_resets_new_connections_and_lets_standing_ones_be() -> None:
    world, a, b = pair()
    dial(a, b)
    world.run(1)
    b.refusals = "rejecting"
    say(a, Write(1, frame(1)), Dial(2, b.address, 5.0))
    world.run(1)
    assert script(a).what("closed") == ["refused"]
    assert len(script(b).what("frame")) == 1


def test_frames_are_counted() -> None:
    world, a, b = pair()
    dial(a, b, Write(1, frame(1)))
    world.run(1)
    size = 4 + 58 + len(b"\x92\x16\xa11")
    assert a.sent.kinds == {"Turned": [1, size]}
    assert b.received.kinds == {"Turned": [1, size]}
