"""Clients of Consul's API with a token, over TLS: py-consul, Consul's command line, Prometheus, curl."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import consul
import pytest

from tests.agent.processes import Process, until
from tests.interop.scrapers import older_prometheus
from tests.support import requires_peer, requires_program, run_program, run_python
from tests.tls import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


class Secured(NamedTuple):
    """An agent, whom to trust, and tokens by their scope."""

    port: int
    authority: Path
    tokens: dict[str, str]

    def client(self, scope: str) -> consul.Consul:
        token = self.tokens.get(scope)
        return consul.Consul(
            host="localhost", port=self.port, scheme="https", verify=str(self.authority), token=token
        )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("secured")
    authority = Authority(folder)
    cert, key = authority.issue("agent")
    known, tokens = folder / "tokens", {}
    for scope in ("read", "write", "admin"):
        made = run_python("-m", "gossip", "token", "new", scope, "--scope", scope, "--file", str(known))
        assert made.returncode == 0, made.stderr
        tokens[scope] = made.stdout.strip()
    options = ("--http-tokens", str(known), "--http-cert", str(cert), "--http-key", str(key))
    with Process(folder, "--http", "127.0.0.1:0", *options, name="one") as agent, agent.ask() as ask:
        address = ask.call("agent.info")["addresses"]["http"]
        yield Secured(int(address.rpartition(":")[2]), authority.cert, tokens)


def test_py_consul(secured: Secured) -> None:
    reader, writer, chief = (secured.client(scope) for scope in ("read", "write", "admin"))
    for who, reason in ((secured.client("none"), "denied"), (reader, "denied")):
        with pytest.raises(consul.exceptions.ACLPermissionDenied, match=reason):
            who.agent.service.register("web", port=80)
    with pytest.raises(consul.exceptions.ACLPermissionDenied):
        secured.client("none").catalog.services()
    assert writer.agent.service.register("web", port=80, tags=["v1"])
    assert [each["Service"]["ID"] for each in reader.health.service("web")[1]] == ["web"]
    index, _ = reader.health.service("web")
    assert writer.agent.service.register("web", port=81)
    assert reader.health.service("web", index=index, wait="60s")[1][0]["Service"]["Port"] == 81
    with pytest.raises(consul.exceptions.ACLPermissionDenied):
        writer.agent.maintenance(True)
    assert chief.agent.maintenance(True)
    assert chief.agent.maintenance(False)
    assert writer.agent.service.deregister("web")


def test_the_command_line(secured: Secured) -> None:
    program = requires_peer("consul", "consul", optional=True)

    def said(scope: str, *words: str) -> tuple[int, str]:
        extra = {
            "CONSUL_HTTP_ADDR": f"https://localhost:{secured.port}",
            "CONSUL_CACERT": str(secured.authority),
            "CONSUL_HTTP_TOKEN": secured.tokens.get(scope, ""),
        }
        done = run_program([program, *words], extra=extra)
        return done.returncode, done.stdout + done.stderr

    assert said("read", "members")[0] == 0
    status, text = said("none", "members")
    assert status == 1
    assert "403" in text
    assert said("read", "services", "register", "-name=shop")[0] == 1
    assert said("write", "services", "register", "-name=shop")[0] == 0
    assert "shop" in said("read", "catalog", "services")[1]
    assert said("write", "services", "deregister", "-id=shop")[0] == 0
    assert said("write", "reload")[0] == 1
    assert said("admin", "reload")[0] == 0


def test_prometheus(secured: Secured, tmp_path: Path) -> None:
    secured.client("write").agent.service.register("exporter", address="127.0.0.2", port=9_100)
    how = {
        "server": f"localhost:{secured.port}",
        "scheme": "https",
        "token": secured.tokens["read"],
        "tls_config": {"ca_file": str(secured.authority)},
        "services": ["exporter"],
    }
    config = {"scrape_configs": [{"job_name": "found", "consul_sd_configs": [how]}]}
    with older_prometheus(tmp_path / "prometheus", config) as server:
        until("it is found", lambda: "127.0.0.2:9100" in server.targets())


def test_curl(secured: Secured) -> None:
    url = f"https://localhost:{secured.port}/v1/catalog/services"
    program = [requires_program("curl"), "-q", "-sS", "-i", "--cacert", str(secured.authority)]
    for words in (
        ["-H", f"X-Consul-Token: {secured.tokens['read']}", url],
        ["-H", f"Authorization: Bearer {secured.tokens['read']}", url],
        [f"{url}?token={secured.tokens['read']}"],
    ):
        assert re.match(r"HTTP/\S+ 200 ", run_program([*program, *words]).stdout)
    assert re.match(r"HTTP/\S+ 403 ", run_program([*program, url]).stdout)
