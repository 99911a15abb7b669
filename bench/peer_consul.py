"""Consul 1.8.7 as a server by itself, for measurements of its HTTP face; `scripts/peers consul` fetches it.

Not `-dev`: that indents its JSON, which makes answers larger and slower.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from bench.agents import BenchError
from bench.proc import spawn

__all__ = ["HTTP", "start"]

HTTP = "127.0.0.1:8500"
"""Its usual ports: it is measured in a network of its own."""
_PROGRAM = Path("gossip-peers") / "consul" / "usr" / "bin" / "consul"


def start(directory: Path) -> subprocess.Popen[bytes]:
    """Its process; it leads itself after a second or two. Raises BenchError if it has not been fetched."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    program = cache / _PROGRAM
    if not program.exists():
        raise BenchError(f"{program} is not there: scripts/peers consul")
    config = directory / "consul.json"
    settings = {
        "node_name": "consul",
        "data_dir": str(directory / "consul"),
        "bind_addr": "127.0.0.1",
        "server": True,
        "bootstrap_expect": 1,
        "disable_update_check": True,
        # One client holds all the blocked queries.
        "limits": {"http_max_conns_per_client": 5_000},
    }
    config.write_text(json.dumps(settings))
    return spawn([str(program), "agent", f"-config-file={config}"], directory / "consul.log")
