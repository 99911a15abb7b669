"""Where the files of an agent are, unless somebody says otherwise."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from gossip.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RING_FILE", "default_data_dir", "default_socket"]

RING_FILE = "keys"
"""The cluster's keys, in the data directory."""


def default_socket(env: Mapping[str, str] | None = None) -> Path:
    """Where an agent of this user listens for its clients; GOSSIP_SOCKET decides if it is set.

    Raises:
        ConfigError: what is left to choose belongs to another user.
    """
    env = os.environ if env is None else env
    if chosen := env.get("GOSSIP_SOCKET"):
        return Path(chosen)
    if os.geteuid() == 0:
        return Path("/run/gossip/gossip.sock")
    if runtime := _absolute(env, "XDG_RUNTIME_DIR"):
        return runtime / "gossip.sock"
    directory = Path(f"/tmp/gossip-{os.geteuid()}")  # noqa: S108 - the last resort, a directory per user
    try:
        status = directory.lstat()
    except FileNotFoundError:
        pass
    else:
        # Anybody may have made it, to be taken for the agent.
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            raise ConfigError(
                f"socket: {directory} is somebody else's: set XDG_RUNTIME_DIR, or give --socket PATH"
            )
    return directory / "gossip.sock"


def default_data_dir(env: Mapping[str, str] | None = None) -> Path:
    """Where an agent of this user keeps its state."""
    env = os.environ if env is None else env
    if os.geteuid() == 0:
        return Path("/var/lib/gossip")
    if state := _absolute(env, "XDG_STATE_HOME"):
        return state / "gossip"
    home = _absolute(env, "HOME")
    if home is None:
        raise ConfigError("data_dir: neither HOME nor XDG_STATE_HOME is set: give --data-dir DIR")
    return home / ".local/state/gossip"


def _absolute(env: Mapping[str, str], variable: str) -> Path | None:
    """The path in a variable; a relative one counts as unset, as the XDG rules have it."""
    path = Path(env.get(variable, ""))
    return path if path.is_absolute() else None
