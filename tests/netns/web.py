"""An HTTP instance: `python web.py ADDRESS PORT NAME SICK`. Its health fails while the file SICK exists."""

from __future__ import annotations

import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(address: str, port: int, name: str, sick: Path) -> None:
    """Serves until SIGTERM."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 60

        def do_GET(self) -> None:
            is_bad = self.path == "/health" and sick.exists()
            body = name.encode()
            self.wfile.write(
                b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%b" % (503 if is_bad else 200, len(body), body)
            )

    server = ThreadingHTTPServer((address, port), Handler)
    server.daemon_threads = True
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.05)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
