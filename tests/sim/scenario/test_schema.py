"""SCHEMA.md describes just what a file may hold."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from gossip.core.params import PROFILES
from sim.latency import SAMPLES_MAX, read_delays
from sim.scenario.actions import ACTIONS, Lasting, word
from sim.scenario.schema import (
    BurstTable,
    CostsTable,
    Document,
    GroupTable,
    NetworkTable,
    ServiceTable,
    ZonesTable,
)

SCHEMA = (resources.files("sim.scenario") / "SCHEMA.md").read_text("utf-8")
TABLES: dict[str, tuple[Any, set[str]]] = {
    "The top of the file": (
        Document,
        {"network", "zones", "group", "service", "settings", "costs", "action"},
    ),
    "`[network]`": (NetworkTable, set()),
    "`[network.burst]`": (BurstTable, set()),
    "`[zones]`": (ZonesTable, set()),
    "`[[group]]`": (GroupTable, set()),
    "`[[service]]`": (ServiceTable, set()),
    "`[costs]`": (CostsTable, set()),
}


def section(title: str) -> str:
    return re.split(r"\n##+ ", SCHEMA.split(f"# {title}\n", 1)[1], maxsplit=1)[0]


def rows(text: str) -> dict[str, list[str]]:
    """Of each table row the cells, by what its first cell has in backquotes."""
    found = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            found[cells[0].strip("`")] = cells[1:]
    return found


@pytest.mark.parametrize("title", [title for title in TABLES if "burst" not in title])
def test_every_key_has_a_row_with_a_default_and_an_example(title: str) -> None:
    table, elsewhere = TABLES[title]
    described = rows(section(title))
    assert set(described) == set(table.__struct_encode_fields__) - elsewhere
    for key, cells in described.items():
        assert re.search(rf"`{key} = ", cells[-1]), key


def test_the_keys_of_bursts_are_described() -> None:
    text = section("`[network.burst]`")
    assert all(f"`{key}`" in text for key in BurstTable.__struct_fields__)


def test_tables_of_their_own_have_a_section() -> None:
    titles = set(re.findall(r"^##+ (.*)$", SCHEMA, re.MULTILINE))
    assert {"`[settings]`", "`[[action]]`"} | set(TABLES) <= titles
    assert all(f'"{profile}"' in section("`[settings]`") for profile in PROFILES)


def test_a_bare_number_in_a_file_of_delays_is_what_the_text_says(tmp_path: Path) -> None:
    """Not seconds, as everywhere else: it is what `ping` prints."""
    assert "a bare number, which is **milliseconds** here" in SCHEMA
    (tmp_path / "delays.txt").write_text("# ms\n40us\n0.04\n1.0004\n\n0.5ms\n")
    assert read_delays(tmp_path / "delays.txt").samples_us == (40, 40, 500, 1_000)
    assert f"From 1 to {SAMPLES_MAX:,} delays" in SCHEMA


def test_every_action_has_a_row_with_all_its_keys() -> None:
    described = rows(section("`[[action]]`"))
    described.pop("do")
    shared = {"at", "every", "until", "for"}
    assert shared <= set(described)
    assert set(described) - shared == {word(action) for action in ACTIONS}
    for action in ACTIONS:
        what, keys = described[word(action)]
        for key in set(action.__struct_encode_fields__) - shared:
            assert f"`{key}`" in keys, f"{word(action)}.{key}"
        assert ("Has `for`" in what) is issubclass(action, Lasting)


def test_defaults_in_the_text_are_those_of_the_code() -> None:
    for title in ("`[costs]`", "`[network]`"):
        table, _ = TABLES[title]
        defaults = dict(zip(table.__struct_fields__, table.__struct_defaults__, strict=True))
        for key, cells in rows(section(title)).items():
            if re.fullmatch(r"`\d+`", cells[1]) and defaults[key] is not None:
                assert int(cells[1].strip("`")) == defaults[key], key
