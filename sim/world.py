"""A world: a clock, a network, hosts with agents, and what a scenario can do to them.

Everything that happens is a function of the scenario's code and the seed. Scenarios act between runs of
the clock: `run` for a while, or `run_until` something holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from gossip.core.events import Event
from gossip.core.node import Node
from gossip.core.params import LAN, Params
from gossip.core.types import Address
from gossip.wire.seal import ClearSealer
from sim.birth import bear
from sim.chance import derive, derive_bytes, threshold
from sim.clock import SECOND, Clock, MachineClock, microseconds
from sim.host import Disk, Everywhere, Host
from sim.journal import Journal, Teller
from sim.keys import SafeMaker
from sim.latency import Constant, Latency
from sim.life import Life, Maker, shipped
from sim.names import DEFAULT_PORT, Names
from sim.network import Link, Network, link
from sim.notary import Archive, AuthorityStandIn, Counted, Signer, StandIn
from sim.post import Encoded, Passed, Post
from sim.process import SESSION_BYTES, Process
from sim.processor import RECEIVE_BUFFER, Costs
from sim.streams import Streams
from sim.view import agree, describe

__all__ = ["World"]

LATENCY = Constant(500)
"""One way within a data centre, generously."""


class World:
    """Many cores in one virtual time.

    Args:
        seed: of all randomness.
        codec: whether messages travel as real bytes, or as the objects they are.
        sized: with the codec off, whether sizes are computed all the same.
        real_keys: whether facts are signed with Ed25519 instead of the stand-in.
        params: the settings of every node.
        latency, loss, duplication: of every link, until `network.default` is changed.
        trace: is given the story, line by line.
        keep_events: whether each host keeps the events of its node.
        costs: what handling costs of each agent's processor time; None: it takes no time.
        maker: makes the cores.
        invited_only: whether the world has an authority and its nodes admit only whom it has invited; each
            host that is added is, unless told otherwise.
        keys: makes the cluster's keys of each life (`sim.keys`); None: it speaks in clear.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        codec: bool = True,
        sized: bool = False,
        real_keys: bool = False,
        params: Params = LAN,
        latency: Latency = LATENCY,
        loss: float = 0.0,
        duplication: float = 0.0,
        cluster: str = "sim",
        trace: Teller | None = None,
        keep_events: bool = True,
        costs: Costs | None = None,
        maker: Maker = shipped,
        invited_only: bool = False,
        keys: SafeMaker | None = None,
    ) -> None:
        self.seed = seed
        self.params = params
        self.cluster = cluster
        self.clock = Clock()
        self.rng = derive(seed, "scenario")
        """For the scenario's own choices."""
        self.network = Network(self.clock, derive(seed, "network"), link(latency, loss, duplication))
        self.streams = Streams(self.clock, self.network, params.stream_timeout)
        self.names = Names()
        self.journal = Journal(trace)
        self.hosts: list[Host] = []
        self.receive_buffer = RECEIVE_BUFFER
        """Bytes that wait for a stopped process, overhead included, before datagrams are thrown away."""
        self.timers_first = False
        """A process that was stopped fires its timers before it reads, as one whose timers have threads."""
        self.watchers: list[Callable[[Host], None]] = []
        """Called with the host after each input to its node: where invariants are checked."""
        self.listeners: list[Callable[[Host, float, Event], None]] = []
        """Called with each event of each node, and when."""
        self._archive = Archive(cluster)
        self.authority: AuthorityStandIn | None = None
        """Invites and bans; there is none unless it is made before the first host."""
        self.invited_only = invited_only
        if invited_only:
            self.establish()
        self._codec = codec
        self._sized = sized
        self._real_keys = real_keys
        self._keep_events = keep_events
        self._costs = costs
        self._maker = maker
        self._keys = keys
        self._addresses = 0

    # Time

    @property
    def now(self) -> float:
        """Seconds since the world began."""
        return self.clock.now

    def run(self, seconds: float) -> None:
        """Let that much time pass."""
        self.clock.run(self.clock.now_us + microseconds(seconds))

    def run_until(self, predicate: Callable[[], object], limit: float, step: float = 0.010) -> float:
        """Let time pass until `predicate()` holds, which is asked every `step`; how long it took, in seconds.

        Raises:
            AssertionError: if it does not within `limit` seconds; with the seed and the state of the world.
        """
        begun, end = self.clock.now_us, self.clock.now_us + microseconds(limit)
        step_us = microseconds(step)
        while not predicate():
            if self.clock.now_us >= end:
                raise AssertionError(f"not within {limit} s\n{self.describe()}")
            self.clock.run(min(end, self.clock.now_us + step_us))
        return (self.clock.now_us - begun) / SECOND

    # Hosts and lives

    def establish(self) -> AuthorityStandIn:
        """Give the world an authority, before there are hosts."""
        self.authority = AuthorityStandIn(derive_bytes(self.seed, "authority"), self._archive)
        return self.authority

    def add(
        self,
        name: str | None = None,
        *,
        seeds: Iterable[Host | str] | None = None,
        start: bool = True,
        ephemeral: bool = False,
        tags: dict[str, str] | None = None,
        address: Address | None = None,
        advertise: Address | None = None,
        maker: Maker | None = None,
        invited: bool = True,
    ) -> Host:
        """Put up a machine with an agent. Its seed is the world's first host if `seeds` is not given.

        `maker` makes its cores, if they shall be others than the world's. Where there is an authority it
        has an invitation if it is `invited`.

        Raises:
            ValueError: if the address is taken.
        """
        number = len(self.hosts)
        disk = Disk(derive_bytes(self.seed, "identity", number, 0))
        clock = MachineClock(self.clock.now_us)
        host = Host(
            number, f"n{number}" if name is None else name, address or self._new_address(), disk, clock
        )
        chosen = self.hosts[:1] if seeds is None else seeds
        host.seeds = tuple(seed if isinstance(seed, str) else seed.spot for seed in chosen)
        host.ephemeral = ephemeral
        host.tags = tags or {}
        host.advertise = advertise
        host.maker = maker or self._maker
        if self.authority is not None and invited:
            secret = derive_bytes(self.seed, "invitation", number)
            node = StandIn(disk.secret, self._archive).id
            disk.warrant = self.authority.invite(node, secret)
        self.network.attach(host)
        self.hosts.append(host)
        if start:
            self.start(host)
        return host

    def grow(self, count: int, *, seeds: Iterable[Host | str] | None = None) -> list[Host]:
        """Add `count` hosts at once, all with the same seeds."""
        chosen = None if seeds is None else list(seeds)
        return [self.add(seeds=chosen) for _ in range(count)]

    def start(self, host: Host) -> None:
        """Start the agent of a host that has none running, from its disk.

        Raises:
            ValueError: if one is running.
        """
        if host.process is not None:
            raise ValueError(f"{host.name} is running")
        host.lives += 1
        rng = derive(self.seed, "process", host.number, host.lives)
        session = rng.randbytes(SESSION_BYTES)
        post = self._make_post(session)
        life = self._make_life(host)
        safe = None
        if self._keys is not None:
            safe = self._keys(host.disk.keys, life.notary, host.disk.secret, self.cluster)
            post = safe.seal(post, session)
            life = msgspec.structs.replace(life, locksmith=safe.locksmith, plan=host.disk.plan)
        host.id = life.notary.id
        process = host.process = Process(self, host, host.maker(life), life.notary, post, rng)
        process.safe = safe
        self._say(host, "starts")
        process.begin(self._costs_at(host))

    def crash(self, host: Host, *, machine: bool = False) -> None:
        """Kill the agent (its port is then closed, and refuses); or the whole `machine` (then silent)."""
        self._say(host, "is gone, machine and all" if machine else "is killed")
        self._end(host, silently=machine)
        host.up = not machine

    def restart(
        self,
        host: Host,
        *,
        identity: Literal["same", "new"] = "same",
        address: Address | Literal["same", "new"] = "same",
        registrations: Literal["kept", "lost"] = "kept",
        seeds: Iterable[Host | str] | None = None,
    ) -> None:
        """Start the agent again, after a `crash` if it is still running; the machine is up afterwards.

        A `new` identity is what a lost disk leads to: key, registrations and remembered addresses are
        gone. With `registrations="lost"` the key is kept.
        """
        if host.process is not None:
            self.crash(host)
        host.up = True
        if identity == "new" or host.ephemeral:
            host.disk = Disk(derive_bytes(self.seed, "identity", host.number, host.lives))
        if registrations == "lost":
            host.disk.records.clear()
            host.disk.lost = True
        if address != "same":
            self.network.detach(host)
            host.address = self._new_address() if address == "new" else address
            self.network.attach(host)
        if seeds is not None:
            host.seeds = tuple(seed if isinstance(seed, str) else seed.spot for seed in seeds)
        self.start(host)

    def leave(self, host: Host, *, stop: bool = True) -> None:
        """Have the agent leave; with `stop`, its process ends when the leaving is done."""
        self._say(host, "leaves")
        if stop:
            host.agent.leave_when_done()
        host.do(lambda node, now: node.leave(now))

    def hand_over(self, host: Host) -> None:
        """Have the agent stop as for an upgrade; its process ends when that is done."""
        self._say(host, "hands over")
        host.agent.leave_when_done()
        host.do(lambda node, now: node.hand_over(now))

    def finish(self, host: Host) -> None:
        """The agent ends by itself, its leaving done."""
        self._end(host, silently=False)

    # Slow, stopped and suspended

    @property
    def costs(self) -> Costs | None:
        """What handling costs of each agent's processor time; None: no time. May be set at any time."""
        return self._costs

    @costs.setter
    def costs(self, costs: Costs | None) -> None:
        self._costs = costs
        for host in self.hosts:
            if host.process is not None:
                host.process.set_costs(self._costs_at(host))

    def starve(self, host: Host, factor: int) -> None:
        """Let everything there take `factor` times as long as `costs` says (as `Costs()`, if that is None).

        With 1 the machine is as fast as the others again; a step under way still takes its time.

        Raises:
            ValueError: if the factor is below 1.
        """
        if factor < 1:
            raise ValueError(f"a machine is slower by a factor of at least 1, not {factor}")
        self._say(host, f"is {factor} times slower than others" if factor > 1 else "is as fast as others")
        host.slowness = factor
        if host.process is not None:
            host.process.set_costs(self._costs_at(host))

    def pause(self, host: Host) -> None:
        """Stop the process (SIGSTOP): its clock runs, its kernel works, it handles nothing."""
        self._say(host, "is stopped")
        host.agent.stop()

    def suspend(self, host: Host) -> None:
        """Suspend the machine: off the network, and its monotonic clock stands still."""
        self._say(host, "is suspended")
        host.agent.stop()
        host.up = False
        if host.suspended_us is None:
            host.suspended_us = self.clock.now_us
            host.clock.stop(self.clock.now_us)

    def resume(self, host: Host) -> None:
        """Undo `pause` or `suspend`."""
        self._say(host, "goes on")
        asleep_us = 0
        if host.suspended_us is not None:
            asleep_us = self.clock.now_us - host.suspended_us
            self._wake(host)
            host.up = True
        host.agent.resume(asleep_us)

    def jump_wall(self, host: Host, seconds: float) -> None:
        """Set the wall clock of a machine forward, or back."""
        host.wall_shift_us += microseconds(seconds)
        if host.process is not None:
            host.process.clock_moved(microseconds(seconds))

    def set_clock_rate(self, host: Host, ppm: int) -> None:
        """Have the monotonic clock of a machine run `ppm` parts per million fast from now on; below 0, slow.

        Its other clocks drift with it, so it cannot notice. Time that the world counts stays true: links,
        and the deadlines of streams.

        Raises:
            ValueError: if that is more than half as fast again, or as slow.
        """
        host.clock.set_rate(self.clock.now_us, ppm)
        self._say(host, f"has a clock that is {ppm} ppm fast")
        if host.process is not None:
            host.process.clock_turned()

    # The network

    def fail_sends(self, host: Host, on: bool = True) -> None:
        """Nothing that it sends gets out, as with `Host.mute`, but its agent is told so by each send."""
        self._say(host, "cannot send" if on else "can send")
        host.mute = on
        host.unsent = Everywhere() if on else None

    def withdraw_route(self, host: Host, *targets: Host) -> None:
        """Nothing that it sends to these gets out, as its agent is told; with none, all routes are back."""
        self._say(host, f"has no route to {', '.join(each.name for each in targets) or 'nobody'}")
        host.unsent = {each.address for each in targets} or None

    def partition(self, groups: Sequence[Iterable[Host]]) -> None:
        """Let nothing pass between the groups; hosts in none of them are one more group."""
        self.network.partition(groups, self.hosts)

    def heal(self) -> None:
        """Undo all partitions and cuts."""
        self.network.heal()

    def set_link(self, sender: Host, receiver: Host, line: Link | None) -> None:
        """Give one direction between two hosts a link of its own; None: none again."""
        self.network.set_link(sender, receiver, line)

    def set_loss(self, host: Host, *, incoming: float = 0.0, outgoing: float = 0.0) -> None:
        """Have a host lose these shares of what is sent to it and of what it sends, besides its links."""
        host.loss_in, host.loss_out = threshold(incoming), threshold(outgoing)

    # What can be seen

    def running(self) -> list[Host]:
        """The hosts whose agents are running, not stopped, in order."""
        return [host for host in self.hosts if host.is_running]

    def converged(self, hosts: Sequence[Host] | None = None) -> bool:
        """Whether these nodes (by default all that run) hold one view, and in it just themselves alive."""
        return agree(self.running() if hosts is None else hosts)

    def log_hash(self) -> str:
        """The hash of all messages delivered, and all that nodes told their watchers, so far."""
        return self.journal.digest()

    def note(self, host: Host, event: Event) -> None:
        """A node tells its watchers."""
        self.journal.happened(self.clock.now_us, host.number, host.name, event)
        now = self.clock.now
        if self._keep_events:
            host.events.append((now, event))
        for listener in self.listeners:
            listener(host, now, event)

    def describe(self) -> str:
        """Seed, time, and a line for each host: for a person who reads a failed test."""
        return describe(self)

    # Parts

    def _make_life(self, host: Host) -> Life:
        notary: Signer
        if self._real_keys:
            notary = Counted(host.disk.secret, self.cluster)
        else:
            notary = StandIn(host.disk.secret, self._archive)
        rng = derive(self.seed, "node", host.number, host.lives)
        return bear(
            host,
            notary,
            cluster=self.cluster,
            params=self.params,
            rng=rng,
            now_us=self.clock.now_us,
            invited_only=self.invited_only,
        )

    def _wake(self, host: Host) -> None:
        host.suspended_us = None
        host.clock.go(self.clock.now_us)

    def _costs_at(self, host: Host) -> Costs | None:
        if host.slowness > 1:
            return (self._costs or Costs()).times(host.slowness)
        return self._costs

    def _make_post(self, session: bytes) -> Post:
        return Encoded(ClearSealer(self.cluster, session)) if self._codec else Passed(sized=self._sized)

    def _new_address(self) -> Address:
        self._addresses += 1
        number = self._addresses
        return (f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", DEFAULT_PORT)

    def _end(self, host: Host, *, silently: bool) -> None:
        process = host.process
        if process is None:
            return
        host.disk.addresses = list(process.node.remembered())
        if isinstance(process.node, Node):
            host.disk.bans = [fact.raw for fact in process.node.bans]
            host.disk.used = process.node.used_invitations
        host.process = None
        if host.suspended_us is not None:
            self._wake(host)
        process.end(silently=silently)

    def _say(self, host: Host, what: str) -> None:
        self.journal.say(self.clock.now_us, f"{host.name} {what}")
