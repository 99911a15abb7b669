"""What the operating system says of this machine and this process."""

from __future__ import annotations

import contextlib
import os
import resource
import time
from pathlib import Path

__all__ = ["boot_id", "machine_id", "raise_descriptors", "rss_bytes", "seconds_since_boot"]


def machine_id() -> str:
    """What tells this machine from a copy of it; empty if the system does not say."""
    try:
        text = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return "" if text == "uninitialized" else text


def boot_id() -> str:
    """What tells this run of the machine from every other; empty if the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def seconds_since_boot() -> float:
    """Counts while the machine sleeps as well, and not back when somebody sets the clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def rss_bytes() -> int | None:
    """Memory of this process that is in RAM; None if the system does not say."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def raise_descriptors() -> int:
    """Lets this process open as many descriptors as it may; for how many forwarded connections there is room.

    Each takes two. Of the others, half and at most 2,048 are left to whatever else the process does.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return 1 << 20
    return max((soft - min(soft // 2, 2_048)) // 2, 1)
