"""The settings of an agent: from flags, environment and files to one checked `Config`.

One-shot commands use a little of this (`default_socket`, `parse_duration`), and few of them all of
it: every name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gossip.config.checks import CheckDefinition, read_checks, refuse_commands
    from gossip.config.paths import default_data_dir, default_socket
    from gossip.config.proxies import ProxyDefinition, parse_listen
    from gossip.config.route import default_route_address, local_addresses
    from gossip.config.services import ServiceDefinition
    from gossip.config.settings import (
        ADMISSIONS,
        COMMAND_CHECKS,
        DEFAULT_CLUSTER,
        DEV_DNS,
        DEV_HTTP,
        LOG_FORMATS,
        LOG_LEVELS,
        PROFILES,
        Config,
        choose_advertise,
        load,
    )
    from gossip.config.sources import SETTINGS
    from gossip.config.values import (
        DEFAULT_PORT,
        Address,
        check_name,
        parse_address,
        parse_duration,
        parse_ip_address,
        parse_pairs,
        parse_size,
        show_address,
    )

__all__ = [
    "ADMISSIONS",
    "COMMAND_CHECKS",
    "DEFAULT_CLUSTER",
    "DEFAULT_PORT",
    "DEV_DNS",
    "DEV_HTTP",
    "LOG_FORMATS",
    "LOG_LEVELS",
    "PROFILES",
    "SETTINGS",
    "Address",
    "CheckDefinition",
    "Config",
    "ProxyDefinition",
    "ServiceDefinition",
    "check_name",
    "choose_advertise",
    "default_data_dir",
    "default_route_address",
    "default_socket",
    "load",
    "local_addresses",
    "parse_address",
    "parse_duration",
    "parse_ip_address",
    "parse_listen",
    "parse_pairs",
    "parse_size",
    "read_checks",
    "refuse_commands",
    "show_address",
]

_HOMES = {
    "checks": ("CheckDefinition", "read_checks", "refuse_commands"),
    "paths": ("default_data_dir", "default_socket"),
    "proxies": ("ProxyDefinition", "parse_listen"),
    "route": ("default_route_address", "local_addresses"),
    "services": ("ServiceDefinition",),
    "settings": (
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
    ),
    "sources": ("SETTINGS",),
    "values": (
        "DEFAULT_PORT",
        "Address",
        "check_name",
        "parse_address",
        "parse_duration",
        "parse_ip_address",
        "parse_pairs",
        "parse_size",
        "show_address",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
