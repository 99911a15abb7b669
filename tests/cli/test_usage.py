"""Wrong usage: one line on standard error that says where to look, status 2, and nobody is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gossip.cli.parser import build_parser, subparsers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Ran
    from tests.client.scripted import ScriptedAgent

    Run = Callable[..., Ran]

COMMANDS = subparsers(build_parser())

WRONG = [
    ("", "say what to do"),
    ("--json", "unrecognized"),
    ("--socket x members", "unrecognized option --socket before the command: options follow it"),
    ("--socket=x members", "options follow it, as in 'gossip members --socket'"),
    ("frobnicate", "there is no command 'frobnicate'"),
    ("agent --profile fast", "invalid choice"),
    ("agent extra", "unrecognized arguments: extra"),
    ("agent --key-file k --insecure", "not allowed with"),
    ("members --status gone", "invalid choice"),
    ("members --tag zone", "'zone' is not KEY=VALUE"),
    ("members --tag =a", "'=a' is not KEY=VALUE"),
    ("members n1", "unrecognized arguments: n1"),
    ("members --stat alive", "unrecognized arguments: --stat"),
    ("info n1", "unrecognized"),
    ("join", "required: ADDRESS"),
    ("leave now", "unrecognized"),
    ("evict", "required: NAME|ID"),
    ("ca", "required: init"),
    ("ca renew", "invalid choice"),
    ("evict n7 --reason stolen", "--key, --reason and --rotate go with --ban"),
    ("evict n7 --key k", "--key, --reason and --rotate go with --ban"),
    ("evict n7 --rotate", "--key, --reason and --rotate go with --ban"),
    (f"invite --id {32 * 'a'} --expires 1h", "without end: leave --expires out"),
    ("invite --expires tomorrow", "'tomorrow' is no duration"),
    ("doctor a b", "unrecognized arguments: b"),
    ("doctor --timeout 500ms", "'500ms' is not from 1s to 30s"),
    ("doctor --timeout 5", "'5' is no duration"),
    ("keygen new.key", "unrecognized arguments: new.key"),
    ("keys", "required: list|add|use|remove|rotate"),
    ("keys change", "invalid choice"),
    ("keys list k", "list takes no NAME"),
    ("keys use", "use needs the NAME of a key"),
    ("keys remove", "remove needs the NAME of a key"),
    ("keys add k", "add needs --key-file FILE"),
    ("keys use k --key-file f", "use takes no --key-file"),
    ("keys list --insist", "--insist and --wait go with rotate"),
    ("keys use k --wait 5s", "--insist and --wait go with rotate"),
    ("keys rotate k --insist", "--insist begins no change"),
    ("keys rotate --wait 5", "'5' is no duration"),
    ("rtt", "required: B"),
    ("rtt a b c", "unrecognized arguments: c"),
    ("register --port 1", "required: NAME"),
    ("register web", "required: --port"),
    ("register web --port=-1", "'-1' is not a port, 1 to 65535, or 0 for none"),
    ("register web --port 1 --address 999.1.1.1", "'999.1.1.1' is not an IP address or a host name"),
    ("register web --port 1 --address no/such", "'no/such' is not an IP address or a host name"),
    ("register web --port 1 --address a..b", "is not an IP address or a host name"),
    ("register web --port 1 --address -a", "argument --address"),
    ("run --service web:80 --address 10.0.0 -- true", "'10.0.0' is not an IP address or a host name"),
    ("register web --port 65536", "is not a port"),
    ("register web --port http", "is not a port"),
    ("register web --port 1 --weight -1", "argument --weight"),
    ("register web --port 1 --weight=-1", "'-1' is not a whole number"),
    ("register web --port 1 --meta k", "'k' is not KEY=VALUE"),
    ("register web --port 1 --check-http 127.0.0.1:80/", "is no URL like http://"),
    ("register web --port 1 --check-http ftp://h/", "is no URL"),
    ("register web --port 1 --check-http http://h:99999/", "is no URL"),
    ("register web --port 1 --check-tcp 127.0.0.1", "is not HOST:PORT"),
    ("register web --port 1 --check-tcp :80", "is not HOST:PORT"),
    ("register web --port 1 --check-grpc h:0/name", "is not HOST:PORT"),
    ("register web --port 1 --check-ttl 15", "'15' is no duration"),
    ("register web --port 1 --check-cmd", "expected one argument"),
    ("register web --port 1 --check-alias=", "argument --check-alias: it is empty"),
    ("register web --port 1 --check-tcp h:1 --interval soon", "'soon' is no duration"),
    ("register web --port 1 --interval 5s", "--interval belongs to a health check"),
    ("register web --port 1 --deregister-after 5s", "--deregister-after belongs to a health check"),
    ("register web --port 1 --check-ttl 9s --timeout 1s", "for checks that the agent carries out"),
    ("register web --port 1" + 17 * " --check-ttl 9s", "17 checks were given"),
    ("run -- true", "required: --service"),
    ("run --service web:80", "required: COMMAND"),
    ("run --service web:http -- true", "'web:http' is not NAME or NAME:PORT"),
    ("run --service :80 -- true", "is not NAME or NAME:PORT"),
    ("run --service web:0 -- true", "'0' is not a port, 1 to 65535"),
    ("run --service web:80 true --flag", "unrecognized arguments: --flag"),
    ("run --service web:80 --drain 5 -- true", "'5' is no duration"),
    ("run --service web:80 --timeout 5s -- true", "--timeout belongs to a health check"),
    ("check", "required: pass|warn|fail, ID"),
    ("check ok web", "invalid choice"),
    ("check pass", "required: ID"),
    ("checks web", "unrecognized"),
    ("maintenance", "required: on|off"),
    ("maintenance maybe", "invalid choice"),
    ("reload now", "unrecognized"),
    ("monitor --level loud", "invalid choice"),
    ("top --json", "top draws for people"),
    ("top", "top needs a terminal"),
    ("deregister", "required: ID"),
    ("services web", "unrecognized"),
    ("lookup", "required: NAME"),
    ("lookup web --wait 30", "'30' is no duration"),
    ("lookup web --wait soon", "'soon' is no duration"),
    ("lookup web --wait=-1s", "duration"),
    ("watch", "required: NAME"),
    ("watch web --exec", "expected one argument"),
    ("proxy", "required: LISTEN, NAME"),
    ("proxy 80", "required: NAME"),
    ("proxy localhost web", "'localhost' has no port"),
    ("proxy 1:2:3 web", "put an IPv6 address in brackets, as in [::1]:8080"),
    ("proxy web:80 web", "is a name"),
    ("proxy 80 web --attempts 0", "'0' is not a whole number, 1 or more"),
    ("proxy 80 web --send-proxy v3", "invalid choice"),
    ("proxy 80 web --drain 5", "'5' is no duration"),
    ("proxy 80 web --metrics x", "argument --metrics"),
    ("event", "required: NAME"),
    ("event a b c", "unrecognized arguments: c"),
    ("events deploy", "unrecognized"),
    ("version please", "unrecognized"),
    ("token", "required: new|hash, NAME, --scope"),
    ("token make a --scope read", "invalid choice"),
    ("token new a --scope all", "invalid choice"),
    ("token new a --scope read --expires 5", "'5' is no duration"),
    ("completion", "required: bash|zsh|fish"),
    ("completion tcsh", "invalid choice"),
]


@pytest.mark.parametrize(("line", "says"), WRONG, ids=[line or "nothing" for line, _ in WRONG])
def test_wrong_usage_is_one_line(agent: ScriptedAgent, gossip: Run, line: str, says: str) -> None:
    ran = gossip(*line.split())
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1
    assert says in ran.err
    command = line.split(maxsplit=1)[0] if line and line.split(maxsplit=1)[0] in COMMANDS else ""
    assert f"(see '{f'gossip {command}'.strip()} --help')" in ran.err
    assert agent.asked == []


def test_every_command_has_an_example_of_wrong_usage() -> None:
    assert {line.split()[0] for line, _ in WRONG if line} >= set(COMMANDS)


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_is_there_with_an_example(gossip: Run, name: str) -> None:
    ran = gossip(*name.split(), "--help")
    assert (ran.status, ran.err) == (0, "")
    assert f"example:\n  gossip {name}".strip() in ran.out or f"$(gossip {name}" in ran.out


def test_help_is_also_a_word(gossip: Run) -> None:
    assert gossip("help").out == gossip("--help").out
    assert gossip("help", "top").out == gossip("top", "--help").out


def test_help_lists_what_works_and_nothing_else(gossip: Run) -> None:
    assert "--version " in gossip("--help").out
    assert "--json" not in gossip("top", "--help").out
    said = " ".join(gossip("register", "--help").out.split())
    assert "0 for none" in said
    assert "(default: the service's name)" in said


def test_help_lists_every_command(gossip: Run) -> None:
    out = gossip("--help").out
    assert all(f"  {name}" in out and summary in out for name, (summary, _) in COMMANDS.items())


def test_every_command_that_asks_the_agent_can_be_told_its_socket() -> None:
    with_socket = {name for name, (_, parser) in COMMANDS.items() if "--socket" in parser.format_help()}
    assert with_socket == set(COMMANDS) - {"version", "completion", "token", "keygen", "ca", "invite"}


# -- gossip agent ----------------------------------------------------------------------------------


def test_check_reads_the_configuration_and_stops(
    gossip: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    monkeypatch.delenv("GOSSIP_SOCKET")
    file = f"{tmp_path}/gossip.toml"
    with open(file, "w") as opened:  # noqa: PTH123 - one line for a fixture
        opened.write('name = "n1"\nbind = "127.0.0.1:0"\n')
    options = ["--tag", "zone=a", "--join", "127.0.0.1:1", "--data-dir", f"{tmp_path}/data"]
    ran = gossip("agent", "--config", file, *options, "--check")
    assert (ran.status, ran.out, ran.err) == (0, "the configuration is valid\n", "")

    with open(file, "a") as opened:  # noqa: PTH123
        opened.write("nmae = 3\n")
    ran = gossip("agent", "--config", file, "--check")
    assert (ran.status, ran.out) == (2, "")
    assert f"{file}:3" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("flag", ["--bind nowhere:x", "--tag zone", "--advertise :::"])
def test_a_wrong_value_stops_the_agent_with_one_line(gossip: Run, flag: str) -> None:
    ran = gossip("agent", "--dev", *flag.split(), "--check")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"gossip: {flag.split(maxsplit=1)[0]}: ")
    assert ran.err.count("\n") == 1
