"""Who an agent is and what it begins with: identity, versions, keys and records, of its disk and settings."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gossip.admitted import read_bans, settle_warrant
from gossip.config import choose_advertise
from gossip.core.node import Node
from gossip.core.own import LEASE
from gossip.core.own import Self as Who
from gossip.core.params import PROFILES
from gossip.keeping import content_of, open_ring
from gossip.registrar import newest, read_saved
from gossip.wire.identity import Identity
from gossip.wire.locksmith import RingLocksmith
from gossip.wire.seal import SESSION_BYTES, ClearSealer
from gossip.wire.sealing import OWN_SECRET_BYTES, RingSealer

if TYPE_CHECKING:
    from gossip.config import Config
    from gossip.core.params import Params
    from gossip.core.records import Fact
    from gossip.core.types import Address
    from gossip.store import Store
    from gossip.wire.keyring import KeyRing
    from gossip.wire.seal import Sealer

__all__ = ["Origin"]


@dataclass(frozen=True, slots=True)
class Origin:
    """What `of` makes of a store; the node does not live yet."""

    node: Node
    params: Params
    address: Address
    """The advertised one."""
    birth: int
    ceiling: int
    """Versions below it may be used: it is on disk."""
    floor: int
    kept: dict[str, tuple[str, Fact]]
    """Records of the last life, with who asked for each."""
    ring: KeyRing
    sealer: Sealer
    ring_sealer: RingSealer | None
    """The same, if it has keys or may be given some."""

    @classmethod
    def of(cls, config: Config, store: Store, bound: Address, now: float) -> Origin:
        """Read what `store` has, and write what has to be there before the node lives.

        Args:
            config: the settings.
            store: of this agent alone.
            bound: where it listens first.
            now: seconds, of the node's clock.

        Raises:
            StoreError: something cannot be read or written.
            ConfigError: the key file or the invitation is of no use, or clear text was not allowed.
        """
        identity = Identity(store.seed, config.cluster, config.authority)
        warrant = settle_warrant(config, store, identity)
        params = _params(config)
        address = _advertised(config, bound)
        saved = store.saved
        wall_ms = time.time_ns() // 1_000_000
        incarnation = max(saved.counter + 1, wall_ms)
        floor = incarnation if saved.lost else saved.floor
        birth = saved.birth or incarnation
        ceiling = incarnation + LEASE
        store.save_counter(ceiling, birth, floor)
        kept = newest(read_saved(identity, saved.records))
        ring, plan = open_ring(saved.keys, config)
        locksmith = None
        sealer: Sealer = ClearSealer(config.cluster, os.urandom(SESSION_BYTES))
        ring_sealer: RingSealer | None = None
        if len(ring) or ring.accepts_clear:
            store.save_keys(content_of(ring, plan))
            locksmith = RingLocksmith(ring, store.seed, identity.public_key, config.cluster)
            sealer = ring_sealer = RingSealer(
                ring,
                config.cluster,
                os.urandom(SESSION_BYTES),
                os.urandom(OWN_SECRET_BYTES),
                lambda: node.count("clear_accepted"),
            )
        node = Node(
            identity,
            Who(
                config.name,
                address,
                config.cluster,
                dict(config.tags),
                store.ephemeral,
                birth,
                b"" if locksmith is None else locksmith.exchange_key,
                warrant,
                wall_ms,
            ),
            params,
            random.SystemRandom(),
            now,
            incarnation,
            ceiling,
            floor,
            [fact for _, fact in kept.values()],
            config.join,
            saved.remembered,
            locksmith,
            plan,
            read_bans(saved.bans, identity),
            saved.used,
            invited_only=config.admission == "invited",
        )
        return cls(node, params, address, birth, ceiling, floor, kept, ring, sealer, ring_sealer)


def _params(config: Config) -> Params:
    """The profile, with what the configuration says otherwise."""
    chosen = PROFILES[config.profile]
    period = chosen.period if config.probe_period is None else config.probe_period
    return msgspec.structs.replace(
        chosen,
        period=period,
        # However short the period, the indirect round needs a part of it.
        direct_max=min(chosen.direct_max, period / 2),
        retention=chosen.retention if config.retention is None else config.retention,
        restart_grace=chosen.restart_grace if config.restart_grace is None else config.restart_grace,
        stream_probe=config.stream_probe,
    )


def _advertised(config: Config, bound: Address) -> Address:
    host, port = config.advertise or choose_advertise(config.bind)
    return host, port or bound[1]
