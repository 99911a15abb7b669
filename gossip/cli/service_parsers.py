"""The commands about services, in the tree of commands: their names, options, help and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gossip.cli.arguments import (
    add_command,
    any_port,
    count,
    duration,
    filled,
    host,
    listen,
    natural,
    pair,
    service,
)
from gossip.cli.check_options import add_check_options

if TYPE_CHECKING:
    import argparse

    from gossip.cli.arguments import Parser

__all__ = ["add_services"]


def add_services(commands: argparse._SubParsersAction[Parser]) -> None:
    """Adds them all."""
    _add_register(commands)
    _add_run(commands)
    deregister = add_command(
        commands,
        "deregister",
        "services:deregister",
        "take back a registration of this node",
        example="gossip deregister web",
        json=False,
    )
    deregister.add_argument("id", metavar="ID", help="what 'gossip register' printed")
    _add_checks(commands)
    services = add_command(
        commands, "services", "services:services", "list the names of all services", example="gossip services"
    )
    services.add_argument("--watch", action="store_true", help="show the list again after each change")
    lookup = add_command(
        commands,
        "lookup",
        "services:lookup",
        "print where a service's instances are, host:port, one a line",
        example='curl "http://$(gossip lookup web --one)/"',
    )
    lookup.add_argument("name", metavar="NAME", help="the service")
    _add_filters(lookup)
    lookup.add_argument(
        "--one", action="store_true", help="one of them: by weight and zone, with --near the nearest"
    )
    lookup.add_argument("--near", action="store_true", help="nearest first")
    lookup.add_argument(
        "--wait",
        type=duration,
        metavar="DURATION",
        help="wait this long for the first instance to appear, like 30s",
    )
    _add_watch(commands)
    _add_proxy(commands)


def _add_proxy(commands: argparse._SubParsersAction[Parser]) -> None:
    proxy = add_command(
        commands,
        "proxy",
        "proxy:proxy",
        "forward connections to instances of a service that are well",
        example="gossip proxy 127.0.0.1:5432 postgres --tag primary\n  gossip proxy 8080 web --metrics 9100",
    )
    proxy.add_argument("listen", metavar="LISTEN", type=listen, help="HOST:PORT, or a port on 127.0.0.1")
    proxy.add_argument("name", metavar="NAME", help="the service")
    proxy.add_argument(
        "--tag", action="append", default=[], metavar="T", help="only with this tag; again: with all of them"
    )
    proxy.add_argument("--near", action="store_true", help="only to the nearest")
    proxy.add_argument("--no-zone", action="store_true", help="do not prefer the zone of this node")
    proxy.add_argument(
        "--subset", type=natural, default=0, metavar="N", help="only to so many of the instances"
    )
    proxy.add_argument("--sticky", action="store_true", help="the same client address to the same instance")
    proxy.add_argument(
        "--send-proxy",
        choices=("v1", "v2"),
        help="tell instances the client's address by the PROXY protocol: v1 or v2",
    )
    proxy.add_argument(
        "--connect-timeout",
        type=duration,
        default=1.0,
        metavar="DURATION",
        help="how long an instance has to take a connection, before another is tried (default: 1s)",
    )
    proxy.add_argument(
        "--attempts", type=count, default=3, metavar="N", help="instances that are tried (default: 3)"
    )
    proxy.add_argument(
        "--drain",
        type=duration,
        default=60.0,
        metavar="DURATION",
        help="what connections of a deregistered instance, or of an ended proxy, have left"
        " (default: 60s; 0s: for ever)",
    )
    proxy.add_argument(
        "--max-connections", type=count, default=16_384, metavar="N", help="at once (default: 16384)"
    )
    proxy.add_argument(
        "--metrics", type=listen, metavar="LISTEN", help="serve its own figures here, at /metrics"
    )


def _add_watch(commands: argparse._SubParsersAction[Parser]) -> None:
    watch = add_command(
        commands,
        "watch",
        "watching:watch",
        "show a service's instances again after each change",
        example="gossip watch web --exec ./reload-proxy",
    )
    watch.add_argument("name", metavar="NAME", help="the service")
    _add_filters(watch)
    watch.add_argument(
        "--exec",
        dest="command",
        metavar="CMD",
        help="run this shell command at first and after each change, with the JSON on its standard input"
        " and GOSSIP_SERVICE and GOSSIP_INDEX in its environment; goes on when the agent restarts",
    )


def _add_filters(parser: Parser) -> None:
    parser.add_argument(
        "--tag", action="append", default=[], metavar="T", help="only with this tag; again: with all of them"
    )
    parser.add_argument("--any", action="store_true", help="of every status, dead and left owners too")
    parser.add_argument("--no-suspect", action="store_true", help="not those whose owner is suspect")


def _add_register(commands: argparse._SubParsersAction[Parser]) -> None:
    register = add_command(
        commands,
        "register",
        "services:register",
        "register an instance of a service on this node",
        example="gossip register web --port 8080 --tag v2 --meta commit=1f0c",
    )
    register.add_argument("name", type=filled, metavar="NAME", help="the service")
    register.add_argument(
        "--port", type=any_port, required=True, help="where the instance listens; 0 for none"
    )
    _add_instance(register, id="the service's name")
    register.add_argument(
        "--while-connected",
        action="store_true",
        help="stay, and take it back at Ctrl-C or the end of the input, if that is a terminal or a pipe",
    )
    add_check_options(register)


def _add_instance(parser: Parser, *, id: str) -> None:
    parser.add_argument("--id", help=f"tells this registration from others on this node (default: {id})")
    parser.add_argument(
        "--address", type=host, metavar="A", help="where the instance listens (default: the agent's address)"
    )
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="a tag; again for more")
    parser.add_argument(
        "--meta", action="append", default=[], type=pair, metavar="K=V", help="a detail; again for more"
    )
    parser.add_argument(
        "--weight", type=natural, metavar="N", help="its share of the load, relative to the others'"
    )


def _add_run(commands: argparse._SubParsersAction[Parser]) -> None:
    run = add_command(
        commands,
        "run",
        "run:run",
        "run a program, and register it while it is ready",
        example="gossip run --service web:8080 --tag v2 -- python -m http.server 8080",
        json=False,
    )
    run.add_argument(
        "--service",
        required=True,
        type=service,
        metavar="NAME:PORT",
        help="what the program is, and where it listens; ready when the port accepts a connection"
        " (with a check: when the check passes; without a port: at once)",
    )
    _add_instance(run, id="NAME-PORT")
    run.add_argument(
        "--ready-timeout",
        type=duration,
        default=60.0,
        metavar="DURATION",
        help="stop a program that is not ready by then (default: 60s; 0s: wait for ever)",
    )
    run.add_argument(
        "--drain",
        type=duration,
        default=5.0,
        metavar="DURATION",
        help="how long the program goes on after it was deregistered, before SIGTERM or SIGINT is passed on"
        " (default: 5s)",
    )
    run.add_argument("--wait-agent", action="store_true", help="wait for the agent before the program starts")
    add_check_options(run)
    run.add_argument("command", nargs="+", metavar="COMMAND", help="the program and its arguments, after --")


def _add_checks(commands: argparse._SubParsersAction[Parser]) -> None:
    check = add_command(
        commands,
        "check",
        "checks:check",
        "report the state of a TTL check",
        example="gossip check pass web --note 'queue is short'",
    )
    check.add_argument(
        "verdict", choices=("pass", "warn", "fail"), metavar="pass|warn|fail", help="how it is"
    )
    check.add_argument("id", metavar="ID", help="the check, or the service that has one TTL check")
    check.add_argument("--note", default="", metavar="TEXT", help="a word on it, kept on this node")
    add_command(
        commands,
        "checks",
        "checks:checks",
        "list the health checks of this node and what they said last",
        example="gossip checks",
    )
    maintenance = add_command(
        commands,
        "maintenance",
        "checks:maintenance",
        "take a service or this node out of lookups, or put it back",
        example="gossip maintenance on web --reason 'new disks'",
    )
    maintenance.add_argument(
        "switch", choices=("on", "off"), metavar="on|off", help="out of lookups, or back"
    )
    maintenance.add_argument("id", nargs="?", default="", metavar="ID", help="a service (default: the node)")
    maintenance.add_argument("--reason", default="", metavar="TEXT", help="shown to whoever asks why")
