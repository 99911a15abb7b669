"""Libraries that only some results need: plots, tables, live progress. Numbers need none of them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sim.errors import MissingExtraError

__all__ = ["need"]

EXTRA = {"distributed": "dask"}
"""By library: which optional dependency of the distribution brings it; `sim` the others."""


def need(library: str) -> Any:
    """The imported module.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        return import_module(library)
    except ImportError:
        name = library.partition(".")[0]
        extra = EXTRA.get(name, "sim")
        raise MissingExtraError(
            f"this needs {name}, which is not installed: pip install 'gossip-agent[{extra}]'"
        ) from None
