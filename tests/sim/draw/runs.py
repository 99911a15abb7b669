"""Runs to draw: a real one, small, and one made by hand of which every number is known."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from sim.results.columns import TABLES
from sim.results.result import Result
from sim.results.table import Table
from sim.runner import run
from sim.scenario.scenario import Scenario

NAME = "a <script>alert('x')</script> & \"b\"\u2028"
TOML = """
nodes = 8
duration = "30s"
start = "converged"

[[service]]
name = "</script><img src=x onerror=alert(1)>"

[[action]]
do = "crash"
at = "2s"
nodes = 2

[[action]]
do = "register"
at = "3s"
name = "web"

[[action]]
do = "restart"
at = "20s"
identity = "new"
"""
EMPTY: dict[str, Any] = {"int": 0, "small": 0, "word": "", "flag": False, "float": 0.0}


@cache
def real() -> Result:
    """Eight nodes of which two crash, and come back as others."""
    return run(Scenario.of({**tomllib.loads(TOML), "name": NAME}), 5, codec=False)


def made(count: int = 3, end_s: float = 10.0, **tables: list[dict[str, Any]]) -> Result:
    """A result with these rows; columns that a row does not name are empty."""
    filled = {"nodes": [{"number": n, "name": f"n{n}", "lives": 1} for n in range(count)], **tables}
    built = {}
    for name, columns in TABLES.items():
        rows = filled.get(name, [])
        lists = {column: [row.get(column, EMPTY[kind]) for row in rows] for column, kind in columns.items()}
        built[name] = Table.of(name, columns, lists)
    summary = {
        "scenario": "made",
        "seed": 1,
        "nodes": count,
        "nodes_in_all": count,
        "virtual_s": end_s,
        "log_hash": "00",
        "truncated": {},
    }
    return Result(summary, built, "")


def belief(at_s: float, observer: int, subject: int, status: str, *, former: bool = False) -> dict[str, Any]:
    """A row of the table `beliefs`."""
    return {
        "at_us": round(at_s * 1e6),
        "observer": observer,
        "subject": subject,
        "status": status,
        "former": former,
    }


def event(at_s: float, host: int, kind: str, subject: int = -1, detail: str = "") -> dict[str, Any]:
    """A row of the table `events`."""
    return {"at_us": round(at_s * 1e6), "host": host, "kind": kind, "subject": subject, "detail": detail}
