"""Where the agent of this host is to be found."""

from __future__ import annotations

import os

__all__ = ["socket_path"]


def socket_path(path: str | os.PathLike[str] | None = None) -> str:
    """Where the agent listens: `path`, else `GOSSIP_SOCKET`, else the default for this user."""
    chosen = os.fspath(path) if path is not None else os.environ.get("GOSSIP_SOCKET", "")
    if not chosen:
        from gossip.config import default_socket  # noqa: PLC0415 - a named socket needs no configuration

        chosen = str(default_socket(os.environ))
    return chosen
