"""The words of the texts that are fuzzed: configuration files and lines of the local socket."""

from __future__ import annotations

from typing import Any, Final

from gossip.config import SETTINGS

__all__ = ["JSON_WORDS", "METHODS", "PARAMS", "TOML_HEAD", "TOML_WORDS"]

TOML_HEAD: Final = b'bind = "127.0.0.1:0"\nname = "n"\ndata_dir = "none"\n'
VALUES: Final = ('"a"', "true", "1", '["127.0.0.1:1", "a=b"]')
TOML_WORDS: Final = tuple(
    text.encode()
    for text in (
        *(f"{name} = {value}" for name in SETTINGS for value in VALUES),
        *('[[service]]\nname = "web"\nport = 80', "[[check]]", "[[service.check]]"),
        *('http = "http://127.0.0.1/"', 'tcp = "127.0.0.1:1"', 'ttl = "15s"', 'command = ["true"]'),
        *('interval = "5s"', "headers = { A = 'b' }", 'tags = ["a"]', "meta = { k = 'v' }", "weight = 65536"),
        *('grpc = "a:1/b"', 'alias = "node:a"', 'start = "passing"', "expect_status = [200, [200, 299]]"),
        *("[a.b]", "x = {", '"""', "'", "#", "\\u0000", "port = 99999999999999999999", "[[service"),
        *("t = 1979-05-27T07:32:00Z", "nan", "= =", '"\u00e9"', "\x00"),
    )
)

METHODS: Final = (
    *("agent.info", "agent.evict", "agent.join", "agent.leave", "agent.doctor", "agent.reload", "rtt"),
    *("members.list", "services.list", "services.lookup", "services.register", "services.deregister"),
    *("checks.update", "checks.list", "events.send", "maintenance.set", "members.watch", "keys.list", "x"),
)
PARAMS: Final[tuple[tuple[str, Any], ...]] = (
    *(("name", "web"), ("port", 80), ("port", 65_536), ("id", "web"), ("service", "web"), ("tags", ["a"])),
    *(("any", True), ("near", True), ("meta", {"a": "b"}), ("checks", [{"tcp": "a:1"}]), ("b", "n0")),
    *(("on", True), ("addresses", ["a"]), ("member", "n0"), ("status", "passing"), ("note", "x" * 5_000)),
    *(("payload", "\ud800"), ("weight", -1), ("level", "info"), ("timeout", 1e400), ("hold", True)),
    *(("reason", "\u00e9"), ("zz", None)),
)
JSON_WORDS: Final = (
    *(b'{"jsonrpc":"2.0","id":1,"method":"agent.info"}', b'"params":{}', b"[", b"]", b"{", b"}", b"null"),
    *(b"1e999", b"\\ud800", b'"', b"\xff", b"-0", b"[[[[" * 300, b'{"a":' * 300, b'"id":null,'),
    b'"id":9007199254740993,',
)
