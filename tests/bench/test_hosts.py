"""Hosts of their own: they reach each other, and one that is silenced is told apart from one that refuses."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from bench import hosts
from tests.support import requires_program, requires_root, run_python

TRIAL = """
import json, sys
from bench import proc
from bench.hosts import Hosts

TRY = '''
import socket, sys
kind, address, port = sys.argv[1:]
with socket.socket(socket.AF_INET, getattr(socket, kind)) as peer:
    peer.settimeout(float(WAIT))
    try:
        peer.connect((address, int(port)))
        if kind == "SOCK_DGRAM":
            peer.send(b"x")
            peer.recv(1)
        print("answered")
    except TimeoutError:
        print("silent")
    except ConnectionRefusedError:
        print("refused")
'''
ECHO = '''
import socket
datagrams, streams = socket.socket(type=socket.SOCK_DGRAM), socket.create_server(("", 7))
datagrams.bind(("", 7))
print("ready", flush=True)
while True:
    datagrams.sendto(*datagrams.recvfrom(64))
'''

assert proc.isolate_network()
with Hosts(3) as hosts:
    echo = proc.spawn([sys.executable, "-c", ECHO], None, piped=True, namespace=hosts[2].namespace)
    assert echo.stdout.readline() == b"ready\\n"

    def ask(kind, source, port, wait):
        code = TRY.replace("WAIT", wait)
        words = [sys.executable, "-c", code, kind, hosts[2].address, port]
        asked = proc.spawn(words, None, piped=True, namespace=source and source.namespace)
        return asked.communicate()[0].decode().strip()

    def told(source, wait="20"):
        kinds = ("SOCK_DGRAM", "SOCK_STREAM")
        return [ask(kind, source, port, wait) for kind in kinds for port in ("7", "8")]

    found = {"well": told(hosts[0])}
    before = hosts.refusals()
    hosts.silence(hosts[2])
    found["silenced"] = told(hosts[0], "0.3")
    found["harness"] = told(None)
    found["dropped"], found["refusals"] = hosts.dropped(), hosts.refusals() - before
    hosts.heal()
    hosts.part([hosts[0]], [hosts[1], hosts[2]])
    found["across"], found["within"] = told(hosts[0], "0.3"), told(hosts[1])
    hosts.heal()
    found["healed"] = told(hosts[0])
    found["all refusals"] = before
    print(json.dumps(found))
"""
WELL = ["answered", "refused"] * 2
SILENT = ["silent"] * 4


@pytest.mark.slow
def test_a_silent_host_gives_no_refusal_and_the_harness_is_heard_all_the_time() -> None:
    requires_root("network namespaces are made by root only")
    requires_program("ip")
    requires_program("nft")
    ran = run_python("-c", TRIAL, timeout=300)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found.pop("dropped") >= 4
    assert found == {
        "well": WELL,
        "silenced": SILENT,
        "harness": WELL,
        "refusals": 0,
        "across": SILENT,
        "within": WELL,
        "healed": WELL,
        # Of the closed UDP port; a closed TCP port answers by itself.
        "all refusals": 1,
    }


def test_each_host_has_an_address_of_its_own() -> None:
    addresses = [hosts.address_of(index) for index in range(600)]
    assert len(set(addresses)) == 600
    assert (addresses[0], addresses[249], addresses[250]) == ("10.77.0.1", "10.77.0.250", "10.77.1.1")
    with pytest.raises(ValueError, match="62499"):
        hosts.address_of(62_500)


def test_what_is_missing_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "nft" else "/usr/sbin/ip")
    assert hosts.missing() == "nft is not installed (Debian: apt-get install nftables)"
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/sbin/{name}")
    assert hosts.missing() is None
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "root" in (hosts.missing() or "")
