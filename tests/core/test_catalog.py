"""Names as DNS asks for them: in any case, with an index of their own."""

from __future__ import annotations

import random

from gossip.core.types import Verdict
from tests.api.world import FakeNode


def test_names_that_differ_in_their_case_are_found_together() -> None:
    node = FakeNode()
    catalog, id = node.catalog, node.id
    assert catalog.spellings("web") == []
    node.put(id, "a", "Web", 1)
    node.put(id, "b", "WEB", 2)
    node.put(id, "c", "WEB", 3)
    assert sorted(catalog.spellings("web")) == ["WEB", "Web"]
    node.delete(id, "b")
    assert sorted(catalog.spellings("wEb")) == ["WEB", "Web"]
    node.delete(id, "c")
    node.put(id, "d", "web", 4)
    assert catalog.spellings("web") == ["web", "Web"]
    node.put(id, "a", "other", 1)
    assert catalog.spellings("web") == ["web"]


def test_the_index_of_a_name_in_any_case_rises_with_each() -> None:
    node = FakeNode()
    catalog, id = node.catalog, node.id
    seen = [catalog.folded_index("web")]
    node.put(id, "a", "web", 1)
    seen.append(catalog.folded_index("web"))
    node.put(id, "b", "Web", 1)
    seen.append(catalog.folded_index("web"))
    node.check(id, "b", Verdict.CRITICAL)
    seen.append(catalog.folded_index("web"))
    node.put(id, "c", "other", 1)
    assert catalog.folded_index("web") == seen[-1]
    node.delete(id, "b")
    seen.append(catalog.folded_index("web"))
    assert seen == sorted(set(seen))
    assert catalog.index_of("web") == seen[1], (
        "whoever asks for the name as it is written is not told of others"
    )


def test_names_that_are_gone_are_forgotten(rng: random.Random) -> None:
    node = FakeNode()
    for number in range(3_000):
        node.put(node.id, "a", f"Web{number}", rng.randrange(1, 9))
    assert len(node.catalog._spelled) == 1
    assert len(node.catalog._folded) <= len(node.catalog._changed) < 2_000
