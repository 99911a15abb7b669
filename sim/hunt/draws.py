"""The plan of a seed: chaos dense enough to meet itself, with stretches of quiet in which things mature.

Each seed does without about a third of the kinds of trouble (swarm testing: Groce et al., ISSTA 2012), since
a fault that is always there hides what happens without it. Most kinds come in pairs, a fault and its end
some time later, so that faults overlap; a partition may flap. Lengths are drawn over four orders of
magnitude: a doubt begins at 250 ms, a suspicion takes 4 to 24 s, a restart is waited for for 5 s.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, cast

from msgspec.structs import replace

from gossip.core.catalog import NODE
from gossip.core.params import LOCAL, WAN
from gossip.core.types import Verdict
from sim.chance import derive
from sim.errors import ScenarioError
from sim.hunt.act import Act
from sim.hunt.acts import AnyAct
from sim.hunt.faults import (
    Cut,
    FailSends,
    Heal,
    HostLoss,
    Line,
    Mend,
    OneLine,
    Partition,
    Refuse,
    SetDeaf,
    SetLines,
    SetMute,
)
from sim.hunt.lives import (
    ClockRate,
    Crash,
    HandOver,
    JumpWall,
    Leave,
    Pause,
    Rejoin,
    Restart,
    Resume,
    Starve,
    Storm,
    Suspend,
)
from sim.hunt.plan import STEP_MS, Plan
from sim.hunt.stage import SEEDS
from sim.hunt.users import Deregister, Evict, Flood, RaiseFloor, Register, Report, SetTag, Tell
from sim.refusals import Refusals

__all__ = ["draw"]

NODES = (3, 12)
CODEC_EVERY = 8
"""One seed in so many sends real bytes."""
GAPS_MS = (30, 150, 600, 1_500, 4_000, 10_000, 25_000, 60_000)
"""How long a fault lasts, before it is stretched by up to two."""
BETWEEN_MS = (300, 3_000)
"""From one act to the next, in a busy stretch."""
BUSY_MS = (2_000, 40_000)
QUIET_MS = (3_000, 60_000)
RESTARTS = ("same", "same", "same", "same", "new identity", "new address", "lost disk")
JUMPS_MS = (-3_600_000, -1_000, 100, 2_000, 3_600_000)
RATES_PPM = (-100_000, -200, 200, 100_000)
SLOWNESS = (20, 400, 4_000)
LATENCIES = ("0.5ms", "0.1ms..3ms", "0.1ms..3ms", "1ms..30ms", "lognormal 2ms 1.0", "40ms..90ms")
BAD_LATENCIES = ("0.1ms..3ms", "20ms..200ms", "lognormal 20ms 1.0", "300ms..700ms")
KEYS = ("a", "b", "c", "d")
NAMES = ("web", "db")

SETTINGS: tuple[tuple[int, dict[str, Any]], ...] = (
    (20, {}),
    (2, {"retention": 40.0}),
    (1, {"tombstones_max": 2}),
    (1, {"streams": 4}),
    (1, {"events_max": 4, "event_life": 5.0}),
    (1, {"coordinates": False, "stream_probe": False}),
    (1, {"period": WAN.period, "direct_max": WAN.direct_max, "suspicion_alpha": WAN.suspicion_alpha}),
    (1, {"helpers": LOCAL.helpers, "direct_max": LOCAL.direct_max, "gossip_interval": LOCAL.gossip_interval}),
)
"""What else than the usual a world may run with, and how often."""


def draw(seed: int, steps: int) -> Plan:
    """The plan of a seed: a function of these two alone.

    Raises:
        ScenarioError: if `seed` or `steps` is negative.
    """
    if seed < 0:
        raise ScenarioError(f"seed {seed}: seeds are counted from 0")
    if steps < 1:
        raise ScenarioError(f"--steps {steps}: a world takes at least one step, of {STEP_MS} ms")
    rng = derive(seed, "hunt")
    nodes = rng.randint(*NODES)
    settings = _weighted(rng, SETTINGS)
    gap_ms = rng.choice((0, 0, 20, 1_500))
    return Plan(
        seed=seed,
        nodes=nodes,
        steps=steps,
        acts=Sketch(rng, nodes, steps * STEP_MS, derive(seed, "reports")).draw(gap_ms),
        line=Line(latency=rng.choice(LATENCIES), loss=rng.choice((0.0, 0.0, 0.0, 0.01, 0.05))),
        codec=seed % CODEC_EVERY == 0,
        gap_ms=gap_ms,
        ephemeral=(nodes - 1,) if rng.random() < 0.5 else (),
        settings=settings,
    )


class Sketch:
    """A plan being drawn, with a rough idea of who is running."""

    def __init__(self, rng: random.Random, nodes: int, end_ms: int, reports: random.Random) -> None:
        self._rng = rng
        self._reports = reports
        """Chance of its own for what checks find: the rest of a seed's plan is as it was without."""
        self._nodes = nodes
        self._end_ms = end_ms
        self._acts: list[AnyAct] = []
        self._keys = {host: {"first"} for host in range(nodes)}
        """What is probably registered on each."""
        self._away_until = [0] * nodes
        """When each host is expected to be back."""
        everything: list[tuple[int, Callable[[int], None]]] = [
            (6, self._crash),
            (3, self._leave),
            (3, self._hand_over),
            (1, self._storm),
            (1, self._restart),
            (4, self._pause),
            (3, self._suspend),
            (2, self._jump),
            (1, self._clock_rate),
            (1, self._starve),
            (4, self._partition),
            (2, self._flap),
            (5, self._cut),
            (2, self._set_lines),
            (2, self._one_line),
            (2, self._mute_or_deaf),
            (1, self._fail_sends),
            (2, self._host_loss),
            (2, self._refuse),
            (1, self._rejoin),
            (1, self._evict),
            (1, self._raise_floor),
            (2, self._tell),
            (2, self._tag),
        ]
        kept = [kind for kind in everything if rng.random() < 2 / 3]
        if rng.random() < 1 / 8:
            kept.append((1, self._flood))
        # Something must change in any case, for faults to be in its way.
        self._kinds = [*kept, (6, self._register), (4, self._deregister), (4, self._churn)]

    def draw(self, gap_ms: int) -> tuple[AnyAct, ...]:
        """All acts, in order of time; agents are started `gap_ms` after one another."""
        rng = self._rng
        for host in range(self._nodes):
            self._add(Register(host * gap_ms, host, "first", "first", 80))
        at_ms = rng.choice((0, 0, 5_000))
        while at_ms < self._end_ms:
            busy_until = at_ms + rng.randint(*BUSY_MS)
            while at_ms < busy_until:
                _weighted(rng, self._kinds)(at_ms)
                at_ms += rng.randint(*BETWEEN_MS)
            at_ms += rng.randint(*QUIET_MS)
        self._report()
        return tuple(sorted(self._acts, key=lambda act: act.at_ms))

    def _add(self, act: Act) -> None:
        if act.at_ms <= self._end_ms:
            self._acts.append(cast("AnyAct", act))

    def _gap(self) -> int:
        return int(self._rng.choice(GAPS_MS) * (1 + self._rng.random()))

    def _host(self) -> int:
        return self._rng.randrange(self._nodes)

    def _here(self, at_ms: int) -> int | None:
        """A host that is probably running, and whose absence leaves two others that are."""
        here = [host for host in range(self._nodes) if self._away_until[host] <= at_ms]
        return self._rng.choice(here) if len(here) > 2 else None

    def _pair(self) -> tuple[int, int]:
        host = self._host()
        return host, (host + self._rng.randrange(1, self._nodes)) % self._nodes

    # Lives

    def _back(self, host: int, at_ms: int) -> None:
        """The agent is started again some time later, or, rarely, not before it is calm, or not at all."""
        self._away_until[host] = back_ms = at_ms + self._gap()
        if self._rng.random() < 1 / 12:
            self._away_until[host] = self._end_ms + 1
            return
        how = self._rng.choice(RESTARTS)
        if how == "new address" and host < SEEDS:
            how = "same"
        self._add(Restart(back_ms, host, cast("Any", how)))

    def _crash(self, at_ms: int) -> None:
        host = self._here(at_ms)
        if host is not None:
            self._add(Crash(at_ms, host, self._rng.random() < 0.5))
            self._back(host, at_ms)

    def _restart(self, at_ms: int) -> None:
        host = self._here(at_ms)
        if host is not None:
            self._add(Restart(at_ms, host))

    def _leave(self, at_ms: int) -> None:
        host = self._here(at_ms)
        if host is None:
            return
        stays = self._rng.random() < 0.3
        self._add(Leave(at_ms, host, stays))
        if not stays:
            self._back(host, at_ms)
            return
        back_ms = self._away_until[host] = at_ms + self._gap()
        self._add(Rejoin(back_ms, host, (host + 1) % self._nodes))

    def _hand_over(self, at_ms: int) -> None:
        host = self._here(at_ms)
        if host is not None:
            self._add(HandOver(at_ms, host))
            self._back(host, at_ms)

    def _storm(self, at_ms: int) -> None:
        """Several agents are killed, and all that are down are started at one instant."""
        for _ in range(self._rng.randint(1, self._nodes)):
            host = self._here(at_ms)
            if host is not None:
                self._add(Crash(at_ms, host, self._rng.random() < 0.5))
                self._away_until[host] = at_ms + 1
        self._add(Storm(at_ms + self._gap()))

    # Users

    def _register(self, at_ms: int) -> None:
        rng = self._rng
        host = self._here(at_ms)
        if host is not None:
            key = rng.choice(KEYS)
            self._keys[host].add(key)
            self._add(Register(at_ms, host, key, rng.choice(NAMES), rng.randint(1, 9)))

    def _deregister(self, at_ms: int) -> None:
        host = self._here(at_ms)
        if host is not None and self._keys[host]:
            key = self._rng.choice(sorted(self._keys[host]))
            self._keys[host].discard(key)
            self._add(Deregister(at_ms, host, key))

    def _report(self) -> None:
        """Checks that turn all the time, on whoever is there."""
        rng, at_ms = self._reports, 0
        while True:
            at_ms += int(rng.choice(GAPS_MS[2:6]) * (1 + rng.random()))
            if at_ms > self._end_ms:
                return
            key = rng.choice(("first", *KEYS, NODE)) if rng.random() < 0.9 else NODE
            verdict, is_kept_away = rng.choice(tuple(Verdict)), rng.random() < 1 / 8
            self._add(Report(at_ms, rng.randrange(self._nodes), key, int(verdict), is_kept_away))

    def _churn(self, at_ms: int) -> None:
        """One service comes and goes faster than the news of it."""
        rng = self._rng
        host, key = self._here(at_ms), rng.choice(KEYS)
        if host is None:
            return
        self._keys[host].add(key)
        for _ in range(rng.randint(2, 6)):
            if rng.random() < 0.4:
                self._add(Deregister(at_ms, host, key))
            else:
                self._add(Register(at_ms, host, key, rng.choice(NAMES), rng.randint(1, 9)))
            at_ms += rng.choice((3, 30, 200, 700))

    def _raise_floor(self, at_ms: int) -> None:
        self._add(RaiseFloor(at_ms, self._host()))

    def _tag(self, at_ms: int) -> None:
        self._add(SetTag(at_ms, self._host(), str(self._rng.randrange(4))))

    def _tell(self, at_ms: int) -> None:
        self._add(Tell(at_ms, self._host()))

    def _flood(self, at_ms: int) -> None:
        hosts = tuple(sorted(self._rng.sample(range(self._nodes), 3)))
        self._add(Flood(at_ms, hosts, self._rng.choice((20, 300))))

    def _evict(self, at_ms: int) -> None:
        host, other = self._pair()
        self._add(Evict(at_ms, host, other))

    def _rejoin(self, at_ms: int) -> None:
        host, other = self._pair()
        self._add(Rejoin(at_ms, host, other))

    # Stopped, suspended, and clocks that jump

    def _pause(self, at_ms: int) -> None:
        self._stop(at_ms, Pause)

    def _suspend(self, at_ms: int) -> None:
        self._stop(at_ms, Suspend)

    def _stop(self, at_ms: int, how: type[Pause | Suspend]) -> None:
        host = self._here(at_ms)
        if host is not None:
            self._away_until[host] = back_ms = at_ms + self._gap()
            self._add(how(at_ms, host))
            self._add(Resume(back_ms, host))

    def _jump(self, at_ms: int) -> None:
        self._add(JumpWall(at_ms, self._host(), self._rng.choice(JUMPS_MS)))

    def _clock_rate(self, at_ms: int) -> None:
        host = self._host()
        self._add(ClockRate(at_ms, host, self._rng.choice(RATES_PPM)))
        self._add(ClockRate(at_ms + self._gap(), host, 0))

    def _starve(self, at_ms: int) -> None:
        host = self._host()
        self._add(Starve(at_ms, host, self._rng.choice(SLOWNESS)))
        self._add(Starve(at_ms + self._gap(), host, 1))

    # The network

    def _side(self) -> tuple[int, ...]:
        rng = self._rng
        count = 1 if rng.random() < 0.4 else rng.randint(1, self._nodes - 1)
        return tuple(sorted(rng.sample(range(self._nodes), count)))

    def _partition(self, at_ms: int) -> None:
        self._add(Partition(at_ms, self._side()))
        self._add(Heal(at_ms + self._gap()))

    def _flap(self, at_ms: int) -> None:
        """A partition or a cut that comes and goes."""
        rng = self._rng
        side, (host, other) = self._side(), self._pair()
        is_cut, both = rng.random() < 0.5, rng.random() < 0.5
        for _ in range(rng.randint(2, 8)):
            self._add(Cut(at_ms, host, other, both) if is_cut else Partition(at_ms, side))
            at_ms += rng.randint(100, 3_000)
            self._add(Mend(at_ms, host, other) if is_cut else Heal(at_ms))
            at_ms += rng.randint(100, 3_000)

    def _cut(self, at_ms: int) -> None:
        """One link or, now and then, most links of one host, in one direction or both."""
        rng = self._rng
        host, other = self._pair()
        both, end_ms = rng.random() < 0.3, at_ms + self._gap()
        others = (
            [other]
            if rng.random() < 0.7
            else [number for number in range(self._nodes) if number != host][:-1]
        )
        for number in others:
            self._add(Cut(at_ms, host, number, both))
            self._add(Mend(end_ms, host, number))

    def _bad_line(self) -> Line:
        rng = self._rng
        line = Line(latency=rng.choice(BAD_LATENCIES))
        kind = rng.randrange(4)
        if kind == 0:
            return replace(line, loss=rng.choice((0.1, 0.3, 0.6)), duplication=rng.choice((0.0, 0.3)))
        if kind == 1:
            return replace(line, burst=(0.02, rng.choice((0.02, 0.2)), 1.0))
        if kind == 2:
            return replace(line, reordering=0.3, reorder_ms=rng.choice((20, 400)), duplication=0.3)
        return line

    def _set_lines(self, at_ms: int) -> None:
        self._add(SetLines(at_ms, self._bad_line()))
        self._add(SetLines(at_ms + self._gap()))

    def _one_line(self, at_ms: int) -> None:
        host, other = self._pair()
        self._add(OneLine(at_ms, host, other, self._bad_line()))
        self._add(OneLine(at_ms + self._gap(), host, other))

    def _mute_or_deaf(self, at_ms: int) -> None:
        host = self._host()
        how = SetMute if self._rng.random() < 0.5 else SetDeaf
        self._add(how(at_ms, host, on=True))
        self._add(how(at_ms + self._gap(), host, on=False))

    def _fail_sends(self, at_ms: int) -> None:
        host = self._host()
        self._add(FailSends(at_ms, host, on=True))
        self._add(FailSends(at_ms + self._gap(), host, on=False))

    def _host_loss(self, at_ms: int) -> None:
        host, share = self._host(), self._rng.choice((0.2, 0.5, 0.8))
        one_way = self._rng.random() < 0.5
        self._add(HostLoss(at_ms, host, share, 0.0 if one_way else share))
        self._add(HostLoss(at_ms + self._gap(), host, 0.0, 0.0))

    def _refuse(self, at_ms: int) -> None:
        host = self._host()
        how: Refusals = self._rng.choice(("silent", "limited", "lying", "rejecting"))
        self._add(Refuse(at_ms, host, how))
        self._add(Refuse(at_ms + self._gap(), host, "sent"))


def _weighted(rng: random.Random, choices: Any) -> Any:
    """One of `(weight, value)`."""
    at = rng.randrange(sum(weight for weight, _ in choices))
    for weight, value in choices:
        at -= weight
        if at < 0:
            return value
    raise AssertionError("the weights are their sum")
