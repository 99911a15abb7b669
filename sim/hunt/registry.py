"""Who said what: every fact that any node of a world has signed, noted at the moment of signing.

A notary under watch notes what it issues. So that a fact which somebody holds was written by its owner is
one look-up here, and that a version has one text is found where the second text is made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from gossip.core.node import Node
from gossip.core.records import Accusation, Body, Fact, Key, MemberRecord, Notary, Warrant
from gossip.core.types import Kind, NodeId
from sim.hunt.errors import BrokenRuleError
from sim.hunt.rules import Rule

__all__ = ["Registry", "Witness"]


class Registry:
    """All facts of one world, by who signed them."""

    __slots__ = ("_texts", "accused", "issued")

    def __init__(self) -> None:
        self.issued: dict[bytes, NodeId] = {}
        """By their bytes."""
        self.accused: Counter[str] = Counter()
        """Accusations made, by what they are founded on."""
        self._texts: dict[tuple[NodeId, int], bytes] = {}

    def note(self, fact: Fact, signer: NodeId, node: Node | None) -> None:
        """A notary has signed.

        Raises:
            BrokenRuleError: if that version of the signer's was another text, or a node in doubt accuses.
        """
        raw, body = fact.raw, fact.body
        self.issued[raw] = signer
        if not isinstance(body, Accusation):
            other = self._texts.setdefault((signer, body.version), raw)
            if other != raw:
                raise BrokenRuleError(Rule.ONE_VALUE, f"version {body.version} is said twice, now as {body}")
            return
        self.accused[f"accused: {Kind(body.kind).name.lower()}"] += 1
        if node is not None and node.is_doubting:
            detail = f"{body.subject.hex()[:8]} is accused while it doubts itself"
            raise BrokenRuleError(Rule.DOUBT, detail, host=node.name)


class Witness:
    """A notary that tells the registry what it signs."""

    __slots__ = (
        "_issue",
        "_registry",
        "authority",
        "check",
        "id",
        "node",
        "parse",
        "place",
        "public_key",
        "sign",
        "verify",
        "warrant",
    )

    def __init__(self, notary: Notary, registry: Registry) -> None:
        self.id: NodeId = notary.id
        self.public_key: bytes = notary.public_key
        self.parse: Callable[[bytes], Fact] = notary.parse
        self.verify: Callable[[Fact, bytes], bool] = notary.verify
        self.sign: Callable[[bytes], bytes] = notary.sign
        self.check: Callable[[bytes, bytes, bytes], bool] = notary.check
        self.authority: bytes = notary.authority
        self.warrant: Callable[[MemberRecord], Warrant | None] = notary.warrant
        self.place: Callable[[NodeId, Key], int] = notary.place
        self.node: Node | None = None
        """Whose it is, once that is made."""
        self._issue = notary.issue
        self._registry = registry

    def issue(self, body: Body) -> Fact:
        """As the notary does."""
        fact = self._issue(body)
        self._registry.note(fact, self.id, self.node)
        return fact
