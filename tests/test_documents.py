"""That links of the documents lead somewhere, and that their lines can be read in a terminal."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MAX_CHARS = 120
LINK = re.compile(r"\]\(([^)\s]+)\)")
DOCUMENTS = (
    *sorted(ROOT.glob("*.md")),
    *(ROOT / "gossip" / name for name in ("config/SETTINGS.md", "api/METHODS.md")),
    *(ROOT / name for name in ("bench/FIGURES.md", "examples/README.md")),
)


def prose(path: Path) -> list[str]:
    """Lines that are no rows of tables and no code."""
    return [line for line in path.read_text().splitlines() if not line.startswith(("|", "    "))]


def anchors(path: Path) -> set[str]:
    """Of its headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.findall(path.read_text()):
        file, _, anchor = link.partition("#")
        if not link.startswith("https://"):
            there = (path.parent / file) if file else path
            assert there.exists(), link
            assert not anchor or anchor in anchors(there), link


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short(path: Path) -> None:
    assert [line for line in prose(path) if len(line) > MAX_CHARS] == []
