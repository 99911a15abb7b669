"""Health check definitions: from TOML, from the socket's JSON, from Consul's format; each refusal's place."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.config import CheckDefinition, load, read_checks
from gossip.config.checks import MAX_CHECKS
from gossip.config.consul import go_duration
from gossip.errors import ConfigError

ENV = {"HOME": "/home/u"}
WEB = '[[service]]\nname = "web"\nport = 80\n'


NONE = "a check has exactly one of http, tcp, grpc, command, ttl, alias, container: it has none"


def write(folder: Path, text: str, name: str = "gossip.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def checks_of(folder: Path, text: str) -> tuple[CheckDefinition, ...]:
    path = write(folder, "dev = true\n" + WEB + text)
    return load([path], ENV, {}).services[0].checks


def refusal(call: Any, *arguments: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_kind_in_a_file(tmp_path: Path) -> None:
    found = checks_of(
        tmp_path,
        """
        [[service.check]]
        http = "https://[::1]:8080/health?x=1"
        interval = "5s"
        timeout = "500ms"
        method = "post"
        headers = { Accept = "text/plain" }
        body = "ping"
        expect_status = "200-204, 301"
        expect_body = "ok"
        tls_skip_verify = true
        passes_before_passing = 2
        failures_before_warning = 2
        failures_before_critical = 3
        deregister_after = "1h"
        start = "warning"
        note = "the front door"
        [[service.check]]
        tcp = "127.0.0.1:80"
        [[service.checks]]
        grpc = "localhost:50051/pkg.Service"
        tls = true
        [[service.checks]]
        command = "test -e /tmp/up"
        [[service.checks]]
        command = ["/bin/check", "-v"]
        name = "deep"
        id = "deep-check"
        [[service.checks]]
        ttl = "15s"
        [[service.checks]]
        alias = "node:n2"
        [[service.checks]]
        container = "web-1"
        """,
    )
    assert [each.kind for each in found] == [
        "http", "tcp", "grpc", "command", "command", "ttl", "alias", "container",
    ]  # fmt: skip
    http = found[0]
    assert (http.interval, http.timeout, http.method, http.body) == (5.0, 0.5, "POST", "ping")
    assert http.expect_status == ((200, 204), (301, 301))
    assert (http.id, http.name, http.start, http.deregister_after) == (
        "service:web:1",
        "http",
        "warning",
        3600,
    )
    assert (found[2].target, found[2].tls) == ("localhost:50051/pkg.Service", True)
    assert (found[3].target, found[4].argv) == ("test -e /tmp/up", ("/bin/check", "-v"))
    assert (found[4].id, found[4].name) == ("deep-check", "deep")
    assert (found[5].ttl, found[6].target, found[7].target) == (15.0, "node:n2", "web-1")
    assert len({each.id for each in found}) == len({each.name for each in found}) == 8
    # What is kept on disk is read back as it was.
    assert read_checks([each.mapping() for each in found], "web") == found
    assert json.loads(json.dumps([each.mapping() for each in found]))


def test_defaults_and_the_only_check_of_a_service() -> None:
    (found,) = read_checks([{"tcp": "127.0.0.1:80"}], "w1")
    assert found == CheckDefinition("tcp", "127.0.0.1:80", "service:w1", "tcp")
    assert (found.interval, found.timeout, found.start) == (10.0, 2.0, "critical")
    assert (found.passes_before_passing, found.failures_before_critical) == (1, 1)


def test_checks_of_the_node(tmp_path: Path) -> None:
    path = write(tmp_path, 'dev = true\n[[check]]\ncommand = "true"\nname = "disk"\n' + WEB)
    (found,) = load([path], ENV, {}).checks
    assert (found.id, found.name) == ("node", "disk")
    bad = write(tmp_path, 'dev = true\n[[check]]\nttl = "1s"\nderegister_after = "1h"\n')
    assert refusal(load, [bad], ENV, {}) == (
        f"{bad}:2: check: deregister_after is for checks of services: remove it"
    )


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ({}, f"checks[0]: {NONE}"),
        ({"http": "http://a/", "tcp": "a:1"}, "container: it has http and tcp"),
        ({"htp": "http://a/"}, "checks[0].htp: unknown: did you mean http?"),
        ({"tcp": "a:1", "intervall": "1s"}, "checks[0].intervall: unknown: did you mean interval?"),
        ({"tcp": "a:1", "method": "GET"}, "checks[0].method: it does not go with a tcp check: remove it"),
        ({"ttl": "5s", "interval": "1s"}, "checks[0].interval: it does not go with a ttl check: remove it"),
        ({"ttl": "5s", "passes_before_passing": 2}, "does not go with a ttl check"),
        ({"ttl": "5"}, "checks[0].ttl: '5' is no duration: write 500ms, 2s, 1m or 1h"),
        ({"ttl": "10ms"}, "checks[0].ttl: '10ms' is not between 0.1s and 7776000s"),
        ({"tcp": "a"}, "checks[0].tcp: 'a' has no port: write HOST:PORT"),
        ({"tcp": "a:b"}, "checks[0].tcp: 'a:b': 'b' is no port"),
        ({"tcp": "a:1", "interval": 1}, "checks[0].interval: it must be text"),
        ({"tcp": "a:1", "timeout": "2h"}, "is not between 0.01s and 3600s"),
        ({"tcp": "a:1", "passes_before_passing": 0}, "it must be a whole number from 1 to 100"),
        ({"tcp": "a:1", "passes_before_passing": True}, "it must be a whole number from 1 to 100"),
        ({"tcp": "a:1", "failures_before_warning": 2}, "2 is more than failures_before_critical, 1"),
        ({"tcp": "a:1", "start": "up"}, "checks[0].start: 'up' is not one of passing, warning, critical"),
        ({"tcp": "a:1", "name": "a\nb"}, "characters that do not print"),
        ({"tcp": "a:1", "name": "n" * 65}, "has 65 bytes: the limit is 64"),
        ({"http": "ftp://a/"}, "'ftp://a/' is no URL: write such as http://127.0.0.1:8080/health"),
        ({"http": "http://a:99999/"}, "is no URL"),
        ({"http": "http://u:p@a/"}, "use an Authorization header"),
        ({"http": "http://a/ b"}, "is no URL"),
        ({"http": "http://a/ä"}, "characters that a URL has to escape"),
        ({"http": "http://a/\r\nX: y"}, "characters that do not print"),
        ({"http": "http://a/" + "x" * 2048}, "bytes: the limit is 2048"),
        ({"http": "http://a/", "headers": {"X": "a\r\nY: b"}}, "the value of X must be text of printable"),
        ({"http": "http://a/", "headers": {"X Y": "a"}}, "'X Y' is no name of a header"),
        ({"http": "http://a/", "headers": {"Content-Length": "1"}}, "Content-Length is set by the agent"),
        ({"http": "http://a/", "headers": ["X"]}, "it must be a table of at most 32 texts"),
        ({"http": "http://a/", "method": "G T"}, "'G T' is no method"),
        ({"http": "http://a/", "expect_status": "299-200"}, "'299-200' is no status"),
        ({"http": "http://a/", "expect_status": "ok"}, "'ok' is no status"),
        ({"http": "http://a/", "tls_skip_verify": 1}, "it must be true or false"),
        ({"http": 7}, "checks[0].http: it must be text"),
        ({"command": ""}, "it is no command"),
        ({"command": []}, "it must be text for a shell, or a list of texts"),
        ({"command": ["a", 1]}, "it must be text for a shell, or a list of texts"),
        ({"command": [""]}, "its first text is the program"),
        ({"command": "a\0b"}, "it is no command"),
        ({"command": ["a"] * 65}, "65 texts of 65 bytes in all: the limits are 64 and 4096"),
        ({"alias": "node:"}, "which node?"),
        ({"container": "../x"}, "'../x' is no name or id of a container"),
    ],
)
def test_a_bad_check_is_refused_at_its_key(check: dict[str, Any], reason: str) -> None:
    assert reason in refusal(read_checks, [check], "web")


def test_lists_are_bounded_and_names_unique() -> None:
    tcp = {"tcp": "127.0.0.1:1"}
    assert len(read_checks([tcp] * MAX_CHECKS, "web")) == 16
    assert refusal(read_checks, [tcp] * 17, "web") == (
        "checks[16]: 17 checks of one service: the limit is 16"
    )
    twice = [tcp | {"name": "a"}] * 2
    assert refusal(read_checks, twice, "web") == (
        "checks[1]: name 'a' is given to another check: choose another"
    )
    assert refusal(read_checks, "x", "web") == "checks: it must be a list of tables, one for each check"
    assert refusal(read_checks, [1], "web") == "checks: it must be a list of tables, one for each check"
    # A default makes room for what was given.
    named = read_checks([tcp, tcp | {"name": "tcp", "id": "service:web:1"}], "web")
    assert [each.name for each in named] == ["tcp-2", "tcp"]
    assert [each.id for each in named] == ["service:web:1-2", "service:web:1"]


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["http", "tcp", "grpc", "command", "ttl", "alias", "container", "interval", "name",
                         "headers", "expect_status", "x"]), inner, max_size=4),
    max_leaves=8,
))  # fmt: skip
def test_whatever_comes_in_is_read_or_refused(value: object) -> None:
    with contextlib.suppress(ConfigError):
        read_checks(value, "web")


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ('[[service.check]]\ntcp = "a"\n', 6, "service.check.tcp: 'a' has no port: write HOST:PORT"),
        (
            '[[service.check]]\ntcp = "a:1"\n' + WEB.replace("web", "b")
            + '[[service.check]]\ntcp = "a:1"\n[[service.check]]\nttl = "5s"\ninterval = "1s"\n',
            14,
            "service.check.interval: it does not go with a ttl check: remove it",
        ),
        ("[[service.checks]]\nname = 1\n", 5, NONE),
        ("check = 1\n", 5, "service.check: write it as [[service.check]] tables"),
        ('checks = [{ tcp = "a" }]\n', 2, "service.checks.tcp: 'a' has no port: write HOST:PORT"),
        ('[[service.check]]\nttl = "1s"\nname = "a"\n[[service.check]]\nttl = "1s"\nname = "a"\n', 8,
         "check: name 'a' is given to another check: choose another"),
    ],
)  # fmt: skip
def test_a_bad_check_of_a_file_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, reason: str
) -> None:
    path = write(tmp_path, "dev = true\n" + WEB + text)
    assert refusal(load, [path], ENV, {}) == f"{path}:{line}: {reason}"


def test_the_id_of_a_check_is_unique_on_the_node(tmp_path: Path) -> None:
    text = WEB + '[[service.check]]\nttl = "1s"\nid = "a"\n'
    path = write(tmp_path, "dev = true\n" + text + text.replace("web", "b"))
    assert refusal(load, [path], ENV, {}) == (
        f"{path}:8: service: the id 'a' of a check is given twice: give it another than that at {path}:2"
    )
    path = write(tmp_path, "dev = true\n" + text + '[[check]]\nttl = "1s"\nid = "a"\n')
    assert refusal(load, [path], ENV, {}) == (
        f"{path}:8: check: the id 'a' is that of a check of service 'web': give it another"
    )


def test_command_checks_can_be_switched_off(tmp_path: Path) -> None:
    path = write(tmp_path, "dev = true\n" + WEB + '[[service.check]]\ncommand = "true"\n')
    assert load([path], ENV, {}).command_checks == "local"
    assert refusal(load, [path], ENV, {"command_checks": "off"}) == (
        "service 'web': check 'command' is a command, and command_checks is off:"
        " set that to local, or remove it"
    )


def consul(folder: Path, content: object, name: str = "s.json") -> Any:
    write(folder / "services.d", content if isinstance(content, str) else json.dumps(content), name)
    return load([write(folder, "dev = true")], ENV, {}).services


def test_a_definition_in_consuls_format(tmp_path: Path) -> None:
    one, two, three = consul(
        tmp_path,
        {
            "services": [
                {
                    "Name": "redis",
                    "ID": "redis1",
                    "Port": 6379,
                    "Address": "",
                    "Tags": ["primary"],
                    "Meta": {"v": "7"},
                    "Weights": {"Passing": 5, "Warning": 1},
                    "EnableTagOverride": False,
                    "Connect": {"Native": True},
                    "Checks": [
                        {
                            "CheckID": "h", "Name": "HTTP", "HTTP": "http://127.0.0.1/h", "Interval": "1m30s",
                            "Header": {"A": ["1", "2"]}, "TLSSkipVerify": True, "Notes": "x",
                            "DeregisterCriticalServiceAfter": "90m", "SuccessBeforePassing": 0,
                            "FailuresBeforeCritical": 3, "Status": "passing",
                        },
                        {"args": ["/bin/true"], "interval": "10s"},
                        {"ttl": "30s", "deregister_critical_service_after": "1m"},
                        {"tcp": "localhost:22", "Interval": 5_000_000_000, "timeout": "1s"},
                    ],
                },
                {"name": "g", "port": 1, "check": {"grpc": "a:1/s", "grpc_use_tls": True, "interval": "1s"}},
                {"name": "a", "Check": {"AliasService": "redis1"}, "Checks": []},
            ]
        },
    )  # fmt: skip
    assert (one.name, one.id, one.port, one.tags, one.meta, one.weight) == (
        "redis", "redis1", 6379, ("primary",), {"v": "7"}, 5,
    )  # fmt: skip
    http, args, ttl, tcp = one.checks
    assert (http.id, http.name, http.interval, http.timeout, http.headers) == (
        "h",
        "HTTP",
        90,
        10,
        {"A": "1, 2"},
    )
    assert (http.deregister_after, http.passes_before_passing, http.failures_before_critical) == (5400, 1, 3)
    assert (http.start, http.note, http.tls_skip_verify) == ("passing", "x", True)
    assert (args.argv, args.timeout, ttl.ttl, ttl.deregister_after) == (("/bin/true",), 30, 30, 60)
    assert (tcp.interval, tcp.timeout) == (5, 1)
    assert (two.checks[0].target, two.checks[0].tls, two.checks[0].id) == ("a:1/s", True, "service:g")
    assert (three.port, three.checks[0].target) == (0, "redis1")
    (single,) = consul(tmp_path, {"service": {"name": "web", "port": 80}})
    assert (single.id, single.checks) == ("web", ())


def test_what_a_program_writes_for_nothing_is_nothing(tmp_path: Path) -> None:
    """Go writes null for lists and pointers that are not set, and 0s or 0 for durations."""
    none = {"Check": None, "Checks": None, "Tags": None, "Meta": None, "Weights": None, "Connect": None}
    check = {
        "HTTP": "http://127.0.0.1/", "Interval": "10s", "Timeout": "0s", "TTL": 0,
        "DeregisterCriticalServiceAfter": "0s", "Header": None,
    }  # fmt: skip
    bare, checked = consul(
        tmp_path, {"services": [{"Name": "a"} | none, {"Name": "b"} | none | {"Checks": [check]}]}
    )
    assert (bare.checks, bare.tags, bare.weight) == ((), (), 1)
    (found,) = checked.checks
    assert (found.kind, found.timeout, found.deregister_after) == ("http", 10, None)
    (numbers,) = consul(tmp_path, '{"service": {"name": "a", "check": {"ttl": 1.5e10}}}')
    assert numbers.checks[0].ttl == 15


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", ":1: Expecting property name enclosed in double quotes"),
        ("[]", ': it must be a table with "service" or "services"'),
        ({"checks": []}, ': checks: JSON files in services.d hold "service" or "services" only'),
        ({"service": []}, ': service: write "service": {...} or "services": [{...}]'),
        ({"services": [1]}, ": services[0]: it must be a table"),
        ({"service": {"port": 1}}, ": service: service: name is missing"),
        ({"service": {"Name": "a", "Port": "80"}}, ": service.Port: it must be a whole number from 0 to 65"),
        ({"service": {"name": "a", "nam": 1}}, ": service.nam: unknown: Consul's format has no such key"),
        ({"service": {"name": "a", "Name": "b"}}, ": service.Name: it says the same as name: give one of t"),
        ({"service": {"name": "a", "Proxy": {"x": 1}}}, ": service.Proxy: service mesh (Connect) is not su"),
        ({"service": {"name": "a", "connect": {"sidecar_service": {"port": 1}}}}, ": service.connect: serv"),
        ({"service": {"name": "a", "enable_tag_override": True}}, "only its own node changes a service's t"),
        ({"service": {"name": "a", "Weights": {"Passing": 0}}}, ": service.Weights: Passing must be greate"),
        ({"service": {"name": "a", "meta": {"k": 1}}}, ": service.meta: it must be a table of texts"),
        ({"services": [{"name": "a", "checks": [{"ttl": "1s"}, {"HTTP": "x", "Interval": "1s"}]}]},
         ": services[0].checks[1].HTTP: 'x' is no URL"),
        ({"service": {"name": "a", "Check": {"TTL": "10"}}}, ": service.Check.TTL: '10' is no duration"),
        ({"service": {"name": "a", "Check": {"UDP": "a:1"}}}, ": service.Check.UDP: UDP checks are not in"),
        ({"service": {"name": "a", "Check": {"TTL": "1s", "Interval": "1s"}}}, "does not go with a ttl che"),
        ({"service": {"name": "a", "Check": 1}}, ": service.Check: it must be a list of tables"),
    ],
)  # fmt: skip
def test_a_faulty_json_file_is_refused_at_its_place(tmp_path: Path, content: object, reason: str) -> None:
    message = refusal(consul, tmp_path, content)
    assert message.startswith(f"{tmp_path / 'services.d' / 's.json'}")
    assert reason in message


def test_a_service_of_two_files_is_refused(tmp_path: Path) -> None:
    toml = write(tmp_path / "services.d", WEB, "a.toml")
    assert refusal(consul, tmp_path, {"service": {"name": "web", "port": 80}}) == (
        f"{tmp_path / 'services.d' / 's.json'}: service: service: id 'web' is defined twice:"
        f" give it another than that at {toml}:1"
    )


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("1h30m", 5400), ("1.5s", 1.5), ("100ms", 0.1), (".5s", 0.5), (1_500_000_000, 1.5), ("0s", 0)],
)
def test_go_durations(value: object, seconds: float) -> None:
    assert float(go_duration(value, "p")[:-1]) == pytest.approx(seconds)


@pytest.mark.parametrize("value", ["", "10", "-1s", "1 s", "s", True, None, 1.5, -1, 10**400, math.nan])
def test_what_is_no_go_duration(value: object) -> None:
    with pytest.raises(ConfigError, match=r"^p: .* is no duration"):
        go_duration(value, "p")
