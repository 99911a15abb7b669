"""`agent/join`, `leave`, `reload`, `monitor`, `metrics`, `host`, `operator/keyring`: the agent itself."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import trio

from gossip import log
from gossip.api.consul import bodies
from gossip.api.consul.questions import switch
from gossip.api.consul.registering import DONE
from gossip.api.consul.words import Refusal
from gossip.api.http.routes import READING
from gossip.api.http.values import JSON, Later, Response, Streamed
from gossip.config.keyfile import parse_key
from gossip.core.keys import KeyState
from gossip.core.types import Status
from gossip.errors import CryptoError, GossipError, NotFoundError
from gossip.wire.keyring import mark_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from gossip.api.consul.context import Context
    from gossip.api.consul.table import Table
    from gossip.api.http.metrics import Metrics
    from gossip.api.http.values import Request, Send

__all__ = ["Running"]

JOIN_SECONDS: Final = 10.0
LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "err": logging.ERROR,
    "error": logging.ERROR,
}
MAX_LINES: Final = 1_024
"""Of the log that wait for a reader; what it does not read in time it is told the number of."""
MAX_MONITORS: Final = 16
SENDING, RETIRED = KeyState.SENDING.label, KeyState.RETIRED.label
LIVE: Final = (Status.ALIVE.label, Status.SUSPECT.label)
NO_WAN: Final = "There is one network: this agent joins no others"
NO_KEYS: Final = "Keyring is empty (encryption not enabled)"


class Running:
    """The handlers.

    Args:
        metrics: as they are scraped.
        spawn: runs something beside the answer.
    """

    def __init__(
        self, context: Context, metrics: Metrics, spawn: Callable[[Callable[[], Awaitable[None]]], None]
    ) -> None:
        self._context = context
        self._agent = context.agent
        self._metrics = metrics
        self._spawn = spawn
        self._monitors = 0

    def add_to(self, table: Table) -> None:
        """Put them into the table."""
        table.add("PUT", "agent/join/", self.join)
        table.add("PUT", "agent/leave", self.leave)
        table.add("PUT", "agent/force-leave/", self.force_leave)
        table.add("PUT", "agent/reload", self.reload)
        table.add("GET", "agent/monitor", self.monitor)
        table.add("GET", "agent/metrics", self.metrics)
        table.add("GET", "agent/host", self.host)
        for method in ("GET", "POST", "PUT", "DELETE"):
            table.add(method, "operator/keyring", self.keyring)

    # ----------------------------------------------------------------------------------------- cluster

    async def join(self, asked: Request) -> Response | Later:
        """Ask an address to be let in; answers when that is done, or why it is not."""
        address = asked.params["rest"]
        if not address:
            raise Refusal(400, "Missing address to join")
        if switch(asked, "wan"):
            raise Refusal(501, NO_WAN)

        async def work() -> Response:
            outcome = ("", False, f"no answer within {JOIN_SECONDS:g} s")
            with trio.move_on_after(JOIN_SECONDS):
                (outcome,) = await self._agent.join([address])
            if not outcome[1]:
                raise Refusal(500, f"Failed to join {address[:256]}: {outcome[2]}")
            return DONE

        return Later(work)

    async def leave(self, _asked: Request) -> Response:
        """Answers first, then leaves, and ends the agent."""

        async def go() -> None:
            await self._agent.leave()
            self._agent.end()

        self._spawn(go)
        return DONE

    async def force_leave(self, asked: Request) -> Response:
        """Have a dead member count as left. One that lives is left alone: it would be back at once."""
        name = asked.params["rest"]
        if switch(asked, "wan"):
            raise Refusal(501, NO_WAN)
        try:
            member = self._agent.node.find(name.removesuffix(f".{self._agent.cluster}"))
        except NotFoundError:
            raise Refusal(500, f"agent: No node found with name '{name[:256]}'") from None
        if member.status is Status.DEAD:
            self._agent.evict(member.id)
        elif member.status is not Status.LEFT:
            detail = "it is not dead, so that it would be back at once: nothing was done"
            log.note(logging.WARNING, "force_leave", name=member.name, detail=detail)
        return DONE

    async def reload(self, _asked: Request) -> Response:
        """Read the configuration again."""
        try:
            await self._agent.reload_files()
        except GossipError as error:
            raise Refusal(500, f"Failed to reload: {error}") from error
        return DONE

    async def keyring(self, asked: Request) -> Response:
        """The keys that seal what travels."""
        ring = self._agent.keys()
        if not ring.keys:
            raise Refusal(500, NO_KEYS)
        if asked.method not in READING:
            await self._change_keys(asked)
            return DONE
        live = [member for member in ring.members if member.status in LIVE]
        states = [member.keys or {} for member in live]
        row = {
            "WAN": False,
            "Datacenter": self._agent.cluster,
            "Segment": "",
            "Keys": {
                key.mark: sum(held.get(key.mark, RETIRED) != RETIRED for held in states)
                for key in ring.keys
                if key.state != RETIRED
            },
            "PrimaryKeys": {
                key.mark: sum(held.get(key.mark) == key.state for held in states)
                for key in ring.keys
                if key.state == SENDING
            },
            "NumNodes": len(live),
        }
        return self._context.kept(asked, [row])

    async def _change_keys(self, asked: Request) -> None:
        """Consul names a key by itself. Here that is asked only of one that is new: marks name the others."""
        given = bodies.decode(asked.body, bodies.KEY).get("Key", "")
        what = {"POST": "add", "PUT": "use", "DELETE": "remove"}[asked.method]
        name = given
        if what != "add":
            with contextlib.suppress(CryptoError):
                name = mark_of(parse_key(given)).hex()
        try:
            if what == "add":
                await self._agent.change_keys(what, "", given, insist=False)
            else:
                await self._agent.change_keys(what, name, "", insist=False)
        except GossipError as error:
            raise Refusal(400 if isinstance(error, CryptoError) else 500, str(error)) from error

    # --------------------------------------------------------------------------------- what it looks like

    async def monitor(self, asked: Request) -> Response | Streamed:
        """The log from a level on, until the client goes."""
        word = asked.text("loglevel").lower() or "info"
        if word not in LEVELS:
            raise Refusal(400, f"Bad request: Unknown log level: {asked.text('loglevel')[:64]}")
        if self._monitors >= MAX_MONITORS:
            raise Refusal(429, f"{MAX_MONITORS} clients follow the log already: close some")
        formatter = log.formatter("json" if switch(asked, "logjson") else "text")

        async def produce(send: Send) -> None:
            lines: deque[str] = deque()
            missed = 0
            token = trio.lowlevel.current_trio_token()
            came = trio.lowlevel.ParkingLot()

            def take(record: logging.LogRecord) -> None:
                nonlocal missed
                if len(lines) < MAX_LINES:
                    lines.append(formatter.format(record))
                else:
                    missed += 1
                # Worker threads write lines too.
                token.run_sync_soon(came.unpark_all, idempotent=False)

            self._monitors += 1
            log.watch(take, LEVELS[word])
            try:
                while True:
                    while lines:
                        text = "\n".join(lines) + "\n"
                        lines.clear()
                        if missed:
                            text, missed = f"{text}... {missed} lines were not read in time\n", 0
                        await send(text.encode())
                    await came.park()
            finally:
                self._monitors -= 1
                log.unwatch(take)

        return Streamed(produce, content_type=JSON if switch(asked, "logjson") else "text/plain")

    async def metrics(self, asked: Request) -> Response:
        """What Prometheus scrapes, in its words or in those of Consul."""
        if asked.text("format") == "prometheus":
            return Response(200, self._metrics.render(), self._metrics.content_type)
        gauges: list[dict[str, Any]] = []
        counters: list[dict[str, Any]] = []
        for family, labels, value in self._metrics.samples():
            row: dict[str, Any] = {"Name": f"gossip.{family.name}", "Labels": labels}
            if family.is_counter:
                sums = dict.fromkeys(("Sum", "Min", "Max", "Mean"), float(value))
                counters.append({**row, **sums, "Count": int(value), "Rate": 0.0, "Stddev": 0.0})
            else:
                gauges.append({**row, "Value": float(value)})
        whole = {
            "Timestamp": time.strftime("%Y-%m-%d %H:%M:%S +0000 UTC", time.gmtime()),
            "Gauges": gauges,
            "Points": [],
            "Counters": counters,
            "Samples": [],
        }
        return self._context.kept(asked, whole)

    async def host(self, asked: Request) -> Response:
        """The machine, as far as it tells without asking around."""
        system = os.uname()
        value = {
            "Memory": _memory(),
            "CPU": [{"cpu": number} for number in range(os.cpu_count() or 1)],
            "Host": {
                "hostname": system.nodename,
                "os": system.sysname.lower(),
                "platform": platform.system().lower(),
                "kernelVersion": system.release,
                "kernelArch": system.machine,
            },
            "Disk": None,
            "CollectionTime": time.time_ns(),
            "Errors": None,
        }
        return self._context.kept(asked, value)


def _memory() -> dict[str, int]:
    names = {"MemTotal": "total", "MemAvailable": "available", "MemFree": "free", "Cached": "cached"}
    found = {}
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123 - a file of the kernel's
            for line in lines:
                key, _, rest = line.partition(":")
                if key in names:
                    found[names[key]] = int(rest.split()[0]) * 1024
    except (OSError, ValueError):
        pass
    return found
