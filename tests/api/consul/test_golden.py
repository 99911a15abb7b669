"""Every recorded answer of a real Consul, beside this agent's: each difference has its reason, in the table.

A row is (requests, places, reason), the first two as patterns of the whole. A difference that no row covers
fails, and so does a row that covers none: what has become equal is to be struck out.
"""

from __future__ import annotations

import http.client
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.agent.processes import Process
from tests.api.consul.golden import ask, differences, golden

if TYPE_CHECKING:
    from pathlib import Path

    from tests.api.consul.golden import Difference

ANY = ".*"
NO_500 = "a client's mistake: 400, since clients repeat for ever what is answered by 500"
NO_SERVER = "this agent is no Consul server: it has no Raft, and one network"
NEWER = "as in later releases of Consul"
NO_ADDRESS = "a node that nobody has given an address is refused"

JUSTIFIED: Final = (
    (ANY, r".*\.(Interval|Timeout|ExposedPort)", NEWER + ": checks have these fields"),
    (ANY, r".*\.?Datacenter", NEWER + ": services of an agent have it"),
    (ANY, r"X-Consul-Effective-Consistency", "what an agent knows is always what it has heard: stale"),
    (ANY, r".*\.(Meta|NodeMeta|ServiceMeta|TaggedAddresses)", "an empty map is {}, never null"),
    (ANY, r".*\.ServiceTags", "an empty list is [], never null"),
    (r"GET /v1/agent/checks.*", r".*\.ServiceTags\[\]", "a check has the tags that its service has now"),
    (
        r"GET /v1/agent/health/.*",
        r".*\.Checks\[.*\.Definition\..*",
        "as everywhere else: definitions are not told",
    ),
    (r"GET /v1/agent/health/.*", r".*\.Type", "the type of a check is told here too"),
    (r"GET /v1/agent/health/service/name/front", ANY, "by id; Consul's order is that of a hash"),
    (r"GET /v1/(agent/self|agent/members.*)", r".*", NO_SERVER + "; and the version is that of the API"),
    (r"GET /v1/catalog/node(-services)?/one", r".*\.Services.*\.Meta\..*", NO_SERVER),
    (r"GET /v1/agent/version", "status", NEWER),
    (r"GET /v1/agent/metrics.*", ANY, "other families"),
    (r"GET /v1/(health|catalog|agent)/.*filter=.*", "status", NO_500 + ", as later releases do"),
    (r"GET /v1/catalog/services\?filter=.*", r"\.consul", NEWER + ": the filter counts here"),
    (r"GET /v1/catalog/gateway-services/x", "", "an empty list is [], never null"),
    (r"GET /v1/health/service/web\?cached", "X-Cache", "every answer comes out of this agent's memory"),
    (r"GET /v1/status/.*", r"|\[0\]", "addresses of the run"),
    (r"GET /v1/coordinate/.*", r"status|.*\[\]|\[.*Coord\..*", "a coordinate is known from the beginning on"),
    (r"PUT /v1/coordinate/update.*", "status", "a node's coordinate is its own to measure"),
    (
        r"(GET|POST|PUT|DELETE) /v1/operator/keyring.*",
        "status|",
        "no key ring in this agent; one sentence says so",
    ),
    (
        r"GET /v1/(operator/(raft|autopilot)|connect|config|peerings|namespaces|query).*",
        "status",
        "501 with a reason",
    ),
    (r"GET /", "", "its own greeting"),
    (
        r"GET /(v2/agent/self|nothing)",
        ANY,
        "paths that are not Consul's have this agent's errors",
    ),
    (r"PUT /v1/agent/service", "status", "no redirects but of paths with a slash too many"),
    (r"GET //?v1//?agent/self", "|Content-Type", "nobody reads the page of a redirect"),
    (r'PUT /v1/agent/service/register .*"snake".*', "status", "an id in small letters is one too"),
    (r"GET /v1/(agent|catalog)/.*", r".*\.(snake|snk)", "what was registered so"),
    (r"GET /v1/catalog/node-services/one", r"\.Services\[\]", "the same"),
    (r"GET /v1/catalog/node/one", r"\.Services\.consul\.Port", "a port of the run"),
    (r"PUT /v1/[a-z/]+ .*", "", "where Go's words name its own types, or the sentence is ours"),
    (r'PUT /v1/agent/service/register \{"Name": "x", "Port": .*', "status", "a port is between 0 and 65535"),
    (r'PUT /v1/agent/service/register .*"(DockerContainerID)".*', "status", "told why, instead of scripts"),
    (
        r'PUT /v1/agent/service/register \{"Name": "x{300}"\}',
        "status",
        "a record has room for 64 bytes of a name",
    ),
    (r'PUT /v1/agent/service/register .*"SidecarService".*', "status", "there is no service mesh"),
    (r"PUT /v1/agent/service/register .* trailing", "status", "what follows the value is a mistake"),
    (r'PUT /v1/agent/service/register .*"Namespace": "default".*', "status", NEWER),
    (r"PUT /v1/agent/(service|check)/deregister/.*", "status", NEWER + ": what is not there is told"),
    (r"PUT /v1/agent/check/(pass|warn|fail|update)/.*", "status", NEWER + ": 404"),
    (
        r"PUT /v1/agent/check/register .*",
        "status",
        "a check is of one kind; ids may be spelt either way; 404",
    ),
    (
        r"GET /v1/(agent/checks|health/.*)",
        r".*two kinds.*|\[[0-9]\]\..*|\[\]",
        "the check that was refused before",
    ),
    (r"GET /v1/.*", r".*\.Output", "its own words"),
    (r"GET /v1/agent/service/", "status", "a missing id is a mistake"),
    (r"GET /v1/agent/health/service/(id|name)/", "status", NO_500),
    (r"GET /v1/health/service/front\?index=1&wait=-1s", "status", "no time is negative"),
    (r"GET /v1/session/info/none", "status", "there are none"),
    (r"GET /v1/acl/bootstrap", "status", "as every path of access control"),
    (r"PUT /v1/agent/join/.*", "status|", "in this agent's words"),
    (r"PUT /v1/event/fire/.*", "status", NO_500),
    (r"PUT /v1/catalog/(de)?register .*", "status|Content-Type", NO_500 + "; " + NO_ADDRESS),
    (r"GET /v1/catalog/nodes", r"\[\]", NO_ADDRESS),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Difference]:
    folder: Path = tmp_path_factory.mktemp("golden")
    options = ("--http", "127.0.0.1:0", "--cluster", "dc1", "--http-list-self-as", "consul")
    with Process(folder, *options, name="one") as process, process.ask() as ask_agent:
        host = ask_agent.call("agent.info")["addresses"]["http"]
        connection = http.client.HTTPConnection(host, timeout=30)
        found = [each for consul in golden() for each in differences(consul, ask(connection, consul))]
        connection.close()
        return found


def covers(row: tuple[str, str, str], each: Difference) -> bool:
    requests, places, _ = row
    return bool(re.fullmatch(requests, each.request.what, re.DOTALL) and re.fullmatch(places, each.place))


def test_every_difference_has_its_reason(found: list[Difference]) -> None:
    left = [str(each)[:400] for each in found if not any(covers(row, each) for row in JUSTIFIED)]
    assert left == []


def test_every_reason_is_still_needed(found: list[Difference]) -> None:
    assert [row for row in JUSTIFIED if not any(covers(row, each) for each in found)] == []


def test_what_a_real_consul_takes_is_taken_or_refused_with_words(found: list[Difference]) -> None:
    """Nothing here is a fault of our own, and nothing that was refused there is done here in silence."""
    for each in found:
        if each.place == "status":
            assert not str(each.ours).startswith(("502", "503", "504")), each
            if str(each.ours).startswith("500"):
                assert "keyring" in each.request.path, each
