"""The same questions to an agent and to a real Consul server: where the answers differ, and why."""

from __future__ import annotations

import json
import re
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

import dns.message
import dns.query
import dns.rcode
import pytest

from bench.dns import PEERS
from tests.agent.processes import PATIENCE, Process, until
from tests.interop.test_dns import running
from tests.support import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICES: tuple[tuple[str, str, int, str, list[str]], ...] = (
    ("web", "w1", 8_001, "10.0.0.1", ["v1"]),
    ("web", "w2", 8_002, "10.0.0.2", ["v2", "a.b"]),
    ("web", "w6", 8_006, "2001:db8::6", ["v6"]),
    ("local", "l", 9_000, "", ["x"]),
    ("Upper", "U", 9, "10.0.0.9", []),
    ("ext", "e", 443, "www.example.com", []),
    ("many", "m1", 1, "10.0.0.5", []),
    ("many", "m2", 2, "10.0.0.5", []),
)
NAMES = (
    *("web.service.consul", "WEB.service.consul", "v1.web.service.consul", "a.b.web.service.consul"),
    *("V1.web.service.consul", "_web._tcp.service.consul", "_web._v1.service.consul"),
    *("_web._udp.service.consul", "_web._tcp.consul", "web.service.dc1.consul", "web.service.dc2.consul"),
    *("local.service.consul", "upper.service.consul", "ext.service.consul", "many.service.consul"),
    *("nope.service.consul", "one.node.consul", "ONE.node.dc1.consul", "two.node.consul"),
    *("0a000001.addr.consul", "0a000001.addr.dc1.consul", "20010db8000000000000000000000006.addr.consul"),
    *("0a00.addr.consul", "consul", "ns.consul", "service.consul", "x.consul", "web.query.consul"),
    *("web.connect.consul", "1.0.0.127.in-addr.arpa", "5.0.0.10.in-addr.arpa", "www.example.com"),
)
KINDS = ("A", "AAAA", "SRV", "ANY", "TXT", "PTR")
DIFFERENCES = {
    r"\S+ (TXT|PTR)|\S+\.addr\.\S+ (A|AAAA|SRV)|\S+\.arpa (A|AAAA|SRV)": (
        "Consul answers some questions with records of another type than was asked for"
    ),
    r"(service\.consul|consul) \w+": (
        "Consul denies names that others are below: a resolver that asks label by label ends there (RFC 8020)"
    ),
    r"_web\._tcp\.consul (A|AAAA|ANY)": "a name that is there for SRV is there for all types (RFC 2308)",
    r"(two\.node|0a00\.addr)\.consul \w+": "Consul does not deny a name that is not there",
}
"""Of code and answers. Consul's meta data of its own (`consul-network-segment`) is left out."""


def ask(port: int, name: str, kind: str) -> tuple[str, list[str]]:
    query = dns.message.make_query(name, kind, use_edns=0, payload=4_096)
    message = dns.query.udp(query, "127.0.0.1", PATIENCE, port)
    found = [(each.name, rdata.to_text()) for each in message.answer for rdata in each]
    texts = [f"{owner} {text}" for owner, text in found if "consul-network-segment" not in text]
    return dns.rcode.to_text(message.rcode()), sorted(text for text in texts if " hostmaster." not in text)


def glue(port: int, name: str) -> set[str]:
    """Addresses beside the SRV records; Consul adds meta data, which makes HAProxy pass over all of it."""
    query = dns.message.make_query(name, "SRV", use_edns=0, payload=4_096)
    message = dns.query.udp(query, "127.0.0.1", PATIENCE, port)
    return {f"{each.name} {rdata}" for each in message.additional for rdata in each if each.rdtype != 16}


@contextmanager
def consul(folder: Path) -> Iterator[int]:
    """A server with our services; the port of its DNS."""
    program = PEERS / "consul" / "usr" / "bin" / "consul"
    if not program.exists():
        pytest.skip("no Consul 1.8.7 here: scripts/peers consul fetches it")
    names = ("dns", "http", "server", "serf_lan", "serf_wan")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = {
        "server": True, "bootstrap_expect": 1, "node_name": "one", "bind_addr": "127.0.0.1",
        "data_dir": str(folder / "consul"), "log_level": "ERR", "ports": ports, "node_meta": {"role": "db"},
        "services": [
            {"name": name, "id": key, "port": port, "address": address, "tags": tags}
            for name, key, port, address, tags in SERVICES
        ],
        "dns_config": {"udp_answer_limit": 100, "enable_truncate": True},
    }  # fmt: skip
    config = folder / "consul.json"
    config.write_text(json.dumps(settings))

    def read(path: str) -> Any:
        try:
            with urlopen(f"http://127.0.0.1:{ports['http']}/v1{path}", timeout=PATIENCE) as answer:
                return json.load(answer)
        except URLError:
            return None

    with running(folder / "consul.log", str(program), "agent", "-config-file", str(config)) as child:

        def has_leader() -> bool:
            assert child.poll() is None, (folder / "consul.log").read_text()
            return bool(read("/status/leader"))

        until("Consul has a leader", has_leader)
        until("Consul knows itself", lambda: read("/catalog/nodes"))
        until("all are listed", lambda: len(read("/health/service/web?passing") or ()) == 3)
        until("so are others", lambda: len(read("/health/service/many?passing") or ()) == 2)
        yield ports["dns"]


@pytest.mark.slow
def test_answers_are_those_of_consul_but_for_reasons(tmp_path: Path) -> None:
    with ExitStack() as stack:
        theirs = stack.enter_context(consul(tmp_path))
        options = ("--cluster", "dc1", "--dns", "127.0.0.1:0", "--tag", "role=db")
        agent = stack.enter_context(Process(tmp_path, *options, name="one"))
        say = stack.enter_context(agent.ask())
        for name, key, port, address, tags in SERVICES:
            say.call("services.register", name=name, id=key, port=port, address=address, tags=tags)
        ours = int(say.call("agent.info")["addresses"]["dns"].rpartition(":")[2])
        used = set()
        for name in NAMES:
            for kind in KINDS:
                expected, found = ask(theirs, name, kind), ask(ours, name, kind)
                if expected != found:
                    reasons = [each for each in DIFFERENCES if re.fullmatch(each, f"{name} {kind}")]
                    assert reasons, f"{name} {kind}: Consul {expected}, ours {found}"
                    used.update(reasons)
        assert used == set(DIFFERENCES), "and each reason is one"
        for name in (
            "web.service.consul",
            "_web._v1.service.consul",
            "local.service.consul",
            "ext.service.consul",
        ):
            assert glue(ours, name) == glue(theirs, name)
