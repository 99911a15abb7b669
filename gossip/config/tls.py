"""What the HTTP face needs for TLS: a context made of files, or a sentence about which of them is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gossip.errors import ConfigError

if TYPE_CHECKING:
    import ssl

__all__ = ["TlsFiles", "server_context"]


class TlsFiles(NamedTuple):
    """Which files; all PEM."""

    cert: Path
    """The certificate, and those between it and the authority."""
    key: Path
    client_ca: Path | None = None
    """Whose certificates clients have to bring; None: they bring none."""
    minimum: str = "1.2"


class _LockedError(Exception):
    """The key has a passphrase, for which nobody is there to be asked."""


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context with what the files say now.

    Raises:
        ConfigError: naming the file and what is wrong with it.
    """
    import ssl  # noqa: PLC0415 - OpenSSL is loaded where there is a certificate only

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    versions = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
    context.minimum_version = versions[files.minimum]
    # A renegotiation lets a client have the expensive part of a handshake again and again.
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    for setting, path in (("http_cert", files.cert), ("http_key", files.key)):
        _readable(setting, path)
    try:
        context.load_cert_chain(files.cert, files.key, _no_passphrase)
    except _LockedError:
        raise ConfigError(
            f"http_key: {files.key} has a passphrase, and nobody is there to type it: give one without"
        ) from None
    except ssl.SSLError as error:
        reason = (error.reason or "no PEM").lower().replace("_", " ")
        raise ConfigError(
            f"http_cert, http_key: {files.cert} and {files.key} are no certificate and its key in PEM"
            f" ({reason})"
        ) from None
    if files.client_ca is not None:
        _readable("http_client_ca", files.client_ca)
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise ConfigError(f"http_client_ca: {files.client_ca} has no certificate in PEM") from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _readable(setting: str, path: Path) -> None:
    """OpenSSL's own errors do not say which file, and of a pipe it would wait for the end."""
    if path.exists() and not path.is_file():
        raise ConfigError(f"{setting}: {path} is no file")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ConfigError(f"{setting}: {path}: cannot be read: {error.strerror or error}") from error


def _no_passphrase() -> bytes:
    raise _LockedError
