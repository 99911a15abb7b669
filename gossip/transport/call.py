"""One request and the instances that it is tried at; nothing here waits.

A driver (`blocking`, `aio`) asks for the next `Attempt`, sends its request, and tells what came of it; the
call says whether there is to be another one. Another one is tried when nothing was sent yet, or when
sending twice does no harm, and: the time is not up, the budget has a retry left, the body can be sent
again, and there is an instance that has not been tried.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import httpx

from gossip.client.values import Instance
from gossip.errors import NotFoundError
from gossip.transport.elsewhere import Moved
from gossip.transport.options import IDEMPOTENT, Options
from gossip.transport.streams import is_repeatable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gossip.calling.budget import RetryBudget
    from gossip.client.mirror import Mirror

__all__ = ["Attempt", "Call", "NoInstanceError", "Tried", "Wish", "nowhere", "wish_of"]

_UNSENT = (httpx.ConnectError, httpx.ConnectTimeout)
"""After these, nothing of the request has left."""
_NO_FAULT = (httpx.PoolTimeout, httpx.LocalProtocolError, httpx.UnsupportedProtocol, httpx.ProxyError)
"""These say nothing of the instance."""
LEAST_SECONDS = 0.001
"""A timeout that is over is still one."""
_BUDGETS = threading.Lock()
"""Threads share a transport, and transports a budget, which knows of neither: without it a retry would be
reserved twice, or handed back into nowhere. It costs a tenth of a microsecond each time."""


class NoInstanceError(httpx.ConnectError, NotFoundError):
    """No instance of the service may be called."""


class Tried(NamedTuple):
    """One attempt: where, and what came of it."""

    instance: Instance
    outcome: str
    """`200`, or what was wrong."""
    seconds: float

    def __str__(self) -> str:
        where = f"{self.instance.endpoint} on {self.instance.node}"
        return f"{where}: {self.outcome} after {self.seconds:.3g} s"


class Wish(NamedTuple):
    """What a host name asks for."""

    name: str
    tags: tuple[str, ...] = ()


def wish_of(host: str, catalog: Mirror) -> Wish:
    """Of a host without its suffix: the service of that name; else, of `v2.web`, `web` with the tag `v2`.

    httpx has made the letters of a host small, so a service whose name has large ones is found too.
    """
    if _offered(catalog, host):
        return Wish(host)
    *tags, last = host.split(".")
    if tags and _offered(catalog, last):
        return Wish(last, tuple(tags))
    for name in catalog.names():
        if name.lower() in (host, last):
            return Wish(name, () if name.lower() == host else tuple(tags))
    # Of the two that are not there, the one that would be known if it were.
    if tags and _offered(catalog, host) is None and _offered(catalog, last) is not None:
        return Wish(last, tuple(tags))
    return Wish(host)


def _offered(catalog: Mirror, name: str) -> Sequence[Instance] | None:
    """None: the replica does not follow that service."""
    try:
        return catalog.offered(name)
    except NotFoundError:
        return None


class _Timeouts(dict[str, float | None]):
    """The caller's timeouts, and never more than is left.

    Transports ask when each step begins: once for all that is written, and once for the head of the answer,
    however many reads that takes.
    """

    def __init__(self, given: dict[str, float | None], until: float | None, connect: float | None) -> None:
        super().__init__(given)
        self.until = until
        """Monotonic seconds; None: only the caller's own. So it is for the body of the answer."""
        if connect is not None:
            own = given.get("connect")
            self["connect"] = connect if own is None else min(own, connect)

    def get(self, key: str, default: Any = None) -> Any:
        value = self[key] if key in self else default  # noqa: SIM401 - that would be this very method
        if self.until is None:
            return value
        left = max(self.until - time.monotonic(), LEAST_SECONDS)
        return left if value is None else min(value, left)


class Attempt:
    """One sending of the request to one instance."""

    __slots__ = ("_end", "began", "instance", "request", "timeouts")

    def __init__(
        self, instance: Instance, request: httpx.Request, timeouts: _Timeouts, end: Callable[..., bool]
    ) -> None:
        self.instance = instance
        self.request = request
        self.timeouts = timeouts
        self.began = time.monotonic()
        self._end: Callable[..., bool] | None = end

    def end(self, ok: bool | None, seconds: float | None = None) -> None:
        """Counts it, once."""
        end, self._end = self._end, None
        if end is not None:
            end(ok, seconds)


class Call:
    """See the module.

    Args:
        catalog: what is called from.
        budget: shared by all calls of a transport.
        options: what holds for this request.
        wish: the service.
        request: as the caller made it.
    """

    def __init__(
        self, catalog: Mirror, budget: RetryBudget, options: Options, wish: Wish, request: httpx.Request
    ) -> None:
        self._catalog = catalog
        self._budget = budget
        self._options = options
        self._wish = wish
        self._request = request
        self._tags = (*options.tags, *wish.tags)
        self._given: dict[str, float | None] = request.extensions.get("timeout", {})
        self._is_whole = isinstance(request.stream, httpx.ByteStream)
        """The body is in memory: two may send it, and whoever sends it can be left for another."""
        # To read a body from somewhere takes as long as that takes.
        patience = options.deadline or (self._given.get("read") if self._is_whole else None)
        self._deadline = None if patience is None else time.monotonic() + patience
        self.tried: list[Tried] = []
        self._instances: list[Instance] = []
        self._has_waited = False
        self._has_reserve = False
        """A retry of the budget is held for who is hurried now."""
        self._error: httpx.TransportError | None = None
        self.is_idempotent = (
            request.method in IDEMPOTENT or "idempotency-key" in request.headers
            if options.retry is None
            else options.retry
        )
        with _BUDGETS:
            budget.called()

    # -- what a driver asks -------------------------------------------------------------------------------

    def first(self) -> Attempt:
        """The first attempt.

        Raises:
            NoInstanceError: there is nobody to call.
        """
        instance = self._pick()
        if instance is None:
            raise NoInstanceError(self._why_nobody(), request=self._request)
        return self._attempt(instance)

    def another(self) -> Attempt | None:
        """One more, if there may be one."""
        instance = self._pick() if self._may_go_on() else None
        if instance is None or not self._may_retry():
            return None
        return self._attempt(instance)

    def over(self) -> None:
        """Nothing more is asked, whatever came of it. Only the body may still be on its way."""
        if self._has_reserve:
            self._has_reserve = False
            with _BUDGETS:
                self._budget.settle(used=False)

    def failed(self, attempt: Attempt, error: httpx.TransportError) -> Attempt | None:
        """What to do after an error; None: `give_up`."""
        self._note(attempt, _words(error))
        self._error = error
        if isinstance(error, _NO_FAULT):
            attempt.end(None)
            return None
        attempt.end(False)
        self._has_waited = self._has_waited or isinstance(error, httpx.ReadTimeout)
        return self.another() if self.is_idempotent or isinstance(error, _UNSENT) else None

    def answered(self, attempt: Attempt, status: int) -> Attempt | None:
        """What to do instead of taking this answer; None: take it."""
        if status not in self._options.retry_statuses or not self.is_idempotent:
            return None
        following = self.another()
        if following is not None:
            self._note(attempt, str(status))
            attempt.end(False)
        return following

    def accept(self, attempt: Attempt, response: httpx.Response) -> Callable[[bool], None]:
        """This is the answer; what is returned is called when its body is done with."""
        seconds = self._note(attempt, str(response.status_code))
        # What follows is the caller's to wait for, as long as it likes.
        attempt.timeouts.until = None
        response.extensions["gossip"] = {"instance": attempt.instance, "tried": tuple(self.tried)}
        ok = response.status_code < 500

        def done(whole: bool) -> None:
            attempt.end(ok and whole, seconds)

        return done

    def drop(self, attempt: Attempt) -> None:
        """Another one was faster, or nobody waits any more."""
        attempt.end(None)

    def give_up(self) -> NoReturn:
        """Raises the last error again, in its own class, with all that was tried."""
        error = self._error or httpx.ReadTimeout("no answer")
        told = "; ".join(map(str, self.tried))
        raised = type(error)(f"{self._wish.name}: {told}", request=self._request)
        raised.tried = tuple(self.tried)  # type: ignore[attr-defined]
        raise raised from error

    @property
    def hedge_after(self) -> float | None:
        """Seconds after which a second instance is asked too; None: never."""
        return self._options.hedge if self.is_idempotent and self._is_whole else None

    # -- inside -------------------------------------------------------------------------------------------

    def _note(self, attempt: Attempt, outcome: str) -> float:
        seconds = time.monotonic() - attempt.began
        self.tried.append(Tried(attempt.instance, outcome, seconds))
        return seconds

    def _may_go_on(self) -> bool:
        return (
            len(self._instances) < self._options.attempts
            and (self._deadline is None or time.monotonic() < self._deadline)
            and is_repeatable(self._request.stream)
        )

    def _may_retry(self) -> bool:
        with _BUDGETS:
            if not self._has_reserve:
                return self._budget.take(time.monotonic())
            self._has_reserve = False
            self._budget.settle(used=True)
            return True

    def _attempt(self, instance: Instance) -> Attempt:
        self._instances.append(instance)
        timeouts = self._timeouts()
        return Attempt(
            instance,
            _readdressed(self._request, instance, timeouts),
            timeouts,
            self._catalog.begin_call(instance),
        )

    def _pick(self) -> Instance | None:
        """One that has not been tried, and has a port: one without is only there to be seen."""
        options, avoid = self._options, self._instances
        while True:
            try:
                instance = self._catalog.pick(
                    self._wish.name,
                    tags=self._tags,
                    key=options.key,
                    near=options.near,
                    zone=options.zone,
                    subset=options.subset,
                    no_suspect=options.no_suspect,
                    avoid=avoid,
                )
            except NotFoundError:
                return None
            if instance.port:
                return instance
            avoid = [*avoid, instance]

    def _why_nobody(self) -> str:
        name = self._wish.name
        try:
            self._catalog.offered(name)
        except NotFoundError as problem:
            return str(problem)
        with_tags = f" with {', '.join(self._tags)}" if self._tags else ""
        return f"no instance of {name!r}{with_tags} may be called: see 'gossip lookup {name} --any --json'"

    def _timeouts(self) -> _Timeouts:
        options, until, now = self._options, self._deadline, time.monotonic()
        # Only who may be left for somebody else is hurried: there is one, and the budget will allow it.
        if not self._has_others():
            return _Timeouts(self._given, until, None)
        if not self._has_reserve:
            with _BUDGETS:
                self._has_reserve = self._budget.reserve(now)
            if not self._has_reserve:
                return _Timeouts(self._given, until, None)
        if until is not None and self.is_idempotent and self._is_whole and not self._has_waited:
            until = now + (until - now) * options.first_share
        return _Timeouts(self._given, until, options.connect_timeout)

    def _has_others(self) -> bool:
        """Whether somebody else could be picked after all that have been tried."""
        tried = len(self._instances)
        if tried >= self._options.attempts:
            return False
        offered = self._catalog.offered(self._wish.name)
        if len(offered) <= tried:
            return False
        tags, no_suspect = self._tags, self._options.no_suspect
        for each in offered:
            if (
                each.port
                and (not tags or set(tags).issubset(each.tags))
                and not (no_suspect and each.status == "suspect")
            ):
                if not tried:
                    return True
                tried -= 1
        return False


def _readdressed(request: httpx.Request, instance: Instance, timeouts: _Timeouts) -> httpx.Request:
    """The same request to the instance. The name in TLS stays as the caller has it, as `Host` does."""
    extensions = {**request.extensions, "timeout": timeouts}
    if request.url.scheme == "https":
        extensions.setdefault("sni_hostname", request.url.host)
    return Moved(request, instance.address, instance.port, extensions)


def nowhere(instance: Instance, problem: UnicodeError) -> httpx.ConnectError | None:
    """What came of an address that is none: whoever registers one may write what it likes.

    None: the problem is another one, as of a body that is made as it is sent.
    """
    try:
        instance.address.encode("idna")
    except UnicodeError:
        return httpx.ConnectError(f"{instance.address!r} is no address: {problem}")
    return None


def _words(error: httpx.TransportError) -> str:
    kind = type(error).__name__
    text = str(error)
    return f"{kind}: {text}" if text else kind
