"""What Prometheus is told: every family, read from the parts of the agent when it scrapes.

Nothing is kept up to date in between: the parts count for themselves, in plain integers. No label takes its
values from outside: reasons, routes and statuses are words of this program. `METRICS.md` is the table for
people, and a test holds the two together.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

import gossip
from gossip.api import views
from gossip.api.http.proxies import LABELS, PROXIES, Forwarding, ProxyFamily, samples
from gossip.core.records import ServiceRecord, StatusRecord
from gossip.core.types import Verdict

if TYPE_CHECKING:
    from gossip.api.dns.face import DnsFace
    from gossip.api.http.server import HttpServer
    from gossip.api.http.sse import EventStreams
    from gossip.api.lookups import Lookups
    from gossip.api.socket import LocalSocket
    from gossip.core.histogram import Histogram
    from gossip.net.driver import Driver

__all__ = ["FAMILIES", "Metrics", "Node", "Sources"]

REFUSED: Final = (
    *("malformed", "oversized", "truncated", "sealed", "stream", "order", "version", "cluster"),
    *("clear", "replayed", "stale", "key_refused", "key_plan_refused", "key_not_granted"),
    *("unknown_kind", "identity", "signature", "own", "protocol_range", "own_address", "ping_for_another"),
    *("ack_unexpected", "ack_unbound", "not_me_unexpected", "not_me_unproven", "report_unexpected"),
    *("frame_unexpected", "orphan", "uninvited", "accuser_unknown", "accuser_dead", "accusation_rate"),
    *("accusation_future", "coordinate_refused", "refusal_unproven", "refusal_lied", "icmp_other"),
    *("members_full", "services_full", "streams_full", "stream_limit", "stream_backlog"),
    *("unwarranted", "warrant_name", "warrant_expired", "warrant_used"),
    *("banned", "ban_unauthorised", "bans_full", "stream_share", "own_beyond"),
    *("dial_back_busy", "dial_back_elsewhere"),
)
"""Counters of what came from others and was not taken."""
PLAIN: Final = {
    "probes": ("probes", "Probes begun."),
    "probes_indirect": ("probe_indirect", "Probes whose first ping was not answered in time."),
    "probes_unheard": ("probe_unheard", "Failed probes that accused nobody, since nobody at all was heard."),
    "accusations": ("accused", "Accusations that this agent has made."),
    "suspicions": ("suspected", "Members that became suspect here."),
    "false_alarms": ("false_alarms", "Suspicions here that ended with the member alive."),
    "looks_unsure": ("look_unsure", "Last looks that met nobody and settled nothing, to be taken again."),
    "relapses": (
        "relapses",
        "Times that a member was found silent by several and came back in the same life.",
    ),
    "refutations": ("refuted", "Accusations of this agent itself that it answered."),
    "burials": ("buried", "Members that this agent has found dead by itself."),
    "doubts": ("doubts", "Times that this agent found that it had not been running."),
    "repairs": ("repairs", "Repairs of the view that were begun."),
    "repairs_failed": ("repair_failed", "Repairs that broke off."),
    "dial_backs": ("dial_backs", "Times that this agent tried to reach another that had asked for it."),
    "local_denied": ("denied", "Requests over the local socket that whoever asked may not make."),
    "local_ended": ("local_ended", "Connections to the local socket that were ended as too much waited."),
    "tls_failed": ("tls_failed", "TLS handshakes of HTTP clients that came to nothing."),
    "tls_refused": ("tls_refused", "HTTP clients refused because too many waited for a TLS handshake."),
    "http_rate_limited": ("http_rate", "Requests over HTTP of sources that asked more than one may."),
    "http_tokens_unread": (
        "http_token_rate",
        "Tokens that were not looked at, since too many wrong ones had come from the same source.",
    ),
    "keys_granted": ("keys_granted", "Times that this agent has handed a cluster key to a member."),
    "clear_accepted": (
        "clear_accepted",
        "Datagrams and streams taken although they came in clear, as accept_clear allows.",
    ),
    "receive_overflows": ("receive_overflow", "Times that the UDP receive buffer was found to have dropped."),
    "internal_errors": ("internal_error", "Faults of the agent's own code that ended a packet or request."),
}
"""Families that are one counter of the node each."""
FAILED_PROBES: Final = {"silent": "probe_failed", "refused": "probe_refused"}
UNSENT: Final = {
    "blocked": "send_blocked",
    "failed": "send_failed",
    "forbidden": "send_forbidden",
    "no_socket": "send_no_socket",
}
COUNTED: Final = frozenset(
    (*REFUSED, *(name for name, _ in PLAIN.values()), *FAILED_PROBES.values(), *UNSENT.values())
)


class Node(views.Reads, Protocol):
    """What is read of `core.node.Node` besides what programs see."""

    @property
    def counters(self) -> Mapping[str, int]: ...
    @property
    def health(self) -> int: ...
    @property
    def is_doubting(self) -> bool: ...
    @property
    def queue(self) -> int: ...
    @property
    def round_trips(self) -> Histogram: ...
    def agreement(self) -> float | None: ...


class Waiting(Protocol):
    """The answers of Consul's API."""

    @property
    def waiting(self) -> int: ...


class Sources(NamedTuple):
    """The parts that are read."""

    node: Node
    driver: Driver
    socket: LocalSocket
    server: HttpServer
    lookups: Lookups
    """Of the HTTP face."""
    streams: EventStreams
    consul: Waiting
    dns: DnsFace | None
    proxies: Callable[[], Iterable[Forwarding]]
    """The forwarders that there are."""


Samples: TypeAlias = Iterable[tuple[tuple[str, ...], float]]
Read: TypeAlias = Callable[[Sources], Samples]


class Family(NamedTuple):
    """One name: what it is, and where its samples come from."""

    name: str
    """Without the prefix, and without the `_total` of a counter."""
    help: str
    read: Read
    labels: tuple[str, ...] = ()
    is_counter: bool = False


def _one(read: Callable[[Sources], float]) -> Read:
    return lambda of: [((), read(of))]


def _counter(counter: str) -> Read:
    return _one(lambda of: of.node.counters.get(counter, 0))


def _by_reason(counters: Mapping[str, str]) -> Read:
    return lambda of: [((word,), of.node.counters.get(name, 0)) for word, name in counters.items()]


def _members(of: Sources) -> Samples:
    return [((status,), count) for status, count in views.tally(of.node).items()]


def _degraded(of: Sources) -> Samples:
    return [((), sum(member.degraded and member.is_live for member in of.node.members))]


def _refused(of: Sources) -> Samples:
    counters = of.node.counters
    return [((reason,), counters.get(reason, 0)) for reason in REFUSED]


def _other(of: Sources) -> Samples:
    return [((), sum(count for name, count in of.node.counters.items() if name not in COUNTED))]


def _datagrams(of: Sources) -> Samples:
    ports = [endpoint.udp for endpoint in of.driver.endpoints]
    return [
        (("received",), sum(port.received for port in ports)),
        (("sent",), sum(port.sent for port in ports)),
    ]


def _datagram_bytes(of: Sources) -> Samples:
    ports = [endpoint.udp for endpoint in of.driver.endpoints]
    return [
        (("received",), sum(port.received_bytes for port in ports)),
        (("sent",), sum(port.sent_bytes for port in ports)),
    ]


def _stream_bytes(of: Sources) -> Samples:
    volume = of.driver.streamed
    return [(("received",), volume.read), (("sent",), volume.written)]


def _agreement(of: Sources) -> Samples:
    share = of.node.agreement()
    return [] if share is None else [((), share)]


def _checks(of: Sources) -> Samples:
    counts = dict.fromkeys(Verdict, 0)
    for fact in of.node.members.me.services.values():
        if isinstance(fact.body, StatusRecord):
            for _, found in fact.body.checks:
                counts[Verdict(found)] += 1
    return [((verdict.label,), count) for verdict, count in counts.items()]


def _registered(of: Sources) -> float:
    return sum(isinstance(fact.body, ServiceRecord) for fact in of.node.members.me.services.values())


def _requests(of: Sources) -> Samples:
    return [((route, str(code)), count) for (route, code), count in of.server.requests.items()]


def _dns_queries(of: Sources) -> Samples:
    return [] if of.dns is None else [((way, code), count) for way, code, count in of.dns.queries()]


def _dns_dropped(of: Sources) -> Samples:
    return [] if of.dns is None else [((reason,), count) for reason, count in of.dns.dropped().items()]


def _dns_limited(of: Sources) -> Samples:
    return [] if of.dns is None else [((outcome,), count) for outcome, count in of.dns.limited().items()]


def _dns_further(of: Sources) -> Samples:
    outcomes = {} if of.dns is None else of.dns.server.recursion.outcomes
    return [((outcome,), count) for outcome, count in outcomes.items()]


def _connections(of: Sources) -> Samples:
    yield ("socket",), of.socket.connections
    yield ("http",), of.server.connections
    if of.dns is not None:
        yield ("dns",), of.dns.server.tcp.connections


def _proxied(family: ProxyFamily) -> Family:
    labels = (*LABELS, *((family.label,) if family.label else ()))
    return Family(
        family.name, family.help, lambda of: samples(family, of.proxies()), labels, family.is_counter
    )


def _build(_: Sources) -> Samples:
    return [((gossip.__version__, platform.python_version()), 1)]


FAMILIES: Final = (
    Family("build_info", "Always 1; what runs is in the labels.", _build, ("version", "python")),
    Family(
        "members", "Members by the status that they have here, this agent included.", _members, ("status",)
    ),
    Family("members_degraded", "Live members that this agent reaches over streams only.", _degraded),
    *(Family(name, text, _counter(counter), (), True) for name, (counter, text) in PLAIN.items()),
    Family(
        "probes_failed", "Probes that ended in an accusation.", _by_reason(FAILED_PROBES), ("reason",), True
    ),
    Family(
        "health_score", "How little this agent trusts itself: 0 is well.", _one(lambda of: of.node.health)
    ),
    Family("doubting", "1 while it judges nobody, not having run.", _one(lambda of: of.node.is_doubting)),
    Family("isolated", "1 while it hears nobody.", _one(lambda of: of.node.is_isolated)),
    Family("queue_length", "News that wait to be told.", _one(lambda of: of.node.queue)),
    Family("datagrams", "Datagrams.", _datagrams, ("direction",), True),
    Family("datagram_bytes", "Bytes of datagrams, without headers.", _datagram_bytes, ("direction",), True),
    Family("stream_bytes", "Bytes of streams: joins, repairs.", _stream_bytes, ("direction",), True),
    Family("sends_failed", "Datagrams that did not leave.", _by_reason(UNSENT), ("reason",), True),
    Family("packets_refused", "What came and was not taken.", _refused, ("reason",), True),
    Family("other_events", "What is counted in `gossip info` and in no other family.", _other, (), True),
    Family("view_agreement_ratio", "Share of peers with this view; absent while none is heard.", _agreement),
    Family(
        "view_disagrees",
        "1 if a repair changed nothing and views differ.",
        _one(lambda of: "view_disagrees" in of.node.flags),
    ),
    Family("checks", "Checks of this agent by what they last found.", _checks, ("status",)),
    Family("services_registered", "Services of this agent.", _one(_registered)),
    Family(
        "service_instances",
        "Instances held, of all members, in whatever health.",
        _one(lambda of: of.node.catalog.size),
    ),
    Family(
        "lookups",
        "Lookups of one service that were answered.",
        lambda of: [(("socket",), of.socket.lookups.answered), (("http",), of.lookups.answered)],
        ("face",),
        True,
    ),
    Family(
        "watchers",
        "Watches that are followed.",
        lambda of: [(("socket",), of.socket.watchers), (("http",), of.streams.open)],
        ("face",),
    ),
    Family("connections", "Connections that are open.", _connections, ("face",)),
    Family(
        "blocked_queries",
        "Requests to Consul's API that wait for a change.",
        _one(lambda of: of.consul.waiting),
    ),
    Family("http_requests", "Requests over HTTP.", _requests, ("route", "code"), True),
    Family("dns_queries", "Queries over DNS that were answered.", _dns_queries, ("transport", "code"), True),
    Family(
        "dns_ready",
        "Answers over DNS that were ready.",
        lambda of: [] if of.dns is None else [((), of.dns.hits())],
        (),
        True,
    ),
    Family(
        "dns_truncated",
        "Answers over DNS that had no room for all.",
        lambda of: [] if of.dns is None else [((), of.dns.cut())],
        (),
        True,
    ),
    Family(
        "dns_dropped",
        "What got no answer over DNS, and connections that made room for others.",
        _dns_dropped,
        ("reason",),
        True,
    ),
    Family(
        "dns_rate_limited",
        "Queries over DNS of sources that asked more than one may.",
        _dns_limited,
        ("outcome",),
        True,
    ),
    Family("dns_recursions", "Questions to other DNS servers.", _dns_further, ("outcome",), True),
    *map(_proxied, PROXIES),
    Family("wakeups", "Turns of the driver.", _one(lambda of: of.driver.wakeups), (), True),
    Family(
        "loop_lag_worst_seconds",
        "The latest wake-up of the last minute.",
        _one(lambda of: of.driver.lag.worst(of.driver.now())),
    ),
)


class _HistogramFamily(NamedTuple):
    name: str
    help: str
    read: Callable[[Sources], Histogram]


HISTOGRAMS: Final = (
    _HistogramFamily(
        "probe_rtt_seconds", "Round trips of pings that were answered.", lambda of: of.node.round_trips
    ),
    _HistogramFamily(
        "loop_lag_seconds",
        "How late the driver came to a timer that was due.",
        lambda of: of.driver.lag.histogram,
    ),
)


def _metric(family: Family, found: Samples) -> Metric:
    make = CounterMetricFamily if family.is_counter else GaugeMetricFamily
    metric = make(f"gossip_{family.name}", family.help, labels=family.labels)
    for labels, value in found:
        metric.add_metric(labels, value)
    return metric


class _Proxies(Collector):
    def __init__(self, forwarders: Iterable[Forwarding]) -> None:
        self._forwarders = forwarders

    def describe(self) -> Iterable[Metric]:
        """As `_Agent.describe`."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for family in PROXIES:
            yield _metric(_proxied(family), samples(family, self._forwarders))


class _Agent(Collector):
    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def describe(self) -> Iterable[Metric]:
        """Names are in the tables: nothing need be read to register them."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        for family in FAMILIES:
            yield _metric(family, family.read(self._sources))
        for each in HISTOGRAMS:
            found = each.read(self._sources)
            bounds = [*map(str, found.bounds), "+Inf"]
            histogram = HistogramMetricFamily(f"gossip_{each.name}", each.help)
            histogram.add_metric((), list(zip(bounds, found.cumulative(), strict=True)), found.total)
            yield histogram


class Metrics:
    """The registry of one agent; several agents of one process do not meet in it."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._begin(_Agent(sources))

    @classmethod
    def of_proxies(cls, forwarders: Iterable[Forwarding]) -> Metrics:
        """Of forwarders without an agent."""
        made = cls.__new__(cls)
        made._begin(_Proxies(forwarders))  # noqa: SLF001 - its own
        return made

    def _begin(self, collector: Collector) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(collector)
        # CPU, memory and descriptors, under the names that every dashboard knows.
        ProcessCollector(registry=self._registry)

    def samples(self) -> Iterator[tuple[Family, dict[str, str], float]]:
        """Every sample of `FAMILIES`, with its labels."""
        for family in FAMILIES:
            for labels, value in family.read(self._sources):
                yield family, dict(zip(family.labels, labels, strict=True)), value

    def render(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
