"""A cluster of real agents whose every word passes through a relay; and what may be asked of them."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from gossip.ca import init, invite
from gossip.config.keyfile import show_key
from tests.agent.processes import Process, until
from tests.agent.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from tests.agent.relay import Datagram

__all__ = ["CLUSTER", "KEY", "Cluster", "asked", "counters", "found"]

KEY = bytes(range(0x40, 0x60))
CLUSTER = "treasury"
BURST = 32
"""Datagrams sent at a time: a socket holds some hundred while its agent is busy with something else."""
MARKER = b"\x63" + bytes(63)
"""A datagram of a layout that nobody knows: when it is counted, all that came before it has been read."""


def asked(agent: Process, method: str, **params: object) -> Any:
    with agent.ask() as ask:
        return ask.call(method, **params)


def counters(agent: Process) -> Counter[str]:
    return Counter(asked(agent, "agent.info")["counters"])


class Cluster:
    """Agents of these names, the first of them everybody's seed.

    Args:
        secret: the cluster's key; empty: in clear.
        invited: whether only whom the authority has invited is let in.
    """

    def __init__(self, folder: Path, *names: str, secret: bytes = KEY, invited: bool = False) -> None:
        self.folder = folder
        self.relay = Relay(*names)
        self.seed = self.relay.doors[names[0]].outside
        self.common = ["--cluster", CLUSTER, "--probe-period", "500ms"]
        if secret:
            file = folder / "cluster.key"
            file.touch(0o600)
            file.write_text(f"{show_key(secret)}\n")
            self.common += ["--key-file", str(file)]
        self._authority = folder / "ca.key"
        self._public = init(self._authority) if invited else ""
        self.agents = {name: self._agent(name) for name in names}
        self._stack = ExitStack()
        self._read = dict.fromkeys(names, 0)

    def _agent(self, name: str) -> Process:
        door = self.relay.doors[name]
        more = ["--advertise", door.outside, "--tag", f"colour=crimson-{name}"]
        if door.outside != self.seed:
            more += ["--join", self.seed]
        if self._public:
            token = invite(self._authority, CLUSTER, name, "", 60.0)
            more += ["--authority", self._public, "--invite", str(token)]
        folder = self.folder / name
        folder.mkdir()
        return Process(folder, *self.common, *more, name=name, bind=door.inside)

    def __getitem__(self, name: str) -> Process:
        return self.agents[name]

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.relay)
            for agent in self.agents.values():
                # Ended with the block, and all started before any is waited for.
                stack.push(agent)
                agent.start()
            for agent in self.agents.values():
                agent.ready()
            self.agree()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    # -- what they hold

    def statuses(self, name: str) -> dict[str, str]:
        rows = asked(self[name], "members.list")["members"]
        return {row["name"]: row["status"] for row in rows}

    def agree(self) -> None:
        """Wait until all are well and hold the same."""
        until("all agree", self._agrees)

    def _agrees(self) -> bool:
        everybody = dict.fromkeys(self.agents, "alive")
        if any(self.statuses(name) != everybody for name in self.agents):
            return False
        return len({asked(agent, "agent.info")["view"]["fingerprint"] for agent in self.agents.values()}) == 1

    def view(self, name: str) -> tuple[object, ...]:
        """All that an agent holds of others: members with their incarnations, services, fingerprint."""
        rows = asked(self[name], "members.list")["members"]
        services = asked(self[name], "services.list")["services"]
        return (
            sorted((row["name"], row["status"], row["incarnation"], row["address"]) for row in rows),
            [asked(self[name], "services.lookup", service=row["name"])["instances"] for row in services],
            asked(self[name], "agent.info")["view"]["fingerprint"],
        )

    def views(self) -> list[tuple[object, ...]]:
        return [self.view(name) for name in self.agents]

    def register(self, name: str, service: str) -> None:
        """A service of that agent's, until all know of it."""
        asked(self[name], "services.register", name=service, port=4_711, tags=["scarlet"])
        until("all know of it", lambda: all(self.instances(each, service) for each in self.agents))

    def deregister(self, name: str, service: str) -> None:
        asked(self[name], "services.deregister", id=service)
        until("all know of it", lambda: not any(self.instances(each, service) for each in self.agents))

    def instances(self, name: str, service: str) -> list[Any]:
        return list(asked(self[name], "services.lookup", service=service)["instances"])

    def forget(self) -> None:
        """From now on, only what is said and logged anew is shown."""
        self.relay.forget()
        self._read = {name: len(agent.events()) for name, agent in self.agents.items()}

    def happened(self, *events: str) -> list[dict[str, Any]]:
        """What of this stands in anybody's log."""
        rows = [row for name, agent in self.agents.items() for row in agent.events()[self._read[name] :]]
        return [row for row in rows if row["event"] in events]

    # -- what is done to them

    def restart(self, *names: str) -> None:
        for name in names:
            self[name].signal(signal.SIGTERM)
        for name in names:
            self[name].wait()
            self[name].start()
        for name in names:
            self[name].ready()

    def repeat(self, again: Sequence[Datagram], target: str) -> Counter[str]:
        """Give an agent these datagrams from whose they were; by how much its counters have risen then."""
        before = counters(self[target])
        for start in range(0, len(again), BURST):
            for each in again[start : start + BURST]:
                self.relay.send(each.source, target, each.data)
            self.has_read(target)
        return counters(self[target]) - before

    def has_read(self, name: str) -> None:
        """Wait until an agent has read all datagrams that were sent to it before now."""
        wanted = counters(self[name])["version"] + 1
        self.relay.send(next(iter(self.agents)), name, MARKER)
        until("it has read all", partial(self._has_counted, name, "version", wanted))

    def counted(self, name: str, reason: str, wanted: int) -> None:
        """Wait until an agent's counter has come to this."""
        until(f"{name} counts {wanted} of {reason}", partial(self._has_counted, name, reason, wanted))

    def _has_counted(self, name: str, reason: str, wanted: int) -> bool:
        return counters(self[name])[reason] >= wanted


def found(needles: Iterable[bytes], chunks: Iterable[bytes]) -> set[bytes]:
    """Which of these words stand in any of these bytes."""
    everything = b"\0\0".join(chunks)
    return {needle for needle in needles if needle in everything}
