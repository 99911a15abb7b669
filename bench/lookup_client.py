"""A client that asks one question over a unix socket as fast as it gets answers. Standard library only.

Arguments: SOCKET REQUESTS SECONDS CORES. REQUESTS is a file of requests, one a line: all of them are kept in
flight at once. CORES is a list of core numbers to run on. Prints answers and seconds.
"""

from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path


def one_at_a_time(connection: socket.socket, request: bytes, seconds: float) -> tuple[int, float]:
    """(answers, seconds) of asking, waiting for the answer, asking again."""
    send, receive, now = connection.sendall, connection.recv, time.perf_counter
    answers = 0
    began = now()
    deadline = began + seconds
    while now() < deadline:
        send(request)
        while not receive(1 << 16).endswith(b"\n"):
            pass
        answers += 1
    return answers, now() - began


def pipelined(connection: socket.socket, requests: list[bytes], seconds: float) -> tuple[int, float]:
    """(answers, seconds) with all `requests` in flight all the time."""
    send, receive, now = connection.sendall, connection.recv, time.perf_counter
    # batches[k] holds k requests: as many as were answered are asked again.
    batches = [b"".join(requests[:k]) for k in range(len(requests) + 1)]
    answers = 0
    began = now()
    deadline = began + seconds
    send(batches[-1])
    while now() < deadline:
        answered = receive(1 << 16).count(b"\n")
        answers += answered
        send(batches[answered])
    elapsed = now() - began
    # What is still in flight is read, so that the server does not meet a closed socket.
    left = len(requests)
    while left > 0:
        left -= receive(1 << 16).count(b"\n")
    return answers, elapsed


def main(path: str, requests_path: str, seconds: float, cores: set[int]) -> None:
    """Ask for `seconds` seconds and print what came."""
    os.sched_setaffinity(0, cores)
    requests = Path(requests_path).read_bytes().splitlines(keepends=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.connect(path)
        if len(requests) == 1:
            answers, elapsed = one_at_a_time(connection, requests[0], seconds)
        else:
            answers, elapsed = pipelined(connection, requests, seconds)
    print(answers, elapsed)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), {int(core) for core in sys.argv[4].split(",")})
