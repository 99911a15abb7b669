"""What Linux tells about processes and networks, and how the bench starts processes of its own."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

__all__ = [
    "Traffic",
    "Usage",
    "begin_in",
    "isolate_network",
    "machine",
    "make_network",
    "parse_counters",
    "pin",
    "read_memory",
    "read_traffic",
    "read_usage",
    "spawn",
]

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_PR_SET_PDEATHSIG = 1
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_NETWORK = "/proc/self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used since it began."""

    cpu_s: float
    """User and system time of all threads that live, in seconds."""
    wakeups: int
    """Voluntary context switches of all threads that live: each is a wait that ended."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What a network namespace has sent since it began."""

    datagrams: int
    """UDP datagrams."""
    segments: int
    """TCP segments."""
    octets: int
    """IPv4 bytes, headers included, UDP and TCP together."""


def read_usage(pid: int) -> Usage:
    """Usage of process `pid`. CPU comes from schedstat (nanoseconds), since `stat` counts in 10 ms."""
    cpu_ns = 0
    wakeups = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        for line in (task / "status").read_text().splitlines():
            if line.startswith("voluntary_ctxt_switches:"):
                wakeups += int(line.split()[1])
    return Usage(cpu_ns / 1e9, wakeups)


def read_memory(pid: int) -> tuple[int, int]:
    """(RSS, PSS) of process `pid` in bytes."""
    fields: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        fields[name] = int(rest.split()[0]) * 1024
    return fields["Rss"], fields["Pss"]


def parse_counters(text: str) -> dict[str, int]:
    """Counters of /proc/net/snmp and /proc/net/netstat, as "Udp.OutDatagrams" and the like.

    Both files tell each protocol in two lines, names first, then numbers.
    """
    counters: dict[str, int] = {}
    lines = text.splitlines()
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        protocol, _, keys = names.partition(":")
        counters.update(
            (f"{protocol}.{key}", int(value))
            for key, value in zip(keys.split(), values.split()[1:], strict=True)
        )
    return counters


def read_traffic() -> Traffic:
    """What this process's network namespace has sent."""
    # /proc/self is the reader's namespace even after unshare; /proc/net is a link to it.
    counters = parse_counters(Path("/proc/self/net/snmp").read_text())
    counters |= parse_counters(Path("/proc/self/net/netstat").read_text())
    return Traffic(counters["Udp.OutDatagrams"], counters["Tcp.OutSegs"], counters["IpExt.OutOctets"])


def isolate_network() -> bool:
    """Move this process into a network namespace of its own with loopback up.

    Counters are then exact, ports collide with nobody, and the namespace goes away with its last
    process. False where the machine does not allow it: the process stays on the machine's loopback.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    if _libc.unshare(flags) != 0:
        return False
    if uid != 0:
        # Without a map, files made in the user namespace would belong to nobody.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        (value,) = struct.unpack_from("h", request, 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", value | _IFF_UP))
    return True


def make_network() -> int:
    """A descriptor of a new network namespace, for `spawn`; this process stays where it is.

    The namespace is gone when the descriptor is closed and no process lives in it. Raises OSError where
    the machine does not allow it.
    """
    here = os.open(_NETWORK, os.O_RDONLY)
    try:
        _check(_libc.unshare(_CLONE_NEWNET), "unshare")
        made = os.open(_NETWORK, os.O_RDONLY)
        _check(_libc.setns(here, _CLONE_NEWNET), "setns")
    finally:
        os.close(here)
    return made


def _check(result: int, call: str) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), call)


def begin_in(namespace: int | None) -> Callable[[], None]:
    """What a child does before it becomes its program: move to the namespace, and die with its parent."""

    def begin() -> None:
        if namespace is not None:
            _check(_libc.setns(namespace, _CLONE_NEWNET), "setns")
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return begin


def spawn(
    command: Sequence[str],
    log: Path | None,
    environment: Mapping[str, str] | None = None,
    piped: bool = False,
    namespace: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `command`. It is killed when this process ends, however it ends.

    `log` takes what it writes (nothing is kept if None); with `piped`, standard input and output are
    pipes instead and only standard error goes to `log`. It runs in the network `namespace` (a
    descriptor), or in that of this process.
    """
    sink: int | IO[bytes] = subprocess.DEVNULL if log is None else log.open("wb")
    try:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else sink,
            stderr=sink,
            env={**os.environ, **(environment or {})},
            preexec_fn=begin_in(namespace),  # noqa: PLW1509 - this process has one thread
        )
    finally:
        if not isinstance(sink, int):
            sink.close()


def pin(pid: int, cores: set[int]) -> None:
    """Let every thread of `pid` run on `cores` only."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return {
        "processor": model,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }
