"""A registration in Consul's words, judged by Consul's rules: to one of ours.

The rules and their sentences are Consul's where it has any; what only our records want (lengths, kinds of
checks, one name for each check) is left to their own validator, whose sentences then stand in the answer.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from gossip.api.consul import carried
from gossip.api.consul.words import Refusal
from gossip.api.methods import Registration
from gossip.config import read_checks
from gossip.config.access import Scope
from gossip.config.check_values import show_duration
from gossip.config.consul import translate_check
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from gossip.config import CheckDefinition

__all__ = [
    "check_definition",
    "command_policy",
    "is_default_name",
    "merged_checks",
    "service_registration",
    "show_name",
]

MAX_META: Final = 64
MAX_META_KEY: Final = 128
MAX_META_VALUE: Final = 512
SHORTEST_INTERVAL: Final = 1.0
SHORTEST_TTL: Final = 0.1
"""Consul takes any, and none that is shorter can be kept alive over HTTP."""
MAX_NAME_BYTES: Final = 64
SERF_HEALTH: Final = "serfHealth"
NODE_MAINTENANCE: Final = "_node_maintenance"
SERVICE_MAINTENANCE: Final = "_service_maintenance:"
STATUSES: Final = ("", "passing", "warning", "critical")
NO_MESH: Final = "service mesh (Connect) is not supported by this agent"
NO_REASON: Final = {
    "Node": "Maintenance mode is enabled for this node, but no reason was provided."
    " This is a default message.",
    "Service": "Maintenance mode is enabled for this service, but no reason was provided."
    " This is a default message.",
}
"""What a maintenance without a reason is shown with."""
OF_RUNS: Final = (
    *("SuccessBeforePassing", "FailuresBeforeWarning", "FailuresBeforeCritical"),
    *("Timeout", "Interval", "OutputMaxSize"),
)
"""Without meaning where a program reports or another check is followed."""
OF_HTTP: Final = ("Method", "Body", "Header", "DisableRedirects")
RUNS: Final = ("HTTP", "TCP", "UDP", "GRPC", "H2PING", "DockerContainerID", "OSService")

_META_KEY = re.compile(r"[A-Za-z0-9_-]+")
_DEFAULT_NAME = re.compile(r"(http|tcp|grpc|command|ttl|alias|container)(-[0-9]+)?")


def is_default_name(name: str) -> str:
    """The kind of check whose default name this is; empty if it is a name that somebody has given."""
    match = _DEFAULT_NAME.fullmatch(name)
    return match[1] if match else ""


def show_name(name: str, service: str) -> str:
    """A check's name as Consul would have it."""
    return f"Service '{service}' check" if service and is_default_name(name) else name


# ----------------------------------------------------------------------------------------------- services


def service_registration(given: Mapping[str, Any], allow_commands: str) -> Registration:
    """A service that `bodies.SERVICE` was read for; its checks carry ids and names.

    Args:
        given: the body's fields.
        allow_commands: the setting `command_checks`.

    Raises:
        Refusal: a rule of Consul's is broken.
        ConfigError: a rule of ours is.
    """
    name = given.get("Name", "")
    if not name:
        raise Refusal(400, "Missing service name")
    _refuse_mesh(given)
    _refuse_enterprise(given)
    address = given.get("Address", "")
    if address in ("0.0.0.0", "::", "[::]"):  # noqa: S104 - what is refused here
        raise Refusal(400, "Invalid service address")
    port = given.get("Port", 0)
    if not 0 <= port <= 65_535:
        raise Refusal(400, f"Invalid service port {port}: it is between 0 and 65535")
    check_meta(given.get("Meta", {}))
    passing, warning = weights(given.get("Weights"))
    key = given.get("ID") or name
    checks = [each for each in [given.get("Check"), *given.get("Checks", ())] if each]
    tables = [
        check_table(each, name, "Status for checks must 'passing', 'warning', 'critical'") for each in checks
    ]
    for each in checks:
        refuse_commands(each, allow_commands)
    extra = carried.put(
        warning=warning,
        tagged=tagged_addresses(given.get("TaggedAddresses", {})),
        override=given.get("EnableTagOverride", False),
        native=bool(given.get("Connect", {}).get("Native"))
        if isinstance(given.get("Connect"), dict)
        else False,
    )
    return Registration(
        name,
        port,
        key,
        address,
        # An empty text, split at commas, is a list of one empty text: nobody means a tag by it.
        tuple(tag for tag in given.get("Tags", ()) if tag),
        {**given.get("Meta", {}), **extra},
        passing,
        [each.mapping() for each in read_checks(unlike(tables), key, "check{}".format)],
    )


def _refuse_mesh(given: Mapping[str, Any]) -> None:
    connect = given.get("Connect")
    if connect is not None and not isinstance(connect, dict):
        raise Refusal(400, "Request decode failed: json: cannot unmarshal into Go struct field .Connect")
    asked = {key.lower(): value for key, value in (connect or {}).items()}
    if (
        given.get("Kind")
        or _says_something(given.get("Proxy"))
        or any(asked[key] is not None for key in asked if key != "native")
    ):
        raise Refusal(400, f"{NO_MESH}: remove Kind, Proxy and Connect.SidecarService")
    if connect:
        native = asked.get("native")
        if not isinstance(native, bool | None):
            raise Refusal(400, "Request decode failed: Connect.Native is not true or false")
        # One spelling for whoever reads it later.
        connect["Native"] = native is True


def _says_something(value: object) -> bool:
    """Whether anything in it is set: Go's clients send a service that they have read with empty structs."""
    if isinstance(value, Mapping):
        return any(map(_says_something, value.values()))
    return bool(value)


def _refuse_enterprise(given: Mapping[str, Any]) -> None:
    for name in ("Namespace", "Partition"):
        if given.get(name, "default") not in ("", "default"):
            raise Refusal(400, f"Invalid {name.lower()} {given[name]!r}: there is only default")
    for name, reason in (
        ("SocketPath", "an instance is reached by address and port"),
        ("Ports", "an instance has one port: register one for each"),
        ("PeerName", "there are no peerings"),
    ):
        if given.get(name):
            raise Refusal(400, f"{name} is not supported by this agent: {reason}")


def check_meta(meta: Mapping[str, str], what: str = "Invalid Service Meta") -> None:
    """Raises `Refusal` where Consul takes no such meta data."""
    if len(meta) > MAX_META:
        raise Refusal(400, f"{what}: Cannot have more than {MAX_META} key/value pairs")
    for key, value in meta.items():
        reason = ""
        if not key:
            reason = "Key cannot be blank"
        elif not _META_KEY.fullmatch(key):
            reason = "Key contains invalid characters"
        elif len(key) > MAX_META_KEY:
            reason = f"Key is too long (limit: {MAX_META_KEY} characters)"
        elif key.startswith(carried.PREFIX):
            reason = "Key prefix 'consul-' is reserved for internal use"
        elif len(value) > MAX_META_VALUE:
            reason = f"Value is too long (limit: {MAX_META_VALUE} characters)"
        if reason:
            raise Refusal(400, f"{what}: Couldn't load metadata pair ('{key}', '{value[:64]}'): {reason}")


def weights(given: Mapping[str, int] | None) -> tuple[int, int]:
    """Those of a passing and of a warning instance."""
    if given is None:
        return 1, 1
    passing, warning = given.get("Passing", 0), given.get("Warning", 0)
    if passing < 1:
        raise Refusal(400, "Invalid Weights: Passing must be greater than 0")
    if warning < 0:
        raise Refusal(400, "Invalid Weights: Warning must be greater or equal than 0")
    if max(passing, warning) > 65_535:
        raise Refusal(400, "Invalid Weights: Passing and Warning must be lesser or equal than 65535")
    return passing, warning


def tagged_addresses(given: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[str, int]]:
    """By their names."""
    found = {}
    for name, place in given.items():
        port = place.get("Port", 0)
        if not 0 <= port <= 65_535:
            raise Refusal(400, f"Invalid tagged address {name!r}: port {port} is not between 0 and 65535")
        found[name] = (place.get("Address", ""), port)
    return found


def with_ip(tagged: Mapping[str, tuple[str, int]], address: str, port: int) -> dict[str, tuple[str, int]]:
    """Those that Consul adds where a service has an IP address of its own."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return dict(tagged)
    found = dict(tagged)
    for side in ("lan", "wan"):
        found.setdefault(f"{side}_ipv{version}", (address, port))
    return dict(sorted(found.items()))


# ------------------------------------------------------------------------------------------------- checks


def check_definition(given: Mapping[str, Any], allow_commands: str) -> dict[str, Any]:
    """A check by itself, as `agent/check/register` takes it: our table, with an id.

    Raises:
        Refusal: a rule of Consul's is broken.
        ConfigError: a rule of ours is.
    """
    if not given.get("Name"):
        raise Refusal(400, "Missing check name")
    table = check_table({**given, "CheckID": given.get("CheckID") or given["Name"]}, "", "Bad check status")
    refuse_commands(given, allow_commands)
    return table


def check_table(given: Mapping[str, Any], service: str, bad_status: str) -> dict[str, Any]:
    """Our table for one check."""
    _refuse_enterprise(given)
    id = given.get("CheckID", "")
    if id in (SERF_HEALTH, NODE_MAINTENANCE) or id.startswith(SERVICE_MAINTENANCE):
        # Fabio and Consul's own tools go by these: two of one ID would be on one node.
        raise Refusal(400, f"Invalid check: the agent itself has checks by such an ID as {id[:64]!r}")
    if given.get("Status", "") not in STATUSES:
        raise Refusal(400, bad_status)
    interval, ttl = given.get("Interval", 0.0), given.get("TTL", 0.0)
    is_run = any(given.get(name) for name in RUNS) or bool(_argv(given))
    is_alias = bool(given.get("AliasService") or given.get("AliasNode"))
    if interval > 0 and ttl > 0:
        raise Refusal(400, "Invalid check: Interval and TTL cannot both be specified")
    if is_run and interval <= 0:
        raise Refusal(400, "Invalid check: Interval must be > 0 for Script, HTTP, or TCP checks")
    if not is_run and not is_alias and ttl <= 0:
        raise Refusal(400, "Invalid check: TTL must be > 0 for TTL checks")
    unused = {"ServiceID", *_without_meaning(given, is_run=is_run and not is_alias)}
    content = {key: _in_words(key, value) for key, value in given.items() if key not in unused}
    table = translate_check(content, lambda key: f"Invalid check: {key or 'check'}").content
    if table.get("name"):
        table["name"] = short(table["name"])
    if table.get("name") == f"Service '{service}' check":
        # What Consul calls a check without a name; several may not be called the same here.
        del table["name"]
    return table


def _without_meaning(given: Mapping[str, Any], *, is_run: bool) -> set[str]:
    """Keys that say nothing to a check of this kind: clients fill one structure for all kinds."""
    unused: set[str] = set() if is_run else set(OF_RUNS)
    if not given.get("HTTP"):
        unused |= set(OF_HTTP)
    if not given.get("GRPC"):
        unused.add("GRPCUseTLS")
    if not (given.get("HTTP") or given.get("GRPC")):
        unused |= {"TLSSkipVerify", "TLSServerName"}
    return unused


def _in_words(key: str, value: Any) -> Any:
    """A duration as the translation reads it, and long enough."""
    if key in ("Interval", "TTL", "Timeout", "DeregisterCriticalServiceAfter"):
        if value <= 0:
            return None
        least = {"Interval": SHORTEST_INTERVAL, "TTL": SHORTEST_TTL, "Timeout": 0.01}.get(key, 60.0)
        return show_duration(max(value, least))
    return value


def _argv(given: Mapping[str, Any]) -> Sequence[str]:
    return given.get("Args") or given.get("ScriptArgs") or ()


DENIED: Final = "denied"
"""In place of the setting, for who may not have this agent run anything."""


def command_policy(setting: str, grant: Scope) -> str:
    """What holds for a request: commands run as the agent's user, so only admins bring some."""
    return setting if setting != "http" or grant >= Scope.ADMIN else DENIED


def refuse_commands(given: Mapping[str, Any], policy: str) -> None:
    """Raises `Refusal` if it is a command, and those do not come over HTTP here."""
    if _argv(given) and policy == DENIED:
        raise Refusal(403, "Permission denied")
    if _argv(given) and policy != "http":
        raise Refusal(
            500,
            "Scripts are disabled on this agent from remote calls;"
            " to enable, start it with --command-checks http",
        )


def short(name: str, suffix: str = "") -> str:
    """A name that fits a status record."""
    data = name.strip().encode(errors="replace")
    return data[: MAX_NAME_BYTES - len(suffix)].decode(errors="ignore").strip() + suffix


def unlike(tables: Iterable[dict[str, Any]], taken: Iterable[str] = ()) -> list[dict[str, Any]]:
    """The same, where a name that comes again has a number: in Consul several checks may share one."""
    names = set(taken)
    found = []
    for table in tables:
        name, number = table.get("name", ""), 1
        while name and name in names:
            number += 1
            name = short(table["name"], f" ({number})")
        names.add(name)
        found.append({**table, "name": name} if name else table)
    return found


def merged_checks(new: Sequence[CheckDefinition], old: Iterable[CheckDefinition]) -> list[dict[str, Any]]:
    """The new checks, and of the old ones those whose ids they do not have."""
    ids = {each.id for each in new}
    kept = [each for each in old if each.id not in ids]
    names = {each.name for each in new}
    tables = [each.mapping() for each in new]
    return tables + unlike([replace(each).mapping() for each in kept], names)


def read_one(table: Mapping[str, Any], service: str) -> CheckDefinition:
    """A definition from our table.

    Raises:
        ConfigError: it is wrong.
    """
    found = read_checks([dict(table)], service, lambda place: "Invalid check" + place.removeprefix("[0]"))
    if len(found) != 1:
        raise ConfigError("Invalid check")
    return found[0]
