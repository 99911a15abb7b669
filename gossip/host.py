"""What the operating system says of this machine and this process."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["machine_id", "rss_bytes"]


def machine_id() -> str:
    """What tells this machine from a copy of it; empty if the system does not say."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return "" if text == "uninitialized" else text


def rss_bytes() -> int | None:
    """Memory of this process that is in RAM; None if the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
