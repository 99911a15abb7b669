"""What is fuzzed: for each target how inputs are made and bent, and how one is run.

`run` returns, or raises what no input may make it raise. A target keeps its world for `RENEW` inputs, as an
agent keeps its own, and begins with a new one then: so a finding comes with what was run before it.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
import trio

from gossip.api.access import Caller
from gossip.api.calls import Calls
from gossip.api.http.guard import Guard
from gossip.api.http.own import Own
from gossip.api.http.routes import Routes
from gossip.api.http.sse import EventStreams
from gossip.api.http.values import Request, Response
from gossip.api.jsonrpc import MAX_LINE_BYTES
from gossip.api.lookups import Lookups
from gossip.api.watch import Watches
from gossip.config import load
from gossip.config.access import Scope
from gossip.core.messages import Ack, Frame, KeyGrant, Listing, Packet, Verdict
from gossip.errors import ConfigError, LimitError, RemoteProtocolError
from gossip.wire.codec import encode
from gossip.wire.frames import FrameReader
from tests.api.world import FakeAgent
from tests.fuzz import bend, turns
from tests.fuzz.cast import ADDRESSES
from tests.fuzz.cluster import Kind, World
from tests.fuzz.deeds import ANSWER, Scene, bent_deeds, play, read, some_deeds
from tests.fuzz.http import Speech, serve
from tests.fuzz.questions import DnsQueries, Filters
from tests.fuzz.schema import make
from tests.fuzz.sealed import Sealed
from tests.fuzz.vocabulary import JSON_WORDS, METHODS, PARAMS, TOML_HEAD, TOML_WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from gossip.core.types import StreamId

__all__ = ["RENEW", "TARGETS", "Target"]

RENEW: Final = 256
MAX_MESSAGES: Final = 6
PLAINER: Final = 0.65
"""Of the inputs near another, those in which nothing happens besides: that costs more than a message."""
WORN: Final = 24
"""Inputs for which a world is kept in which little can happen any more."""
MEMORY: Final = Path("/dev/shm")
"""To write a file to a disk takes longer than to read settings from it."""
_write = msgspec.msgpack.Encoder().encode


class Target(Protocol):
    """One parser, with all that stands behind it."""

    def fresh(self, rng: random.Random) -> bytes:
        """A valid input."""

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        """An input near `data`."""

    def run(self, data: bytes) -> None:
        """Raises what is to be found."""

    def renew(self) -> None:
        """Begin with a new world."""


class Played:
    """Scenes in worlds of every kind; a little time passes after each."""

    union: Any
    """Of what is said."""
    count = 1
    """Messages of one scene, at most."""
    answers: tuple[Any, ...] = ()
    """What a stream that the node has dialled may begin with."""

    def __init__(self) -> None:
        self._made: list[bytes] = []
        self.renew()

    def renew(self) -> None:
        self._worlds: dict[int, World] = {}
        self._ages: Counter[int] = Counter()
        self._turn = 0

    def world(self, kind: int) -> World:
        """The one of that kind."""
        found = self._worlds.get(kind)
        if found is None:
            found = self._worlds[kind] = World(self._made, Kind(kind))
        return found

    def _worn(self, kind: int) -> World:
        """The same; a new one, if that was in use for a while and nothing is left of it."""
        self._ages[kind] += 1
        if self._ages[kind] > WORN and self.world(kind).is_spent:
            del self._worlds[kind]
            self._ages[kind] = 0
        return self.world(kind)

    def fresh(self, rng: random.Random) -> bytes:
        kind, deeds = rng.randrange(len(Kind)), some_deeds(rng)
        said = [self._message(kind, rng) for _ in range(rng.randint(1, self.count))]
        if ANSWER in deeds and self.answers:
            said[0] = encode(make(rng.choice(self.answers), self.world(kind), rng))
        return _write(Scene(kind, deeds, said))

    def _message(self, kind: int, rng: random.Random) -> bytes:
        return encode(make(self.union, self.world(kind), rng))

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        scene = read(data)
        choice = rng.random()
        kind, deeds, said = scene.kind, scene.deeds, scene.said
        if rng.random() < PLAINER:
            deeds = b""
        if choice < 0.05:
            kind = rng.randrange(len(Kind))
        elif choice < 0.25:
            deeds = bent_deeds(deeds, rng)
        elif isinstance(said, bytes):
            said = bend.blind(said, rng)
        else:
            said = self._bent(kind, said, rng)
        return _write(Scene(kind, deeds, said))

    def _bent(self, kind: int, said: list[bytes], rng: random.Random) -> list[bytes] | bytes:
        world = self.world(kind)
        at = rng.randrange(len(said) + 1)
        match rng.randrange(8):
            case 0 if sum(map(len, said)) < 100_000:
                return self.joined(world, said)
            case 1 if len(said) < MAX_MESSAGES:
                said[at:at] = [self._message(kind, rng)]
            case 2 if said:
                del said[at % len(said)]
            case _ if said:
                body = said[at % len(said)]
                said[at % len(said)] = bend.tree(body, rng, lambda raw: world.bent(raw, rng))
        return said

    def joined(self, world: World, said: list[bytes]) -> bytes:
        """The messages as the bytes that a peer would send."""
        raise NotImplementedError

    def run(self, data: bytes) -> None:
        self._turn += 1
        scene = read(data)
        world = self._worn(scene.kind)
        play(world, scene.deeds, lambda answers: self.hear(world, scene.said, answers))
        world.pass_time(0.05)

    def hear(self, world: World, said: list[bytes] | bytes, answers: bool, /) -> None:
        """Hand the messages in; `answers` those of a stream to where the node has dialled."""
        raise NotImplementedError


class Packets(Played):
    """Bodies of datagrams, on into the node."""

    union = Packet

    def joined(self, _world: World, said: list[bytes]) -> bytes:
        return b"".join(said)

    def hear(self, world: World, said: list[bytes] | bytes, _answers: bool) -> None:
        source = ADDRESSES[self._turn % len(ADDRESSES)]
        for body in [said] if isinstance(said, bytes) else said[:MAX_MESSAGES]:
            world.datagram(body, source)


class Frames(Played):
    """Streams: bodies that are sealed as frames, or bytes that are what they are."""

    union = Frame
    count = MAX_MESSAGES
    answers = (KeyGrant, KeyGrant, Listing, Verdict, Ack)

    def joined(self, world: World, said: list[bytes]) -> bytes:
        return b"".join(self._sealed(world, said))

    def _sealed(self, world: World, bodies: list[bytes]) -> list[bytes]:
        stream = world.theirs.stream()
        return [stream.seal(body) for body in bodies]

    def hear(self, world: World, said: list[bytes] | bytes, answers: bool) -> None:
        try:
            if isinstance(said, bytes):
                pieces = [said[at : at + 100] for at in range(0, len(said), 100)]
            else:
                pieces = self._sealed(world, said)
        except LimitError:
            return
        stream: StreamId | None
        if answers and world.dialled:
            stream = world.dialled.pop()[0]
        else:
            stream = world.node.stream_accepted(ADDRESSES[0], world.now)
            world.settle()
        if stream is not None:
            self._read(world, stream, pieces)

    def _read(self, world: World, stream: StreamId, pieces: list[bytes]) -> None:
        world.open.add(stream)
        reader = FrameReader(world.sealer.stream())
        reason = "eof"
        try:
            for piece in pieces:
                for body in reader.feed(piece):
                    world.frame(stream, body)
                    if stream not in world.open:
                        return
            reader.ended()
        except RemoteProtocolError as error:
            world.node.count(error.reason)
            reason = "malformed"
        world.open.discard(stream)
        world.node.stream_closed(stream, reason, world.now)
        world.settle()


class Config:
    """Configuration files: settings, or a `ConfigError` of one line."""

    def __init__(self) -> None:
        in_memory = MEMORY if MEMORY.is_dir() else None
        self._folder = tempfile.TemporaryDirectory(prefix="gossip-fuzz-", dir=in_memory)
        self._path = Path(self._folder.name) / "gossip.toml"

    def __del__(self) -> None:
        self._folder.cleanup()

    def renew(self) -> None:
        """Nothing is kept."""

    def fresh(self, rng: random.Random) -> bytes:
        return TOML_HEAD + b"\n".join(rng.choice(TOML_WORDS) for _ in range(rng.randint(0, 6)))

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        return bend.words(data, rng, TOML_WORDS)

    def run(self, data: bytes) -> None:
        self._path.write_bytes(data)
        try:
            load([self._path], {"HOME": "/nowhere"}, {})
        except ConfigError as error:
            if not str(error) or "\n" in str(error):
                raise AssertionError(f"not one line: {error!s}") from error


class _Client:
    """A connection to the socket that watches nothing and holds nothing."""

    def __init__(self, agent: FakeAgent) -> None:
        self.agent = agent
        self.held: set[str] = set()

    def need(self, scope: Scope, what: str) -> None:
        """It may do everything."""

    def watch_services(self, _question: object) -> bytes:
        return b'{"watch":1}'

    def watch_members(self) -> bytes:
        return b'{"watch":1}'

    def watch_events(self, _name: str | None) -> bytes:
        return b'{"watch":1}'

    def watch_logs(self, _level: str) -> bytes:
        return b'{"watch":1}'

    def watch_catalog(self) -> bytes:
        return b'{"watch":1}'

    def claim(self, _key: str) -> Any:
        return trio.CancelScope()

    def hold(self, key: str) -> None:
        self.held.add(key)

    def free(self, key: str) -> None:
        self.held.discard(key)


class Socket:
    """Lines of the local socket: each is answered by JSON, by nothing, or by what waits."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        agent = FakeAgent()
        agent.node.put(agent.node.id, "web", "web", 80, ("a",))
        self._waiting: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._answers: list[bytes] = []
        self._calls = Calls(
            agent, Caller(0, Scope.ADMIN), Lookups(agent), _Client(agent), self._waiting.append,
            self._answers.append, lambda: None,
        )  # fmt: skip

    def fresh(self, rng: random.Random) -> bytes:
        lines = []
        for _ in range(rng.randint(1, 3)):
            params = dict(rng.sample(PARAMS, rng.randint(0, 5)))
            asked = {
                "jsonrpc": "2.0",
                "id": rng.randrange(9),
                "method": rng.choice(METHODS),
                "params": params,
            }
            lines.append(json.dumps(asked).encode())
        return b"\n".join(lines) if rng.random() < 0.7 else b"[" + b",".join(lines) + b"]"

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        return bend.words(data, rng, JSON_WORDS)

    def run(self, data: bytes) -> None:
        for line in data[:MAX_LINE_BYTES].split(b"\n"):
            answer = self._calls.line(line)
            if answer is not None:
                self._answers.append(answer)
        if self._waiting:
            turns.run(self._wait)
        for answer in self._answers:
            if not answer.endswith(b"\n") or b"\n" in answer[:-1]:
                raise AssertionError(f"no line: {answer[:100]!r}")
            json.loads(answer)
        self._answers.clear()
        if self._calls.pending:
            raise AssertionError("a request has not ended")

    async def _wait(self) -> None:
        while self._waiting:
            await self._waiting.pop()()


class Http:
    """Connections of HTTP: whatever is said, nothing of ours fails, and what is answered is HTTP."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        agent = FakeAgent()
        agent.node.put(agent.node.id, "web", "web", 80, ("a",))
        self._routes = Routes()
        Own(agent, Lookups(agent), EventStreams(Watches(agent))).add_to(self._routes)
        self._routes.add("PUT", "/v1/echo/{name...}", _echo)
        self._guard = Guard(None, Scope.WRITE)
        self._speech = Speech()

    def fresh(self, rng: random.Random) -> bytes:
        return self._speech.fresh(rng)

    def bent(self, data: bytes, rng: random.Random) -> bytes:
        return self._speech.bent(data, rng)

    def run(self, data: bytes) -> None:
        turns.run(serve, self._routes, self._guard, data)


async def _echo(asked: Request) -> Response:
    return Response(200, asked.body, "text/plain")


TARGETS: Final[dict[str, type[Target]]] = {
    "packet": Packets,
    "frame": Frames,
    "sealed": Sealed,
    "config": Config,
    "socket": Socket,
    "http": Http,
    "dns": DnsQueries,
    "filter": Filters,
}
