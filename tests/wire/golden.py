"""Golden bytes: what a release has said, in tests/data/golden, which every later one must understand.

    python -m tests.wire.golden        once for each release: writes the file of this version

A line is `KIND HEX FIELDS`: a packet, a frame, a fact or a whole datagram in clear; its bytes; what its
reader has of it, as JSON with bytes in hexadecimal.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import gossip
from gossip.core.messages import Frame, Packet
from gossip.errors import GossipError
from gossip.wire import codec
from gossip.wire.identity import Identity
from gossip.wire.seal import ClearSealer
from tests.fuzz.cluster import CLUSTER, RECORDS, World
from tests.fuzz.schema import make
from tests.support import ROOT

__all__ = ["FOLDER", "Golden", "fields_of", "kinds", "read", "understand"]

FOLDER: Final = ROOT / "tests" / "data" / "golden"
EACH: Final = 3
"""Examples of a kind."""
MAX_BYTES: Final = 6_000
SESSION: Final = b"g" * 16


class Golden(NamedTuple):
    """One line."""

    kind: str
    data: bytes
    fields: list[Any]


def read(path: Path) -> list[Golden]:
    """A release's file."""
    lines = (line.split(" ", 2) for line in path.read_text().splitlines())
    return [Golden(kind, bytes.fromhex(data), json.loads(fields)) for kind, data, fields in lines]


def understand(kind: str, data: bytes) -> msgspec.Struct:
    """What the present release makes of it. Raises `RemoteProtocolError`."""
    if kind == "packet":
        return codec.decode_packet(data)
    if kind == "frame":
        return codec.decode_frame(data)
    if kind == "fact":
        return Identity(bytes(32), CLUSTER).parse(data).body
    return codec.decode_packet(ClearSealer(CLUSTER, b"o" * 16).open(data))


def fields_of(message: msgspec.Struct) -> list[Any]:
    """Its kind and its fields in their order, in what JSON has."""
    values = [getattr(message, name) for name in message.__struct_fields__]
    found: list[Any] = json.loads(json.dumps([type(message).__name__, *values], default=_plain))
    return found


def _plain(value: object) -> object:
    assert isinstance(value, bytes)
    return value.hex()


def kinds(union: Any) -> list[type]:
    """The types of a union, in the order of their names."""
    return sorted(union.__args__, key=lambda each: each.__name__)


def made() -> list[Golden]:
    """What this release has to say, the same at each call."""
    rng, world = random.Random(1), World()
    found: list[Golden] = []
    for union, kind in ((Packet, "packet"), (Frame, "frame")):
        for each in kinds(union):
            found += [_golden(kind, _sound(kind, each, world, rng)) for _ in range(EACH)]
    wanted = {record.__name__: EACH for record in RECORDS}
    while any(wanted.values()):
        raw = world.fact(rng)
        try:
            name = type(understand("fact", raw)).__name__
        except GossipError:
            continue
        if wanted[name]:
            wanted[name] -= 1
            found.append(_golden("fact", raw))
    seal = ClearSealer(CLUSTER, SESSION).seal
    found += [_golden("datagram", seal(_sound("packet", each, world, rng))) for each in kinds(Packet)]
    return found


def _sound(kind: str, message: type, world: World, rng: random.Random) -> bytes:
    """One that is read: what is made from types alone may have an address of no host. No long ones."""
    while True:
        data = codec.encode(make(message, world, rng))
        try:
            understand(kind, data)
        except GossipError:
            continue
        if len(data) < MAX_BYTES:
            return data


def _golden(kind: str, data: bytes) -> Golden:
    return Golden(kind, data, fields_of(understand(kind, data)))


def main() -> None:
    """Write the file of this version."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = (f"{kind} {data.hex()} {json.dumps(fields)}\n" for kind, data, fields in made())
    (FOLDER / f"{gossip.__version__}.txt").write_text("".join(lines))


if __name__ == "__main__":
    main()
