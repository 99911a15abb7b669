"""Settings of the local faces: where HTTP listens, with which tokens and certificate, who may use the socket.

The rule for HTTP: whoever can reach it must show who he is, and nobody on the way may read along. On loopback
neither can be asked of unmodified clients; anywhere else both are, or the operator says `http_insecure`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from gossip.config import raw
from gossip.config.access import Allowed, Principals, Scope, parse_group, parse_mode, parse_principals
from gossip.config.tls import TlsFiles, server_context
from gossip.config.values import Address, is_loopback, parse_ip_address, show_address
from gossip.errors import ConfigError

if TYPE_CHECKING:
    from gossip.config.tokens import Tokens

__all__ = ["DEV_HTTP", "HTTP_PORT", "Faces", "Source", "read_faces"]

HTTP_PORT: Final = 8500
DEV_HTTP: Final[Address] = ("127.0.0.1", HTTP_PORT)
"""Where an agent under `dev` serves HTTP unless told otherwise; if that is taken, at any free port."""
DEFAULT_MODE: Final = 0o660
HTTP_RATE: Final = 1_000
"""A Prometheus that follows a thousand services asks anew for all of them when they change at once."""
HTTP_TOKEN_RATE: Final = 1
"""At rest ten of them: more clients than that with different wrong tokens are seldom at one address."""

T = TypeVar("T")


class Source(Protocol):
    """Where raw values come from, and the words to complain about them."""

    def has(self, name: str) -> bool: ...
    def take(self, name: str, parse: Callable[[object], T], default: T) -> T: ...
    def refuse(self, name: str, reason: str) -> ConfigError: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Faces:
    """How the local faces are guarded."""

    http: Address | None = None
    """Where HTTP is served; None: nowhere. Port 0 lets the system choose."""
    socket_mode: int = DEFAULT_MODE
    socket_group: int | None = None
    """The number of the group that the socket belongs to; None: the agent's own."""
    allow_read: Principals | None = None
    allow_write: Principals | None = None
    allow_admin: Principals | None = None
    http_tokens: Tokens | None = None
    http_anonymous: Scope | None = None
    """What a request without a token may do; None: see `anonymous`."""
    http_cert: Path | None = None
    http_key: Path | None = None
    http_client_ca: Path | None = None
    http_tls_min: str = "1.2"
    http_insecure: bool = False
    http_rate: int = HTTP_RATE
    """Requests a second of one source, other than this host; 0: as many as it sends."""
    http_token_rate: int = HTTP_TOKEN_RATE
    """Wrong tokens a second that one source may try; 0: as many as it sends."""

    @property
    def allowed(self) -> Allowed:
        """Who may do what at the local socket."""
        return Allowed(self.allow_read, self.allow_write, self.allow_admin)

    @property
    def anonymous(self) -> Scope:
        """What a request over HTTP without a token may do.

        With tokens nothing, unless the setting says otherwise. On loopback it may come from any user of
        this host: what the socket gives to everyone. Elsewhere, which is then said to be insecure: read.
        """
        if self.http_anonymous is not None:
            return self.http_anonymous
        if self.http_tokens is not None:
            return Scope.NONE
        if self.http is None or is_loopback(self.http[0]):
            return self.allowed.anyone
        return min(Scope.READ, self.allowed.anyone)


def read_faces(source: Source, *, dev: bool) -> dict[str, Any]:
    """The fields of `Faces`, checked.

    Raises:
        ConfigError: naming the setting, the place and the reason.
    """
    take = source.take
    found: dict[str, Any] = {
        "http": take("http", _http, DEV_HTTP if dev else None),
        "socket_mode": take("socket_mode", lambda value: parse_mode(raw.text(value)), DEFAULT_MODE),
        "socket_group": take("socket_group", lambda value: parse_group(raw.text(value)), None),
        "http_tokens": take("http_tokens", _tokens, None),
        "http_anonymous": take("http_anonymous", _scope, None),
        "http_tls_min": take("http_tls_min", _version, "1.2"),
        "http_insecure": take("http_insecure", raw.switch, default=False),
        "http_rate": take("http_rate", raw.rate, HTTP_RATE),
        "http_token_rate": take("http_token_rate", raw.rate, HTTP_TOKEN_RATE),
    }
    for name in ("allow_read", "allow_write", "allow_admin"):
        found[name] = take(name, _principals, None)
    for name in ("http_cert", "http_key", "http_client_ca"):
        found[name] = take(name, raw.path, None)
    _check_tls(source, found)
    _check_exposed(source, found)
    return found


def _check_tls(source: Source, found: dict[str, Any]) -> None:
    cert, key, client_ca = found["http_cert"], found["http_key"], found["http_client_ca"]
    if (cert is None) != (key is None):
        there, lacking = ("http_key", "http_cert") if cert is None else ("http_cert", "http_key")
        raise source.refuse(
            there, f"a certificate needs its key, and a key its certificate: give {lacking} too"
        )
    if cert is None and client_ca is not None:
        raise source.refuse(
            "http_client_ca", "clients show certificates over TLS only: give http_cert and http_key"
        )
    if cert is not None:
        server_context(TlsFiles(cert, key, client_ca, found["http_tls_min"]))


def _check_exposed(source: Source, found: dict[str, Any]) -> None:
    """Beyond loopback: tokens and TLS, or the operator's word that he wants neither."""
    http: Address | None = found["http"]
    if http is None or is_loopback(http[0]) or found["http_insecure"]:
        return
    lacking = []
    if found["http_tokens"] is None:
        lacking.append("tokens (make one with 'gossip token new', and give --http-tokens FILE)")
    if found["http_cert"] is None:
        lacking.append("a certificate (give --http-cert FILE and --http-key FILE)")
    if lacking:
        raise source.refuse(
            "http",
            f"{show_address(http)} is reached by other machines, and HTTP is served there only with"
            f" {' and '.join(lacking)};"
            f" else give --http 127.0.0.1:{http[1]}, or --http-insecure to go without",
        )


def _http(value: object) -> Address | None:
    text = raw.text(value)
    if text.lower() in ("off", "none"):
        return None
    host, port = parse_ip_address(text, HTTP_PORT)
    if ip_address(host).is_multicast:
        raise ConfigError(f"{host} is a multicast address")
    return host, port


def _tokens(value: object) -> Tokens:
    from gossip.config.tokens import read_tokens  # noqa: PLC0415 - hashing is loaded where there are tokens

    return read_tokens(raw.path(value))


def _scope(value: object) -> Scope:
    text = raw.text(value).lower()
    for scope in Scope:
        if scope.label == text:
            return scope
    raise ConfigError(f"{text!r} is not one of {', '.join(scope.label for scope in Scope)}")


def _version(value: object) -> str:
    text = raw.text(value)
    if text not in ("1.2", "1.3"):
        raise ConfigError(f"{text!r} is not one of 1.2, 1.3")
    return text


def _principals(value: object) -> Principals:
    return parse_principals(raw.texts(value))
