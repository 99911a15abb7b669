"""Settings from files, environment and flags: what is accepted, what is refused, in which words."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gossip import armour, config
from gossip.config import (
    Config,
    ProxyDefinition,
    ServiceDefinition,
    load,
    parse_address,
    parse_duration,
    parse_size,
    route,
    values,
)
from gossip.config.parsers import MAX_SOCKET_BYTES
from gossip.core import records
from gossip.core.params import PROFILES
from gossip.core.types import show_address
from gossip.errors import ConfigError

ENV = {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7", "XDG_STATE_HOME": "/home/u/.state"}
LOCAL: dict[str, object] = {"bind": ["127.0.0.1:0"], "name": "n"}
KEY_FILE = Path(__file__).with_name("example.key")
NO_FILE = "/nowhere/k: cannot be read: No such file or directory"
BASE = 'bind = "127.0.0.1:0"\n'
SERVICE_KEYS = "name, id, port, address, tags, meta, weight, check"
GUARDS = (
    *("socket_mode", "socket_group", "allow_read", "allow_write", "allow_admin", "http_tokens"),
    *("http_anonymous", "http_cert", "http_key", "http_client_ca", "http_tls_min", "http_insecure"),
    *("http_rate", "http_token_rate"),
)
"""Settings that `test_face_config.py` has."""
NOT_A_PORT = "is no port: give a number from 0 to 65535"
NO_RATE = "is no rate: a whole number a second up to 1000000, or 0 for no limit"
NOT_A_NUMBER = "it must be a whole number from 0 to 65535"
TOO_LONG = "and the path of a unix socket has 107 at most: give a shorter --socket"
TOO_MANY = "bytes in all: the limits are 64 and 640"
NOT_TO_ADVERTISE = "cannot be advertised: give the one address at which others reach this node"


def exposed(address: str) -> str:
    return (
        f"{address} is reached by other machines, and without a key an agent listens on loopback only: make"
        " a key (gossip keygen --out FILE) and give --key-file FILE to every agent, or give --insecure to run"
        " in clear, or --bind 127.0.0.1:7946"
    )


def no_tokens(address: str, port: int) -> str:
    return (
        f"{address} is reached by other machines, and HTTP is served there only with tokens (make one with"
        " 'gossip token new', and give --http-tokens FILE) and a certificate (give --http-cert FILE and"
        f" --http-key FILE); else give --http 127.0.0.1:{port}, or --http-insecure to go without"
    )


@pytest.fixture(autouse=True)
def ordinary_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 7)


def write(directory: Path, text: str, name: str = "gossip.toml") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(text)
    return path


def refusal(*files: Path, env: dict[str, str] | None = None, **flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(files, ENV | (env or {}), flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


# -------------------------------------------------------------------------------------------- defaults


def test_the_defaults_listen_everywhere_and_therefore_ask_for_insecure() -> None:
    assert refusal() == f"bind (the default): {exposed('0.0.0.0:7946')}"


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.config.settings.default_route_address", lambda **_: "10.1.1.1")
    assert load(env=ENV, flags={"insecure": True}) == Config(
        name=os.uname().nodename,
        socket=Path("/run/user/7/gossip.sock"),
        data_dir=Path("/home/u/.state/gossip"),
        cluster="gossip",
        bind=(("0.0.0.0", 7946),),
        advertise=("10.1.1.1", 7946),
        insecure=True,
    )


def test_dev_is_loopback_and_no_disk() -> None:
    settings_ = load(env=ENV, flags={"dev": True, "name": "n"})
    assert settings_ == Config(
        name="n",
        socket=Path("/run/user/7/gossip.sock"),
        data_dir=None,
        bind=(("127.0.0.1", 7946),),
        advertise=("127.0.0.1", 7946),
        http=("127.0.0.1", 8500),
        dns=("127.0.0.1", 8600),
        dev=True,
    )
    assert load(env=ENV, flags={"dev": True, "bind": ["[::1]:0"]}).bind == (("::1", 0),)


def test_dns_is_off_unless_asked_for_and_on_under_dev() -> None:
    assert load(env=ENV, flags=LOCAL).dns is None
    assert load(env=ENV, flags={"dev": True}).dns == config.DEV_DNS == ("127.0.0.1", 8600)
    assert load(env=ENV, flags={"dev": True, "dns": "off"}).dns is None
    assert load(env=ENV, flags=LOCAL | {"dns": "10.0.0.1"}).dns == ("10.0.0.1", 8600)
    assert load(env=ENV, flags=LOCAL).dns_domains == ("consul", "gossip")


def test_http_is_off_unless_asked_for_and_on_under_dev() -> None:
    assert load(env=ENV, flags=LOCAL).http is None
    assert load(env=ENV, flags={"dev": True}).http == config.DEV_HTTP == ("127.0.0.1", 8500)
    assert load(env=ENV, flags={"dev": True, "http": "off"}).http is None
    assert load(env=ENV | {"GOSSIP_HTTP": "localhost"}, flags=LOCAL).http == ("127.0.0.1", 8500)
    assert load(env=ENV, flags=LOCAL | {"http": "[::1]:0"}).http == ("::1", 0)
    assert load(env=ENV, flags=LOCAL | {"http": "10.0.0.1:1", "http_insecure": True}).http == ("10.0.0.1", 1)


@pytest.mark.parametrize(
    ("user", "env", "socket", "data"),
    [
        (0, {}, "/run/gossip/gossip.sock", "/var/lib/gossip"),
        (0, ENV, "/run/gossip/gossip.sock", "/var/lib/gossip"),
        (7, ENV, "/run/user/7/gossip.sock", "/home/u/.state/gossip"),
        (7, {"HOME": "/home/u"}, "/tmp/gossip-7/gossip.sock", "/home/u/.local/state/gossip"),
        (7, {"HOME": "/h", "XDG_RUNTIME_DIR": "r"}, "/tmp/gossip-7/gossip.sock", "/h/.local/state/gossip"),
        (7, ENV | {"XDG_STATE_HOME": "s"}, "/run/user/7/gossip.sock", "/home/u/.local/state/gossip"),
        (0, {"GOSSIP_SOCKET": "/s"}, "/s", "/var/lib/gossip"),
        (7, ENV | {"GOSSIP_SOCKET": ""}, "/run/user/7/gossip.sock", "/home/u/.state/gossip"),
    ],
)  # fmt: skip
def test_paths_follow_the_user(
    monkeypatch: pytest.MonkeyPatch, user: int, env: dict[str, str], socket: str, data: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert config.default_socket(env) == Path(socket)
    settings_ = load(env=env, flags=LOCAL)
    assert (settings_.socket, settings_.data_dir) == (Path(socket), Path(data))


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOSSIP_SOCKET", "/s")
    monkeypatch.setenv("GOSSIP_NAME", "from-env")
    assert config.default_socket() == Path("/s")
    assert load(flags={"dev": True}).name == "from-env"


def test_without_a_home_the_data_dir_must_be_given() -> None:
    with pytest.raises(ConfigError, match="neither HOME nor XDG_STATE_HOME is set: give --data-dir DIR"):
        load(env={}, flags=LOCAL)
    assert load(env={}, flags=LOCAL | {"data_dir": "/d"}).data_dir == Path("/d")
    assert load(env={}, flags=LOCAL | {"data_dir": "none"}).data_dir is None
    assert load(env={}, flags=LOCAL | {"data_dir": ""}).data_dir is None


# ----------------------------------------------------------------------------- every setting, every layer

# Setting: TOML, environment, flag, and what each must come to.
AUTHORITY = armour.wrap(armour.AUTHORITY, bytes(range(32)))
INVITE = armour.wrap(armour.INVITE, b"what it says is the agent's business")
NO_KEY = "this is not the public key of an authority"
PRINTED = "(gossip ca init prints it)"
NO_AUTHORITY = "give the public key of the authority that invites as well: --authority"
NO_INVITE = "neither an invitation (gossip-invite-1-...) nor a file with one"
EVERYWHERE: dict[str, tuple[str, str, object, object]] = {
    "name": ('"a"', "a", "a", "a"),
    "cluster": ('"a"', "a", "a", "a"),
    "bind": (
        '["127.0.0.1:1", "[::1]:2"]',
        "127.0.0.1:1,[::1]:2",
        ["127.0.0.1:1", "[::1]:2"],
        (("127.0.0.1", 1), ("::1", 2)),
    ),
    "advertise": ('"10.0.0.1:1"', "10.0.0.1:1", "10.0.0.1:1", ("10.0.0.1", 1)),
    "join": ('["a", "b:1"]', "a, b:1", ["a", "b:1"], ("a", "b:1")),
    "data_dir": ('"/d"', "/d", "/d", Path("/d")),
    "key_file": (f'"{KEY_FILE}"', str(KEY_FILE), str(KEY_FILE), KEY_FILE),
    "socket": ('"/s"', "/s", "/s", Path("/s")),
    "http": ('"[::1]:80"', "[::1]:80", "[::1]:80", ("::1", 80)),
    "dns": ('"[::1]:53"', "[::1]:53", "[::1]:53", ("::1", 53)),
    "dns_domains": ('["SD.example."]', "SD.example.", ["SD.example."], ("sd.example",)),
    "dns_ttl": ('"5s"', "5s", "5s", 5.0),
    "dns_negative_ttl": ('"1m"', "1m", "1m", 60.0),
    "dns_udp_size": ("4096", "4KiB", "4KiB", 4_096),
    "dns_rate": ("50", "50", "50", 50),
    "recursors": ('["10.0.0.1"]', "10.0.0.1", ["10.0.0.1"], (("10.0.0.1", 53),)),
    "tags": ('{ k = "v", l = "w=x" }', "k=v,l=w=x", ["k=v", "l=w=x"], {"k": "v", "l": "w=x"}),
    "profile": ('"wan"', "wan", "wan", "wan"),
    "http_list_self_as": ('"consul"', "consul", "consul", "consul"),
    "probe_period": ('"500ms"', "0.5s", "500ms", 0.5),
    "retention": ('"72h"', "72h", "72h", 259_200.0),
    "restart_grace": ('"1m"', "60s", "1m", 60.0),
    "stream_probe": ("false", "no", "off", False),
    "authority": (f'"{AUTHORITY}"', AUTHORITY, AUTHORITY, bytes(range(32))),
    "admission": ('"open"', "open", "OPEN", "open"),
    "invite": (f'"{INVITE}"', INVITE, INVITE, INVITE),
    "log_level": ('"DEBUG"', "debug", "debug", "debug"),
    "log_format": ('"json"', "json", "json", "json"),
    "command_checks": ('"off"', "off", "OFF", "off"),
    "dev": ("true", "yes", True, True),
    "insecure": ("true", "1", True, True),
    "accept_clear": ("true", "1", True, True),
    "leave_on_term": ("true", "on", True, True),
    "dns_only_passing": ("true", "true", True, True),
}


def test_the_table_of_settings_is_complete() -> None:
    assert {*EVERYWHERE, *GUARDS} == set(config.SETTINGS)
    fields = set(Config.__dataclass_fields__)
    assert fields == {*config.SETTINGS, "services", "checks", "proxies"}


@pytest.mark.parametrize("setting", EVERYWHERE)
def test_every_setting_can_come_from_a_file_the_environment_or_a_flag(tmp_path: Path, setting: str) -> None:
    in_file, in_env, flag, expected = EVERYWHERE[setting]
    base = {"GOSSIP_BIND": "127.0.0.1:0"} if setting != "bind" else {}
    if setting == "invite":
        base["GOSSIP_AUTHORITY"] = AUTHORITY
    for spelling in (setting, setting.replace("_", "-")):
        path = write(tmp_path, f"{spelling} = {in_file}\n")
        assert getattr(load([path], ENV | base, {}), setting) == expected
    assert getattr(load([], ENV | base | {f"GOSSIP_{setting.upper()}": in_env}, {}), setting) == expected
    assert getattr(load([], ENV | base, {setting: flag}), setting) == expected


def test_one_tag_is_spelt_as_on_the_command_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'tag = ["a=b"]\nbind = "127.0.0.1"')
    assert load([path], ENV, {}).tags == {"a": "b"}
    assert load([path], ENV, {"tag": ["c=d,e"]}).tags == {"c": "d,e"}


def test_flags_that_were_not_given_change_nothing(tmp_path: Path) -> None:
    path = write(tmp_path, 'dev = true\njoin = ["a"]\nname = "n"')
    flags = {"dev": False, "join": [], "name": None, "tag": (), "key_file": None}
    settings_ = load([path], ENV, flags)
    assert (settings_.dev, settings_.join, settings_.name) == (True, ("a",), "n")


def test_a_switch_can_be_turned_off_by_the_environment(tmp_path: Path) -> None:
    path = write(tmp_path, 'leave_on_term = true\nbind = "127.0.0.1"')
    assert not load([path], ENV | {"GOSSIP_LEAVE_ON_TERM": "no"}, {}).leave_on_term


LAYERS = ("first", "second", "env", "flag")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    given_in=st.dictionaries(
        st.sampled_from(["name", "cluster", "profile", "join", "tags", "data_dir"]),
        st.sets(st.sampled_from(LAYERS), min_size=1),
    )
)
def test_the_highest_layer_that_has_a_setting_decides_it(
    tmp_path_factory: pytest.TempPathFactory, given_in: dict[str, set[str]]
) -> None:
    def text(setting: str, layer: str) -> str:
        if setting == "profile":
            return ("lan", "wan", "local", "lan")[LAYERS.index(layer)]
        return {"tags": f"k={layer}", "data_dir": f"/{layer}"}.get(setting, layer)

    home = tmp_path_factory.mktemp("layers")
    lines: dict[str, list[str]] = {"first": ['bind = "127.0.0.1"'], "second": []}
    env, flags = dict(ENV), dict[str, object]()
    for setting, layers in given_in.items():
        for layer in layers:
            value = text(setting, layer)
            if layer == "env":
                env[f"GOSSIP_{setting.upper()}"] = value
            elif layer == "flag":
                flags[setting] = [value] if setting in ("join", "tags") else value
            else:
                quoted = f'["{value}"]' if setting in ("join", "tags") else f'"{value}"'
                lines[layer].append(f"{setting} = {quoted}")
    files = [write(home, "\n".join(lines[name]), f"{name}.toml") for name in ("first", "second")]
    settings_ = load(files, env, flags)
    for setting, layers in given_in.items():
        value = text(setting, max(layers, key=LAYERS.index))
        expected: object = {"join": (value,), "data_dir": Path(value)}.get(setting, value)
        if setting == "tags":
            expected = {"k": value.removeprefix("k=")}
        assert getattr(settings_, setting) == expected


def test_files_can_be_named_in_the_environment_and_flags_replace_them(tmp_path: Path) -> None:
    first = write(tmp_path, 'bind = "127.0.0.1"\nname = "a"', "a.toml")
    second = write(tmp_path, 'name = "b"', "b.toml")
    env = ENV | {"GOSSIP_CONFIG": f"{first},{second}"}
    assert load(env=env).name == "b"
    assert load([first], env).name == "a"


def test_paths_in_a_file_are_relative_to_it(tmp_path: Path) -> None:
    path = write(tmp_path / "etc", 'data_dir = "data"\nsocket = "../s"\nbind = "127.0.0.1"')
    settings_ = load([path], ENV)
    assert settings_.data_dir == tmp_path / "etc/data"
    assert settings_.socket == tmp_path / "etc/../s"
    nothing = write(tmp_path / "etc", 'data_dir = "none"\nbind = "127.0.0.1"')
    assert load([nothing], ENV).data_dir is None


# --------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("nam = 1", 1, "nam: unknown setting: did you mean name?"),
        ("\n\nnonsense = 1", 3, "nonsense: unknown setting"),
        ("[tags]\na='b'\n[extra]\n", 3, "extra: unknown setting"),
        ('"a\\nb" = 1', None, "'a\\nb': unknown setting"),
        ("name = 5", 1, "name: it must be text in quotes"),
        ('name = ""', 1, "name: it is empty"),
        ('name = " a"', 1, "name: ' a' has characters that do not print, or blanks around it"),
        ('name = "a\\u0007"', 1, r"name: 'a\x07' has characters that do not print, or blanks around it"),
        (f'# x\nname = "{"é" * 33}"', 2, f"name: '{'é' * 33}' has 66 bytes: the limit is 64"),
        (f'cluster = "{"c" * 65}"', 1, f"cluster: '{'c' * 65}' has 65 bytes: the limit is 64"),
        ("bind = []", 1, "bind: it must be text in quotes, or a list of such"),
        ('bind = ["127.0.0.1", 3]', 1, "bind: it must be text in quotes, or a list of such"),
        ('bind = "db1:7946"', 1, "bind: 'db1:7946': 'db1' is a name: give an IP address here"),
        ('bind = "127.0.0.1:70000"', 1, f"bind: '127.0.0.1:70000': '70000' {NOT_A_PORT}"),
        ('bind = "127.0.0.1:"', 1, f"bind: '127.0.0.1:': '' {NOT_A_PORT}"),
        ('bind = "127.0.0.1:+1"', 1, f"bind: '127.0.0.1:+1': '+1' {NOT_A_PORT}"),
        ('bind = ":7946"', 1, "bind: ':7946' has no host: write HOST:PORT, such as 127.0.0.1:7946"),
        ('bind = "224.0.0.1:1"', 1, "bind: 224.0.0.1 is a multicast address"),
        ('bind = ["127.0.0.1:1", "127.0.0.1:1"]', 1, "bind: 127.0.0.1:1 is given twice"),
        ('bind = "10.0.0.1:1"', 1, f"bind: {exposed('10.0.0.1:1')}"),
        (
            'insecure = true\nbind = [\n "127.0.0.1:1",\n "10.0.0.1:1"]',
            2,
            (
                "bind: the first address is advertised, and others cannot reach 127.0.0.1:"
                " put 10.0.0.1:1 first, or give --advertise"
            ),
        ),
        (
            'advertise = "0.0.0.0:7946"',
            1,
            f"advertise: 0.0.0.0 {NOT_TO_ADVERTISE}",
        ),
        (
            'advertise = "[::]:7946"',
            1,
            f"advertise: :: {NOT_TO_ADVERTISE}",
        ),
        ('advertise = "a.b:1"', 1, "advertise: 'a.b:1': 'a.b' is a name: give an IP address here"),
        (
            'advertise = "[fe80::1%eth0]:1"',
            1,
            "advertise: fe80::1%eth0 means nothing on other machines: give --advertise without a zone",
        ),
        ('join = ["a b"]', 1, "join: 'a b': 'a b' is neither an IP address nor a host name"),
        ('join = ["a:0"]', 1, "join: 'a:0': port 0 is no place to join: give the port that a listens at"),
        ('join = ["::1"]', 1, "join: '::1' is ambiguous: put an IPv6 address in brackets, as in [::1]:7946"),
        ("tags = 1", 1, "tags: it must be text in quotes, or a list of such"),
        ("[tags]\na = 1", 1, "tags: it must be a table of texts in quotes"),
        ('tags = ["a"]', 1, "tags: 'a' is no KEY=VALUE"),
        ('tags = ["a=1", "a=2"]', 1, "tags: 'a' is given twice"),
        ('tags = ["=1"]', 1, "tags: it is empty"),
        ('tags = { a = "\\n" }', 1, "tags: the value of 'a' has characters that do not print"),
        (f'tags = {{ a = "{"x" * 513}" }}', 1, "tags: the value of 'a' has 513 characters: the limit is 512"),
        (f'tags = {{ a = "{"x" * 320}", b = "{"x" * 319}" }}', 1, "tags: 641 bytes in all: the limit is 640"),
        (f"tags = {[f'k{i}=v' for i in range(65)]}", 1, "tags: 65 entries: the limit is 64"),
        ('tags = ["a=1"]\ntag = ["a=1"]', 2, "tag: given twice, also as {path}:1: tags"),
        ('data_dir = "/a"\ndata-dir = "/a"', 2, "data-dir: given twice, also as {path}:1: data_dir"),
        ('data_dir = "a\\u0000b"', 1, "data_dir: '{dir}/a\\x00b' is no path"),
        ('socket = ""', 1, "socket: it is empty"),
        ('socket = "/a\\u0000b"', 1, "socket: '/a\\x00b' is no path"),
        ('probe_period = "99ms"', 1, "probe_period: '99ms' is not within 100ms to 1m"),
        ('probe_period = "61s"', 1, "probe_period: '61s' is not within 100ms to 1m"),
        ("probe_period = 1", 1, "probe_period: it must be text in quotes"),
        ('retention = "0s"', 1, "retention: '0s' is not within 1s to 720h"),
        ('restart_grace = "2h"', 1, "restart_grace: '2h' is not within 500ms to 1h"),
        ('stream_probe = "maybe"', 1, "stream_probe: 'maybe' is neither true nor false"),
        ('profile = "fast"', 1, "profile: 'fast' is not one of lan, wan, local"),
        ('log_level = "loud"', 1, "log_level: 'loud' is not one of debug, info, warning, error"),
        ('log_format = "xml"', 1, "log_format: 'xml' is not one of text, json"),
        ("dev = 1.5", 1, "dev: '1.5' is neither true nor false"),
        ('dev = true\ndata_dir = "/d"', 2, "data_dir: dev keeps nothing on disk: remove this, or dev"),
        ('service = "web"', 1, "service: write it as [[service]] tables"),
        ('key_file = "/nowhere/k"', 1, f"key_file: {NO_FILE}"),
        ('http = "localhost:x"', 1, "http: 'localhost:x': 'x' is no port: give a number from 0 to 65535"),
        ('http = "web:80"', 1, "http: 'web:80': 'web' is a name: give an IP address here"),
        ('http = "224.0.0.1:80"', 1, "http: 224.0.0.1 is a multicast address"),
        ("http = 8500", 1, "http: it must be text in quotes"),
        ('dns = "224.0.0.1:80"', 1, "dns: 224.0.0.1 is a multicast address"),
        ("dns = 53", 1, "dns: it must be text in quotes"),
        ('dns_domains = ["a", "b..c"]', 1,
         "dns_domains: 'b..c' is no domain: write it as gossip or sd.example.com"),
        ('dns_domains = "in-addr.arpa"', 1,
         "dns_domains: 'in-addr.arpa' is where addresses are looked up: choose another domain"),
        (f"dns_domains = {list('abcdefghi')}", 1, "dns_domains: 9 domains: the limit is 8"),
        ('dns_ttl = "500ms"', 1, "dns_ttl: '500ms' is not a whole number of seconds up to 168h"),
        ('dns_negative_ttl = "1000h"', 1,
         "dns_negative_ttl: '1000h' is not a whole number of seconds up to 168h"),
        ('dns_rate = "2.5"', 1, f"dns_rate: '2.5' {NO_RATE}"),
        ("dns_rate = 2.5", 1, f"dns_rate: '2.5' {NO_RATE}"),
        ("dns_rate = true", 1, f"dns_rate: 'True' {NO_RATE}"),
        ("dns_rate = -1", 1, f"dns_rate: '-1' {NO_RATE}"),
        ("dns_rate = 1000001", 1, f"dns_rate: '1000001' {NO_RATE}"),
        ('dns_udp_size = "100"', 1, "dns_udp_size: '100' is not within 512 to 65467 bytes"),
        ('dns_only_passing = "so"', 1, "dns_only_passing: 'so' is neither true nor false"),
        ('recursors = ["0.0.0.0"]', 1, "recursors: '0.0.0.0' is no place to ask"),
        ('recursors = ["1.1.1.1:0"]', 1, "recursors: '1.1.1.1:0' is no place to ask"),
        ('recursors = ["::1", "10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"]', 1,
         "recursors: '::1' is ambiguous: put an IPv6 address in brackets, as in [::1]:53"),
        ('recursors = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]', 1,
         "recursors: 5 recursors: the limit is 4"),
        ('http-list-self-as = ""', 1, "http-list-self-as: it is empty"),
        ('command_checks = "x"', 1, "command_checks: 'x' is not one of off, local, http"),
        ('[[check]]\ntcp = "a"\n', 2, "check.tcp: 'a' has no port: write HOST:PORT"),
        ("check = 1", 1, "check: write it as [[check]] tables"),
        ('authority = "x"', 1, f"authority: {NO_KEY}: one begins with gossip-authority-1- {PRINTED}"),
        (
            f'authority = "{AUTHORITY[:-1]}"', 1,
            f"authority: {NO_KEY}, or a part of it is missing: copy it again, whole {PRINTED}",
        ),
        ('admission = "closed"', 1, "admission: 'closed' is not one of invited, open"),
        ('admission = "invited"', 1, f"admission: {NO_AUTHORITY}"),
        (f'invite = "{INVITE}"', 1, f"invite: {NO_AUTHORITY}"),
        (
            'invite = "/nowhere"', 1,
            f"invite: {NO_INVITE}: No such file or directory",
        ),
        (
            f'invite = "{INVITE[:-3]}"', 1,
            "invite: this is not an invitation, or a part of it is missing: copy it again, whole",
        ),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_with_its_number_and_the_reason(
    tmp_path: Path, text: str, line: int | None, reason: str
) -> None:
    path = write(tmp_path, text)
    flags: dict[str, Any] = {} if "bind" in text or "dev = true" in text else {"bind": ["127.0.0.1:0"]}
    place = f"{path}:{line}" if line else str(path)
    reason = reason.replace("{path}", str(path)).replace("{dir}", str(tmp_path))
    assert refusal(path, **flags) == f"{place}: {reason}"


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"name = \n", 1, "Invalid value"),
        (b"a = 1\nb = 2\nc == 3\n", 3, "Invalid value"),
        (b'name = "a"\nname = "b"\n', 2, "Cannot overwrite a value"),
        (b"x = 1\n[tags\n", 2, "Expected ']' at the end of a table declaration"),
        (b'x = 1\ny = """\n\n', 4, "Unterminated string"),
        (b'name = "a"\n# \xff\n', 2, "not UTF-8 text"),
    ],
)  # fmt: skip
def test_what_is_no_toml_is_refused_with_the_line(
    tmp_path: Path, content: bytes, line: int, reason: str
) -> None:
    path = tmp_path / "gossip.toml"
    path.write_bytes(content)
    assert refusal(path) == f"{path}:{line}: {reason}"


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert refusal(missing) == f"{missing}: cannot be read: No such file or directory"
    assert refusal(tmp_path) == f"{tmp_path}: cannot be read: Is a directory"
    long = write(tmp_path, "a = " + "1" * 5000)
    assert refusal(long).startswith(f"{long}: Exceeds the limit (4300")
    deep = write(tmp_path, "a = " + "[" * 5000)
    assert refusal(deep).startswith(f"{deep}: nested too deeply")


@pytest.mark.parametrize(
    ("variable", "text", "reason"),
    [
        ("GOSSIP_NAME", "x" * 65, f"'{'x' * 65}' has 65 bytes: the limit is 64"),
        ("GOSSIP_NAME", "\udcff", r"'\udcff' has characters that do not print, or blanks around it"),
        ("GOSSIP_DEV", "maybe", "'maybe' is neither true nor false"),
        ("GOSSIP_TAGS", "a=1,b", "'b' is no KEY=VALUE"),
        ("GOSSIP_KEY_FILE", "/nowhere/k", NO_FILE),
        ("GOSSIP_HTTP", "10.0.0.1:80", no_tokens("10.0.0.1:80", 80)),
        ("GOSSIP_BINDS", "127.0.0.1", "unknown setting: did you mean bind?"),
        ("GOSSIP_LOGLEVEL", "debug", "unknown setting: did you mean log_level?"),
    ],
)  # fmt: skip
def test_a_bad_variable_is_refused_by_its_name(variable: str, text: str, reason: str) -> None:
    assert refusal(env={variable: text}, bind=["127.0.0.1:0"]) == f"{variable}: {reason}"


def test_variables_that_are_somebody_elses_or_empty_are_left_alone() -> None:
    """Kubernetes sets the first four in every container beside a service named `gossip`."""
    env = {
        "GOSSIP_PORT": "tcp://10.0.0.1:7946",
        "GOSSIP_PORT_7946_TCP_ADDR": "10.0.0.1",
        "GOSSIP_SERVICE_HOST": "10.0.0.1",
        "GOSSIP_SERVICE_PORT": "7946",
        "GOSSIP_SEED": "5",
        "GOSSIP_ADVERTISE": "",
        "GOSSIP_KEY_FILE": "",
    }
    assert load([], ENV | env, LOCAL) == load([], ENV, LOCAL)


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"bind": ["0.0.0.0:1"]}, f"--bind: {exposed('0.0.0.0:1')}"),
        ({"dev": True, "bind": ["127.0.0.1:1", "10.0.0.1:1"]}, f"--bind: {exposed('10.0.0.1:1')}"),
        ({"dev": True, "data_dir": "/d"}, "--data-dir: dev keeps nothing on disk: remove this, or dev"),
        ({"dev": True, "dns": "web:53"}, "--dns: 'web:53': 'web' is a name: give an IP address here"),
        ({"dev": True, "dns_domain": ["-x"]},
         "--dns-domain: '-x' is no domain: write it as gossip or sd.example.com"),
        ({"dev": True, "recursor": ["a.b"]}, "--recursor: 'a.b': 'a.b' is a name: give an IP address here"),
        ({"key_file": "/nowhere/k"}, f"--key-file: {NO_FILE}"),
        ({"dev": True, "http": "0.0.0.0"}, f"--http: {no_tokens('0.0.0.0:8500', 8500)}"),
        ({"tag": ["a=b"], "tags": ["a=b"]}, "--tags: given twice, also as --tag"),
        ({"seeds": ["a"]}, "--seeds: unknown setting"),
        ({"dev": True, "socket": "/" + "s" * 107}, f"--socket: /{'s' * 107} has 108 bytes, {TOO_LONG}"),
    ],
)  # fmt: skip
def test_a_bad_flag_is_refused_by_its_name(flags: dict[str, Any], reason: str) -> None:
    assert refusal(**flags) == reason


def test_a_default_socket_that_is_too_long_is_told() -> None:
    runtime = "/" + "r" * MAX_SOCKET_BYTES
    message = refusal(env={"XDG_RUNTIME_DIR": runtime}, dev=True)
    assert message.startswith(f"socket (the default): {runtime}/gossip.sock has 120 bytes")
    assert len(str(load([], ENV, {"dev": True, "socket": "/" + "s" * 106}).socket)) == MAX_SOCKET_BYTES


def test_a_value_that_is_overridden_must_be_right_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, 'profile = "fast"')
    assert "'fast' is not one of" in refusal(path, profile="lan", dev=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.lists(
        st.builds(
            "{} = {}".format,
            st.sampled_from([*config.SETTINGS, "service", "service.name", "'ta g'", "x.y"]),
            st.sampled_from(["1", '"a"', "[]", "[[]]", "{}", "[{}]", "true", "1e9", "1979-05-27", '["a=b"]']),
        ),
        max_size=4,
    ).map(lambda lines: "\n".join(lines).encode())
)
def test_whatever_stands_in_a_file_the_answer_is_settings_or_one_line(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    try:
        load([path], ENV, {"bind": ["127.0.0.1:0"]})
    except ConfigError as error:
        message = str(error)
    else:
        return
    assert message.startswith(str(path))
    assert "\n" not in message


# ------------------------------------------------------------------------------------------- advertising


def test_the_address_of_the_default_route_is_advertised(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def answer(*, ipv6: bool) -> str:
        asked.append(ipv6)
        return "2001:db8::5" if ipv6 else "10.1.1.1"

    monkeypatch.setattr("gossip.config.settings.default_route_address", answer)
    everywhere: dict[str, object] = {"insecure": True, "bind": ["0.0.0.0:5"]}
    assert load([], ENV, everywhere).advertise == ("10.1.1.1", 5)
    assert load([], ENV, everywhere | {"bind": ["[::]:5"]}).advertise == ("2001:db8::5", 5)
    assert asked == [False, True]
    assert load([], ENV, everywhere | {"advertise": "10.2.2.2"}).advertise == ("10.2.2.2", 5)
    assert load([], ENV, everywhere | {"bind": ["10.3.3.3:0"]}).advertise == ("10.3.3.3", 0)


def test_without_a_default_route_the_candidates_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gossip.config.settings.default_route_address", lambda **_: None)
    monkeypatch.setattr("gossip.config.settings.local_addresses", lambda **_: ["10.0.0.1", "10.0.0.2"])
    prefix = "advertise: bound to 0.0.0.0, and no default route tells where others reach it: "
    assert refusal(insecure=True) == prefix + "give --advertise with one of 10.0.0.1:7946, 10.0.0.2:7946"
    monkeypatch.setattr("gossip.config.settings.local_addresses", lambda **_: [])
    assert refusal(insecure=True) == (
        prefix + "there is no address besides loopback: give --bind 127.0.0.1:7946"
    )


def test_the_machine_is_asked_without_sending_anything() -> None:
    for ipv6 in (False, True):
        found = route.default_route_address(ipv6=ipv6)
        assert found is None or (":" in found) == ipv6
        addresses = route.local_addresses(ipv6=ipv6)
        assert found is None or not addresses or found in addresses


def test_the_kernels_tables_are_read() -> None:
    trie = (
        "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 10.1.0.0\n        /24 link UNICAST\n     |-- 10.1.0.9\n"
        "        /32 host LOCAL\n     |-- 10.1.0.255\n        /32 link BROADCAST\n     |-- 127.0.0.1\n"
        "        /32 host LOCAL\n     |-- 9.9.9.9\n        /32 host LOCAL\nLocal:\n     |-- 10.1.0.9\n"
        "        /32 host LOCAL\n"
    )
    assert route._parse_fib_trie(trie) == ["9.9.9.9", "10.1.0.9"]
    table = (
        "00000000000000000000000000000001 01 80 10 80       lo\n"
        "fe800000000000000042acfffe110002 02 40 20 80     eth0\n"
        "20010db8000000000000000000000005 02 40 00 80     eth0\n"
    )
    assert route._parse_if_inet6(table) == ["2001:db8::5"]


# ---------------------------------------------------------------------------------------------- services

WEB = '[[service]]\nname = "web"\nport = 80\n'


def test_services_come_from_all_files_and_the_directories_beside_them(tmp_path: Path) -> None:
    full = (
        '[[service]]\nname = "db"\nid = "db-1"\nport = 5432\naddress = "10.0.0.9"\n'
        'tags = ["primary"]\nweight = 9\nmeta = { version = "16" }\n'
    )
    first = write(tmp_path, 'bind = "127.0.0.1"\n' + WEB, "a.toml")
    second = write(tmp_path, full, "b.toml")
    write(tmp_path / "services.d", '[[service]]\nname = "cache"\nport = 0\n', "20.toml")
    write(tmp_path / "services.d", '[[service]]\nname = "queue"\nport = 1\n', "10.toml")
    write(tmp_path / "services.d", "no TOML", "readme.md")
    write(tmp_path / "services.d", "no TOML", ".30.toml")
    db = ServiceDefinition("db", "db-1", 5432, "10.0.0.9", ("primary",), {"version": "16"}, 9)
    assert load([first, second], ENV).services == (
        ServiceDefinition(name="web", id="web", port=80, address="", tags=(), meta={}, weight=1),
        db,
        ServiceDefinition("queue", "queue", 1),
        ServiceDefinition("cache", "cache", 0),
    )


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("[[service]]\nport = 1", 1, "service: name is missing"),
        ('# x\n\n[[service]]\nname = "a"\n', 3, "service: port is missing"),
        (WEB + WEB, 4, "service: id 'web' is defined twice: give it another than that at {path}:1"),
        (WEB + WEB.replace("80", '"80"'), 6, f"service.port: {NOT_A_NUMBER}"),
        (WEB.replace("80", "65536"), 3, f"service.port: {NOT_A_NUMBER}"),
        (WEB.replace("80", "true"), 3, f"service.port: {NOT_A_NUMBER}"),
        (WEB + "weight = -1", 4, f"service.weight: {NOT_A_NUMBER}"),
        (WEB + "x = 1", 4, f"service.x: unknown: a service has {SERVICE_KEYS}"),
        (WEB + f'id = "{"i" * 65}"', 4, f"service.id: '{'i' * 65}' has 65 bytes: the limit is 64"),
        (WEB + "id = 1", 4, "service.id: it must be text"),
        (WEB + 'id = ""', 4, "service.id: it is empty"),
        (WEB + 'tags = "a"', 4, "service.tags: it must be a list of texts"),
        (WEB + 'tags = [""]', 4, "service.tags: it is empty"),
        (WEB + f"tags = {['t'] * 65}", 4, f"service.tags: 65 tags of 65 {TOO_MANY}"),
        (WEB + f"tags = {['t' * 215] * 3}", 4, f"service.tags: 3 tags of 645 {TOO_MANY}"),
        (WEB + "[service.meta]\na = 1", 4, "service.meta: it must be a table of texts"),
        (WEB + 'meta = { a = "\\b" }', 4, "service.meta: the value of 'a' has characters that do not print"),
        (WEB + WEB.replace("w", "v") + "[[service.check]]\ntcp = 1", 8, "service.check.tcp: it must be text"),
        ('service = [ { name = "a" } ]', 1, "service: port is missing"),
    ],
)  # fmt: skip
def test_a_bad_service_is_refused_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = write(tmp_path / "services.d", text, "s.toml")
    expected = f"{path}:{line}: {reason.replace('{path}', str(path))}"
    assert refusal(write(tmp_path, "dev = true")) == expected


def test_services_d_holds_services_only_and_ids_are_unique_across_files(tmp_path: Path) -> None:
    main = write(tmp_path, "dev = true\n" + WEB)
    other = write(tmp_path / "services.d", WEB, "a.toml")
    assert (
        refusal(main)
        == f"{other}:1: service: id 'web' is defined twice: give it another than that at {main}:2"
    )
    write(tmp_path / "services.d", 'name = "a"', "a.toml")
    assert refusal(main) == f"{other}:1: name: files in services.d hold [[service]] tables only"
    other.unlink()
    other.parent.rmdir()
    other.parent.write_text("")
    assert refusal(main) == f"{other.parent}: cannot be read: Not a directory"


# ------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1", ("10.0.0.1", 7946)),
        ("10.0.0.1:0", ("10.0.0.1", 0)),
        ("[0:0::1]:80", ("::1", 80)),
        ("[::1]", ("::1", 7946)),
        ("db-1.example.org.:80", ("db-1.example.org.", 80)),
        ("my_host", ("my_host", 7946)),
        ("[fe80::1%eth0]:1", ("fe80::1%eth0", 1)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            ":1",
            "[]",
            "[::1",
            "[::1]80",
            "[10.0.0.1]:1",
            "[x:y]:1",
            "::1",
            "1:2:3",
            "a b",
            "-a",
            "a..b",
            "a:",
        ),
        *(
            "a:-1",
            "a:65536",
            "a:1x",
            "a:٣",
            "256.1.1.1",
            "1.2.3",
            "7946",
            "a" * 64,
            "a." * 127 + "a",
            "é.org",
        ),
    ],
)
def test_bad_addresses(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text)


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_address_that_is_shown_is_read_again(host: Any, port: int) -> None:
    text = values.show_address((str(host), port))
    assert text == show_address((str(host), port))
    assert parse_address(text, 1) == (str(host), port)


def test_localhost_is_the_one_name_that_can_be_bound() -> None:
    assert values.parse_ip_address("localhost:1") == ("127.0.0.1", 1)


def test_durations_and_sizes() -> None:
    durations = {"500ms": 0.5, "2s": 2, "1m": 60, "1.5h": 5400, "0s": 0, " 3 s ": 3}
    assert {text: parse_duration(text) for text in durations} == durations
    sizes = {"1200": 1200, "64KiB": 65_536, "1MiB": 1 << 20, "1.5kB": 1500, "2 GB": 2 * 10**9, "7B": 7}
    assert {text: parse_size(text) for text in sizes} == sizes
    for text in ("", "1", "s", "-1s", "1d", "1m30s", "1e3s", "inf s", "٣s", "1" * 400 + "s"):
        with pytest.raises(ConfigError, match="is no duration: write 500ms, 2s, 1m or 1h"):
            parse_duration(text)
    for text in ("", "KiB", "-1", "1kib", "1 2", "1Mb", "1e3"):
        with pytest.raises(ConfigError, match="is no size: write 1200, 64KiB, 1MiB or 1GiB"):
            parse_size(text)


def test_the_limits_are_those_of_the_protocol() -> None:
    assert values.MAX_NAME_BYTES == records.MAX_NAME_BYTES
    assert values.MAX_TAGS_BYTES == records.MAX_TAGS_BYTES
    assert set(config.PROFILES) == set(PROFILES)


def test_a_client_that_asks_for_the_socket_loads_next_to_nothing() -> None:
    code = "import sys; from gossip.config import default_socket; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"trio", "msgspec", "cryptography", "tomllib", "dataclasses", "gossip.config.settings"} & set(
        loaded
    )
    code = code.replace("default_socket", "load")
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"trio", "msgspec", "cryptography", "asyncio", "logging"} & set(loaded)


def test_all_names_are_there() -> None:
    for name in config.__all__:
        assert getattr(config, name) is not None
    with pytest.raises(AttributeError):
        config.nonsense  # noqa: B018


# -- keys ------------------------------------------------------------------------------------------


def test_with_a_key_an_agent_may_listen_everywhere(tmp_path: Path) -> None:
    assert load(env=ENV, flags={"key_file": str(KEY_FILE), "bind": ["10.0.0.1:1"]}).key_file == KEY_FILE
    with pytest.raises(ConfigError, match="without a key"):
        load(env=ENV, flags={"data_dir": str(tmp_path), "bind": ["10.0.0.1:1"]})
    (tmp_path / "keys").touch()
    assert load(env=ENV, flags={"data_dir": str(tmp_path), "bind": ["10.0.0.1:1"]}).key_file is None


def test_a_key_file_stands_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "k").write_bytes(KEY_FILE.read_bytes())
    path = write(tmp_path, 'key_file = "k"\nbind = "127.0.0.1"')
    assert load([path], ENV, {}).key_file == tmp_path / "k"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "holds no keys, and one is wanted"),
        (b"# only words\n", "holds no keys"),
        (KEY_FILE.read_bytes() * 2, "holds 2 keys"),
        (b"secret words\n", "no key: a key is one line of base64"),
        (b"c2VjcmV0\n", "no key: 6 bytes, and a key has 32"),
        (b"A" * 43 + b"=\n", "no key: 32 bytes"),
        (b"\xff\xfe" * 22, "no key: a key is one line"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as failure:
        load(env=ENV, flags={"key_file": str(path)})
    assert str(failure.value).startswith(f"--key-file: {path}: ")
    assert reason in str(failure.value)
    assert "secret" not in str(failure.value)
    assert failure.value.__cause__ is None or "secret" not in str(failure.value.__cause__)


# -------------------------------------------------------------------------------------------- proxies


def test_proxies_have_defaults_and_all_settings(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        BASE
        + """
[[proxy]]
listen = ":5432"
service = "postgres"

[[proxy]]
listen = "[::1]:80"
service = "web"
tags = ["v2"]
near = true
zone = false
subset = 5
send_proxy = "v2"
connect_timeout = "500ms"
attempts = 2
drain = "0s"
max_connections = 9

[[proxy]]
listen = 0
service = "web"
sticky = true
""",
    )
    plain, full, free = load([path], ENV).proxies
    assert plain == ProxyDefinition(("127.0.0.1", 5432), "postgres")
    assert (plain.zone, plain.connect_timeout, plain.attempts, plain.drain) == (True, 1.0, 3, 60.0)
    assert full == ProxyDefinition(("::1", 80), "web", ("v2",), True, False, 5, False, "v2", 0.5, 2, 0.0, 9)
    assert free == ProxyDefinition(("127.0.0.1", 0), "web", sticky=True)


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("service = 'web'", 2, "needs listen"),
        ("listen = 80", 2, "needs service"),
        ("listen = 80\nservice = ''", 4, "it is empty"),
        ("listen = 'web:80'\nservice = 'web'", 3, "is a name"),
        ("listen = '127.0.0.1'\nservice = 'web'", 3, "has no port"),
        ("listen = true\nservice = 'web'", 3, "text in quotes"),
        ("listen = 80\nservice = 'web'\ntags = [1]", 5, "text in quotes"),
        ("listen = 80\nservice = 'web'\nport = 1", 5, "unknown; there are listen"),
        ("listen = 80\nservice = 'web'\nnear = 1", 5, "true or false"),
        ("listen = 80\nservice = 'web'\nsubset = -1", 5, "from 0 to"),
        ("listen = 80\nservice = 'web'\nattempts = 0", 5, "from 1 to 16"),
        ("listen = 80\nservice = 'web'\ndrain = 5", 5, "text in quotes"),
        ("listen = 80\nservice = 'web'\nconnect_timeout = '0s'", 5, "not within 10ms to 1m"),
        ("listen = 80\nservice = 'web'\nsend_proxy = 'v3'", 5, "neither v1 nor v2"),
        ("listen = 80\nservice = 'web'\nnear = true\nsticky = true", 5, "sticky decides"),
        ("listen = 80\nservice = 'web'\nsubset = 2\nsticky = true", 5, "sticky decides"),
        ("listen = 80\nservice = 'a'\n[[proxy]]\nlisten = 80\nservice = 'b'", 6, "given twice"),
    ],
)
def test_a_bad_proxy_is_refused_with_its_line(tmp_path: Path, text: str, line: int, reason: str) -> None:
    path = write(tmp_path, f"{BASE}[[proxy]]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        load([path], {})
    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in str(caught.value)


def test_too_many_proxies(tmp_path: Path) -> None:
    text = "".join(f"[[proxy]]\nlisten = {9000 + n}\nservice = 'web'\n" for n in range(65))
    with pytest.raises(ConfigError, match="more than 64 proxies"):
        load([write(tmp_path, BASE + text)], {})
    with pytest.raises(ConfigError, match=r"write it as \[\[proxy\]\] tables"):
        load([write(tmp_path, BASE + "proxy = 1\n")], {})
