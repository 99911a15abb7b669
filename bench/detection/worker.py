"""One task in a process and a network of its own: nothing of it is left when it ends."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import proc
from bench.agents import BenchError
from bench.detection.faults import measure
from bench.detection.plan import Settings, Task

__all__ = ["ask", "work"]


def ask(task: Task, settings: Settings) -> dict[str, Any]:
    """Have a process do the task; its raw results. Raises BenchError with the reason if it could not."""
    # Short: a unix socket's path has at most 107 bytes. An agent may write there until it is gone.
    with tempfile.TemporaryDirectory(prefix="gdet-", dir="/tmp", ignore_cleanup_errors=True) as directory:
        order = {"task": asdict(task), "settings": asdict(settings), "directory": directory}
        command = [sys.executable, "-m", "bench.detection", json.dumps(order)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            try:
                printed, _ = worker.communicate()
            finally:
                # Agents die with their worker.
                worker.kill()
    if worker.returncode != 0:
        raise BenchError(f"the worker ended with status {worker.returncode}")
    answer: dict[str, Any] = json.loads(printed)
    if "error" in answer:
        raise BenchError(answer["error"])
    return answer


def work(order: dict[str, Any]) -> dict[str, Any]:
    """Do what `order` says, in a network namespace that this process does not leave again."""
    if not proc.isolate_network():
        return {"error": "the machine gives no network namespaces"}
    try:
        return measure(Task(**order["task"]), Settings(**order["settings"]), Path(order["directory"]))
    except BenchError as error:
        return {"error": str(error)}
