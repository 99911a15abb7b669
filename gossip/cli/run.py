"""The command `run`: a program that is registered while it is ready.

What happens, in order:

- No agent, no start (status 3), so that a mistake in a unit file shows at once; `--wait-agent` waits.
- The program starts in a process group of its own: a terminal's Ctrl-C comes to us alone, and callers
  are sent elsewhere before the program hears of it.
- Ready: its port accepts a connection. With checks, the agent's first good check decides, and until
  then the service is registered and critical; with neither, ready at once.
- Registered over a connection that we hold. If we are killed, the kernel closes it and the agent
  takes the service back at once; the program gets SIGTERM (Linux does that for us).
- SIGTERM and SIGINT: deregistered first, then `--drain` is waited, then the signal is passed on; a
  second one is passed on at once. Other signals are passed on as they come.
- The agent going away ends nothing: registered again when it is back.
- The program's end: deregistered, and its status is ours.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from typing import TYPE_CHECKING

from gossip.cli.check_options import definitions
from gossip.cli.child import Child
from gossip.cli.holding import RETRY_SECONDS, Holding
from gossip.cli.output import complain
from gossip.cli.signals import Signals
from gossip.errors import GossipError, UnreachableError

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["run"]

PROBE_SECONDS = 0.1
"""Between looks at whether the program is ready."""
CONNECT_SECONDS = 0.5
KILL_SECONDS = 10.0
"""After SIGTERM to a program that we stop ourselves."""

NOT_FOUND, NOT_ALLOWED, FAILED = 127, 126, 1

_STOP = (signal.SIGINT, signal.SIGTERM)
_PASS_ON = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGQUIT, signal.SIGWINCH)


def run(options: Namespace) -> int:
    """Runs the program to its end; its exit status, or 128 + the signal that ended it."""
    params = _params(options)
    holding = Holding(options.socket, params)
    with Signals((*_STOP, *_PASS_ON, signal.SIGCHLD)) as signals:
        stopped = _connect(holding, signals, wait=options.wait_agent)
        if stopped:
            return 128 + stopped
        try:
            return _Runner(options, holding, signals).run()
        finally:
            holding.withdraw()


def _params(options: Namespace) -> Message:
    name, port = options.service
    given = {"address": options.address, "weight": options.weight}
    params: Message = {key: value for key, value in given.items() if value is not None}
    # The agent's own choice is the name, and two programs of one name on a node would share it.
    params["id"] = options.id or (f"{name}-{port}" if port else name)
    params |= {"name": name, "port": port, "tags": options.tag, "meta": dict(options.meta)}
    if checks := definitions(options):
        params["checks"] = checks
    return params


def _connect(holding: Holding, signals: Signals, *, wait: bool) -> int:
    """0 once the agent is there; the signal that was to stop us while we waited."""
    told = False
    while True:
        try:
            holding.connect()
        except UnreachableError as problem:
            if not wait:
                raise
            if not told:
                complain(f"{problem}; waiting for it")
            told = True
        else:
            return 0
        select.select([signals], [], [], RETRY_SECONDS)
        for number in signals.take():
            if number in _STOP:
                return number


class _Runner:
    def __init__(self, options: Namespace, holding: Holding, signals: Signals) -> None:
        _, self._port = options.service
        self._hosts = holding.hosts if options.address is None else [options.address]
        self._command: list[str] = options.command
        self._has_checks = bool(options.checks)
        self._drain: float = options.drain
        self._patience: float = options.ready_timeout or float("inf")
        self._holding = holding
        self._signals = signals
        self._wants = False
        """It is to be registered."""
        self._is_ready = False
        self._is_stopping = False
        self._drained = self._kill_at = float("inf")
        """Monotonic seconds."""
        self._signal = 0
        """What is passed on then."""
        self._failure = 0
        """Our own status, if it is not the program's."""

    def run(self) -> int:
        probes = self._port and not self._has_checks
        if probes and self._accepts():
            complain(f"something listens on port {self._port} already: ready may be said too early")
        try:
            self._child = Child(self._command)
        except OSError as problem:
            complain(f"{self._command[0]!r} cannot be started: {problem.strerror or problem}")
            return NOT_FOUND if isinstance(problem, FileNotFoundError) else NOT_ALLOWED
        self._signals.at_once = self._pass_on
        self._ready_by = time.monotonic() + self._patience
        self._wants = not probes
        try:
            while not self._child.reap():
                for number in self._signals.take():
                    # Those to be passed on are here only if they came before the program did.
                    if number in _STOP:
                        self._obey(number)
                    else:
                        self._pass_on(number)
                self._wait(self._step(time.monotonic()))
        finally:
            self._signals.at_once = None
            self._holding.withdraw()
            self._child.end()
        return self._failure or self._child.status or 0

    def _pass_on(self, number: int) -> bool:
        """From a signal's handler: whether there is nothing more to do about it."""
        if number in _PASS_ON:
            self._child.send(number)
            return True
        return number == signal.SIGCHLD

    def _obey(self, number: int) -> None:
        """SIGTERM or SIGINT."""
        if self._is_stopping or not self._holding.was_registered:
            self._pass(number)
            return
        self._holding.withdraw()
        self._is_stopping = True
        self._signal = number
        self._drained = time.monotonic() + self._drain

    def _pass(self, number: int) -> None:
        self._is_stopping = True
        self._drained = float("inf")
        self._child.send(number)

    def _step(self, now: float) -> float:
        """Does what is due; when there is more to do, in monotonic seconds."""
        if self._is_stopping:
            if now >= self._drained:
                self._pass(self._signal)
            if now >= self._kill_at:
                self._kill_at = float("inf")
                self._child.send(signal.SIGKILL)
            return min(self._drained, self._kill_at)
        if not self._wants:
            self._wants = self._accepts()
        if self._wants and not self._holding.is_registered and now >= self._holding.next_try:
            self._register()
        if self._failure:
            return now
        if not self._is_ready:
            self._look()
            # While the agent is away nobody can say that a check has passed: no fault of the program.
            is_late = now >= self._ready_by and (self._holding.is_registered or not self._wants)
            if is_late and not self._is_ready:
                self._stop(f"the program was not ready within {self._patience:g} s, and is stopped")
            return now + PROBE_SECONDS
        return float("inf") if self._holding.is_registered else self._holding.next_try

    def _register(self) -> None:
        try:
            self._holding.register()
        except GossipError as problem:
            self._stop(f"{problem}; the program is stopped")

    def _look(self) -> None:
        """Whether it is ready by now. What the port or the start says stands without an agent."""
        self._is_ready = self._wants and (not self._has_checks or self._holding.is_callable())

    def _stop(self, why: str) -> None:
        complain(why)
        self._failure = FAILED
        self._holding.withdraw()
        self._kill_at = time.monotonic() + KILL_SECONDS
        self._pass(signal.SIGTERM)

    def _accepts(self) -> bool:
        """Whether something accepts connections at the port."""
        for host in self._hosts:
            try:
                with socket.create_connection((host, self._port), CONNECT_SECONDS):
                    return True
            except OSError:
                continue
        return False

    def _wait(self, until: float) -> None:
        waiting: list[Signals | Holding] = [self._signals]
        if self._holding.fileno() >= 0:
            waiting.append(self._holding)
        left = until - time.monotonic()
        ready, _, _ = select.select(waiting, [], [], None if left == float("inf") else max(left, 0.0))
        if self._holding in ready:
            self._holding.listen()
