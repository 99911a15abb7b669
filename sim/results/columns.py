"""Which tables a result has, and which columns. COLUMNS.md says what each means; a test compares the two."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["LIMITS", "TABLES", "Type"]

Type: TypeAlias = Literal["int", "small", "word", "flag", "float"]

TABLES: dict[str, dict[str, Type]] = {
    "events": {
        "at_us": "int",
        "host": "small",
        "kind": "word",
        "subject": "small",
        "former": "flag",
        "name": "word",
        "key": "word",
        "detail": "word",
    },
    "beliefs": {
        "at_us": "int",
        "observer": "small",
        "subject": "small",
        "status": "word",
        "former": "flag",
    },
    "nodes": {
        "number": "small",
        "name": "word",
        "group": "word",
        "zone": "word",
        "id": "word",
        "address": "word",
        "state": "word",
        "lives": "small",
        "running_us": "int",
        "alive": "int",
        "suspect": "int",
        "dead": "int",
        "left": "int",
        "fingerprint": "word",
        "sent_messages": "int",
        "sent_bytes": "int",
        "received_messages": "int",
        "received_bytes": "int",
    },
    "samples": {
        "at_us": "int",
        "running": "small",
        "alive_min": "small",
        "alive_mean": "float",
        "alive_max": "small",
        "suspects": "int",
        "views": "small",
        "largest_share": "float",
        "converged_share": "float",
        "queue_mean": "float",
        "queue_max": "small",
        "messages": "int",
        "bytes": "int",
    },
    "load": {
        "at_us": "int",
        "running": "small",
        "messages": "int",
        "bytes": "int",
        "dropped": "int",
    },
    "kinds": {
        "at_us": "int",
        "kind": "word",
        "messages": "int",
        "bytes": "int",
    },
    "detections": {
        "subject": "small",
        "name": "word",
        "at_us": "int",
        "first_us": "int",
        "full_us": "int",
        "observers": "small",
        "noticed": "small",
        "outcome": "word",
    },
    "verdicts": {
        "at_us": "int",
        "observer": "small",
        "subject": "small",
        "kind": "word",
        "verdict": "word",
    },
    "facts": {
        "fact": "int",
        "owner": "small",
        "kind": "word",
        "key": "word",
        "at_us": "int",
        "observers": "small",
        "heard": "small",
        "last_us": "int",
        "young": "flag",
    },
    "rumours": {
        "fact": "int",
        "observer": "small",
        "at_us": "int",
        "exact": "flag",
    },
}
"""In the order in which they are shown."""

LIMITS: dict[str, int] = {
    "events": 2_000_000,
    "samples": 100_000,
    "load": 100_000,
    "kinds": 1_000_000,
    "detections": 100_000,
    "verdicts": 500_000,
    "facts": 100_000,
    "rumours": 2_000_000,
}
"""Rows that a run keeps of each; what more there would be is counted in `summary["truncated"]`."""
