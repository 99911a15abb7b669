"""dig, unbound and HAProxy, as Debian ships them, find services by DNS, and see them come and go."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import threading
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.agent.processes import PATIENCE, Ask, Process, until
from tests.support import clean_environment, free_ports, requires_program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOSTS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
Place = tuple[str, int]


def dig(server: str, *arguments: str) -> list[str]:
    """What dig says to `+short`, or to whatever is asked for."""
    host, _, port = server.rpartition(":")
    done = subprocess.run(
        [requires_program("dig"), f"@{host}", "-p", port, "+tries=1", "+time=5", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.stdout.splitlines()


class Site(BaseHTTPRequestHandler):
    """Says at which address it was reached."""

    def do_GET(self) -> None:
        body = self.connection.getsockname()[0].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """What is asked need not be told."""


@contextlib.contextmanager
def sites() -> Iterator[int]:
    """A web server at each of `HOSTS`, all at one port."""
    with ExitStack() as stack:
        port = 0
        for host in HOSTS:
            server = stack.enter_context(HTTPServer((host, port), Site))
            port = server.server_address[1]
            stack.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield port


@contextlib.contextmanager
def running(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as file:
        child = subprocess.Popen(
            command, env=clean_environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield child
    finally:
        child.terminate()
        child.wait(PATIENCE)


@contextlib.contextmanager
def unbound(folder: Path, dns: str) -> Iterator[str]:
    """An unbound that forwards our domain, with the case of its questions mixed; where it answers."""
    (port,) = free_ports(1)
    config = folder / "unbound.conf"
    config.write_text(
        "server:\n"
        f"  interface: 127.0.0.1\n  port: {port}\n  username: ''\n  chroot: ''\n  directory: {folder}\n"
        f"  pidfile: {folder / 'unbound.pid'}\n  use-syslog: no\n  do-daemonize: no\n"
        "  do-not-query-localhost: no\n  use-caps-for-id: yes\n  module-config: iterator\n  num-threads: 1\n"
        f"forward-zone:\n  name: consul.\n  forward-addr: {dns.replace(':', '@')}\n"
        "remote-control:\n  control-enable: no\n"
    )
    with running(folder / "unbound.log", requires_program("unbound"), "-c", str(config)) as child:
        where = f"127.0.0.1:{port}"

        def answers() -> list[str]:
            assert child.poll() is None, (folder / "unbound.log").read_text()
            return dig(where, "+short", "consul", "SOA")

        until("unbound answers", answers)
        yield where


class HAProxy:
    """One backend whose servers come from SRV records."""

    def __init__(self, folder: Path, dns: str) -> None:
        (self.port,) = free_ports(1)
        self._control = folder / "haproxy.sock"
        self.config = folder / "haproxy.cfg"
        self.config.write_text(
            "global\n"
            f"  stats socket {self._control} mode 600 level admin\n"
            "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n"
            "resolvers agents\n"
            f"  nameserver local {dns}\n"
            "  accepted_payload_size 8192\n  timeout resolve 200ms\n  timeout retry 200ms\n"
            "  hold valid 200ms\n  hold nx 200ms\n  hold obsolete 0s\n"
            f"frontend in\n  bind 127.0.0.1:{self.port}\n  default_backend web\n"
            "backend web\n  balance roundrobin\n  option redispatch\n"
            "  server-template web 5 _web._tcp.service.consul resolvers agents"
            " resolve-prefer ipv4 init-addr none\n"
        )

    def servers(self) -> set[Place]:
        """Those that it sends requests to."""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            try:
                sock.connect(str(self._control))
            except OSError:
                return set()
            sock.sendall(b"show servers state web\n")
            text = b""
            while data := sock.recv(65_536):
                text += data
        rows = [line.split() for line in text.decode().splitlines()[2:] if line]
        # See `show servers state` in HAProxy's management guide: 2 is running, 0x20 has no address.
        return {(row[4], int(row[18])) for row in rows if row[5] == "2" and not int(row[6]) & 0x20}

    def reached(self, count: int) -> set[str]:
        """Which sites answer so many requests."""
        found = set()
        for _ in range(count):
            with urlopen(f"http://127.0.0.1:{self.port}/", timeout=PATIENCE) as answer:
                found.add(answer.read().decode())
        return found


def srv(server: str, *more: str) -> set[Place]:
    """What SRV records and the addresses of their targets say, asked for one by one as a library does."""
    found = set()
    for line in dig(server, "+short", *more, "_web._tcp.service.consul", "SRV"):
        _, _, port, target = line.split()
        for address in dig(server, "+short", *more, target, "A"):
            found.add((address, int(port)))
    return found


@pytest.mark.slow
def test_clients_see_what_comes_and_goes(tmp_path: Path) -> None:
    """Registration, discovery, a failing check, deregistration, and the end of a node."""
    for program in ("dig", "unbound", "haproxy"):
        requires_program(program)
    with ExitStack() as stack:
        port = stack.enter_context(sites())
        agents: list[Process] = []
        asks: list[Ask] = []
        seed: list[str] = []
        for name in "abc":
            folder = tmp_path / name
            folder.mkdir()
            agent = stack.enter_context(Process(folder, "--dns", "127.0.0.1:0", *seed, name=name))
            agents.append(agent)
            asks.append(stack.enter_context(agent.ask()))
            seed = seed or ["--join", asks[0].call("agent.info")["addresses"]["gossip"]]
        addresses = [ask.call("agent.info")["addresses"]["dns"] for ask in asks]
        resolver = stack.enter_context(unbound(tmp_path, addresses[1]))
        proxy = HAProxy(tmp_path, addresses[0])
        stack.enter_context(
            running(tmp_path / "haproxy.log", requires_program("haproxy"), "-db", "-f", str(proxy.config))
        )
        views: dict[str, Callable[[], set[Place]]] = {
            "dig": partial(srv, addresses[2]),
            "dig over TCP": partial(srv, addresses[0], "+tcp"),
            "unbound": partial(srv, resolver),
            "haproxy": proxy.servers,
        }

        def all_see(what: str, *hosts: str) -> None:
            expected = {(host, port) for host in hosts}
            for client, view in views.items():
                until(f"{client} sees {what}", lambda view=view: view() == expected)

        for ask, host in zip(asks, HOSTS, strict=True):
            ask.call(
                "services.register", name="web", port=port, address=host, tags=["v1"],
                checks=[{"ttl": "10m", "id": f"alive-{host}"}],
            )  # fmt: skip
        all_see("nobody who was not found well")
        for ask, host in zip(asks, HOSTS, strict=True):
            ask.call("checks.update", id=f"alive-{host}", status="passing")
        all_see("three that are registered", *HOSTS)
        assert proxy.reached(9) == set(HOSTS)
        assert set(dig(resolver, "+short", "v1.web.service.consul")) == set(HOSTS)

        asks[1].call("checks.update", id=f"alive-{HOSTS[1]}", status="critical")
        all_see("a failing check", HOSTS[0], HOSTS[2])
        assert proxy.reached(9) == {HOSTS[0], HOSTS[2]}
        asks[1].call("checks.update", id=f"alive-{HOSTS[1]}", status="passing")
        all_see("a check that is well again", *HOSTS)

        asks[0].call("services.deregister", id="web")
        all_see("a deregistration", *HOSTS[1:])

        views["dig"] = partial(srv, addresses[0])
        agents[2].kill()
        all_see("the end of a node", HOSTS[1])
        asks[1].call("services.deregister", id="web")
        all_see("that nobody is left")
        assert re.search("status: NXDOMAIN", "\n".join(dig(resolver, "web.service.consul")))


def test_dig_reads_all_that_is_said(tmp_path: Path) -> None:
    """Whole messages, as another implementation parses them; truncation, and its remedy."""
    requires_program("dig")
    with Process(tmp_path, "--dns", "127.0.0.1:0", "--tag", "rack=7") as process, process.ask() as ask:
        server = ask.call("agent.info")["addresses"]["dns"]
        for number in range(40):
            ask.call("services.register", name="web", id=f"w{number}", port=80, address=f"10.0.0.{number}")
        everybody = sorted(f"10.0.0.{number}" for number in range(40))
        for more in ((), ("+noedns",), ("+bufsize=512",), ("+tcp",), ("+qr", "+nocookie"), ("+dnssec",)):
            text = dig(server, "+noall", "+answer", *more, "web.service.consul")
            assert sorted(line.split()[-1] for line in text if "\tA\t" in line) == everybody, more
        cut = "\n".join(dig(server, "+ignore", "+bufsize=512", "web.service.consul", "SRV"))
        assert re.search(r"flags: qr aa tc rd;.*WARNING|flags: qr aa tc rd;", cut)
        whole = "\n".join(dig(server, "+bufsize=8192", "+ignore", "web.service.consul", "SRV"))
        assert re.search(r"flags: qr aa rd; QUERY: 1, ANSWER: 40, AUTHORITY: 0, ADDITIONAL: 41", whole)
        assert dig(server, "+short", "n1.node.gossip.consul", "TXT") == ['"rack=7"']
        assert dig(server, "+short", "-x", "127.0.0.1") == ["n1.node.gossip.consul."]
        assert re.search("status: NXDOMAIN", "\n".join(dig(server, "nope.service.gossip")))
        assert re.search("status: REFUSED", "\n".join(dig(server, "www.example.com")))
        assert re.search("failed|REFUSED", "\n".join(dig(server, "consul", "AXFR")))
        assert re.search("status: BADVERS", "\n".join(dig(server, "+edns=1", "+noednsneg", "consul", "SOA")))
