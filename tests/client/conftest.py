"""A scripted agent for each test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.client.scripted import ScriptedAgent

if TYPE_CHECKING:
    from collections.abc import Generator


@pytest.fixture
def agent() -> Generator[ScriptedAgent, None, None]:
    with ScriptedAgent() as scripted:
        yield scripted
