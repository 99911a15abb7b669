"""What sealing costs: per datagram, per key handed on, and in agents.

    scripts/bench sealing                     all of it, some ten minutes
    scripts/bench sealing --agents 3 --rounds 1 --idle 5

Two clusters run on loopback at the same time, one in clear and one sealed. First both idle, then an agent of
the one and of the other is killed in turns: CPU and detection are compared within one run, under one load.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

import msgspec

from bench import proc, report
from bench.arguments import counted, seconds
from bench.fleet import Fleet, until
from bench.stats import scaled, table
from gossip.core.keys import KeyState
from gossip.core.records import MemberRecord, ServiceRecord
from gossip.errors import RemoteProtocolError
from gossip.wire.identity import Identity
from gossip.wire.keyring import KeyRing, mark_of
from gossip.wire.locksmith import RingLocksmith
from gossip.wire.seal import SESSION_BYTES, ClearSealer, Sealer
from gossip.wire.sealing import OWN_SECRET_BYTES, RingSealer

__all__ = ["SUMMARY", "add_arguments", "live", "main", "micro"]

SUMMARY = "What sealing costs: microseconds per datagram, idle CPU and detection time."
CLUSTER = "bench"
SIZES = (100, 400, 1_200, 1_358)
"""Bodies, in bytes; the last fills the longest datagram."""
REPEATS = 5
MICRO = "What sealing costs"
LIVE = "What sealing costs agents"
_WRITER = Identity(b"\x03" * 32, CLUSTER)
ALLOWED = 1.2
"""Sealed against clear, in CPU and in detection time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be chosen."""
    parser.add_argument("--no-publish", action="store_true", help="print only, and leave the report as it is")
    parser.add_argument("--count", type=counted, default=5_000, help="datagrams of each kind and repeat")
    parser.add_argument("--agents", type=counted, default=8, help="of each of the two clusters")
    parser.add_argument("--rounds", type=counted, default=10, help="agents killed in each")
    parser.add_argument("--idle", type=seconds, default=60.0, help="seconds in which CPU is counted")


def main(arguments: argparse.Namespace) -> int:
    """Measure and print; 1 if sealing costs agents more than it may."""
    rows = micro(arguments.count)
    header = ["us", *(f"{size} bytes" for size in SIZES)]
    print(table(header, rows))
    cpu, detection = live(arguments.agents, arguments.rounds, arguments.idle)
    lines = [
        ["CPU of an idle agent, ms/s", *(scaled(each * 1_000) for each in cpu), scaled(cpu[1] / cpu[0])],
        ["a killed agent held dead, s", *map(scaled, detection), scaled(detection[1] / detection[0])],
    ]
    agents = ["medians", "clear", "sealed", "ratio"]
    print("\n" + table(agents, lines))
    machine = ", ".join(f"{name}: {value}" for name, value in proc.machine().items())
    print("\n" + machine)
    if not arguments.no_publish:
        _publish(
            arguments, machine, report.Table(MICRO, header, rows, ""), report.Table(LIVE, agents, lines, "")
        )
    return int(max(cpu[1] / cpu[0], detection[1] / detection[0]) > ALLOWED)


def _publish(arguments: argparse.Namespace, machine: str, micro: report.Table, live: report.Table) -> None:
    """Put both tables into the report."""
    times = f"Microseconds; medians of {REPEATS} times {arguments.count:,}. {machine}."
    report.publish("sealing", replace(micro, note=times))
    how = (
        f"`scripts/bench sealing`: two clusters of {arguments.agents} agents on loopback at the same time,"
        f" one in clear and one sealed. CPU over {arguments.idle:g} s; {arguments.rounds} agents of each"
        f" killed in turns, until all others hold them dead. At most {ALLOWED:g} times as much is allowed."
    )
    report.publish("sealing-agents", replace(live, note=how))


# -- by itself


def micro(count: int) -> list[list[str]]:
    """Rows of the table: microseconds for each of `SIZES`."""
    secret = bytes(range(32))
    makers: list[tuple[str, Callable[[int], Callable[[], object]]]] = [
        ("seal, in clear", lambda size: _seals(_clear(), size)),
        ("seal", lambda size: _seals(_sealed(secret), size)),
        ("open, in clear", lambda size: _opens(_clear(), _clear(), size, count)),
        ("open", lambda size: _opens(_sealed(secret), _sealed(secret), size, count)),
        ("refuse a key that is not here", lambda size: _refuses(_sealed(bytes(32)), _sealed(secret), size)),
        ("refuse a replay", lambda size: _refuses_replay(_sealed(secret), _sealed(secret), size)),
        ("refuse a damaged one", lambda size: _refuses_damaged(_sealed(secret), _sealed(secret), size)),
        ("refuse a forged session", lambda size: _refuses_forged(_sealed(secret), _sealed(secret), size)),
        ("sign a record of a service", lambda _size: _signs()),
        ("read one, and check its signature", lambda _size: _verifies(count)),
        ("wrap a key for one, and unwrap it", lambda _size: _hands_on(secret)),
    ]
    return [[name, *(scaled(_timed(make, size, count)) for size in SIZES)] for name, make in makers]


def _timed(make: Callable[[int], Callable[[], object]], size: int, count: int) -> float:
    found = []
    for _ in range(REPEATS):
        step = make(size)
        begun = time.perf_counter()
        for _ in range(count):
            step()
        found.append((time.perf_counter() - begun) / count * 1e6)
    return median(found)


def _clear() -> Sealer:
    return ClearSealer(CLUSTER, os.urandom(SESSION_BYTES))


def _sealed(secret: bytes) -> Sealer:
    ring = KeyRing()
    ring.add(secret, "key", KeyState.SENDING)
    return RingSealer(ring, CLUSTER, os.urandom(SESSION_BYTES), os.urandom(OWN_SECRET_BYTES))


def _seals(sealer: Sealer, size: int) -> Callable[[], object]:
    body = os.urandom(size)
    return lambda: sealer.seal(body)


def _opens(sealer: Sealer, reader: Sealer, size: int, count: int) -> Callable[[], object]:
    body = os.urandom(size)
    waiting = iter([sealer.seal(body) for _ in range(count)])
    return lambda: reader.open(next(waiting))


def _refusing(reader: Sealer, datagram: bytes) -> Callable[[], object]:
    def refuse() -> None:
        try:
            reader.open(datagram)
        except RemoteProtocolError:
            return

    return refuse


def _refuses(sealer: Sealer, reader: Sealer, size: int) -> Callable[[], object]:
    return _refusing(reader, sealer.seal(os.urandom(size)))


def _refuses_replay(sealer: Sealer, reader: Sealer, size: int) -> Callable[[], object]:
    datagram = sealer.seal(os.urandom(size))
    reader.open(datagram)
    return _refusing(reader, datagram)


def _refuses_damaged(sealer: Sealer, reader: Sealer, size: int) -> Callable[[], object]:
    reader.open(sealer.seal(os.urandom(size)))
    datagram = sealer.seal(os.urandom(size))
    return _refusing(reader, datagram[:-1] + bytes((datagram[-1] ^ 1,)))


def _refuses_forged(sealer: Sealer, reader: Sealer, size: int) -> Callable[[], object]:
    datagram = sealer.seal(os.urandom(size))
    return _refusing(reader, datagram[:2] + os.urandom(SESSION_BYTES) + datagram[18:])


def _service(version: int) -> ServiceRecord:
    tags, meta = ("primary", "v2"), {"zone": "eu-1", "protocol": "http"}
    return ServiceRecord(_WRITER.id, version, "web-1", "web", "10.0.0.7", 8_080, tags, meta, 1)


def _signs() -> Callable[[], object]:
    return lambda: _WRITER.issue(_service(1))


def _verifies(count: int) -> Callable[[], object]:
    """Each another one: of a copy the signature is not looked at again."""
    facts = iter([_WRITER.issue(_service(1 + number)).raw for number in range(count)])
    reader = Identity(b"\x04" * 32, CLUSTER)

    def verify() -> None:
        if not reader.verify(reader.parse(next(facts)), _WRITER.public_key):
            raise RuntimeError("a sound signature was refused")

    return verify


def _hands_on(secret: bytes) -> Callable[[], object]:
    (giver, here), (taker, there) = _person(b"\x01" * 32), _person(b"\x02" * 32)
    giver.ring.add(secret, "key")
    mark = mark_of(secret)

    def hand_on() -> None:
        taker.unwrap(giver.wrap(mark, there), mark, "key", here)
        taker.ring.remove(mark)

    return hand_on


def _person(seed: bytes) -> tuple[RingLocksmith, MemberRecord]:
    identity = Identity(seed, CLUSTER)
    smith = RingLocksmith(KeyRing(), seed, identity.public_key, CLUSTER)
    record = MemberRecord(
        identity.id,
        1,
        identity.public_key,
        smith.exchange_key,
        "n",
        "10.0.0.1",
        1,
        {},
        1,
        1,
        1,
        0,
        1,
        0,
        False,
    )
    return smith, msgspec.structs.replace(record)


# -- in agents


def live(agents: int, rounds: int, idle: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """CPU of an idle agent, s/s, and seconds until a killed one is held dead; each in clear and sealed."""
    with tempfile.TemporaryDirectory(prefix="gossip-bench-") as name:
        folder = Path(name)
        with (
            Fleet(agents, folder / "clear", None) as clear,
            Fleet(agents, folder / "sealed", os.urandom(32)) as sealed,
        ):
            fleets = (clear, sealed)
            time.sleep(min(10.0, idle))
            cpu = _idle(fleets, idle)
            found: tuple[list[float], list[float]] = ([], [])
            for number in range(rounds):
                for fleet, seconds in zip(fleets, found, strict=True):
                    seconds.append(_detected(fleet, 1 + number % (agents - 1)))
    return cpu, (median(found[0]), median(found[1]))


def _idle(fleets: tuple[Fleet, Fleet], seconds: float) -> tuple[float, float]:
    def spent(fleet: Fleet) -> list[float]:
        return [proc.read_usage(fleet.pid(index)).cpu_s for index in range(fleet.size)]

    before = [spent(fleet) for fleet in fleets]
    time.sleep(seconds)
    after = [spent(fleet) for fleet in fleets]
    rates = [
        median((late - early) / seconds for early, late in zip(first, then, strict=True))
        for first, then in zip(before, after, strict=True)
    ]
    return max(rates[0], 1e-9), rates[1]


def _detected(fleet: Fleet, victim: int) -> float:
    fleet.kill(victim)
    name = f"n{victim}"
    taken = until(f"{name} is held dead", lambda: fleet.statuses(0).get(name) == "dead", every=0.02)
    fleet.start(victim)
    fleet.await_all(victim)
    fleet.await_all(0)
    return taken
