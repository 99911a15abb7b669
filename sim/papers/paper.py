"""What an experiment is: tasks that can be done apart, and a judge that folds their results into rows.

An experiment's tasks are small values with a key each. A task's result is JSON, and a function of the
task alone; so tasks run on as many processes as there are, and a run that was interrupted goes on
where it stopped. What is expected, and how far ours may be from it, stands in the judge and was
written down before anything was run.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

from msgspec import Struct

__all__ = [
    "HOUR",
    "MINUTE",
    "Budget",
    "Curve",
    "Figure",
    "Outcome",
    "Paper",
    "Row",
    "Task",
    "compared",
    "holds",
    "near",
    "share",
    "told",
]

MINUTE, HOUR = 60, 3_600
CHEAP_S = 5 * MINUTE
FEW_BLOCKS = 5
"""Of experiments one block of which takes less than `CHEAP_S`; of others, one."""


class Budget(Struct, frozen=True):
    """How much is run."""

    blocks: int = 1
    """How often the whole experiment is repeated, each time with a seed of its own."""
    seed: int = 0
    """Of the first block; the next block has the next."""
    quick: bool = False
    """A few seconds in all: to see that it works, not what is true. Then no row is judged."""

    @property
    def seeds(self) -> range:
        """One for each block."""
        return range(self.seed, self.seed + self.blocks)


class Task(Protocol):
    """A part of an experiment: a small `Struct` that pickles."""

    @property
    def key(self) -> str:
        """Unique within the experiment; it names all that the result depends on (quick or not, too)."""


_Task = TypeVar("_Task", bound=Task)


def compared(
    tasks: Sequence[_Task], results: Mapping[str, Any], run: Callable[[_Task], Hashable]
) -> list[_Task]:
    """The tasks of those runs that are done whole: by everybody who goes through them.

    After an interruption some have done more than others, and their sums cannot be compared.

    Args:
        tasks: all there are to be.
        results: by key, of those that are done.
        run: what is the same for all who go through one run.
    """
    lacking = {run(task) for task in tasks if task.key not in results}
    return [task for task in tasks if run(task) not in lacking]


class Row(Struct, frozen=True):
    """One number of a paper beside ours."""

    quantity: str
    ours: float | None
    """None: it did not come about, or was not reached."""
    theirs: float | None
    """What was published, or follows from a published formula; None where nobody gave a number."""
    tolerance: str
    """In words, and as it was fixed before the run."""
    passed: bool | None
    """None: not judged."""
    note: str = ""


class Curve(Struct, frozen=True):
    """Points of a figure, `x` and `y` of one length, or bars of height `y` at `x`."""

    label: str
    x: list[float]
    y: list[float]
    theirs: bool = False
    """Published, or computed from a published formula: drawn hollow."""


class Figure(Struct, frozen=True):
    """What is drawn; axes say their units."""

    title: str
    x_label: str
    y_label: str
    curves: list[Curve]
    kind: Literal["line", "points", "bars"] = "line"
    log_x: bool = False
    log_y: bool = False


class Outcome(Struct, frozen=True):
    """What came of an experiment."""

    rows: list[Row]
    figures: list[Figure] = []
    notes: list[str] = []
    """Assumptions of the model, and where ours differs: why."""


class Paper(Struct, frozen=True):
    """One experiment.

    `judge` is given the results of all tasks that are done, by key, as JSON reads them back (tuples
    are lists, keys of objects are text). After an interruption some are missing: then it makes rows
    of what there is, with None for `ours` where there is nothing. No row is judged then, whatever it
    says of them: the command sees to that.
    """

    name: str
    number: int
    """Among the project's experiments."""
    title: str
    source: str
    """Who published it, with section, table or figure."""
    cost_s: float
    """What one block takes, about, in seconds of one core."""
    tasks: Callable[[Budget], Sequence[Any]]
    """The `Task`s, in an order that spreads well: long ones first."""
    work: Callable[[Any], Any]
    """Does one task, in any process: a function of a module, not a lambda."""
    judge: Callable[[Budget, Mapping[str, Any]], Outcome]
    engine: str = "the shipped core"
    """What was run: the shipped core, a variant made of its parts, or theory."""
    shares: tuple[str, ...] = ()
    """Experiments some of whose tasks are the same, key and all: what they have done is not done again."""

    @property
    def blocks(self) -> int:
        """How many blocks are run if nobody says."""
        return FEW_BLOCKS if self.cost_s < CHEAP_S else 1

    @property
    def cost(self) -> str:
        """`cost_s` in words."""
        for unit, size in (("hour", HOUR), ("minute", MINUTE)):
            if self.cost_s >= size:
                count = round(self.cost_s / size)
                return f"{count} {unit}{'s' if count > 1 else ''}"
        return f"{self.cost_s:g} s"


def near(quantity: str, ours: float | None, theirs: float, within: float, note: str = "") -> Row:
    """A row that passes if ours is at most `within` from theirs."""
    passed = None if ours is None else abs(ours - theirs) <= within
    return Row(quantity, ours, theirs, f"± {within:.3g}", passed, note)


def share(quantity: str, ours: float | None, theirs: float, within: float, note: str = "") -> Row:
    """A row that passes if ours differs from theirs by at most that share of theirs."""
    passed = None if ours is None else abs(ours - theirs) <= within * abs(theirs)
    return Row(quantity, ours, theirs, f"± {100 * within:.3g} %", passed, note)


def holds(
    quantity: str,
    ours: float | None,
    theirs: float | None,
    tolerance: str,
    condition: bool,
    note: str = "",
) -> Row:
    """A row whose rule is not a distance: it passes if `condition` holds."""
    return Row(quantity, ours, theirs, tolerance, None if ours is None else condition, note)


def told(quantity: str, ours: float | None, theirs: float | None = None, note: str = "") -> Row:
    """A row for the reader; nothing is asked of it."""
    return Row(quantity, ours, theirs, "", None, note)
