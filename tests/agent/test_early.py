"""An agent that is started again holds its sockets before it has loaded the rest of itself."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from gossip.errors import TransportError
from gossip.net.bind import bind
from gossip.net.early import bind_early
from tests.support import ROOT, run_python

WATCH = """
import socket, sys

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("trio", "cryptography", "msgspec"):
            port = int(sys.argv.pop())
            with socket.create_connection(("127.0.0.1", port), 5):
                pass
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            asking.connect(("127.0.0.1", port))
            asking.send(b"anybody?")
            asking.send(b"a refusal of the first would be raised here")
            print("listening before", name)
            sys.exit(0)

sys.meta_path.insert(0, Watch())
port = sys.argv[-1]
from gossip.cli import main
sys.exit(main(["agent", "--bind", "127.0.0.1:" + port, "--insecure", "--data-dir", "data", "--socket", "s"]))
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def test_sockets_are_bound_before_anything_heavy_is_loaded(tmp_path: Path) -> None:
    done = run_python("-c", WATCH, str(free_port()), cwd=tmp_path, extra={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("listening before"), (done.stdout, sys.version)


def test_what_cannot_be_bound_now_is_left_to_the_agent_itself() -> None:
    """A former agent is about to end, or there is a better reason not to start, which is told then."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = taken.getsockname()
        assert bind_early([address]) == []
    for endpoint in bind_early([address]):
        assert endpoint.address == address
        endpoint.close()


def test_an_address_that_this_host_has_not_is_no_error_yet() -> None:
    assert bind_early([("192.0.2.1", 7_946)]) == []
    with pytest.raises(TransportError):
        bind([("192.0.2.1", 7_946)])
