"""A responder over a `FakeNode`, and dnspython as an independent reader of its bytes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype

from gossip.api.dns.message import MAX_BYTES
from gossip.api.dns.responder import MAX_UDP_BYTES, Channel, Further, Responder
from gossip.api.dns.zone import Settings, Zone
from gossip.core.types import NodeId
from tests.api.world import FakeNode

if TYPE_CHECKING:
    from dns.message import Message

__all__ = ["Dns", "query", "shown"]


def query(name: str, kind: str = "A", *, edns: int | None = None, **more: Any) -> bytes:
    """A query as dnspython writes it; `edns` is the size that it takes."""
    if edns is not None:
        more["payload"] = edns
    return dns.message.make_query(name, kind, use_edns=None if edns is None else 0, **more).to_wire()


def shown(message: Message) -> list[str]:
    """The data of the answers."""
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]


class Dns:
    """What answers, and the node it answers for: `n0` at 127.0.0.1, `n1` at 10.0.0.1, `n2` at 10.0.0.2."""

    def __init__(self, *, may_recurse: bool = False, cluster: str = "east", **settings: Any) -> None:
        self.node = FakeNode()
        self.now = 1_000.0
        self.one: NodeId = self.node.add("n1", host="10.0.0.1")
        self.two: NodeId = self.node.add("n2", host="10.0.0.2")
        self.zone = Zone(
            self.node,
            Settings(settings.pop("domains", ("consul", "gossip")), cluster, **settings),
            random.Random(1),
            lambda: self.now,
            lambda: 7,
        )
        self.responder = Responder(self.zone, may_recurse=may_recurse)
        self.here = Channel(MAX_UDP_BYTES)
        self.afar = Channel(1_232)
        self.tcp = Channel(MAX_BYTES)

    def raw(self, data: bytes, channel: Channel | None = None) -> bytes | Further | None:
        return self.responder.answer(data, channel or self.here)

    def ask(self, name: str, kind: str = "A", *, channel: Channel | None = None, **more: Any) -> Message:
        """Ask once, and read the answer: of our own question, and whole."""
        asked = query(name, kind, **more)
        answer = self.raw(asked, channel)
        assert isinstance(answer, bytes)
        message = dns.message.from_wire(answer)
        sent = dns.message.from_wire(asked)
        assert message.id == sent.id
        assert message.flags & dns.flags.QR
        assert [each.to_text() for each in message.question] == [each.to_text() for each in sent.question]
        assert (message.edns >= 0) == (sent.edns >= 0)
        return message

    def data(self, name: str, kind: str = "A", **more: Any) -> list[str]:
        """What the answers say, sorted."""
        return sorted(shown(self.ask(name, kind, **more)))

    def code(self, name: str, kind: str = "A") -> str:
        """The code, and `+SOA` if that stands in the authority section."""
        message = self.ask(name, kind)
        has_soa = any(each.rdtype == dns.rdatatype.SOA for each in message.authority)
        return dns.rcode.to_text(message.rcode()) + "+SOA" * has_soa
