"""What an agent can be told, its defaults, and which of it goes together."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from gossip.config import parsers
from gossip.config.checks import CheckDefinition, refuse_commands
from gossip.config.dns import (
    DEV_DNS,
    DNS_DOMAINS,
    DNS_RATE,
    DNS_UDP_SIZE,
    parse_dns,
    parse_domains,
    parse_recursors,
    parse_ttl,
    parse_udp_size,
)
from gossip.config.faces import DEV_HTTP, Faces, read_faces
from gossip.config.paths import RING_FILE, default_data_dir, default_socket
from gossip.config.proxies import ProxyDefinition, read_proxies
from gossip.config.raw import number, rate
from gossip.config.raw import switch as _switch
from gossip.config.raw import text as _text
from gossip.config.raw import texts as _texts
from gossip.config.route import default_route_address, local_addresses
from gossip.config.services import ServiceDefinition, read_json, read_node_checks, read_services
from gossip.config.sources import (
    Layer,
    environment_layer,
    file_layer,
    files_of_services,
    flag_layer,
    read_file,
)
from gossip.config.values import (
    DEFAULT_PORT,
    Address,
    check_name,
    is_loopback,
    is_wildcard,
    show_address,
)
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = [
    "ADMISSIONS",
    "COMMAND_CHECKS",
    "DEFAULT_CLUSTER",
    "DEV_DNS",
    "DEV_HTTP",
    "LOG_FORMATS",
    "LOG_LEVELS",
    "PROFILES",
    "Config",
    "choose_advertise",
    "load",
]

T = TypeVar("T")

DEFAULT_CLUSTER: Final = "gossip"
PROFILES: Final = ("lan", "wan", "local")
ADMISSIONS: Final = ("invited", "open")
"""Who may be a member: whom the authority has invited; anybody, but for whom it has banned."""
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")
COMMAND_CHECKS: Final = ("off", "local", "http")
"""Who may have commands run as checks: nobody; files and the local socket; the HTTP face as well."""
NO_DISK: Final = ("", "none")
"""What `data_dir` says to keep nothing on disk."""

EVERYWHERE: Final[Address] = ("0.0.0.0", DEFAULT_PORT)  # noqa: S104 - the default that needs --insecure
LOOPBACK: Final[Address] = ("127.0.0.1", DEFAULT_PORT)


@dataclass(frozen=True, slots=True)
class Config(Faces):
    """Everything an agent is told before it starts."""

    name: str
    socket: Path
    data_dir: Path | None = None
    """None: nothing is kept on disk, and the node is ephemeral."""
    key_file: Path | None = None
    """Holds the cluster's first key; what the data directory says of keys comes before it."""
    accept_clear: bool = False
    """Whether what comes in clear is taken too, while a cluster moves to its first key."""
    cluster: str = DEFAULT_CLUSTER
    bind: tuple[Address, ...] = (LOOPBACK,)
    """Where datagrams and streams are received. Port 0 lets the system choose."""
    advertise: Address | None = None
    """Where others reach this node; `load` always fills it in. Port 0 stands for the port bound first."""
    join: tuple[str, ...] = ()
    """Seeds as they were written: `HOST` or `HOST:PORT`, names included (see `parse_address`)."""
    dns: Address | None = None
    """Where DNS is served, over UDP and TCP; None: nowhere. Port 0 lets the system choose."""
    dns_domains: tuple[str, ...] = DNS_DOMAINS
    """Under which names are looked up; addresses are looked up to names in the first."""
    dns_ttl: float = 0.0
    """Seconds for which answers may be kept by others."""
    dns_negative_ttl: float = 0.0
    """The same of answers that there is no such name or record."""
    dns_only_passing: bool = False
    """Whether instances in warning, of suspect members or of such that restart are left out too."""
    dns_udp_size: int = DNS_UDP_SIZE
    """Bytes of one answer over UDP to another host; what is longer is cut, and asked for again over TCP."""
    dns_rate: int = DNS_RATE
    """Answers a second to one source, other than this host; 0: as many as it asks for."""
    recursors: tuple[Address, ...] = ()
    """Other DNS servers, which are asked what is in no domain of ours."""
    http_list_self_as: str = ""
    """The service as which each agent is listed over HTTP; empty: as none."""
    tags: dict[str, str] = field(default_factory=dict)
    profile: str = "lan"
    probe_period: float | None = None
    """Seconds; None: the profile's. Suspicion and every other time that is counted in periods follow it."""
    retention: float | None = None
    """Seconds for which the dead and the left are remembered; None: the profile's."""
    restart_grace: float | None = None
    """Seconds for which a member that said it restarts stays listed; None: the profile's."""
    stream_probe: bool = True
    """Whether a member that datagrams do not reach is asked over a stream before it is accused."""
    authority: bytes = b""
    """The public key of the cluster's authority, 32 bytes; empty: there is none."""
    admission: str = "open"
    invite: str = field(default="", repr=False)
    """The invitation with which this node joins; a secret until it is used."""
    log_level: str = "info"
    log_format: str = "text"
    dev: bool = False
    insecure: bool = False
    """Whether to run in clear on addresses that other machines reach."""
    leave_on_term: bool = False
    """Whether SIGTERM leaves the cluster instead of handing over."""
    command_checks: str = "local"
    services: tuple[ServiceDefinition, ...] = ()
    checks: tuple[CheckDefinition, ...] = ()
    """Of the node itself."""
    proxies: tuple[ProxyDefinition, ...] = ()


def load(
    files: Sequence[Path] = (),
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Config:
    """Read and check all settings; flags beat environment beats later files beat earlier ones.

    A setting replaces the same one of a lower layer as a whole, lists and tags included; services of
    all files add up. Values are checked in every layer, overridden ones too.

    Args:
        files: TOML files; if there are none, those of GOSSIP_CONFIG, with commas between them.
        env: the environment; the process's own if None.
        flags: values by the names in `SETTINGS`, as text, lists of text, or True; None and False
            stand for a flag that was not given.

    Raises:
        ConfigError: naming the place, the setting and the reason.
    """
    env = os.environ if env is None else env
    files = list(files) or [Path(name) for name in env.get("GOSSIP_CONFIG", "").split(",") if name]
    tables = [read_file(path) for path in files]
    layers = [file_layer(table) for table in tables]
    layers += [environment_layer(env), flag_layer(flags or {})]
    found = files_of_services(files)
    parts = [read_file(path) for path in found if path.suffix == ".toml"]
    for part in parts:
        for key in part.content:
            if key != "service":
                raise ConfigError(f"{part.key_place(key)}: files in services.d hold [[service]] tables only")
    foreign = [entry for path in found if path.suffix == ".json" for entry in read_json(path)]
    services = read_services(tables + parts, foreign)
    return _assemble(
        _Settings(layers), env, services, read_node_checks(tables, services), read_proxies(tables)
    )


def choose_advertise(bind: Sequence[Address]) -> Address:
    """The address to advertise when none was given: the first bound one, or that of the default route.

    Raises:
        ConfigError: if every address is bound and there is no default route; names the candidates.
    """
    host, port = bind[0]
    if not is_wildcard(host):
        return host, port
    ipv6 = ":" in host
    if route := default_route_address(ipv6=ipv6):
        return route, port
    candidates = [show_address((candidate, port)) for candidate in local_addresses(ipv6=ipv6)]
    if candidates:
        choice = f"give --advertise with one of {', '.join(candidates)}"
    else:
        choice = (
            f"there is no address besides loopback: give --bind {'[::1]' if ipv6 else '127.0.0.1'}:{port}"
        )
    raise ConfigError(
        f"advertise: bound to {host}, and no default route tells where others reach it: {choice}"
    )


class _Settings:
    """The layers, lowest first, and the words to complain about one of their values."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = layers

    def has(self, name: str) -> bool:
        """Whether any layer gives it."""
        return any(name in layer for layer in self._layers)

    def take(self, name: str, parse: Callable[[object], T], default: T) -> T:
        """The value of the highest layer that has one."""
        result = default
        for layer in self._layers:
            if name in layer:
                try:
                    result = parse(layer[name].value)
                except ConfigError as error:
                    raise ConfigError(f"{layer[name].place}: {error}") from error
        return result

    def refuse(self, name: str, reason: str) -> ConfigError:
        """An error about the value that counts, at its place."""
        place = f"{name} (the default)"
        for layer in self._layers:
            if name in layer:
                place = layer[name].place
        return ConfigError(f"{place}: {reason}")


def _assemble(
    settings: _Settings,
    env: Mapping[str, str],
    services: tuple[ServiceDefinition, ...],
    checks: tuple[CheckDefinition, ...],
    proxies: tuple[ProxyDefinition, ...],
) -> Config:
    take = settings.take
    command_checks = take("command_checks", parsers.choice(COMMAND_CHECKS), "local")
    if command_checks == "off":
        for key, group in [("", checks), *((each.id, each.checks) for each in services)]:
            if refusal := refuse_commands(group):
                raise ConfigError(f"service {key!r}: {refusal}" if key else refusal)
    dev = take("dev", _switch, default=False)
    insecure = take("insecure", _switch, default=False)
    anywhere: tuple[Address, ...] = (LOOPBACK if dev else EVERYWHERE,)
    bind = take("bind", parsers.bind, anywhere)
    data_dir = _settle_data_dir(settings, env, dev=dev)
    key_file = take("key_file", parsers.key_file, None)
    return Config(
        name=_check_default(settings, "name", take("name", parsers.name, os.uname().nodename), check_name),
        socket=_check_default(
            settings, "socket", take("socket", parsers.socket, default_socket(env)), parsers.check_socket
        ),
        data_dir=data_dir,
        key_file=key_file,
        accept_clear=take("accept_clear", _switch, default=False),
        cluster=take("cluster", parsers.name, DEFAULT_CLUSTER),
        bind=_settle_bind(settings, bind, has_keys=insecure or bool(key_file) or _has_ring(data_dir)),
        advertise=_settle_advertise(settings, bind),
        join=take("join", parsers.join, ()),
        dns=take("dns", lambda value: parse_dns(_text(value)), DEV_DNS if dev else None),
        dns_domains=take("dns_domains", lambda value: parse_domains(_texts(value)), DNS_DOMAINS),
        dns_ttl=take("dns_ttl", lambda value: parse_ttl(_text(value)), 0.0),
        dns_negative_ttl=take("dns_negative_ttl", lambda value: parse_ttl(_text(value)), 0.0),
        dns_only_passing=take("dns_only_passing", _switch, default=False),
        dns_udp_size=take("dns_udp_size", lambda value: parse_udp_size(number(value)), DNS_UDP_SIZE),
        dns_rate=take("dns_rate", rate, DNS_RATE),
        recursors=take("recursors", lambda value: parse_recursors(_texts(value)), ()),
        http_list_self_as=take("http_list_self_as", parsers.name, ""),
        tags=take("tags", parsers.tags, {}),
        profile=take("profile", parsers.choice(PROFILES), "lan"),
        probe_period=take("probe_period", parsers.duration(0.1, 60.0), None),
        retention=take("retention", parsers.duration(1.0, 30 * 86_400.0), None),
        restart_grace=take("restart_grace", parsers.duration(0.5, 3_600.0), None),
        stream_probe=take("stream_probe", _switch, default=True),
        **_settle_admission(settings),
        log_level=take("log_level", parsers.choice(LOG_LEVELS), "info"),
        log_format=take("log_format", parsers.choice(LOG_FORMATS), "text"),
        dev=dev,
        insecure=insecure,
        leave_on_term=take("leave_on_term", _switch, default=False),
        command_checks=command_checks,
        services=services,
        checks=checks,
        **read_faces(settings, dev=dev),
        proxies=proxies,
    )


# ------------------------------------------------------------------------------- what goes together


def _check_default(settings: _Settings, name: str, value: T, check: Callable[[T], T]) -> T:
    """A default taken from the host may break a rule as well as a value that was given."""
    try:
        return check(value)
    except ConfigError as error:
        raise settings.refuse(name, str(error)) from error


def _settle_data_dir(settings: _Settings, env: Mapping[str, str], *, dev: bool) -> Path | None:
    given = settings.take("data_dir", parsers.data_dir, None)
    if dev:
        if given not in (None, *NO_DISK):
            raise settings.refuse("data_dir", "dev keeps nothing on disk: remove this, or dev")
        return None
    if given is None:
        return default_data_dir(env)
    return None if given in NO_DISK else Path(given)


def _has_ring(data_dir: Path | None) -> bool:
    """Whether an earlier life left keys there. If nobody may look, the agent says so."""
    try:
        return data_dir is not None and (data_dir / RING_FILE).exists()
    except OSError:
        return False


def _settle_bind(settings: _Settings, bind: tuple[Address, ...], *, has_keys: bool) -> tuple[Address, ...]:
    exposed = [address for address in bind if not is_loopback(address[0])]
    if exposed and not has_keys:
        raise settings.refuse(
            "bind",
            f"{show_address(exposed[0])} is reached by other machines, and without a key an agent listens on"
            f" loopback only: make a key (gossip keygen --out FILE) and give --key-file FILE to every agent,"
            f" or give --insecure to run in clear, or --bind {show_address(LOOPBACK)}",
        )
    if exposed and len(exposed) < len(bind) and is_loopback(bind[0][0]) and not settings.has("advertise"):
        raise settings.refuse(
            "bind",
            f"the first address is advertised, and others cannot reach {bind[0][0]}: put"
            f" {show_address(exposed[0])} first, or give --advertise",
        )
    return bind


def _settle_admission(settings: _Settings) -> dict[str, Any]:
    authority = settings.take("authority", parsers.authority, b"")
    admission = settings.take("admission", parsers.choice(ADMISSIONS), "invited" if authority else "open")
    invite = settings.take("invite", parsers.invite, "")
    if not authority:
        for name, value in (("admission", admission == "invited"), ("invite", invite)):
            if value:
                raise settings.refuse(
                    name, "give the public key of the authority that invites as well: --authority"
                )
    return {"authority": authority, "admission": admission, "invite": invite}


def _settle_advertise(settings: _Settings, bind: tuple[Address, ...]) -> Address:
    host, port = settings.take("advertise", parsers.advertise, None) or choose_advertise(bind)
    if "%" in host:
        raise settings.refuse(
            "advertise", f"{host} means nothing on other machines: give --advertise without a zone"
        )
    return host, port or bind[0][1]


# --------------------------------------------------------------------------------------- raw values
