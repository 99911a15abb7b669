"""What a scenario can do to its world: one Struct for each word that `do` may have in an `[[action]]`.

Keys that all of them have: `at`, and `every` with `until` for repetition. Those that can end by themselves
(`Lasting`) have `for`. SCHEMA.md describes each key.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct, field

from sim.refusals import Refusals as Refusing
from sim.scenario.values import Delay, Duration, Selector, Share, Shift, Size

__all__ = [
    "ACTIONS",
    "Action",
    "Check",
    "Churn",
    "ClockRate",
    "Crash",
    "Cut",
    "Deaf",
    "Deregister",
    "Flap",
    "HandOver",
    "Heal",
    "Join",
    "JumpWall",
    "Lasting",
    "Leave",
    "LinkChange",
    "Loss",
    "Mute",
    "NetworkChange",
    "Partition",
    "Pause",
    "Refusals",
    "Register",
    "Restart",
    "Resume",
    "Starve",
    "Suspend",
    "Tags",
    "UserEvent",
    "changed_line",
    "word",
]

EVERYBODY = Selector.parse("all")
REST = Selector.parse("rest")
ONE = Selector.parse(1)


class Base(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="do"):
    """When. Times count from the beginning of what is measured."""

    at: Duration = Duration(0)
    every: Duration | None = None
    until: Duration | None = None


class Lasting(Base, frozen=True, kw_only=True):
    """What ends by itself after `for`; without it, it lasts to the end of the run."""

    lasts: Duration | None = field(name="for", default=None)


class Crash(Base, frozen=True, kw_only=True, tag="crash"):
    """Nodes die: the whole machine (silence), or the agent alone (its port is then closed)."""

    nodes: Selector = ONE
    machine: bool = True


class Restart(Base, frozen=True, kw_only=True, tag="restart"):
    """Nodes that are down start again; or running ones stop, are `down` for so long, and start again."""

    nodes: Selector = EVERYBODY
    stop: Literal["crash", "leave", "hand_over"] | None = None
    down: Duration = Duration(1_000_000)
    identity: Literal["same", "new"] = "same"
    address: Literal["same", "new"] = "same"
    disk: Literal["kept", "lost"] = "kept"


class Leave(Base, frozen=True, kw_only=True, tag="leave"):
    """Nodes leave the cluster, and stop."""

    nodes: Selector = ONE


class HandOver(Base, frozen=True, kw_only=True, tag="hand_over"):
    """Nodes stop as for an upgrade: they say that they will be back."""

    nodes: Selector = ONE


class Join(Base, frozen=True, kw_only=True, tag="join"):
    """New nodes start, all at once or evenly `over` a time."""

    count: int
    group: str = ""
    over: Duration = Duration(0)


class Pause(Lasting, frozen=True, kw_only=True, tag="pause"):
    """The processes are stopped (SIGSTOP): clocks run, buffers fill, nothing is handled."""

    nodes: Selector = ONE


class Suspend(Lasting, frozen=True, kw_only=True, tag="suspend"):
    """The machines are suspended: off the network, their monotonic clocks stand still."""

    nodes: Selector = ONE


class Resume(Base, frozen=True, kw_only=True, tag="resume"):
    """Stopped and suspended nodes go on."""

    nodes: Selector = EVERYBODY


class Starve(Lasting, frozen=True, kw_only=True, tag="starve"):
    """Handling takes `factor` times the processor time that `[costs]` says."""

    factor: int
    nodes: Selector = ONE


class ClockRate(Lasting, frozen=True, kw_only=True, tag="clock_rate"):
    """Monotonic clocks run fast, or slow (negative), by so many parts in a million."""

    ppm: int
    nodes: Selector = ONE


class JumpWall(Base, frozen=True, kw_only=True, tag="jump_wall"):
    """Wall clocks are set forward, or back."""

    by: Shift
    nodes: Selector = ONE


class Partition(Lasting, frozen=True, kw_only=True, tag="partition"):
    """Nothing passes between the sides any more.

    `full`: nor between them and the rest, which is a side too. `partial`: the rest reaches all of them, and
    they it. `one_way`: nothing passes from the first side to the others (one side only: to the rest).
    """

    sides: tuple[Selector, ...]
    kind: Literal["full", "partial", "one_way"] = "full"


class Heal(Base, frozen=True, kw_only=True, tag="heal"):
    """Every partition, cut and flapping ends."""


class Cut(Lasting, frozen=True, kw_only=True, tag="cut"):
    """Nothing passes from these nodes to those, nor back if `both`."""

    nodes: Selector = ONE
    to: Selector = REST
    both: bool = True


class Flap(Lasting, frozen=True, kw_only=True, tag="flap"):
    """A cut that comes and goes: `down`, then `up`, again and again."""

    down: Duration
    up: Duration
    nodes: Selector = ONE
    to: Selector = REST
    both: bool = True


class LinkChange(Lasting, frozen=True, kw_only=True, tag="link"):
    """The links from these nodes to those are others; what is not given is as in `[network]`."""

    nodes: Selector
    to: Selector = REST
    both: bool = True
    latency: Delay | None = None
    loss: Share | None = None
    duplication: Share | None = None
    bandwidth: Size | None = None
    mtu: Size | None = None


class NetworkChange(Lasting, frozen=True, kw_only=True, tag="network"):
    """Every link without one of its own is another; what is not given is as in `[network]`."""

    latency: Delay | None = None
    loss: Share | None = None
    duplication: Share | None = None
    bandwidth: Size | None = None
    mtu: Size | None = None


class Loss(Lasting, frozen=True, kw_only=True, tag="loss"):
    """Nodes lose packets, whoever they talk with: of what is sent to them, and of what they send."""

    nodes: Selector = ONE
    incoming: Share = Share(0.0)
    outgoing: Share = Share(0.0)


class Mute(Lasting, frozen=True, kw_only=True, tag="mute"):
    """Nothing that these nodes send gets out."""

    nodes: Selector = ONE


class Deaf(Lasting, frozen=True, kw_only=True, tag="deaf"):
    """Nothing that is sent to these nodes gets in."""

    nodes: Selector = ONE


class Refusals(Lasting, frozen=True, kw_only=True, tag="refusals"):
    """How the machines answer for a closed port."""

    how: Refusing
    nodes: Selector = EVERYBODY


class Register(Base, frozen=True, kw_only=True, tag="register"):
    """Nodes register a service, or change the one of that key."""

    name: str
    nodes: Selector = ONE
    key: str = ""
    port: int = 80
    tags: tuple[str, ...] = ()
    meta: dict[str, str] = {}
    weight: int = 1


class Deregister(Base, frozen=True, kw_only=True, tag="deregister"):
    """Nodes take a service away; those that have none of that key are passed over."""

    key: str
    nodes: Selector = EVERYBODY


class Check(Base, frozen=True, kw_only=True, tag="check"):
    """A health check of a service turns, on the nodes that have it; with no key, one of the nodes."""

    finds: Literal["passing", "warning", "critical"]
    key: str = ""
    nodes: Selector = EVERYBODY


class Churn(Lasting, frozen=True, kw_only=True, tag="churn"):
    """Services appear, change and vanish by chance, `rate` times a second on all these nodes together."""

    rate: float
    nodes: Selector = EVERYBODY
    services: int = 4
    name: str = "churn"


class Tags(Base, frozen=True, kw_only=True, tag="tags"):
    """Nodes change their tags."""

    tags: dict[str, str]
    nodes: Selector = ONE


class UserEvent(Base, frozen=True, kw_only=True, tag="event"):
    """Nodes send a user event with a payload of so many bytes."""

    name: str
    nodes: Selector = ONE
    size: Size = Size(16)


Action: TypeAlias = (
    Crash
    | Restart
    | Leave
    | HandOver
    | Join
    | Pause
    | Suspend
    | Resume
    | Starve
    | ClockRate
    | JumpWall
    | Partition
    | Heal
    | Cut
    | Flap
    | LinkChange
    | NetworkChange
    | Loss
    | Mute
    | Deaf
    | Refusals
    | Register
    | Deregister
    | Check
    | Churn
    | Tags
    | UserEvent
)
ACTIONS: tuple[type[Base], ...] = Action.__args__


def word(action: Base | type[Base]) -> str:
    """What stands behind `do` for it."""
    return str(action.__struct_config__.tag)


def changed_line(action: LinkChange | NetworkChange) -> dict[str, object]:
    """What it changes of `[network]`; None where that stays."""
    return {key: getattr(action, key) for key in ("latency", "loss", "duplication", "bandwidth", "mtu")}
