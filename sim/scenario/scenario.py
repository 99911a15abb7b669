"""A scenario: what is run, read from TOML and checked, before a world is made of it."""

from __future__ import annotations

import copy
import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from gossip.core.params import Params
from sim.clock import SECOND
from sim.errors import ScenarioError
from sim.latency import Empirical, parse_duration
from sim.scenario.actions import ACTIONS, Action, word
from sim.scenario.changes import apply_changes
from sim.scenario.checks import check
from sim.scenario.limits import group_sizes
from sim.scenario.schema import (
    Document,
    GroupTable,
    NetworkTable,
    ServiceTable,
    ZonesTable,
    choices_at,
    keys_at,
)
from sim.scenario.settings import read_settings
from sim.scenario.shipped import shipped_text
from sim.scenario.toml import write_toml
from sim.scenario.values import reader

__all__ = ["CONVERGED", "TOGETHER", "Scenario"]

TOGETHER, CONVERGED, OVER = "together", "converged", "over "
LIKE = 0.7
"""How alike two words are, of 1, when one is taken for a slip of the other."""
FILE_MAX_BYTES = 1 << 20
"""A scenario is written by hand; what is larger is another file."""


class Scenario(Struct, frozen=True, kw_only=True):
    """What is run, apart from the seed. Made by `load`, `parse`, `shipped` or `of`; all of them check it.

    Times are microseconds of the measured time.
    """

    name: str
    description: str
    nodes: int
    duration_us: int
    start: str
    """`"together"`, or `"converged"`: what is measured begins when all nodes hold one view and are quiet."""
    stagger_us: int
    """Over how long the starts are spread evenly."""
    seeds: int
    """So many of the first nodes are the seeds of all."""
    params: Params
    network: NetworkTable
    zones: ZonesTable | None
    groups: tuple[GroupTable, ...]
    services: tuple[ServiceTable, ...]
    costs: dict[str, int] | None
    actions: tuple[Action, ...]
    settings: dict[str, Any]
    """What `[settings]` says, as written."""
    document: dict[str, Any]
    """The file as it was read, overrides included; not to be changed."""
    directory: str
    """Where files that it names are looked for."""
    measured: dict[str, Empirical]
    """The delays in those files, by what the document says: `file delays.txt`."""

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Of a file.

        Raises:
            ScenarioError: if the file cannot be read, or its scenario cannot be.
        """
        path = Path(path)
        try:
            with path.open("rb") as file:
                data = file.read(FILE_MAX_BYTES + 1)
        except OSError as problem:
            raise ScenarioError(
                f"{path}: {problem.strerror}; `gossip-sim scenarios` lists what ships"
            ) from None
        if len(data) > FILE_MAX_BYTES:
            raise ScenarioError(f"{path}: over {FILE_MAX_BYTES} bytes, which is no scenario")
        try:
            # Editors of Windows begin a file with a mark, which is no TOML.
            text = data.decode().removeprefix("\ufeff")
        except UnicodeDecodeError as problem:
            raise ScenarioError(
                f"{path}: byte {problem.start} is not UTF-8; save the file as UTF-8"
            ) from None
        return cls.parse(text, str(path), path.parent)

    @classmethod
    def parse(cls, text: str, name: str = "scenario", directory: str | Path = ".") -> Scenario:
        """Of TOML text; `name` is how errors call it.

        Raises:
            ScenarioError: if it is no TOML, or the scenario cannot be.
        """
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as problem:
            raise ScenarioError(f"{name}: no TOML: {problem}") from None
        return cls.of(document, name, directory)

    @classmethod
    def shipped(cls, name: str) -> Scenario:
        """One of the library's.

        Raises:
            ScenarioError: if there is none of that name.
        """
        return cls.parse(shipped_text(name), name)

    @classmethod
    def of(cls, document: dict[str, Any], name: str = "scenario", directory: str | Path = ".") -> Scenario:
        """Of a document as `tomllib` reads one.

        Raises:
            ScenarioError: if the scenario cannot be.
        """
        measured: dict[str, Empirical] = {}
        try:
            read = msgspec.convert(document, Document, dec_hook=reader(Path(directory), measured))
        except msgspec.ValidationError as problem:
            raise ScenarioError(f"{name}: {_explain(str(problem), document)}") from None
        try:
            params = read_settings(read.settings)
        except ValueError as problem:
            raise ScenarioError(f"{name}: [settings]: {problem}") from None
        try:
            stagger_us = _stagger(read.start)
            check(read, params)
        except ValueError as problem:
            raise ScenarioError(f"{name}: {problem}") from None
        scenario = cls(
            name=read.name or Path(name).stem,
            description=read.description.strip(),
            nodes=read.nodes,
            duration_us=read.duration,
            start=CONVERGED if read.start == CONVERGED else TOGETHER,
            stagger_us=stagger_us,
            seeds=read.seeds,
            params=params,
            network=read.network,
            zones=read.zones,
            groups=read.group,
            services=read.service,
            costs=None if read.costs is None else msgspec.structs.asdict(read.costs),
            actions=read.action,
            settings=read.settings,
            document=document,
            directory=str(directory),
            measured=measured,
        )
        last_us = scenario.start_us(read.nodes - 1)
        if last_us >= read.duration:
            raise ScenarioError(
                f"{name}: start is {read.start!r}: the last node would start {last_us / SECOND:g} s after the"
                f" first, and the run ends after {read.duration / SECOND:g} s"
            )
        return scenario

    def with_changes(self, changes: dict[str, Any]) -> Scenario:
        """The same with other values, by dotted path: `{"network.loss": 0.1, "group.rack-a.count": 5}`.

        A table of an array is chosen by its name or its number from 0 (`"action.0.at"`). A value of None
        takes the key away.

        Raises:
            ScenarioError: if there is no such place, or the scenario could not be so.
        """
        document = copy.deepcopy(self.document)
        try:
            for path, value in changes.items():
                apply_changes(document, path, value)
        except ValueError as problem:
            raise ScenarioError(f"{self.name}: {problem}") from None
        return Scenario.of({"name": self.name, **document}, self.name, self.directory)

    def to_toml(self) -> str:
        """The document as text; `parse` makes an equal scenario of it."""
        return write_toml(self.document)

    def start_us(self, number: int) -> int:
        """When that node of the beginning starts."""
        return self.stagger_us * number // self.nodes

    def group_sizes(self) -> dict[str, int]:
        """How many nodes each group has at the start."""
        return group_sizes(self.nodes, self.groups)


def _stagger(start: str) -> int:
    if start in {TOGETHER, CONVERGED}:
        return 0
    if not start.startswith(OVER):
        raise ValueError(f'start is {start!r}: write "together", "converged" or "over 30s"')
    return parse_duration(start.removeprefix(OVER))


def _explain(problem: str, document: dict[str, Any]) -> str:
    """The words of msgspec with the place as the file has it: `action 2 (crash), key 'node': ...`."""
    what, _, where = problem.partition(" - at `$")
    # Of a table with keys of any name, as tags, it does not say which.
    where = where.rstrip("`").removesuffix("[...]").strip(".")
    place = _place(where, document)
    if "unknown field" in what:
        what = what.replace("Object contains unknown field", "there is no key")
        what += _instead(what.split("`")[1], keys_at(where, document))
    elif "missing required field" in what:
        what = what.replace("Object missing required field", "it needs the key")
    elif "enum value" in what:
        what = what.replace("Invalid enum value", "there is no") + _choice(choices_at(where, document))
    elif where.endswith(".do"):
        what += _choice([word(action) for action in ACTIONS])
    return f"{place}: {what}" if place else what


def _choice(words: Sequence[str]) -> str:
    return f": write one of {', '.join(words)}"


def _instead(key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, 1, LIKE)
    return f"; do you mean `{near[0]}`?" if near else f"; there are {', '.join(known)}"


def _place(where: str, document: dict[str, Any]) -> str:
    parts = where.replace("[", ".").replace("]", "").split(".") if where else []
    words: list[str] = []
    value: Any = document
    for part in parts:
        value = _step(value, part)
        if part.isdecimal() and words:
            label = value.get("do") or value.get("name") if isinstance(value, dict) else None
            words[-1] += f" {int(part) + 1}" + (f" ({label})" if label else "")
        else:
            words.append(part)
    return ", ".join(words)


def _step(value: Any, part: str) -> Any:
    if isinstance(value, list) and part.isdecimal():
        return value[int(part)]
    return value.get(part) if isinstance(value, dict) else None
