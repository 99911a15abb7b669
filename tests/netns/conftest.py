"""Networks for tests: for root only, since only root may make network namespaces."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.netns.hosts import Network, remove_leftovers
from tests.support import requires_program, requires_root

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Build(Protocol):
    """Builds a network of so many hosts, with addresses of IPv4 or of IPv6."""

    def __call__(self, count: int, *, six: bool = False) -> Network: ...


@pytest.fixture(scope="session")
def may_make_namespaces() -> None:
    """Skips without root, `ip` or `nft`; with TESTS_NO_SKIP=1, as in CI, it fails instead."""
    requires_root("network namespaces are made by root only")
    requires_program("ip")
    requires_program("nft")
    remove_leftovers()


@pytest.fixture
def network(may_make_namespaces: None, tmp_path: Path) -> Iterator[Build]:
    """Builds networks of so many hosts; they are gone when the test is over."""
    with contextlib.ExitStack() as stack:
        yield lambda count, six=False: stack.enter_context(Network(count, tmp_path, six=six))
