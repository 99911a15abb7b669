"""One measurement in a process, and where possible a network, of its own. `bench.run` starts it.

Its argument is a JSON object (step, system, size, directory, plan); it prints one JSON object: samples by
quantity and whether the network was its own, or an error.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import proc
from bench.agents import BenchError
from bench.lookups import lookups
from bench.steps import Plan, Samples, life, start, told

__all__ = ["STEPS", "measure"]

STEPS: dict[str, Callable[[str, int, Plan, Path], Samples]] = {
    "life": life,
    "told": told,
    "start": start,
    "lookups": lookups,
}


def measure(order: dict[str, Any]) -> dict[str, Any]:
    """Do what `order` says."""
    isolated = proc.isolate_network()
    plan = Plan(**{**order["plan"], "only": frozenset(order["plan"]["only"])})
    directory = Path(order["directory"])
    directory.mkdir(parents=True, exist_ok=True)
    try:
        samples = STEPS[order["step"]](order["system"], order["size"], plan, directory)
    except BenchError as error:
        return {"error": str(error), "isolated": isolated}
    return {"samples": samples, "isolated": isolated}


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
