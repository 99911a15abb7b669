"""Whatever a peer, a user or time can make grow has an end: how much there may be of everything.

The limits that core states are taken from it. The others follow from what keeps the thing alive: a ping
without a probe, last look, favour or introduction that waits for it is a leak, however few there are.
"""

from __future__ import annotations

from gossip.core.attempts import ATTEMPTS_MAX
from gossip.core.broadcast import GIVEN_MAX, RELAYS_MAX
from gossip.core.coordinates import FILTER_PEERS_MAX
from gossip.core.detector import ACCUSERS_MAX
from gossip.core.dialback import AT_ONCE
from gossip.core.gate import HOLDERS_MAX, TOLD_MAX
from gossip.core.health import ACCUSERS_MAX as ACCUSERS_OF_ONESELF_MAX
from gossip.core.helping import CALLS_MAX, FAVOURS_MAX, OTHERS_MAX
from gossip.core.intake import RECENT_MAX
from gossip.core.params import Params
from gossip.core.pings import STRANGERS_MAX
from gossip.core.repair import OPENERS_MAX
from gossip.core.strangers import STRANGERS_MAX as CALLERS_MAX
from gossip.core.user_events import FLOORS_MAX
from sim.hunt.errors import BrokenRuleError, demand
from sim.hunt.inside import Inside
from sim.hunt.rules import Rule

__all__ = ["check_bounds", "limits"]


PINGS_PER_PROBE = 5
"""The first, the two repeats, and one for each end of a grace."""
PINGS_PER_LOOK = 3
TRIAL_PINGS = 4 * AT_ONCE
"""Of trials for others who asked to be dialled back."""
OWN_NEWS_MAX = 1_024
"""What a node of these worlds has to say of itself at one time: events, services, accusations."""
TIMERS_OWN = 16
"""Timers that are about nobody: one of each kind."""
TIMERS_PER_MEMBER = 6
"""Of a probe four, of a suspicion, of a restart."""
STALE_TIMERS_MAX = 1_024
"""Timers that were set anew and have not surfaced: what is set each few ms surfaces within 100 ms, a
suspicion that was shortened eight times within its longest patience."""


def limits(inside: Inside, params: Params, sizes: dict[str, int]) -> dict[str, int]:
    """How much there may be of each of `Inside.sizes`."""
    members, probes, favours = sizes["members"], sizes["probes"], sizes["favours"]
    introductions, looks = sizes["introductions"], sizes["looks"]
    return {
        "members": min(params.members_max, inside.table.n + params.tombstones_max + 64),
        "relays": RELAYS_MAX,
        "queue": RELAYS_MAX + OWN_NEWS_MAX,
        "pings": PINGS_PER_PROBE * probes + PINGS_PER_LOOK * looks + favours + introductions + TRIAL_PINGS,
        "strangers": STRANGERS_MAX,
        "probes": members,
        "looks": members,
        "favours": FAVOURS_MAX + OTHERS_MAX,
        "introductions": params.streams,
        "attempts": ATTEMPTS_MAX,
        "addresses": params.addresses_max,
        "callers": CALLERS_MAX,
        "streams": params.streams + probes + looks + CALLS_MAX + introductions + ATTEMPTS_MAX,
        "served": OPENERS_MAX,
        "disagreeing": members + params.addresses_max,
        "rests": params.addresses_max,
        "slow": params.addresses_max,
        "events": params.events_max,
        "event floors": FLOORS_MAX,
        "bans": params.bans_max,
        "warrants": members + 1,
        "holders": HOLDERS_MAX,
        "refusals told": TOLD_MAX,
        "given": GIVEN_MAX,
        "coordinates": FILTER_PEERS_MAX,
        "recent": 2 * (RECENT_MAX + 1),
        "accusers of this node": ACCUSERS_OF_ONESELF_MAX,
        "timers": TIMERS_OWN + TIMERS_PER_MEMBER * members + favours + introductions + ATTEMPTS_MAX,
        "stale timers": STALE_TIMERS_MAX,
    }


def check_bounds(inside: Inside, params: Params) -> None:
    """Raise BrokenRuleError if there is too much of something."""
    sizes = inside.sizes()
    for what, limit in limits(inside, params, sizes).items():
        if sizes[what] > limit:
            raise BrokenRuleError(Rule.BOUNDED, f"{sizes[what]} {what}, where {limit} is the most; {sizes}")
    counted, there = inside.serving()
    demand(
        counted == there,
        Rule.BOUNDED,
        f"{counted} conversations are counted as served, and there are {there}",
    )
    for member in inside.members.values():
        demand(len(member.accusations) <= ACCUSERS_MAX, Rule.BOUNDED, f"{member.name} has too many accusers")
