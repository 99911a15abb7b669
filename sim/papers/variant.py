"""What a published protocol was set to: SWIM of 2002, memberlist, and Lifeguard's five configurations.

The rules of a `Variant` are those of the papers and of memberlist's code, so far as they differ from this
project's own core. `papers.peer` carries them out with core's parts.

Times are seconds. `n` counts alive and suspect members, oneself included.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

from msgspec import Struct, structs

from gossip.core.params import Params
from gossip.core.suspicion import suspicion_timeout

__all__ = [
    "LIFEGUARD_CONFIGS",
    "Patience",
    "SendLimit",
    "Variant",
    "buddy_system",
    "decades",
    "lha_probe",
    "lha_suspicion",
    "lifeguard",
    "lifeguard_patience",
    "memberlist",
    "natural_logs",
    "swim",
    "swim_patience",
]

Patience: TypeAlias = Callable[[int, int], float]
"""`(n, confirmations) -> seconds` from the first suspicion to the verdict."""
SendLimit: TypeAlias = Callable[[int], int]
"""`n -> ` how often one member sends one rumour."""
MICRO = 1_000_000


class Variant(Struct, frozen=True, kw_only=True):
    """One protocol with its settings."""

    period: float = 1.0
    """From one probe to the next (T')."""
    ack_timeout: float = 0.5
    """How long a direct ack is waited for before others are asked."""
    helpers: int = 3
    """Whom others are asked (k)."""
    nacks: bool = False
    """Helpers report their own failure, after `NACK_SHARE` of the time-out (Lifeguard, section IV-A)."""
    gossip: tuple[float, int] | None = (0.2, 3)
    """(interval, fanout) of messages that carry nothing but rumours; None: they only ride on probes."""
    piggyback: bool = True
    """Rumours ride on pings and acks."""
    multicast: bool = False
    """News is sent to every member at once, by who states it and by nobody else (SWIM's Basic)."""
    packet_items: int = 255
    """Rumours in one message."""
    packet_bytes: int = 1_400
    """Bytes of one message, as `cost_alive` and `cost_accusation` count them."""
    cost_alive: int = 200
    """Bytes of a member's record: with an agent's tags, in memberlist's encoding."""
    cost_accusation: int = 52
    """Bytes of a suspicion or a verdict there."""
    send_limit: SendLimit
    patience: Patience | None
    """None: who fails a probe is declared dead at once."""
    confirmers: int = 0
    """How many suspicions beyond the first are passed on; the accusers that `patience` counts."""
    health_max: int = 0
    """Greater: a count of troubles stretches probes (LHA-Probe); 0: it does not."""
    buddy: bool = False
    """A ping tells a suspected member first of all that it is suspected."""
    push_pull: float | None = None
    """Interval at 32 members or fewer of the exchange of whole views, over a stream."""
    hearsay_confirms: bool = False
    """A suspicion in a view that one is given counts as one's own, besides its author's."""
    dead_for: float | None = 30.0
    """How long the dead are still told, and then forgotten; None: they are told nothing, and remembered."""
    immortal: bool = False
    """Verdicts are counted, and nobody is removed."""


def decades(factor: int) -> SendLimit:
    """The limit of memberlist: `factor * ceil(log10(n + 1))`."""
    # n has as many digits as the logarithm of n + 1 has whole parts, begun ones included.
    return lambda n: factor * len(str(max(1, n)))


def natural_logs(factor: int) -> SendLimit:
    """The limit of SWIM: `factor * ceil(ln(n + 1))` (section 4.1; natural, by the steps in its figure 3c)."""
    return lru_cache(maxsize=None)(lambda n: factor * math.ceil(math.log(n + 1)))


def lifeguard_patience(alpha: float, beta: float, k: int, period: float = 1.0) -> Patience:
    """Lifeguard's formula (section IV-B), which is core's, with these settings."""
    params = Params(suspicion_alpha=alpha, suspicion_beta=beta, suspicion_k=k, period=period)
    return _whole(lambda n, confirmations: suspicion_timeout(params, n, min(confirmations, k)))


def swim_patience(period: float) -> Patience:
    """SWIM's: `3 * ceil(ln(n + 1))` periods, whoever else suspects."""
    rounds = natural_logs(3)
    return _whole(lambda n, _: rounds(n) * period)


def _whole(rule: Patience) -> Patience:
    """The rule in whole microseconds, so that the last digit of a logarithm decides nothing; remembered."""
    return lru_cache(maxsize=4_096)(lambda n, confirmations: round(rule(n, confirmations) * MICRO) / MICRO)


def swim(*, infection: bool = True, suspicion: bool = True, helpers: int = 1, period: float = 2.0) -> Variant:
    """SWIM as measured in 2002 (section 5): Basic, with infection-style dissemination, with suspicion too."""
    return Variant(
        period=period,
        ack_timeout=period / 4,
        helpers=helpers,
        gossip=None,
        piggyback=infection,
        multicast=not infection,
        packet_items=6,
        send_limit=natural_logs(3),
        patience=swim_patience(period) if suspicion else None,
        dead_for=None,
    )


def memberlist(*, alpha: float = 4.0, beta: float = 6.0, k: int | None = None) -> Variant:
    """hashicorp/memberlist as its `DefaultLANConfig` has it today (mult 4: two confirmers)."""
    wanted = round(alpha) - 2 if k is None else k
    return Variant(
        nacks=True,
        send_limit=decades(4),
        patience=lifeguard_patience(alpha, beta, wanted),
        confirmers=wanted,
        health_max=7,
        buddy=True,
        push_pull=30.0,
        hearsay_confirms=True,
    )


def lifeguard(alpha: float = 5.0, beta: float = 6.0) -> Variant:
    """All three of Lifeguard's parts, with the paper's S = 8 and K = 3."""
    return structs.replace(_swim_2017(alpha, beta), nacks=True, health_max=8, buddy=True, confirmers=3)


def lha_probe(alpha: float = 5.0, beta: float = 1.0) -> Variant:
    """Probes that stretch with local health, alone."""
    return structs.replace(_swim_2017(alpha, beta), nacks=True, health_max=8)


def lha_suspicion(alpha: float = 5.0, beta: float = 6.0) -> Variant:
    """Suspicion that shortens with each confirmation, alone."""
    return structs.replace(_swim_2017(alpha, beta), confirmers=3)


def buddy_system(alpha: float = 5.0, beta: float = 1.0) -> Variant:
    """Telling the suspected first, alone."""
    return structs.replace(_swim_2017(alpha, beta), buddy=True)


def _swim_2017(alpha: float, beta: float) -> Variant:
    """What Lifeguard's paper calls SWIM: memberlist without its additions."""
    return Variant(
        send_limit=decades(4),
        patience=lifeguard_patience(alpha, beta, 3),
        push_pull=30.0,
    )


LIFEGUARD_CONFIGS: dict[str, Callable[[], Variant]] = {
    "SWIM": lambda: _swim_2017(5.0, 1.0),
    "LHA-Probe": lha_probe,
    "LHA-Suspicion": lha_suspicion,
    "Buddy System": buddy_system,
    "Lifeguard": lifeguard,
}
"""Table IV's rows, with alpha = 5 and, where suspicion is dynamic, beta = 6."""
