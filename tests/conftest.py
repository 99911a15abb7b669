"""Profiles of Hypothesis, and the `seed` of tests that draw for themselves.

Everything is repeatable by default: Hypothesis derives its examples from the test, `seed` is derived
from the test's name. To look for what nobody has seen yet:

    scripts/test --hypothesis-profile=search tests/core
    TESTS_SEED=$RANDOM scripts/test tests/core
"""

from __future__ import annotations

import logging
import os
import random
import signal
import zlib
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

# No deadline: on a shared machine, a slow example says something about the neighbours.
hypothesis.settings.register_profile("default", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "ci", parent=hypothesis.settings.get_profile("default"), max_examples=200
)
hypothesis.settings.register_profile(
    "search", derandomize=False, deadline=None, print_blob=True, max_examples=5_000
)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what it puts in the background deaf to Ctrl-C, and programs pass that on: those that
    # tests interrupt would never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        # The same, by nohup.
        signal.signal(number, signal.SIG_DFL)

SEED = pytest.StashKey[int]()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A number to make a `random.Random` of: TESTS_SEED, else one that depends on the test's name only.

    A test that fails says in its report with which seed.
    """
    given = os.environ.get("TESTS_SEED")
    value = int(given) if given else zlib.crc32(request.node.nodeid.encode())
    request.node.stash[SEED] = value
    return value


@pytest.fixture
def rng(seed: int) -> random.Random:
    """The generator that core is given in tests."""
    return random.Random(seed)


@pytest.fixture(autouse=True)
def log_as_it_was() -> Generator[None]:
    """An agent in a test's process takes the log for itself: the next test's `caplog` is to see it again."""
    logger, raises = logging.getLogger("gossip"), logging.raiseExceptions
    handlers, propagate, level = list(logger.handlers), logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)
    logging.raiseExceptions = raises


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In one of several processes: modules with slow tests first, so that none has one left at the end."""
    if hasattr(config, "workerinput"):
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: item.path not in slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Adds the replay line to the report of a failed test that had a seed."""
    report = yield
    if report.failed and SEED in item.stash:
        line = f"TESTS_SEED={item.stash[SEED]} scripts/test '{item.nodeid}'"
        report.sections.append(("replay", line))
    return report
