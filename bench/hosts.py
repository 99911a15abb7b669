"""Hosts of their own for agents: a network namespace each, on wires to a router that can drop what it likes.

The router is this process's own namespace (`proc.isolate_network` first). What agents say to each other is
forwarded there, and nftables drops it there without a word: a host that is silenced gives no refusal, as
one that has lost its power would not. What the harness and an agent say to each other is not forwarded,
and is never dropped.

On a loopback that all share this could not be done: a connection has the address there that it was made
to, so that nobody could tell from whom it comes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench import proc
from bench.agents import BenchError

__all__ = ["Host", "Hosts", "address_of", "missing"]

_ROUTER = "10.77.255.254"
_PER_NET = 250
_LIMIT = 250 * _PER_NET
_RULES = """
table ip bench {
    set silent { type ipv4_addr; }
    set left { type ipv4_addr; }
    set right { type ipv4_addr; }
    counter dropped { }
    counter refusals { }
    chain forward {
        type filter hook forward priority 0; policy accept;
        ip saddr @silent counter name dropped drop
        ip daddr @silent counter name dropped drop
        ip saddr @left ip daddr @right counter name dropped drop
        ip saddr @right ip daddr @left counter name dropped drop
        icmp type destination-unreachable counter name refusals
    }
}
"""


def missing() -> str | None:
    """What this machine lacks for hosts, in words for its user; None if it has all."""
    if os.geteuid() != 0:
        return "hosts of their own need root: network namespaces, wires and nftables are root's to make"
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: apt-get install {package})"
    return None


def address_of(index: int) -> str:
    """The address of host number `index`, from 0. Raises ValueError for more than 62,500."""
    if not 0 <= index < _LIMIT:
        raise ValueError(f"hosts are numbered from 0 to {_LIMIT - 1}")
    return f"10.77.{index // _PER_NET}.{index % _PER_NET + 1}"


@dataclass(frozen=True, slots=True)
class Host:
    """One of them."""

    address: str
    namespace: int
    """A descriptor, for `proc.spawn`."""


class Hosts:
    """`size` hosts that reach each other, until some are silenced or parted. A context manager.

    Raises:
        BenchError: if the machine lacks what `missing` tells, or refuses it.
    """

    def __init__(self, size: int) -> None:
        if (reason := missing()) is not None:
            raise BenchError(reason)
        self._hosts: list[Host] = []
        try:
            for index in range(size):
                self._hosts.append(Host(address_of(index), proc.make_network()))
            self._wire()
        except OSError as error:
            self.close()
            raise BenchError(f"the machine gives no network namespaces: {error}") from error
        _run(["nft", "-f", "-"], _RULES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def __getitem__(self, index: int) -> Host:
        return self._hosts[index]

    def close(self) -> None:
        """Let the namespaces go; they end with their last process."""
        for host in self._hosts:
            os.close(host.namespace)
        self._hosts.clear()

    def _wire(self) -> None:
        """A wire from each host to the router, and the routes of both."""
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
        lines = [f"address add {_ROUTER}/32 dev lo"]
        for number, host in enumerate(self._hosts):
            end = f"/proc/{os.getpid()}/fd/{host.namespace}"
            lines.append(f"link add h{number} type veth peer name eth0 netns {end}")
            lines.append(f"link set h{number} up")
            lines.append(f"route add {host.address}/32 dev h{number} src {_ROUTER}")
        _run(["ip", "-batch", "-"], "\n".join(lines))
        for host in self._hosts:
            lines = ["link set lo up", "link set eth0 up", f"address add {host.address}/32 dev eth0"]
            lines += [f"route add {_ROUTER}/32 dev eth0", f"route add default via {_ROUTER}"]
            _run(["ip", "-batch", "-"], "\n".join(lines), host.namespace)

    def silence(self, host: Host) -> None:
        """Drop all that it sends and all that is sent to it, from now on."""
        _run(["nft", "-f", "-"], f"add element ip bench silent {{ {host.address} }}")

    def part(self, left: Iterable[Host], right: Iterable[Host]) -> None:
        """Drop all between the two, from now on."""
        sides = (("left", left), ("right", right))
        lines = [
            f"add element ip bench {side} {{ {', '.join(host.address for host in hosts)} }}"
            for side, hosts in sides
        ]
        _run(["nft", "-f", "-"], "\n".join(lines))

    def heal(self) -> None:
        """Drop nothing any more."""
        _run(
            ["nft", "-f", "-"],
            "\n".join(f"flush set ip bench {name}" for name in ("silent", "left", "right")),
        )

    def dropped(self) -> int:
        """How many packets were dropped so far."""
        return self._count("dropped")

    def refusals(self) -> int:
        """How many ICMP errors have told one host that another, or a port of it, cannot be reached."""
        return self._count("refusals")

    def _count(self, name: str) -> int:
        told = json.loads(_run(["nft", "-j", "list", "counter", "ip", "bench", name]))
        return next(int(part["counter"]["packets"]) for part in told["nftables"] if "counter" in part)


def _run(command: list[str], text: str = "", namespace: int | None = None) -> str:
    """What `command`, given `text`, printed. Raises BenchError with what it complained of."""
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=proc.begin_in(namespace),
    )
    if done.returncode != 0:
        raise BenchError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-300:]}")
    return done.stdout
