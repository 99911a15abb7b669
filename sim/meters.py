"""What is counted: messages and bytes, by node and by kind."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Meter", "total"]


class Meter:
    """Messages in one direction at one node: `kinds[kind] == [messages, bytes]`.

    Bytes are those of the whole datagram or frame, header and length prefix included, without UDP's
    or TCP's and IP's own; they are 0 in a world that neither encodes nor sizes its messages.
    """

    __slots__ = ("kinds",)

    def __init__(self) -> None:
        self.kinds: dict[str, list[int]] = {}

    def add(self, kind: str, size: int) -> None:
        count = self.kinds.get(kind)
        if count is None:
            self.kinds[kind] = [1, size]
        else:
            count[0] += 1
            count[1] += size

    @property
    def messages(self) -> int:
        return sum(count[0] for count in self.kinds.values())

    @property
    def bytes(self) -> int:
        return sum(count[1] for count in self.kinds.values())

    def count(self, *kinds: str) -> int:
        """How many messages of these kinds (`"Ping"`, `"Ack"`, ...)."""
        return sum(self.kinds.get(kind, (0, 0))[0] for kind in kinds)


def total(meters: Iterable[Meter]) -> Meter:
    """All of them as one."""
    result = Meter()
    for meter in meters:
        for kind, (messages, size) in meter.kinds.items():
            count = result.kinds.setdefault(kind, [0, 0])
            count[0] += messages
            count[1] += size
    return result
