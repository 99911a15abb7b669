"""What releases have said is understood for ever: a cluster is upgraded one node at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gossip
from gossip.core.messages import Frame, Packet
from gossip.wire import codec
from gossip.wire.identity import Identity
from tests.fuzz.cluster import CLUSTER, RECORDS
from tests.wire.golden import FOLDER, fields_of, kinds, read, understand

if TYPE_CHECKING:
    from pathlib import Path

RELEASES = sorted(FOLDER.glob("*.txt"))


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_every_release_is_understood(path: Path) -> None:
    """Fields that came later may follow; what was said means what it meant."""
    goldens = read(path)
    assert len(goldens) > 60
    for kind, data, fields in goldens:
        assert fields_of(understand(kind, data))[: len(fields)] == fields


@pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)
def test_signatures_of_every_release_hold(path: Path) -> None:
    """A fact is relayed for as long as its node lives, through whatever releases that sees."""
    reader = Identity(bytes(32), CLUSTER)
    members = [golden.data for golden in read(path) if golden.fields[0] == "MemberRecord"]
    assert members
    for data in members:
        fact = reader.parse(data)
        assert reader.verify(fact, getattr(fact.body, "public_key"))  # noqa: B009 - of any release's record


def test_the_present_release_has_its_file_with_every_kind() -> None:
    named = {(golden.kind, golden.fields[0]) for golden in read(FOLDER / f"{gossip.__version__}.txt")}
    wanted = {("packet", each.__name__) for each in kinds(Packet)}
    wanted |= {("frame", each.__name__) for each in kinds(Frame)}
    wanted |= {("fact", each.__name__) for each in RECORDS}
    assert named >= wanted


def test_what_was_said_is_said_again_in_the_same_bytes() -> None:
    """Within a release: a message that is decoded and encoded is what it was."""
    for kind, data, _ in read(FOLDER / f"{gossip.__version__}.txt"):
        if kind in ("packet", "frame"):
            assert codec.encode(understand(kind, data)) == data  # type: ignore[arg-type]
