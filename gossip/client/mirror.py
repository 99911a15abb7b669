"""A copy of the catalog in this process: answered from a dict, kept up to date by an agent's watch.

Nothing here waits or reads a socket: `requests` says what to ask on a new connection, `begin`, `take` and
`lost` are told what came of it. A whole value that comes in parts is put together beside the copy and
replaces it in one assignment; so does each single service. Readers in other threads see a service as it
was or as it is, and while the agent is away, as it was last. `picking` chooses among what is held.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from gossip.calling.balancer import Places, Question
from gossip.client.picking import Balance, Picking, places_of
from gossip.client.questions import texts
from gossip.client.values import Instance, ServiceSummary, decode
from gossip.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

    from gossip.client.framing import Message

__all__ = ["PLACES", "PLACES_SECONDS", "RETURN_SECONDS", "Mirror"]

PLACES: tuple[str, Message] = ("members.places", {})
"""What to ask for what `placed` is told."""
PLACES_SECONDS = 30.0
"""How old the places may be: round trips drift, and nodes come and go."""
RETURN_SECONDS = 5.0
"""How long an agent that is back may know nothing of a service before that is believed."""
_PLAIN = Question()


class Mirror:
    """See the module.

    Args:
        names: the services to follow; none for all.
        clock: seconds, for `staleness` and for picks.
        chance: gives numbers from 0 to below 1, for picks; None for the interpreter's own.
    """

    def __init__(
        self,
        names: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] | None = None,
    ) -> None:
        self._names = tuple(dict.fromkeys(names))
        self._clock = clock
        self._held: dict[str, tuple[Instance, ...]] = {}
        self._fresh: dict[str, tuple[Instance, ...]] = {}
        """A whole value that is not complete yet."""
        self._pages: dict[str, list[Any]] = {}
        self._numbers: dict[object, str] = {}
        self._in_step = False
        self._known_at = -math.inf
        self._before: dict[str, tuple[Instance, ...]] = {}
        """What was held of services that the agent, when it came back, knew nothing of."""
        self._before_until = -math.inf
        self._places = Places()
        self._picking = Picking(chance, clock)

    # -- reading ------------------------------------------------------------------------------------------

    def lookup(
        self, name: str, *, tags: Iterable[str] = (), no_suspect: bool = False
    ) -> tuple[Instance, ...]:
        """The instances of service `name` that may be called, as the agent gave them last.

        Raises:
            NotFoundError: this replica does not follow that service.
        """
        if not tags and not no_suspect:
            try:
                return self._held[name]  # most calls, so nothing else is done for them
            except KeyError:
                pass
        found = self._held.get(name)
        if found is None:
            if self._names and name not in self._names:
                raise NotFoundError(f"this replica does not follow {name!r}: name it when you open one")
            return ()
        wanted = frozenset(texts(tags))
        return tuple(
            each
            for each in found
            if wanted.issubset(each.tags) and not (no_suspect and each.status == "suspect")
        )

    # -- choosing -----------------------------------------------------------------------------------------

    def pick(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        key: str | None = None,
        near: bool = False,
        zone: bool = True,
        subset: int = 0,
        no_suspect: bool = False,
        avoid: Iterable[Instance] = (),
    ) -> Instance:
        """The instance of service `name` to call now.

        Of two that are drawn by weight, the one with less to do; those that failed of late, and those whose
        node is suspect, are left out, as long as most of the others are well. How calls went, and how many
        are under way, it knows from `call` and `report`.

        Args:
            name: the service.
            tags: only with all of them.
            key: the same key gets the same instance, at every caller, as long as that one may be called.
            near: only the nearest, and those that are as near.
            zone: prefer the zone of this node, if it has one, as long as its instances can answer its calls.
            subset: only so many of the instances, always the same: keeps connections few.
            no_suspect: never one whose node is suspect.
            avoid: those that have been tried already.

        Raises:
            NotFoundError: there is none, or only such as are to be avoided.
            ValueError: `subset` is less than 0.
        """
        question = _PLAIN
        if tags or near or not zone or subset or no_suspect:
            if subset < 0:
                raise ValueError(f"subset: {subset} is less than 0")
            question = Question(frozenset(texts(tags)), near, zone, subset, no_suspect)
        offered = self.lookup(name) or self._remembered(name)
        found = self._picking.pick(name, offered, question, self._places, avoid, key)
        if found is None:
            raise NotFoundError(
                f"no instance of {name!r} may be called: see 'gossip lookup {name} --any --json'"
            )
        return found

    def _remembered(self, name: str) -> tuple[Instance, ...]:
        """What was: an agent that has just been started may not have heard of the others yet."""
        if name in self._before and self._clock() < self._before_until:
            return self._before[name]
        return ()

    def call(
        self,
        name: str,
        *,
        tags: Iterable[str] = (),
        key: str | None = None,
        near: bool = False,
        zone: bool = True,
        subset: int = 0,
        no_suspect: bool = False,
        avoid: Iterable[Instance] = (),
    ) -> AbstractContextManager[Instance]:
        """Picks, as `pick` does, and counts the block as the call: its time, and an exception as a failure.

        Raises:
            NotFoundError: as `pick`.
        """
        instance = self.pick(
            name, tags=tags, key=key, near=near, zone=zone, subset=subset, no_suspect=no_suspect, avoid=avoid
        )
        return self._picking.calling(instance)

    def report(self, instance: Instance, *, ok: bool, seconds: float | None = None) -> None:
        """How a call of a picked instance went, and how long it took; not for what `call` counts."""
        self._picking.report(instance, ok, seconds)

    def begin_call(self, instance: Instance) -> Callable[[bool | None, float | None], bool]:
        """Counts a call that is no block. What is returned is to be called once, at its end.

        It takes whether the call went well (None: nothing can be said) and its seconds, and tells whether
        the instance is left out from now on.
        """
        return self._picking.begin(instance)

    def balance(self, name: str) -> Balance:
        """How this program's calls of a service are spread, and who is left out."""
        return self._picking.balance(name, self.lookup(name))

    def placed(self, answer: Message) -> None:
        """What `members.places` answered.

        Raises:
            LocalProtocolError: it has another shape.
        """
        places = decode(places_of, answer)
        if places != self._places:
            self._places = places

    def services(self) -> list[ServiceSummary]:
        """The services that have an instance which may be called, by name."""
        return [
            ServiceSummary(name, len(found), tuple(sorted({tag for each in found for tag in each.tags})))
            for name, found in sorted(self._held.items())
        ]

    @property
    def connected(self) -> bool:
        """Whether it is in step with its agent, as far as it can tell."""
        return self._in_step

    @property
    def staleness(self) -> float:
        """Seconds since it last knew that it was in step: 0 while it is, infinity before it first was."""
        return 0.0 if self._in_step else self._clock() - self._known_at

    # -- following ----------------------------------------------------------------------------------------

    def requests(self) -> list[tuple[str, Message]]:
        """What to ask on a new connection."""
        if not self._names:
            return [("catalog.watch", {})]
        return [("services.watch", {"service": name}) for name in self._names]

    def begin(self, answers: Sequence[Message]) -> None:
        """The answers to `requests`, in their order.

        Raises:
            LocalProtocolError: they have another shape; as in `take`.
        """
        self._fresh = {}
        self._pages = {}
        self._numbers = {}
        for name, answer in zip(self._names or ("",), answers, strict=True):
            self._numbers[answer.get("watch")] = name
            if self._names:
                self._put(name, answer.get("instances"))
        if self._names:
            self._settle()

    def take(self, params: Message) -> None:
        """What a notification says."""
        name = self._numbers.get(params.get("watch"))
        if name is None:
            return
        if self._names:
            if "instances" in params:
                self._put(name, params["instances"])
        elif params.get("resync"):
            # All comes again; until then the old copy is as good as any.
            self.lost()
        elif params.get("ready"):
            self._settle()
        elif "service" in params:
            decode(self._page, params)

    def lost(self) -> None:
        """The connection is gone, or a part of what it brought: what is held may be old from now on."""
        if self._in_step:
            self._known_at = self._clock()
            self._in_step = False
        self._fresh = {}
        self._pages = {}

    def _page(self, params: Message) -> None:
        name = str(params["service"])
        pages = self._pages.setdefault(name, [])
        pages += params["instances"]
        if not params.get("more"):
            self._put(name, self._pages.pop(name))

    def _put(self, name: str, instances: Any) -> None:
        value = decode(lambda v: tuple(Instance.from_json(each) for each in v["i"]), {"i": instances})
        if not self._in_step:
            self._fresh[name] = value
        elif value != self._held.get(name, ()):
            self._before.pop(name, None)
            if value:
                self._held[name] = value
            else:
                self._held.pop(name, None)
            self._changed((name,))

    def _settle(self) -> None:
        old, new = self._held, {}
        for name, value in self._fresh.items():
            if value:
                # The same object if nothing changed: whoever waits for a change tells by that.
                new[name] = old[name] if old.get(name) == value else value
        changed = [name for name in old.keys() | new.keys() if old.get(name) is not new.get(name)]
        # An agent that comes back twice in a row is doubted for what was held before the first time too.
        doubted = self._before if self._clock() < self._before_until else {}
        self._before = {name: value for name, value in (doubted | old).items() if name not in new}
        self._before_until = self._clock() + RETURN_SECONDS
        self._held = new
        self._fresh = {}
        self._in_step = True
        self._changed(changed)

    def _changed(self, names: Sequence[str]) -> None:
        """Told after each change of these services, and (then with what has changed) when it is in step."""
