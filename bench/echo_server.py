"""The bare server that lookups are compared with: one fixed answer for each line, blocking, one client.

Arguments: SOCKET ANSWER CORES. ANSWER is a file with the answer's bytes. Serves one client after another.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path


def main(path: str, answer_path: str, cores: set[int]) -> None:
    """Serve until killed."""
    os.sched_setaffinity(0, cores)
    answer = Path(answer_path).read_bytes()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()
        while True:
            connection, _ = listener.accept()
            with connection:
                while data := connection.recv(1 << 16):
                    connection.sendall(answer * data.count(b"\n"))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], {int(core) for core in sys.argv[3].split(",")})
