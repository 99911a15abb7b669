"""Datagrams as they travel sealed: whatever is bent, nothing is opened that was not sealed with the key."""

from __future__ import annotations

import random
from typing import Final

from gossip.errors import RemoteProtocolError
from gossip.wire.keyring import KeyRing
from gossip.wire.seal import SESSION_BYTES
from gossip.wire.sealing import RingSealer
from tests.fuzz import bend
from tests.fuzz.cast import CLUSTER

__all__ = ["Sealed"]

KEYS: Final = (b"\x01" * 32, b"\x02" * 32)
STRANGE_KEY: Final = b"\x03" * 32
SESSIONS: Final = tuple(bytes([number]) * SESSION_BYTES for number in (20, 21, 22))
COUNTERS: Final = (0, 1, 2, 1_023, 1_024, 2_048, 2**32, 2**63, 2**64 - 1)


def _sealer(session: bytes, *secrets: bytes, counter: int = 0) -> RingSealer:
    ring = KeyRing()
    for number, secret in enumerate(secrets):
        ring.use(ring.add(secret, f"k{number}").mark)
    made = RingSealer(ring, CLUSTER, session, session)
    made._counter = counter
    return made


class Sealed:
    """What one node opens of three others, who send under either of its keys."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self._reader = _sealer(b"r" * SESSION_BYTES, *KEYS)

    def fresh(self, rng: random.Random) -> bytes:
        key = rng.choice((*KEYS, *KEYS, STRANGE_KEY))
        sender = _sealer(rng.choice(SESSIONS), key, counter=rng.choice(COUNTERS))
        return sender.seal(rng.randbytes(rng.choice((1, 8, 100))))

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        """Often in the header, where a session or a counter may become another's."""
        if rng.random() < 0.5 or len(data) < 26:
            return bend.blind(data, rng)
        head = bytearray(data[:26])
        head[rng.randrange(26)] ^= 1 << rng.randrange(8)
        return bytes(head) + data[26:]

    def run(self, data: bytes) -> None:
        body = self._opened(data)
        if body is None:
            return
        session, counter = data[2 : 2 + SESSION_BYTES], int.from_bytes(data[2 + SESSION_BYTES : 26], "big")
        if data not in {_sealer(session, key, counter=counter).seal(body) for key in KEYS}:
            raise AssertionError(f"opened, and nobody sealed it: {data.hex()}")
        if self._opened(data) is not None:
            raise AssertionError(f"opened twice: {data.hex()}")

    def _opened(self, data: bytes) -> bytes | None:
        try:
            return self._reader.open(data)
        except RemoteProtocolError:
            return None
