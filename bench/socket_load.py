"""Many clients of one local socket that ask without a pause. Standard library only.

Arguments: SOCKET REQUESTS CONNECTIONS. Each connection sends the requests of that file together, and again
when all are answered, until SIGTERM; then the number of answers is printed, and the seconds that it took.
"""

from __future__ import annotations

import selectors
import signal
import socket
import sys
import time
from pathlib import Path


def main(path: str, requests_path: str, connections: int) -> None:
    """Ask until told to stop."""
    batch = Path(requests_path).read_bytes()
    depth = batch.count(b"\n")
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    selector = selectors.DefaultSelector()
    waiting: dict[int, int] = {}
    for _ in range(connections):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.connect(path)
        sock.sendall(batch)
        selector.register(sock, selectors.EVENT_READ, sock)
        waiting[sock.fileno()] = depth
    answers = 0
    began = time.perf_counter()
    while running:
        for key, _ in selector.select(0.1):
            data = key.data.recv(1 << 18)
            if not data:
                raise SystemExit("the agent has closed a connection")
            answers += data.count(b"\n")
            waiting[key.fd] -= data.count(b"\n")
            if waiting[key.fd] <= 0:
                waiting[key.fd] = depth
                key.data.sendall(batch)
    print(answers, time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
