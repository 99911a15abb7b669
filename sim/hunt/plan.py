"""A plan: one small world and everything that is done to it, as a value that a file can hold.

`draw` (in `draws`) makes it of a seed. Whoever has the plan needs that no more, so a plan that was made
shorter, or by hand, runs like any other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gossip.core.params import LAN, Params
from gossip.errors import StoreError
from sim.errors import ScenarioError
from sim.hunt.acts import AnyAct
from sim.hunt.faults import Line, make_link
from sim.hunt.stage import Stage

__all__ = [
    "NODES_MAX",
    "NODES_MIN",
    "STEP_MS",
    "Plan",
    "load_plan",
    "make_stage",
    "plan_text",
    "save_plan",
]

STEP_MS = 100
"""Virtual milliseconds of a step."""
NODES_MIN, NODES_MAX = 1, 64
LAST_MS = 7 * 24 * 3_600_000
"""A week of chaos is the longest."""


class Plan(Struct, frozen=True, forbid_unknown_fields=True):
    """What is run: chaos for `steps`, then calm until there is one view."""

    seed: int
    """Of the world's own randomness."""
    nodes: int
    steps: int
    """Of 100 ms, for which acts are done."""
    acts: tuple[AnyAct, ...] = ()
    """In order of time."""
    line: Line = Line()
    """The link between any two hosts when nothing is wrong."""
    codec: bool = False
    """Whether messages travel as bytes."""
    gap_ms: int = 0
    """Between the starts of the agents."""
    ephemeral: tuple[int, ...] = ()
    """Hosts without a disk."""
    settings: dict[str, Any] = {}
    """Of all nodes, where they differ from the `lan` profile."""

    @property
    def end_ms(self) -> int:
        """When calm begins."""
        return self.steps * STEP_MS

    def check(self) -> None:
        """Raise ScenarioError, with what to change, if this cannot be run."""
        if not NODES_MIN <= self.nodes <= NODES_MAX:
            raise ScenarioError(f"nodes = {self.nodes}: a plan has {NODES_MIN} to {NODES_MAX}")
        if not 0 <= self.end_ms <= LAST_MS:
            raise ScenarioError(f"steps = {self.steps}: from 0 to {LAST_MS // STEP_MS}")
        if self.gap_ms < 0:
            raise ScenarioError(f"gap_ms = {self.gap_ms}: a time is 0 or more")
        before = 0
        for number, act in enumerate(self.acts):
            where = f"acts[{number}] ({act.word})"
            if not before <= act.at_ms <= self.end_ms:
                span = f"from {before}, that of the act before, to {self.end_ms}"
                raise ScenarioError(f"{where}: at_ms = {act.at_ms} must be {span}")
            before = act.at_ms
            for host in act.named:
                if not 0 <= host < self.nodes:
                    raise ScenarioError(f"{where}: there is no host {host}; they are 0 to {self.nodes - 1}")
            self._check_line(where, getattr(act, "line", None))
        self._check_line("line", self.line)
        self.params()

    def params(self) -> Params:
        """The settings of the nodes.

        Raises:
            ScenarioError: if there is no such setting, or not with such a value.
        """
        unknown = sorted(set(self.settings) - set(Params.__struct_fields__))
        if unknown:
            raise ScenarioError(f"settings.{unknown[0]}: there is no such setting; see gossip/core/params.py")
        try:
            return msgspec.convert({**msgspec.structs.asdict(LAN), **self.settings}, Params)
        except msgspec.ValidationError as problem:
            raise ScenarioError(f"settings: {problem}") from None

    @staticmethod
    def _check_line(where: str, line: Line | None) -> None:
        if line is not None:
            try:
                make_link(line)
            except ValueError as problem:
                raise ScenarioError(f"{where}: {problem}") from None


def make_stage(plan: Plan, **world: Any) -> Stage:
    """The world of a plan, with nothing running yet. `world` are further arguments of `World`.

    Raises:
        ScenarioError: if the plan cannot be run.
    """
    plan.check()
    return Stage(
        plan.seed,
        plan.nodes,
        line=make_link(plan.line),
        params=plan.params(),
        ephemeral=plan.ephemeral,
        codec=plan.codec,
        **world,
    )


def load_plan(path: Path) -> Plan:
    """The plan in a file.

    Raises:
        ScenarioError: if it is none, with the key at fault and what was expected.
        OSError: if the file cannot be read.
    """
    try:
        plan = msgspec.json.decode(path.read_bytes(), type=Plan)
        plan.check()
    except (msgspec.DecodeError, UnicodeDecodeError, ScenarioError) as problem:
        raise ScenarioError(f"{path}: {problem}") from None
    return plan


def save_plan(plan: Plan, path: Path) -> None:
    """Write a plan as JSON, an act a line.

    Raises:
        StoreError: if the file cannot be written; with its name.
    """
    try:
        path.write_text(plan_text(plan))
    except OSError as problem:
        raise StoreError(f"{path}: {problem.strerror}; choose another file") from None


def plan_text(plan: Plan) -> str:
    """The plan as `load_plan` reads it."""
    head = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(plan, acts=())), indent=2).decode()
    acts = ",\n".join("    " + msgspec.json.encode(act).decode() for act in plan.acts)
    text = head.replace('"acts": []', f'"acts": [\n{acts}\n  ]') if acts else head
    return text + "\n"
