"""`python -m bench.detection ORDER`: what `worker.ask` starts. Prints one JSON object."""

from __future__ import annotations

import json
import sys

from bench.detection.worker import work

if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.argv[1]))))
