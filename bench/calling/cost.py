"""What a call costs in this process: httpx with and without the transport, and a pick alone."""

from __future__ import annotations

import statistics
import time
from typing import Any

import httpx

from gossip.client.mirror import Mirror
from gossip.transport import Transport

__all__ = ["pick_cost", "transport_cost"]

TURN = 100
"""Requests of each kind, of which one number is told."""


def a_catalog(ports: list[int]) -> Mirror:
    """A filled copy of a catalog: `web` at these ports of loopback."""
    same: dict[str, Any] = {"service": "web", "node": "n", "address": "127.0.0.1", "status": "passing"}
    same |= {"tags": [], "meta": {}, "weight": 1}
    rows = [same | {"id": f"web-{port}", "node_id": f"{port:032x}", "port": port} for port in ports]
    catalog = Mirror(["web"])
    catalog.begin([{"watch": 1, "instances": rows, "index": 1}])
    return catalog


def transport_cost(port: int, turns: int) -> tuple[list[float], list[float]]:
    """Microseconds of CPU for a request, the median of each turn: direct, and by name.

    The two take turns request by request, so that what else the machine does meets both alike.
    """
    inner, beside = httpx.HTTPTransport(), httpx.HTTPTransport()
    direct, by_name = [], []
    with (
        httpx.Client(transport=inner) as plain,
        httpx.Client(transport=Transport(a_catalog([port]), inner=beside)) as named,
    ):
        for _ in range(turns + 1):
            pairs = [
                (_time(plain, f"http://127.0.0.1:{port}/path"), _time(named, "http://web.gossip/path"))
                for _ in range(TURN)
            ]
            direct.append(statistics.median(one for one, _ in pairs))
            by_name.append(statistics.median(other for _, other in pairs))
    # The first turn connects.
    return direct[1:], by_name[1:]


def _time(client: httpx.Client, url: str) -> float:
    # Not the wall clock: what else the machine does is no cost of ours.
    began = time.thread_time_ns()
    client.get(url)
    return (time.thread_time_ns() - began) / 1e3


def pick_cost(size: int, *, quick: bool) -> list[float]:
    """Microseconds of a pick, some samples."""
    catalog = a_catalog(list(range(1, size + 1)))
    count = 1_000 if quick else 20_000
    samples = []
    for _ in range(9):
        began = time.perf_counter()
        for _ in range(count):
            catalog.pick("web")
        samples.append((time.perf_counter() - began) / count * 1e6)
    return samples
