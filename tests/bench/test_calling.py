"""What `scripts/bench calling` reads and reckons; its processes and its load are not for tests."""

from __future__ import annotations

import pytest

from bench.agents import BenchError
from bench.calling.balance import spread
from bench.calling.cost import a_catalog, pick_cost
from bench.calling.ways import parse_wrk

SAID = """\
  Latency Distribution
     50%    1.31ms
     99%   34.42ms
Requests/sec:  18590.85
"""


@pytest.mark.parametrize(
    ("p99", "ms"), [("34.42ms", 34.42), ("250.00us", 0.25), ("1.20s", 1200.0), ("2.00m", 120_000)]
)
def test_wrk_is_read(p99: str, ms: float) -> None:
    assert list(parse_wrk(SAID.replace("34.42ms", p99))) == pytest.approx([18590.85, ms])


@pytest.mark.parametrize(
    "said", ["", SAID + "Non-2xx or 3xx responses: 3", SAID + "Socket errors: connect 1"]
)
def test_a_load_that_failed_is_no_measurement(said: str) -> None:
    with pytest.raises(BenchError):
        parse_wrk(said)


def test_a_spread_is_counted_by_seconds() -> None:
    found = spread(2.0, lambda is_first, _now, _rng: (0.01, not is_first))
    assert set(found.all) == {0, 1, 2}
    assert found.failed == found.first
    assert found.ejections == 1


def test_a_pick_is_timed() -> None:
    assert a_catalog([1, 2]).pick("web").service == "web"
    assert all(cost > 0 for cost in pick_cost(3, quick=True))
