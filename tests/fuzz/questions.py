"""What is asked by DNS and by filters of Consul: queries, others' answers; expressions, patterns."""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, Final

from gossip.api.consul import filters, regex, shapes
from gossip.api.dns.message import HEADER_BYTES, MAX_BYTES
from gossip.api.dns.reading import read_answers
from gossip.core.types import Status
from gossip.errors import LocalProtocolError
from tests.api.dns.world import Dns, query
from tests.fuzz import bend

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

__all__ = ["DnsQueries", "Filters"]

NAMES: Final = (
    *("web.service.consul", "v1.web.service.east.consul", "_web._tcp.service.consul", "n1.node.gossip"),
    *(
        "0a000001.addr.consul",
        "1.0.0.10.in-addr.arpa",
        "consul",
        "ns.consul",
        "example.com",
        "a.query.consul",
    ),
    *("x." * 100 + "consul", "\\000.service.consul", "WEB.Service.CONSUL", "f" * 63 + ".node.consul"),
    "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
)
KINDS: Final = ("A", "AAAA", "SRV", "TXT", "ANY", "PTR", "SOA", "NS", "AXFR", "CNAME", "MX")
PARTS: Final = (
    *(b"\0\1\0\1", b"\xc0\x0c", b"\xc0\x00", b"\xff\xff", b"\0\0\x29\x10\0\0\0\0\0\0\0", b"\x3f" + b"a" * 63),
    *(b"\7service\6consul\0", b"\xc1\xff", b"\x80", b"\0" * 12),
)
MAX_ANSWER: Final = MAX_BYTES
_query = functools.cache(query)


class DnsQueries:
    """Queries over UDP from here and afar and over TCP; and the same bytes as an answer of another server."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._dns = dns = Dns(may_recurse=True)
        for number in range(40):
            owner = dns.one if number % 2 else dns.two
            dns.node.put(owner, f"web-{number}", "web", 80 + number, ("v1",))
        dns.node.set_status(dns.two, Status.SUSPECT)
        dns.node.drain()

    def fresh(self, rng: random.Random) -> bytes:
        size = rng.choice((None, None, 0, 512, 1_232, 4_096, 65_535))
        made = _query(rng.choice(NAMES), rng.choice(KINDS), edns=size)
        return rng.randbytes(2) + made[2:]

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.6:
            return bend.blind(data, rng)
        at = rng.randrange(len(data) + 1)
        return data[:at] + rng.choice(PARTS) + data[at + rng.choice((0, 2, 5)) :]

    def run(self, data: bytes) -> None:
        dns = self._dns
        for channel in (dns.here, dns.afar, dns.tcp):
            for _ in range(2):
                answer = dns.raw(data, channel)
                if isinstance(answer, bytes):
                    self._judge(data, answer)
        if len(data) >= HEADER_BYTES:
            read_answers(data)

    def _judge(self, data: bytes, answer: bytes) -> None:
        if answer[:2] != data[:2] or not answer[2] & 0x80 or not 12 <= len(answer) <= MAX_ANSWER:
            raise AssertionError(f"no answer to it: {answer[:40].hex()}")


ROW: Final[dict[str, Any]] = {
    "Node": {"Node": "n1", "Meta": {"rack": "7", "a b": "x"}, "TaggedAddresses": {"lan": "10.0.0.1"}},
    "Service": {
        "Tags": ["v1", "x.y"], "Port": 80, "Address": "", "EnableTagOverride": False, "Meta": {},
        "TaggedAddresses": {"lan": {"Address": "10.0.0.2", "Port": 81}},
    },
    "Checks": [{"Status": "passing", "ServiceTags": []}, {"Status": "critical", "ServiceTags": ["v1"]}],
}  # fmt: skip
TERMS: Final = (
    *("Service.Port == 80", '"v1" in Service.Tags', 'Node.Meta.rack != "8"', "Service.Tags is empty", "not "),
    *(
        'Checks.Status matches "^p.*"',
        "Service.Address == ``",
        'Node.Meta["a b"] == x',
        "(",
        ")",
        " and ",
        " or ",
    ),
    *(
        "Checks is not empty",
        'Service.Meta contains "a"',
        "Service.Nothing == 1",
        '"',
        "`",
        ".",
        "==",
        "\\",
        "[",
    ),
)
PATTERNS: Final = (
    *(
        "a*",
        "(a|b)+",
        "[^a-z]",
        "\\d{2,3}",
        "(?:x)?",
        "^$",
        "a{40}",
        "(((a*)*)*)*",
        "[[:alpha:]]",
        "\\b",
        "(",
    ),
    *("*", "[", "{", "\\", "(?i)x", "x{3,1}", ".*.*.*.*", "|", "\\pL", "\u00e9+", "(?P<n>a)"),
)


LONG, SHORT, ONE_IN = 200, 4, 64
"""How many `a` a pattern is looked for behind; how many patterns have a long text and the full limits."""
SMALL: Final = {"MAX_PATTERN": 48, "MAX_STATES": 64, "MAX_REPEAT": 64}


@contextlib.contextmanager
def _small_patterns() -> Iterator[None]:
    """What is over a limit takes longest to come to it: with a lower one it is refused all the same."""
    limits = vars(regex)
    shipped = {name: limits[name] for name in SMALL}
    limits.update(SMALL)
    try:
        yield
    finally:
        limits.update(shipped)


class Filters:
    """Expressions, each also as a pattern."""

    def renew(self) -> None:
        """Nothing is kept."""

    def fresh(self, rng: random.Random) -> bytes:
        terms = TERMS if rng.random() < 0.6 else PATTERNS
        return "".join(rng.choice(terms) for _ in range(rng.randint(1, 6))).encode()

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return bend.blind(data, rng)
        at = rng.randrange(len(data) + 1)
        return data[:at] + rng.choice((*TERMS, *PATTERNS)).encode() + data[at:]

    def run(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        with contextlib.suppress(LocalProtocolError):
            filters.read(text, shapes.HEALTH_INSTANCE)(ROW)
        with contextlib.suppress(LocalProtocolError):
            if len(data) % ONE_IN:
                with _small_patterns():
                    regex.compile(text).search("a" * SHORT + "passing 10.0.0.1")
            else:
                regex.compile(text).search("a" * LONG + "passing 10.0.0.1")
