"""Settings of the local faces: who may use the socket, and what HTTP needs beyond loopback."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gossip import config
from gossip.config import Config, load, paths
from gossip.config.access import ANYBODY, EVERYONE, Allowed, Principals, Scope, parse_mode, parse_principals
from gossip.config.tls import TlsFiles, server_context
from gossip.config.tokens import (
    MAX_TOKENS,
    Token,
    Tokens,
    hash_of,
    line_of,
    new_token,
    read_tokens,
)
from gossip.errors import ConfigError
from tests.tls import Authority, Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LOCAL: dict[str, object] = {"bind": ["127.0.0.1:0"], "name": "n", "data_dir": "none", "socket": "/s"}


def read(env: Mapping[str, str] | None = None, /, **flags: object) -> Config:
    return load([], env or {}, LOCAL | flags)


def refusal(env: Mapping[str, str] | None = None, /, **flags: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read(env, **flags)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -------------------------------------------------------------------------------------------- scopes


def test_by_default_whoever_reaches_the_socket_may_everything() -> None:
    made = read()
    assert (made.socket_mode, made.socket_group) == (0o660, None)
    assert made.allowed == ANYBODY
    assert made.allowed.scope_of(12345) is Scope.ADMIN


READERS, WRITERS, ADMINS = (Principals(users=frozenset({uid})) for uid in (1001, 1002, 1003))
STAFF = Principals(groups=frozenset({50}))


@pytest.mark.parametrize(
    ("allowed", "user", "groups", "scope"),
    [
        (Allowed(read=READERS), 1001, (), Scope.ADMIN),
        (Allowed(read=READERS), 1002, (), Scope.NONE),
        (Allowed(write=WRITERS), 1001, (), Scope.READ),
        (Allowed(write=WRITERS), 1002, (), Scope.ADMIN),
        (Allowed(admin=ADMINS), 1001, (), Scope.WRITE),
        (Allowed(admin=ADMINS), 1003, (), Scope.ADMIN),
        (Allowed(READERS, WRITERS, ADMINS), 1001, (), Scope.READ),
        (Allowed(READERS, WRITERS, ADMINS), 1002, (), Scope.WRITE),
        (Allowed(READERS, WRITERS, ADMINS), 1003, (), Scope.ADMIN),
        (Allowed(READERS, WRITERS, ADMINS), 1004, (), Scope.NONE),
        (Allowed(READERS, STAFF), 1004, (7, 50), Scope.ADMIN),
        (Allowed(READERS, STAFF, ADMINS), 1004, (7, 50), Scope.WRITE),
        (Allowed(READERS, WRITERS, ADMINS), 0, (), Scope.ADMIN),
        (Allowed(READERS, WRITERS, ADMINS), os.geteuid(), (), Scope.ADMIN),
        (Allowed(READERS, EVERYONE, ADMINS), 1004, (), Scope.WRITE),
    ],
)
def test_scopes_of_users(allowed: Allowed, user: int, groups: tuple[int, ...], scope: Scope) -> None:
    assert allowed.scope_of(user, groups) is scope


def test_who_is_named_is_looked_up_on_this_host() -> None:
    me, mine = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    made = read(allow_read=["everyone"], allow_write=[f"user:{me}", "group:77"], allow_admin=f"group:{mine}")
    assert made.allow_read == EVERYONE
    assert made.allow_write == Principals(frozenset({os.geteuid()}), frozenset({77}))
    assert made.allow_admin == Principals(groups=frozenset({os.getegid()}))
    assert read({"GOSSIP_ALLOW_READ": "user:1, group:2"}).allow_read == parse_principals(
        ["user:1", "group:2"]
    )


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"allow_read": ["bob"]}, "--allow-read: 'bob' is none of user:NAME, group:NAME, everyone"),
        ({"allow_write": ["user:"]}, "--allow-write: 'user:' is none of"),
        (
            {"allow_admin": ["user:no-such-user"]},
            "--allow-admin: there is no user 'no-such-user' on this host",
        ),
        ({"allow_admin": ["group:no-such-group"]}, "there is no group 'no-such-group'"),
        ({"allow_read": [f"user:{n}" for n in range(257)]}, "more than 256 entries"),
        ({"socket_group": "no-such-group"}, "--socket-group: there is no group"),
        ({"socket_mode": "777x"}, "'777x' is no mode: write it in octal, such as 0660"),
        ({"socket_mode": "1777"}, "'1777' is no mode"),
        ({"socket_mode": "060"}, "the agent's own user needs to read and write"),
        ({"http_anonymous": "all"}, "'all' is not one of none, read, write, admin"),
        ({"http_tls_min": "1.1"}, "'1.1' is not one of 1.2, 1.3"),
    ],
)
def test_what_is_refused(flags: dict[str, Any], words: str) -> None:
    assert words in refusal(**flags)


@pytest.mark.parametrize(("text", "mode"), [("0660", 0o660), ("600", 0o600), ("0o666", 0o666)])
def test_modes(text: str, mode: int) -> None:
    assert parse_mode(text) == mode


def test_a_folder_for_the_socket_that_another_user_made_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In /tmp anybody may make it, and would be taken for the agent."""
    monkeypatch.setattr(paths, "Path", lambda text: tmp_path / text.lstrip("/") if text else Path())
    monkeypatch.setattr(os, "geteuid", lambda: 4_321)
    folder = tmp_path / "tmp" / "gossip-4321"
    assert paths.default_socket({}) == folder / "gossip.sock"
    folder.parent.mkdir()
    somebody_elses = "is somebody else's: set XDG_RUNTIME_DIR, or give --socket"
    folder.mkdir()
    with pytest.raises(ConfigError, match=somebody_elses):
        paths.default_socket({})
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match=somebody_elses):
        paths.default_socket({})


# -------------------------------------------------------------------------------------------- tokens


def tokens_file(directory: Path, *lines: str, mode: int = 0o600) -> Path:
    path = directory / "tokens"
    path.write_text("\n".join(lines) + "\n")
    path.chmod(mode)
    return path


def test_a_token_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    secret, other = new_token(), new_token()
    assert secret != other
    assert len(secret) > 40
    path = tokens_file(tmp_path, "# ours", "", line_of(Token("prom", Scope.READ, hash_of(secret))))
    assert secret not in path.read_text()
    found = read_tokens(path)
    assert found.find(secret) == Token("prom", Scope.READ, hash_of(secret))
    assert found.find(other) is None
    assert found.find("") is None
    assert repr(found) == "Tokens(prom)"


def test_a_token_ends_when_it_says(tmp_path: Path) -> None:
    secret = new_token()
    path = tokens_file(tmp_path, line_of(Token("a", Scope.ADMIN, hash_of(secret), 1_800_000_000.0)))
    assert "2027-01-15T08:00:00Z" in path.read_text()
    found = read_tokens(path)
    assert found.find(secret, 1_799_999_999.0) is not None
    assert found.find(secret, 1_800_000_000.0) is None


def test_a_directory_of_tokens_is_read_whole(tmp_path: Path) -> None:
    secrets = [new_token() for _ in range(3)]
    for number, secret in enumerate(secrets):
        (tmp_path / f"{number}").write_text(line_of(Token(f"t{number}", Scope.WRITE, hash_of(secret))))
    (tmp_path / ".hidden").write_text("what editors leave")
    assert [token.name for token in read_tokens(tmp_path)] == ["t0", "t1", "t2"]


HASH = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gossip_SECRETSECRETSECRET", "a line is NAME SCOPE HASH"),
        (f"a all {HASH}", "the second word is none of read, write, admin"),
        (f"a none {HASH}", "the second word is none of"),
        ("a read gossip_SECRETSECRETSECRET", "the third word is no hash"),
        ("a read sha256:ab", "the third word is no hash"),
        (f"a read {HASH} SECRET", "the fourth word is no date"),
        (f"a read {HASH} 2027-01-01 SECRET", "a line is NAME SCOPE HASH"),
        (f"gossip_SECRET/x read {HASH}", "the name has other characters"),
    ],
)
def test_a_faulty_line_is_named_and_never_repeated(tmp_path: Path, line: str, words: str) -> None:
    path = tokens_file(tmp_path, "# first", line)
    message = refusal(http_tokens=str(path))
    assert message.startswith(f"--http-tokens: {path}:2: ")
    assert words in message
    assert "SECRET" not in message


def test_tokens_that_others_could_add_are_refused(tmp_path: Path) -> None:
    path = tokens_file(tmp_path, f"a read {HASH}", mode=0o666)
    assert "who could make tokens" in refusal(http_tokens=str(path))
    path.chmod(0o640)
    assert len(read(http_tokens=str(path)).http_tokens or ()) == 1


def test_further_bounds_of_tokens(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refusal(http_tokens=str(tmp_path / "none"))
    path = tokens_file(tmp_path, f"a read {HASH}", f"a read {HASH}")
    assert "'a' is given twice" in refusal(http_tokens=str(path))
    path = tokens_file(tmp_path, *(f"a{n} read {HASH}" for n in range(MAX_TOKENS + 1)))
    assert "257 tokens: the limit is 256" in refusal(http_tokens=str(path))
    path.write_bytes(b"\xff" * (1 << 20) + b"\n")
    assert "over 1048576 bytes" in refusal(http_tokens=str(path))
    with pytest.raises(ConfigError, match="name"):
        line_of(Token("a b", Scope.READ, b""))


def test_a_pipe_is_no_file_and_is_not_waited_for(tmp_path: Path, pair: Pair) -> None:
    pipe = str(tmp_path / "pipe")
    os.mkfifo(pipe)
    assert "is no file" in refusal(http_tokens=pipe)
    assert "is no file" in refusal(http_cert=pipe, http_key=str(pair.key))


# ----------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def pair(authority: Authority) -> Pair:
    return authority.issue("agent")


def test_a_certificate_its_key_and_whose_clients(authority: Authority, pair: Pair) -> None:
    made = read(http_cert=str(pair.cert), http_key=str(pair.key), http_client_ca=str(authority.cert))
    assert (made.http_cert, made.http_key, made.http_client_ca) == (pair.cert, pair.key, authority.cert)
    assert made.http_tls_min == "1.2"
    assert server_context(TlsFiles(*pair, authority.cert, "1.3")).minimum_version.name == "TLSv1_3"


@pytest.mark.parametrize(
    ("choose", "words"),
    [
        (lambda pair, _: {"http_cert": pair.cert}, "--http-cert: a certificate needs its key"),
        (lambda pair, _: {"http_key": pair.key}, "--http-key: a certificate needs its key"),
        (lambda pair, _: {"http_client_ca": pair.cert}, "clients show certificates over TLS only"),
        (lambda pair, _: {"http_cert": pair.key, "http_key": pair.key}, "are no certificate and its key"),
        (lambda pair, _: {"http_cert": pair.cert, "http_key": pair.cert}, "are no certificate and its key"),
        (lambda pair, other: {"http_cert": pair.cert, "http_key": other.key}, "key values mismatch"),
        (
            lambda pair, _: {"http_cert": "/no/such", "http_key": pair.key},
            "http_cert: /no/such: cannot be read",
        ),
        (
            lambda pair, _: {"http_cert": pair.cert, "http_key": pair.key, "http_client_ca": pair.key},
            "http_client_ca: ",
        ),
    ],
)
def test_files_that_are_no_certificate(
    authority: Authority, pair: Pair, choose: Callable[[Pair, Pair], dict[str, object]], words: str
) -> None:
    other = authority.issue("other")
    assert words in refusal(**{name: str(path) for name, path in choose(pair, other).items()})


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(authority: Authority) -> None:
    locked = authority.issue("locked", b"secret")
    message = refusal(http_cert=str(locked.cert), http_key=str(locked.key))
    assert "has a passphrase, and nobody is there to type it" in message


# ----------------------------------------------------------------------------------- beyond loopback

ANYWHERE = "10.0.0.1:8500"


def test_beyond_loopback_http_needs_tokens_and_tls(tmp_path: Path, pair: Pair) -> None:
    tokens = {"http_tokens": str(tokens_file(tmp_path, f"a read {HASH}"))}
    tls = {"http_cert": str(pair.cert), "http_key": str(pair.key)}
    both = refusal(http=ANYWHERE)
    assert "10.0.0.1:8500 is reached by other machines" in both
    assert "'gossip token new'" in both
    assert "--http-cert" in both
    assert "--http-insecure" in both
    assert "--http-cert" not in refusal(http=ANYWHERE, **tls)
    assert "gossip token" not in refusal(http=ANYWHERE, **tokens)
    # What travels between agents is another matter.
    assert "--http-insecure" in refusal(http=ANYWHERE, insecure=True)
    for flags in (tokens | tls, {"http_insecure": True}):
        assert read(http=ANYWHERE, **flags).http == ("10.0.0.1", 8500)


@pytest.mark.parametrize(
    ("flags", "scope"),
    [
        ({"http": "127.0.0.1:1"}, Scope.ADMIN),
        ({"http": "127.0.0.1:1", "allow_admin": ["user:7"]}, Scope.WRITE),
        ({"http": "127.0.0.1:1", "allow_write": ["user:7"]}, Scope.READ),
        ({"http": "127.0.0.1:1", "allow_read": ["user:7"]}, Scope.NONE),
        ({"http": "127.0.0.1:1", "allow_read": ["user:7"], "http_anonymous": "read"}, Scope.READ),
        ({"http": ANYWHERE, "http_insecure": True}, Scope.READ),
        ({"http": ANYWHERE, "http_insecure": True, "allow_read": ["user:7"]}, Scope.NONE),
        ({"http": ANYWHERE, "http_insecure": True, "http_anonymous": "admin"}, Scope.ADMIN),
    ],
)
def test_what_a_request_without_a_token_may_do(flags: dict[str, object], scope: Scope) -> None:
    """On loopback it may be of any user here, so it has what everyone has at the socket."""
    assert read(**flags).anonymous is scope


def test_with_tokens_nobody_is_anonymous_unless_that_is_said(tmp_path: Path) -> None:
    tokens = str(tokens_file(tmp_path, f"a read {HASH}"))
    assert read(http="127.0.0.1:1", http_tokens=tokens).anonymous is Scope.NONE
    assert read(http="127.0.0.1:1", http_tokens=tokens, http_anonymous="read").anonymous is Scope.READ


def test_every_setting_of_faces_can_come_from_a_file_the_environment_or_a_flag(
    tmp_path: Path, authority: Authority, pair: Pair
) -> None:
    tokens_file(tmp_path, f"a read {HASH}")
    two = parse_principals(["user:1", "group:2"])
    rows: dict[str, tuple[str, object, object]] = {
        "socket_mode": ("0666", "0666", 0o666),
        "socket_group": ("7", "7", 7),
        "allow_read": ("user:1,group:2", ["user:1", "group:2"], two),
        "allow_write": ("user:1,group:2", ["user:1", "group:2"], two),
        "allow_admin": ("user:1,group:2", ["user:1", "group:2"], two),
        "http_tokens": (f"{tmp_path}/tokens", f"{tmp_path}/tokens", read_tokens(tmp_path / "tokens")),
        "http_anonymous": ("READ", "read", Scope.READ),
        "http_cert": (str(pair.cert), str(pair.cert), pair.cert),
        "http_key": (str(pair.key), str(pair.key), pair.key),
        "http_client_ca": (str(authority.cert), str(authority.cert), authority.cert),
        "http_tls_min": ("1.3", "1.3", "1.3"),
        "http_insecure": ("yes", True, True),
        "http_rate": ("5000", "5000", 5_000),
        "http_token_rate": ("0", "0", 0),
    }
    assert set(rows) <= set(config.SETTINGS)
    env = {f"GOSSIP_{name.upper()}": text for name, (text, _, _) in rows.items()}
    path = tmp_path / "gossip.toml"
    lines = [
        f"{name} = {str(flag).lower() if flag is True else repr(flag)}" for name, (_, flag, _) in rows.items()
    ]
    path.write_text("\n".join(lines).replace(f"{tmp_path}/tokens", "tokens"))
    by_file = load([path], {}, LOCAL)
    by_flag = read(**{name: flag for name, (_, flag, _) in rows.items()})
    for made in (by_file, read(env), by_flag):
        assert {name: getattr(made, name) for name in rows} == {name: row[2] for name, row in rows.items()}


def test_settings_say_nothing_secret(tmp_path: Path) -> None:
    secret = new_token()
    path = tokens_file(tmp_path, line_of(Token("prom", Scope.READ, hash_of(secret))))
    made = read(http_tokens=str(path))
    assert isinstance(made.http_tokens, Tokens)
    assert hash_of(secret).hex() not in repr(made)
