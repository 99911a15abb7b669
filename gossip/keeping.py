"""The cluster's keys as a part of the agent: disk, key file, sealer, and what its user does to them.

Nothing counts before it is on disk. What the user changes is tried on a copy of the ring, the copy is saved,
and then takes the ring's place. What a change by gossip does (`core.rotation`) is done at once, and told to
others once saved.
"""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

import trio

from gossip.api import views
from gossip.config.keyfile import parse_key, read_key_file
from gossip.config.values import is_loopback, show_address
from gossip.core.keys import KeyState, holds, keys_of
from gossip.core.rotation import Plan
from gossip.errors import ConfigError, CryptoError, RefusedError, StoreError
from gossip.log import note
from gossip.wire.keyring import Key, KeyRing, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from gossip.config import Config
    from gossip.core.members import Member
    from gossip.core.node import Node
    from gossip.journal import Journal
    from gossip.wire.sealing import RingSealer

__all__ = ["Keeping", "open_ring"]


def open_ring(saved: object, config: Config) -> tuple[KeyRing, Plan]:
    """The keys that the disk kept, and that of the key file; what is odd about them goes to the log.

    Raises:
        StoreError: if what the disk kept is no ring.
        ConfigError: if the key file cannot be read, or the agent would speak in clear and was not told so.
    """
    content: Any = saved or {}
    try:
        ring = KeyRing.load(content.get("keys", []), accepts_clear=config.accept_clear)
        plan = _read_plan(content.get("plan"))
    except (AttributeError, CryptoError):
        raise StoreError(
            f"the keys in {config.data_dir} are damaged: restore them from a backup, or move the file 'keys'"
            " away and give --key-file with a key that the cluster has"
        ) from None
    if config.key_file is not None:
        _take_file(ring, config.key_file, accepts_clear=config.accept_clear)
    if ring.sending is None and not (config.insecure or config.accept_clear):
        _refuse_exposed(ring, config)
    if config.accept_clear:
        detail = (
            "what comes in clear is taken: nothing is promised of who reads or writes it"
            if len(ring)
            else "there is no key yet: this agent speaks in clear until it is given one"
        )
        note(logging.WARNING, "accept_clear", detail=detail)
    return ring, plan


def _refuse_exposed(ring: KeyRing, config: Config) -> None:
    """Stop who would speak in clear beyond loopback; there it needs no leave, here a file of keys is none.

    It may have no key in it, or none that is sent with: what `accept_clear` has left, and then was taken out.
    """
    exposed = [address for address in config.bind if not is_loopback(address[0])]
    if not exposed:
        return
    names = [key.name for key in ring.held() if key.state is KeyState.RECEIVING]
    if names:
        what = (
            f"has keys to receive by and none to send with ({', '.join(names)}): start it with --accept-clear"
            f" again, run 'gossip keys rotate {names[0]}' once for the whole cluster (or 'gossip keys use"
            f" {names[0]}' here, if the others seal by now), and then take --accept-clear out"
        )
    else:
        what = (
            "has no key, though its data directory has a file for keys: give --key-file FILE, or --insecure"
            " to run in clear"
        )
    raise ConfigError(f"{show_address(exposed[0])} is reached by other machines, and this agent {what}")


def _take_file(ring: KeyRing, path: Path, *, accepts_clear: bool) -> None:
    secret = read_key_file(path)
    if path.stat().st_mode & 0o077:
        note(logging.WARNING, "key_file", detail=f"{path} is open to other users: chmod 600 it")
    held = {key.mark: key for key in ring.held()}
    mark = mark_of(secret)
    if mark in held:
        if held[mark].state is KeyState.RETIRED:
            problem = "was retired: put the key of now there, or remove the setting"
            note(logging.WARNING, "key_file", detail=f"the key in {path} {problem}")
        return
    if ring.sending is not None:
        problem = "is new here: it is taken to receive by, and the data directory says which one is sent with"
        note(logging.WARNING, "key_file", detail=f"the key in {path} {problem}")
    # While clear text is accepted, some may not have the key yet: the operator says when to seal.
    first = ring.sending is None and not accepts_clear
    ring.add(secret, state=KeyState.SENDING if first else KeyState.RECEIVING)


def _read_plan(saved: Any) -> Plan:
    try:
        epoch, target, replaced, insists = saved or (0, "", [], False)
        return Plan(int(epoch), bytes.fromhex(target), tuple(map(bytes.fromhex, replaced)), bool(insists))
    except (TypeError, ValueError):
        raise CryptoError("the saved change of keys is damaged") from None


class Keeping:
    """The keys of one agent.

    Args:
        sealer: what is sealed and opened with them; None if this agent runs in clear, and for good.
        flush: carries out what the node wants done.
    """

    def __init__(
        self,
        node: Node,
        ring: KeyRing,
        sealer: RingSealer | None,
        now: Callable[[], float],
        flush: Callable[[], None],
    ) -> None:
        self._node = node
        self._ring = ring
        self._sealer = sealer
        self._now = now
        self._flush = flush
        self._turn = trio.Lock()
        self._journal: Journal

    def kept_by(self, journal: Journal) -> None:
        """What is saved goes through this one from now on."""
        self._journal = journal
        journal.keep_keys(self.content, self.saved)

    @property
    def clear_accepted(self) -> int:
        """Datagrams and streams that were taken although they came in clear."""
        return self._node.counters["clear_accepted"]

    @property
    def sealing(self) -> str:
        """How this agent speaks, in a few words."""
        if self._sealer is None:
            return "clear"
        sending = self._ring.sending
        words = "clear, with keys to receive by" if sending is None else f"sealed with {sending.name}"
        return words + (", and accepts clear" if self._ring.accepts_clear else "")

    def content(self) -> object:
        """What is to be on disk."""
        return content_of(self._ring, self._node.plan)

    def saved(self, number: int) -> None:
        """What core asked to be saved as `number` is on disk."""
        self._node.keys_saved(number, self._now())
        self._flush()

    # -- what the user does -----------------------------------------------------------------

    def listed(self) -> views.KeyList:
        """The keys of this agent, which of them each member holds, and how a change of them stands."""
        node = self._node
        own = [
            views.KeyView(key.name, key.mark.hex(), key.state.label, key.mark == node.plan.target)
            for key in self._ring.held()
        ]
        members = [_member(each) for each in (node.members.me, *node.members)]
        return views.KeyList(own, members, self._change(), self.sealing, self.clear_accepted)

    def _change(self) -> views.KeyChange | None:
        node = self._node
        plan = node.plan
        if not plan.target or self._sealer is None:
            return None
        if node.is_rotating:
            stage, waiting = "distributing", node.key_lacking()
        elif plan.replaced:
            stage, waiting = "switching", node.key_unswitched()
        else:
            stage, waiting = "done", []
        away = [] if plan.insists or stage == "done" else node.key_away()
        names = [[each.name for each in group] for group in (waiting, away)]
        return views.KeyChange(plan.target.hex(), stage, names[0], names[1], plan.insists)

    async def add(self, text: str, name: str) -> object:
        """Take a key as a receiving one; it is on disk when this returns.

        Raises:
            CryptoError: if the text is no key.
            RefusedError, LimitError: see `KeyRing.add`; or if this agent runs in clear.
        """
        self._refuse_in_clear()
        secret = parse_key(text)
        async with self._turn:
            key = await self._alter(lambda ring: ring.add(secret, name, spare=self._spare()))
        return _named(key)

    async def use(self, word: str) -> object:
        """Seal with this key, on this agent alone.

        Raises:
            NotFoundError: if it is not here.
            RefusedError: if the cluster changes its keys together, or members could not read it.
        """
        self._refuse_in_clear()

        def use(ring: KeyRing) -> Key:
            key = ring.find(word)
            target = self._node.plan.target
            if target and key.mark != target:
                raise RefusedError(f"keys are changed for all members here: gossip keys rotate {key.name}")
            lacking = [each.name for each in self._node.members if each.is_live and not holds(each, key.mark)]
            if lacking:
                raise RefusedError(f"{', '.join(lacking)} could not read this agent: add the key there first")
            ring.use(key.mark)
            return key

        async with self._turn:
            return _named(await self._alter(use))

    async def remove(self, word: str) -> object:
        """Forget a key that this agent does not seal with.

        Raises:
            NotFoundError: if it is not here.
            RefusedError: if it is the one that this agent seals with, or a change to it is under way.
        """
        self._refuse_in_clear()

        def remove(ring: KeyRing) -> Key:
            key = ring.find(word)
            if key.mark == self._node.plan.target and self._node.is_rotating:
                raise RefusedError(f"a change to key {key.name} is under way: see 'gossip keys list'")
            ring.remove(key.mark)
            return key

        async with self._turn:
            return _named(await self._alter(remove))

    async def rotate(self, word: str, text: str, *, insist: bool) -> object:
        """Change the key of the whole cluster; returns once that has begun.

        Args:
            word: a key that is here, or a name for the new one.
            text: a key; empty for one that is here, or (without a name) for a new one.
            insist: begin nothing: have older keys retired, whoever is away.

        Raises:
            RefusedError: another change is under way, or this agent runs in clear.
        """
        self._refuse_in_clear()
        async with self._turn:
            if insist:
                self._node.insist(self._now())
                key = self._ring.key(self._node.plan.target)
            else:
                key = await self._rotate(word, text)
            self._flush()
        return _named(key)

    async def _rotate(self, word: str, text: str) -> Key:
        secret = parse_key(text) if text else b""
        if not word and not text and self._node.is_rotating:
            # Begun before, perhaps in another life of this agent or by another: it goes on by itself.
            return self._ring.key(self._node.plan.target)

        def choose(ring: KeyRing) -> Key:
            spare = self._spare()
            key = ring.add(secret, word, spare=spare) if secret else _found_or_made(ring, word, spare)
            if key.state is KeyState.RETIRED:
                raise RefusedError(f"key {key.name} was retired: rotate to another one")
            self._node.refuse_rotation(key.mark)
            return key

        key = await self._alter(choose)
        self._node.rotate(key.mark, self._now())
        self._flush()
        # Whoever is answered finds the change under way after a crash too.
        await self._journal.save_keys(self.content())
        return key

    def _spare(self) -> Sequence[bytes]:
        """What members handed on and nobody needs makes room for what the operator wants."""
        return self._node.spare_keys(self._now())

    async def _alter(self, change: Callable[[KeyRing], Key]) -> Key:
        """Change a copy, save it, put it in the ring's place; again, if the ring has changed meanwhile."""
        while True:
            before = self._ring.revision
            draft = self._ring.copy()
            key = change(draft)
            await self._journal.save_keys(content_of(draft, self._node.plan))
            if self._ring.revision == before:
                break
        self._ring.become(draft)
        self._node.keys_changed(self._now())
        self._flush()
        return key

    def _refuse_in_clear(self) -> None:
        if self._sealer is None:
            raise RefusedError(
                "this agent runs in clear: restart it with --key-file FILE (and, while others still speak in"
                " clear, --accept-clear); 'gossip keygen' makes a key"
            )


def _found_or_made(ring: KeyRing, word: str, spare: Sequence[bytes]) -> Key:
    return ring.find(word) if word else ring.make("", os.urandom, spare)


def content_of(ring: KeyRing, plan: Plan) -> object:
    """What the disk keeps of keys."""
    replaced = [mark.hex() for mark in plan.replaced]
    return {"keys": ring.saved(), "plan": [plan.epoch, plan.target.hex(), replaced, plan.insists]}


def _named(key: Key) -> object:
    return {"name": key.name, "mark": key.mark.hex()}


def _member(member: Member) -> views.MemberKeys:
    record = keys_of(member)
    keys = None if record is None else {mark.hex(): KeyState(state).label for mark, state in record.keys}
    return views.MemberKeys(member.name, member.id.hex(), member.status.label, keys)
