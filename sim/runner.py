"""One run of a scenario, from its first node to its result. It can be interrupted, and tells what it has."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable
from functools import partial
from typing import Any, SupportsIndex

from msgspec import Struct

from gossip.errors import GossipError
from sim.clock import SECOND
from sim.errors import BrokenRunError, ScenarioError
from sim.journal import Teller
from sim.results.percentiles import seconds
from sim.results.recorder import Recorder
from sim.results.result import Result
from sim.scenario.director import Director
from sim.scenario.portable import portable
from sim.scenario.scenario import Scenario
from sim.scenario.stage import Stage

__all__ = ["Progress", "run", "sample_us"]

LOOK_US = 10_000
"""How often a run looks whether all nodes hold one view, while they do not."""
SEED_MAX = (1 << 63) - 1
"""JSON has no greater numbers."""
SAMPLE_US = 100_000
SAMPLE_NODES = 100
"""A sample looks at every node: beyond so many nodes it is taken less often, so that it stays cheap."""


class Progress(Struct, frozen=True):
    """How far a run is."""

    virtual_us: int
    duration_us: int
    steps: int
    """Entries of the world's heap that were handled since it began."""
    node_us: int
    """Node-time that was run."""
    running: int
    converged_share: float
    """Of the running nodes, in the last sample: those of one view, who hold just each other alive."""
    warming_up: bool = False
    """What is measured has not begun: `virtual_us` is what has passed until now."""
    known_share: float = 0.0
    """While it warms up: of all pairs of nodes, those of whom one knows the other."""


def sample_us(nodes: int) -> int:
    """How far samples are apart, in microseconds: 100 ms, times nodes / 100 beyond 100 nodes."""
    return max(SAMPLE_US, SAMPLE_US * nodes // SAMPLE_NODES)


def run(
    scenario: Scenario,
    seed: int = 0,
    *,
    progress: Callable[[Progress], None] | None = None,
    codec: bool = True,
    samples_every_us: int | None = None,
    trace: Teller | None = None,
) -> Result:
    """Run a scenario; what came of it is a function of scenario and seed, but for what the wall clock says.

    Args:
        scenario: what is run.
        seed: of all randomness, a whole number from -2^63 to 2^63 - 1.
        progress: is called after each sample, before the run begins, and each millisecond of warming up.
        codec: whether messages travel as real bytes; without, a run is faster, and its log hash another.
        samples_every_us: how far samples are apart; None: as `sample_us` says.
        trace: is given the story, line by line.

    On Ctrl-C (`KeyboardInterrupt`) the result is that of the part that was run, marked `interrupted`.

    Raises:
        TypeError: if the scenario or the seed is something else.
        ScenarioError: if the seed is too large, or samples are less than a microsecond apart.
        BrokenRunError: if a scenario that starts converged does not converge, or asks too much of the world;
            with the result of the part that was run.
    """
    if not isinstance(scenario, Scenario):
        raise TypeError(
            f"{scenario!r} is no Scenario: Scenario.load(path) reads one, Scenario.shipped(name) too"
        )
    every_us = sample_us(scenario.nodes) if samples_every_us is None else samples_every_us
    if every_us < 1:
        raise ScenarioError(f"samples_every_us is {every_us}: write 1 or more")
    running = _Run(scenario, _whole(seed), codec, trace)
    interrupted = False
    try:
        running.go(progress, every_us)
    except KeyboardInterrupt:
        interrupted = True
    except GossipError as problem:
        raise BrokenRunError(str(problem), running.result(interrupted=True)) from problem
    return running.result(interrupted=interrupted)


def _whole(seed: SupportsIndex) -> int:
    """The seed as a plain int, which numpy's are not: another type would be another run, or no JSON."""
    try:
        number = operator.index(seed)
    except TypeError:
        raise TypeError(f"seed {seed!r}: write a whole number") from None
    if not -SEED_MAX - 1 <= number <= SEED_MAX:
        raise ScenarioError(f"seed {number}: from -2^63 to 2^63 - 1")
    return number


class _Run:
    """The loop between director, clock and recorder."""

    def __init__(self, scenario: Scenario, seed: int, codec: bool, trace: Teller | None) -> None:
        self._scenario = scenario
        self._seed = seed
        self._codec = codec
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        stage = Stage(scenario, seed, codec=codec, trace=trace)
        self._world = stage.world
        self._recorder = Recorder(stage.world, scenario.nodes)
        self._director = Director(stage, self._recorder)
        self._begun = False
        self._one_view_us: int | None = None
        """When all nodes first held one view, in measured time."""
        self._agreed_us: int | None = None
        """When they last came to hold one; None while they do not as far as is known."""
        self._again_us: int | None = None

    def go(self, progress: Callable[[Progress], None] | None, sample_every_us: int) -> None:
        """Run to the end."""
        clock, recorder, director = self._world.clock, self._recorder, self._director
        if progress is not None:
            progress(self._progress())
        director.warm_up(partial(self._tell_warming, progress))
        recorder.begin()
        self._begun = True
        director.begin()
        self._look()
        recorder.sample()
        sampled_us = second_us = clock.now_us
        while clock.now_us < director.end_us:
            target_us = min(director.end_us, sampled_us + sample_every_us, second_us + SECOND)
            self._pass(target_us)
            if target_us == sampled_us + sample_every_us or target_us == director.end_us:
                sampled_us = target_us
                recorder.sample()
                if progress is not None:
                    progress(self._progress())
            if target_us == second_us + SECOND:
                second_us = target_us
                recorder.second()

    def result(self, *, interrupted: bool) -> Result:
        """What there is so far."""
        if not self._begun:
            self._recorder.begin()
            self._director.introduce()
            self._begun = True
        summary = self._summary(interrupted=interrupted)
        tables = self._recorder.finish()
        summary["truncated"] = self._recorder.truncated()
        return Result(summary, tables, *portable(self._scenario))

    def _pass(self, until_us: int) -> None:
        clock, director = self._world.clock, self._director
        while clock.now_us < until_us:
            step_us = until_us if self._is_settled() else min(until_us, clock.now_us + LOOK_US)
            if director.next_us is not None:
                step_us = min(step_us, max(director.next_us, clock.now_us + 1))
            director.pass_to(step_us)
            if not self._is_settled():
                self._look()

    def _is_settled(self) -> bool:
        """One view was reached after the last change."""
        changed_us = self._recorder.changed_us
        return self._agreed_us is not None and (changed_us is None or self._agreed_us > changed_us)

    def _look(self) -> None:
        now_us, changed_us = self._recorder.now_us, self._recorder.changed_us
        if now_us < self._scenario.start_us(self._scenario.nodes - 1):
            return
        if (changed_us is not None and now_us <= changed_us) or not self._recorder.views.agree():
            return
        self._agreed_us = now_us
        if self._one_view_us is None:
            self._one_view_us = now_us
        self._again_us = None if changed_us is None else now_us - changed_us

    def _progress(self) -> Progress:
        recorder = self._recorder
        return Progress(
            virtual_us=recorder.now_us if self._begun else 0,
            duration_us=self._scenario.duration_us,
            steps=self._world.clock.processed,
            node_us=recorder.lives.total_us(),
            running=len(self._world.running()),
            converged_share=recorder.views.converged_share,
        )

    def _tell_warming(self, progress: Callable[[Progress], None] | None) -> None:
        if progress is None:
            return
        hosts = self._world.hosts
        pairs = len(hosts) * (len(hosts) - 1)
        known = sum(len(host.node.members) for host in hosts)
        progress(
            Progress(
                virtual_us=self._world.clock.now_us,
                duration_us=self._scenario.duration_us,
                steps=self._world.clock.processed,
                node_us=0,
                running=len(hosts),
                converged_share=0.0,
                warming_up=True,
                known_share=known / pairs if pairs else 1.0,
            )
        )

    def _summary(self, *, interrupted: bool) -> dict[str, Any]:
        recorder, world = self._recorder, self._world
        wall_s, cpu_s = time.perf_counter() - self._wall, time.process_time() - self._cpu
        end_us = recorder.now_us if self._begun else 0
        node_us = recorder.lives.total_us()
        worked_us = node_us + recorder.origin_us * self._scenario.nodes
        messages, size = recorder.sent()
        settled = self._is_settled()
        return {
            "scenario": self._scenario.name,
            "seed": self._seed,
            "nodes": self._scenario.nodes,
            "nodes_in_all": len(world.hosts),
            "running": len(world.running()),
            "virtual_s": end_us / SECOND,
            "warm_up_s": recorder.origin_us / SECOND,
            "wall_s": round(wall_s, 3),
            "cpu_s": round(cpu_s, 3),
            "node_seconds_per_s": round(worked_us / SECOND / wall_s) if wall_s > 0 else None,
            "codec": self._codec,
            "log_hash": world.log_hash(),
            "converged": recorder.views.agree(),
            "one_view_s": seconds(self._one_view_us),
            "one_view_again_s": seconds(self._again_us if settled else None),
            "last_change_s": seconds(recorder.changed_us),
            "detection": recorder.detections.summary(end_us),
            **recorder.rumours.summary(end_us),
            **recorder.judgements(),
            "messages": messages,
            "bytes": size,
            "messages_per_node_s": round(messages * SECOND / node_us, 3) if node_us else None,
            "bytes_per_node_s": round(size * SECOND / node_us, 1) if node_us else None,
            "dropped": recorder.dropped(),
            "interrupted": interrupted,
        }
