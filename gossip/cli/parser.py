"""The tree of commands: names, options, help and examples. Completion is generated from it too."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gossip.cli.arguments import Parser, add_command, duration, pair, patience
from gossip.cli.face_parsers import add_faces, add_token
from gossip.cli.service_parsers import add_services

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["build_parser", "parse", "subparsers"]

STATUSES = ("alive", "suspect", "dead", "left")
AUTHORITY_KEY = "gossip-authority.key"
KEY_HELP = f"the authority's private key (default: {AUTHORITY_KEY})"
_BEFORE_COMMANDS = ("-h", "--help", "--version")
LEVELS = ("debug", "info", "warning", "error")


def build_parser() -> Parser:
    """The whole tree. What it parses has `run`, the function to call: `module:function` of this package."""
    top = Parser(
        prog="gossip",
        description="Cluster membership and service discovery by gossip.",
        epilog="example:\n  gossip agent --dev &\n  gossip register web --port 8080\n  gossip lookup web",
    )
    top.add_argument(
        "--version",
        action="store_const",
        const="version:version",
        dest="run",
        help="show this program's version",
    )
    commands = top.add_subparsers(metavar="COMMAND", title="commands", parser_class=Parser)
    _add_agent(commands)
    _add_cluster(commands)
    add_services(commands)
    _add_events(commands)
    _add_keys(commands)
    _add_views(commands)
    _add_program(commands)
    return top


def subparsers(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The commands of `parser`: name to (one line of help, parser)."""
    for action in parser._actions:  # noqa: SLF001 - argparse offers no public way to read a tree
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}  # noqa: SLF001
            return {name: (helps.get(name, ""), each) for name, each in action.choices.items()}
    return {}


def _add_agent(commands: argparse._SubParsersAction[Parser]) -> None:
    agent = add_command(
        commands,
        "agent",
        "agent:agent",
        "run the agent of this host, until it is told to stop",
        example="gossip agent --name n1 --bind 127.0.0.1:7946 --join 127.0.0.1:7947",
        client=False,
        json=False,
    )
    option = agent.add_argument
    option(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="a TOML file; a later one adds to and overrides earlier ones",
    )
    option("--name", help="this node's name (default: the host's)")
    option("--cluster", metavar="NAME", help="only agents of the same cluster meet (default: gossip)")
    option(
        "--bind",
        action="append",
        metavar="HOST:PORT",
        help="where to listen, UDP and TCP (default: 0.0.0.0:7946); again for more",
    )
    option("--advertise", metavar="HOST:PORT", help="where others reach this agent, if not where it listens")
    option("--join", action="append", metavar="HOST[:PORT]", help="an agent to start from; again for more")
    option("--data-dir", metavar="DIR", help="where identity and registrations are kept")
    secrecy = agent.add_mutually_exclusive_group()
    secrecy.add_argument(
        "--key-file", metavar="FILE", help="the cluster's key, as 'gossip keygen' makes it (default: none)"
    )
    secrecy.add_argument(
        "--insecure", action="store_true", default=None, help="allow to run without a key beyond loopback"
    )
    add_faces(agent)
    option("--dns", metavar="HOST:PORT", help="serve DNS there, UDP and TCP (default: off)")
    option(
        "--dns-domain",
        action="append",
        metavar="NAME",
        help="where names are looked up (default: consul and gossip); again for more",
    )
    option(
        "--recursor",
        action="append",
        metavar="HOST[:PORT]",
        help="another DNS server, asked what is not ours; again for more",
    )
    option(
        "--accept-clear",
        action="store_true",
        default=None,
        help="take what comes in clear too, while the cluster moves to its first key",
    )
    option("--tag", action="append", metavar="K=V", help="a tag of this node; again for more")
    option(
        "--profile",
        choices=("lan", "wan", "local"),
        help="timing for the network between the agents (default: lan)",
    )
    option("--probe-period", metavar="TIME", help="time between probes (default: the profile's, 1s in lan)")
    option("--retention", metavar="TIME", help="how long dead and left members are remembered (default: 24h)")
    option(
        "--restart-grace",
        metavar="TIME",
        help="how long members that say they restart stay listed (default: 5s)",
    )
    option(
        "--stream-probe",
        choices=("on", "off"),
        help="whether members that UDP does not reach are asked over TCP (default: on)",
    )
    option(
        "--command-checks",
        choices=("off", "local", "http"),
        help="who may have commands run as checks: nobody; files and the local socket; the HTTP face as well",
    )
    option(
        "--http-list-self-as",
        metavar="NAME",
        help="list each agent as this service over HTTP, as Consul's servers are listed as consul",
    )
    option(
        "--leave-on-term",
        action="store_true",
        default=None,
        help="leave the cluster at SIGTERM too, instead of announcing a restart",
    )
    option(
        "--log-level",
        metavar="LEVEL",
        choices=LEVELS,
        help="debug, info, warning or error",
    )
    option("--log-format", choices=("text", "json"), help="lines for people or JSON objects")
    option("--dev", action="store_true", default=None, help="for trying out: loopback, nothing on disk")
    option("--check", action="store_true", help="validate the configuration and stop")
    option("--authority", metavar="KEY", help="the public key of the cluster's authority (gossip ca init)")
    option(
        "--admission",
        choices=("invited", "open"),
        help="who is let in: whom the authority invited (the default with --authority), or anybody",
    )
    option("--invite", metavar="TOKEN|FILE", help="this node's invitation (gossip invite), or a file with it")


def _add_cluster(commands: argparse._SubParsersAction[Parser]) -> None:
    members = add_command(
        commands,
        "members",
        "cluster:members",
        "list the members of the cluster",
        example="gossip members --status alive --tag zone=a",
    )
    members.add_argument(
        "--status", action="append", default=[], choices=STATUSES, help="only of this status; again for more"
    )
    members.add_argument(
        "--tag",
        action="append",
        default=[],
        type=pair,
        metavar="K=V",
        help="only with this tag; again: with all of them",
    )
    members.add_argument("--watch", action="store_true", help="go on with a line for each change")
    add_command(
        commands, "info", "cluster:info", "show what the agent says of itself", example="gossip info --json"
    )
    join = add_command(
        commands,
        "join",
        "cluster:join",
        "let the agent join through other agents",
        example="gossip join 10.0.0.7 10.0.0.8:7946",
    )
    join.add_argument("addresses", nargs="+", metavar="ADDRESS", help="HOST[:PORT] of an agent")
    add_command(
        commands,
        "leave",
        "cluster:leave",
        "let the agent leave the cluster and end",
        example="gossip leave",
        json=False,
    )
    add_command(
        commands,
        "reload",
        "cluster:reload",
        "have the agent read its files again",
        example="gossip reload",
    )
    evict = add_command(
        commands,
        "evict",
        "cluster:evict",
        "remove a member that will not come back",
        example="gossip evict n7\n  gossip evict db-3 --ban --key gossip-authority.key --reason stolen",
        json=False,
    )
    evict.add_argument("member", metavar="NAME|ID", help="the member's name, id or the start of its id")
    evict.add_argument("--ban", action="store_true", help="never let this identity in again, alive or not")
    evict.add_argument("--key", metavar="FILE", help=f"for --ban: {KEY_HELP}")
    evict.add_argument("--reason", default="", metavar="TEXT", help="for --ban: told to every agent's log")
    evict.add_argument(
        "--rotate", action="store_true", help="for --ban: change the cluster's keys too, without asking"
    )
    _add_authority(commands)
    rtt = add_command(
        commands,
        "rtt",
        "cluster:rtt",
        "estimate the round trip between two members",
        example="gossip rtt n1 n2",
    )
    rtt.add_argument("a", nargs="?", metavar="A", help="a member (default: the agent that is asked)")
    rtt.add_argument("b", metavar="B", help="the other member")

    doctor = add_command(
        commands,
        "doctor",
        "doctor:doctor",
        "say what is wrong in the cluster, and what to do",
        example="gossip doctor\n  gossip doctor web-3 --json",
    )
    doctor.add_argument(
        "member", nargs="?", metavar="NAME|ID", help="only this member, and the agent itself (default: all)"
    )
    doctor.add_argument(
        "--timeout",
        type=patience,
        default=5.0,
        metavar="TIME",
        help="how long answers are waited for, 1s to 30s (default: 5s)",
    )


def _add_authority(commands: argparse._SubParsersAction[Parser]) -> None:
    ca = add_command(
        commands,
        "ca",
        "authority:ca",
        "make the key pair of an authority",
        example="gossip ca init",
        client=False,
    )
    ca.add_argument("action", choices=("init",), metavar="init", help="make a key pair")
    ca.add_argument(
        "--key", default=AUTHORITY_KEY, metavar="FILE", help=f"for the private key (default: {AUTHORITY_KEY})"
    )
    invite = add_command(
        commands,
        "invite",
        "authority:invite",
        "make an invitation for one node",
        example="gossip invite --name db-3 --expires 1h",
        client=False,
    )
    invite.add_argument("--name", default="", help="the name that the node must have, and nobody else")
    invite.add_argument(
        "--expires",
        type=duration,
        metavar="TIME",
        help="until when it may be used (default: 24h)",
    )
    invite.add_argument(
        "--id", default="", metavar="ID", help="for the node of this id only: no secret, and without end"
    )
    invite.add_argument("--cluster", default="gossip", metavar="NAME", help="the cluster (default: gossip)")
    invite.add_argument("--key", default=AUTHORITY_KEY, metavar="FILE", help=KEY_HELP)


def _add_events(commands: argparse._SubParsersAction[Parser]) -> None:
    event = add_command(
        commands, "event", "events:event", "send an event to every member", example="gossip event deploy v2.3"
    )
    event.add_argument("name", metavar="NAME", help="the event")
    event.add_argument("payload", nargs="?", default="", metavar="PAYLOAD", help="a short text")
    events = add_command(
        commands,
        "events",
        "events:events",
        "show events as they arrive",
        example="gossip events --name deploy",
    )
    events.add_argument("--name", help="only these")


def _add_keys(commands: argparse._SubParsersAction[Parser]) -> None:
    keygen = add_command(
        commands,
        "keygen",
        "keys:keygen",
        "make a key for a cluster",
        example="gossip keygen --out cluster.key",
        client=False,
        json=False,
    )
    keygen.add_argument(
        "--out", metavar="FILE", help="write it there, for its owner alone (default: print it)"
    )
    keys = add_command(
        commands,
        "keys",
        "keys:keys",
        "list the cluster's keys, or change them",
        example="gossip keys list\n  gossip keys rotate --wait 1m\n  gossip keys rotate --key-file new.key",
    )
    keys.add_argument(
        "what",
        choices=("list", "add", "use", "remove", "rotate"),
        metavar="list|add|use|remove|rotate",
        help="rotate changes the key of all members; add, use and remove concern this agent alone",
    )
    keys.add_argument(
        "name", nargs="?", default="", metavar="NAME", help="a key: its name, or the beginning of its mark"
    )
    keys.add_argument(
        "--key-file", metavar="FILE", help="holds the key to add, or to rotate to; - reads it here"
    )
    keys.add_argument("--insist", action="store_true", help="retire older keys, whoever is away")
    keys.add_argument(
        "--wait", type=duration, metavar="TIME", help="until all live members seal with the new key"
    )


def _add_views(commands: argparse._SubParsersAction[Parser]) -> None:
    monitor = add_command(
        commands,
        "monitor",
        "monitor:monitor",
        "follow the agent's log",
        example="gossip monitor --level debug",
    )
    monitor.add_argument(
        "--level",
        default="info",
        choices=LEVELS,
        metavar="LEVEL",
        help="from which level on, whatever the agent itself writes: debug, info, warning or error",
    )
    top = add_command(
        commands,
        "top",
        "top:top",
        "watch members, services and checks on a live screen",
        example="gossip top",
        json=False,
    )
    # Not shown: who tries it is told what to use instead.
    top.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    top.add_argument("--once", action="store_true", help="print the screen once and end")


def _add_program(commands: argparse._SubParsersAction[Parser]) -> None:
    add_command(
        commands,
        "version",
        "version:version",
        "show this program's version",
        example="gossip version",
        client=False,
    )
    add_token(commands)
    completion = add_command(
        commands,
        "completion",
        "completion:completion",
        "print a shell's completion script",
        example="gossip completion bash > ~/.local/share/bash-completion/completions/gossip",
        client=False,
        json=False,
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"), metavar="bash|zsh|fish")


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Reads `argv` (None: the process's own); when it is wrong, ends with status 2 and one line."""
    parser = build_parser()
    words = sys.argv[1:] if argv is None else [*argv]
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    if words and words[0].startswith("-") and words[0] not in _BEFORE_COMMANDS:
        option = words[0].partition("=")[0]
        parser.error(
            f"unrecognized option {option} before the command: options follow it,"
            f" as in 'gossip members {option}'"
        )
    options, unknown = parser.parse_known_args(words)
    if unknown:
        # By the parser of the command, so that the line points at the command's own help.
        getattr(options, "parser", parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    if not getattr(options, "run", None):
        parser.error("say what to do, for example 'gossip members'")
    return options
