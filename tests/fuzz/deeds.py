"""What happens in a fuzzed world besides the messages: time, the disk, the operator, peers that follow.

An input is a `Scene`: in which kind of world, what happens, and what is said when. So a single input can have
a change of keys run through all its steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import msgspec
from msgspec import Meta

from gossip.core.keys import KeyState
from gossip.core.messages import Gossip
from gossip.core.records import KeyRecord
from gossip.errors import GossipError, NotFoundError, RefusedError
from tests.fuzz import cast
from tests.fuzz.cast import ADDRESSES, NOW, PEERS, SECRETS
from tests.fuzz.cluster import Kind, World

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from gossip.wire.keyring import Key

__all__ = ["ANSWER", "DEEDS", "Scene", "bent_deeds", "play", "read", "some_deeds"]

MAX_DEEDS: Final = 8
WITHOUT: Final = 0.7
"""Of the inputs, those in which nothing happens but what is said."""
TOLD: Final = 0.3
"""Of the others, those in which one of `STORIES` does."""


class Scene(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One input."""

    kind: Annotated[int, Meta(ge=0, le=len(Kind) - 1)]
    deeds: Annotated[bytes, Meta(max_length=MAX_DEEDS)]
    """Numbers of `DEEDS`; the message comes after them, if none of them is to hear it."""
    said: list[bytes] | bytes
    """Bodies of messages; or bytes that are what they are."""


_read = msgspec.msgpack.Decoder(Scene).decode


def read(data: bytes) -> Scene:
    """The scene of its bytes; what is none is said in a plain world."""
    try:
        return _read(data)
    except (ValueError, RecursionError):
        return Scene(0, b"", data)


def some_deeds(rng: random.Random) -> bytes:
    """Mostly nothing."""
    if rng.random() < WITHOUT:
        return b""
    if rng.random() < TOLD:
        return bytes(map(_NAMES.index, rng.choice(STORIES)))
    return bytes(rng.randrange(len(DEEDS)) for _ in range(rng.choice((1, 1, 1, 2, 4, MAX_DEEDS))))


def bent_deeds(deeds: bytes, rng: random.Random) -> bytes:
    """One more, one less, or another."""
    at = rng.randrange(len(deeds) + 1)
    one = bytes([rng.randrange(len(DEEDS))])
    match rng.randrange(4):
        case 0:
            found = deeds[:at] + deeds[at + 1 :]
        case 1:
            found = deeds[:at] + one + deeds[at + 1 :]
        case _:
            found = deeds[:at] + one + deeds[at:]
    return found[:MAX_DEEDS]


def play(world: World, deeds: bytes, hear: Callable[[bool], None]) -> None:
    """Do one after the other.

    `hear` says what the input has to say: as an answer, where the node has dialled, or unasked.
    """
    heard = False
    for number in deeds:
        name = _NAMES[number] if number < len(_NAMES) else "hear"
        if name in ("hear", "answer"):
            hear(name == "answer")
            heard = True
            continue
        try:
            DEEDS[name](world)
        except (RefusedError, NotFoundError):
            # What the operator is told, who asks for what cannot be.
            world.node.count("refused")
        world.settle()
    if not heard:
        hear(False)


# -------------------------------------------------------------------------------------- time, and others


def _doubt(world: World) -> None:
    world.now += 3.0
    world.node.pulse(3.0, 0.0, True, 0, world.now)


def _hang_up(world: World) -> None:
    if world.dialled:
        world.hang_up()


def _say_keys(world: World, state: KeyState) -> None:
    """All peers follow the change that the node takes part in."""
    plan = world.node.plan
    target = plan.target or cast.NEXT_KEY
    keys = [(target, int(state))]
    if target != cast.NOW_KEY:
        keys.append((cast.NOW_KEY, int(KeyState.RECEIVING if state else KeyState.SENDING)))
    world.version += 1
    for peer in PEERS:
        record = KeyRecord(peer.id, world.version, "", plan.epoch, plan.target, False, tuple(keys))
        _tell(world, cast.issued(peer, record))


def _tell(world: World, raw: bytes) -> None:
    world.node.receive(Gossip(cast.STRANGER.id, (raw,)), ADDRESSES[0], world.now)
    world.settle()


def _unreadable(world: World) -> None:
    """A peer seals under a key that is not here."""
    world.node.unreadable(ADDRESSES[0], world.now)


# ------------------------------------------------------------------------------------------ the operator


def _alter(world: World, change: Callable[[], Key | None]) -> Key | None:
    """As `keeping` has keys changed by its user."""
    if not world.kind:
        return None
    key = change()
    world.node.keys_changed(world.now)
    return key


def _add(world: World) -> None:
    _alter(world, lambda: _added(world, SECRETS[2]))


def _added(world: World, secret: bytes) -> Key:
    try:
        return world.ring.add(secret)
    except GossipError as problem:
        raise RefusedError(str(problem)) from None


def _remove(world: World) -> None:
    held = world.ring.held()

    def remove() -> None:
        mark = next((key.mark for key in held if key.state is not KeyState.SENDING), b"")
        if mark == world.node.plan.target and world.node.is_rotating:
            raise RefusedError("a change to that key is under way")
        world.ring.remove(mark)

    _alter(world, remove)


def _rotate(world: World) -> None:
    """To a key that is here and that nobody seals with yet."""
    for key in world.ring.held():
        if world.kind and key.state is KeyState.RECEIVING:
            world.node.refuse_rotation(key.mark)
            world.node.rotate(key.mark, world.now)
            return


def _rotate_to_new(world: World) -> None:
    def add() -> Key:
        key = _added(world, SECRETS[3])
        if key.state is KeyState.SENDING:
            raise RefusedError("it is in use")
        return key

    key = _alter(world, add)
    if key is not None:
        world.node.rotate(key.mark, world.now)


def _insist(world: World) -> None:
    if world.kind:
        world.node.insist(world.now)


def _ban(world: World) -> None:
    raw = cast.AUTHORITY.ban(PEERS[3].id, "p5", "", NOW).raw
    world.node.check_ban(raw)
    world.node.ban(raw, world.now)


def _ban_me(world: World) -> None:
    _tell(world, cast.AUTHORITY.ban(world.me.id, "me", "gone", NOW).raw)


def _evict(world: World) -> None:
    world.node.evict(PEERS[0].id, world.now)


def _serve(world: World) -> None:
    node = world.node
    node.publish(node.prepare_service("web", "web", "", 80, ("a",), {}, 1, checked=True), world.now)
    node.publish(node.prepare_status("web", (("up", 2),)), world.now)


def _unserve(world: World) -> None:
    world.node.publish(world.node.prepare_deletion("web"), world.now)


def _raise_floor(world: World) -> None:
    world.node.raise_floor(world.node.next_version(), world.now)


def _examine(world: World) -> None:
    ids = [peer.id for peer in PEERS[:2]]
    world.node.examine(ids, ids, 2.0, world.now)


def _event(world: World) -> None:
    world.node.send_event("deploy", b"x", world.now)


def _join(world: World) -> None:
    world.node.join(("seed",), world.now)
    world.settle()


DEEDS: Final[dict[str, Callable[[World], None]]] = {
    "hear": lambda _world: None,
    "answer": lambda _world: None,
    "wait": lambda world: world.pass_time(1.0),
    "wait long": lambda world: world.pass_time(11.0),
    "wait for an invitation to settle": lambda world: world.pass_time(70.0),
    "wait until all is forgotten": lambda world: world.pass_time(100_000.0),
    "saved": World.saved,
    "doubt": _doubt,
    "hang up": _hang_up,
    "refuse": lambda world: world.node.refused(ADDRESSES[1], world.now),
    "unreadable": _unreadable,
    "peers hold": lambda world: _say_keys(world, KeyState.RECEIVING),
    "peers seal": lambda world: _say_keys(world, KeyState.SENDING),
    "add": _add,
    "remove": _remove,
    "rotate": _rotate,
    "rotate to a new one": _rotate_to_new,
    "insist": _insist,
    "ban": _ban,
    "ban me": _ban_me,
    "evict": _evict,
    "serve": _serve,
    "unserve": _unserve,
    "raise floor": _raise_floor,
    "examine": _examine,
    "event": _event,
    "tags": lambda world: world.node.set_tags({"zone": "b"}, world.now),
    "restart": lambda world: world.node.hand_over(world.now),
    "leave": lambda world: world.node.leave(world.now),
    "join": _join,
}
"""In the order of their numbers: a new one goes to the end, or inputs that are kept say something else."""
_NAMES: Final = tuple(DEEDS)
ANSWER: Final = _NAMES.index("answer")
STORIES: Final = (
    ("unreadable", "answer"),
    ("unreadable", "answer", "saved", "wait"),
    ("hear", "wait long", "answer", "saved", "wait"),
    ("join", "answer"),
    ("examine", "answer", "wait"),
    ("rotate", "saved", "peers hold", "wait long", "hear", "peers seal", "wait long", "wait long"),
    (
        "rotate to a new one",
        "saved",
        "peers hold",
        "wait long",
        "saved",
        "peers seal",
        "wait long",
        "wait long",
    ),
    ("hear", "peers seal", "insist", "saved", "wait long", "wait long"),
    ("rotate", "hear", "ban", "wait", "wait long", "insist", "wait long", "wait long"),
    ("hear", "wait for an invitation to settle", "hear"),
)
"""Where one thing leads to the next."""
