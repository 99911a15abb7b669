"""What a field may hold, beyond its type and its count of characters.

The types of `core.records` bound what msgspec can bound while it decodes: characters, items,
ranges. The rest is here: bytes in UTF-8, sums, control characters, addresses, and fields that
must agree with each other. The same rules serve both directions, so a node can never issue what
another would refuse. The messages are for the local user whose setting is at fault.

No rule may depend on the version of Python (on its Unicode tables, say): nodes that differ over
whether a record is sound would differ over their views for ever.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING

from gossip.core.keys import KeyState
from gossip.core.records import (
    KEY_MARK_BYTES,
    MAX_CHECK_ID_BYTES,
    MAX_NAME_BYTES,
    MAX_NOTE_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_REASON_BYTES,
    MAX_TAGS_BYTES,
    Accusation,
    Ban,
    Body,
    Deletion,
    EventRecord,
    KeyRecord,
    MemberRecord,
    Opaque,
    ServiceRecord,
    StatusRecord,
)
from gossip.errors import LimitError, LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MAX_HOST_BYTES",
    "MAX_TAGS",
    "MAX_TAG_BYTES",
    "MAX_VALUE_BYTES",
    "check_body",
    "check_host",
    "check_invited_name",
    "host_problem",
    "is_printable",
]

MAX_TAGS = 64
"""Tags, or meta entries, of one record."""
MAX_TAG_BYTES = 255
"""One tag of a service."""
MAX_VALUE_BYTES = 512
"""The value of one tag of a member, or of one meta entry."""
MAX_HOST_BYTES = 255
"""The host of a service, which may be a name."""

MAX_KIND = 65_535
_KNOWN_KINDS = frozenset(
    kind.__struct_config__.tag
    for kind in (MemberRecord, ServiceRecord, Deletion, EventRecord, Accusation, StatusRecord, KeyRecord, Ban)
)

# The C0 and C1 controls, the line separators, and the marks that reverse the text around them.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def check_body(body: Body) -> None:
    """Check every rule that the type of `body` does not state.

    Raises:
        LimitError: if something is longer than its limit.
        LocalProtocolError: if something else is wrong.
    """
    if isinstance(body, MemberRecord):
        _check_member(body)
    elif isinstance(body, ServiceRecord):
        _check_service(body)
    elif isinstance(body, StatusRecord):
        _check_status(body)
    elif isinstance(body, KeyRecord):
        _check_keys(body)
    elif isinstance(body, Accusation):
        if body.owner == body.subject:
            raise LocalProtocolError("a node cannot accuse itself")
    elif isinstance(body, Deletion):
        _check_text("service id", body.key, MAX_NAME_BYTES)
    elif isinstance(body, EventRecord):
        _check_text("event name", body.name, MAX_NAME_BYTES)
        if len(body.payload) > MAX_PAYLOAD_BYTES:
            raise _too_long("event payload", len(body.payload), MAX_PAYLOAD_BYTES)
    elif isinstance(body, Ban):
        _check_ban(body)
    else:
        _check_opaque(body)


@functools.lru_cache(maxsize=4_096)
def host_problem(host: str) -> str:
    """What is wrong with `host` as the address of a node; empty if nothing is.

    One address has one spelling, because addresses are compared as text. IPv4-mapped IPv6
    addresses and zones are refused: the first have a second spelling, the second mean nothing
    on another host.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "is not an IP address"
    spelling: object = address
    first = address.packed[0]
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "has a zone, which means nothing on another host"
        spelling = address.ipv4_mapped or address
        single = first != 0xFF and not address.is_unspecified
    else:
        single = 0 < first < 224
    if not single:
        return "is not the address of one host"
    return "" if str(spelling) == host else f"is to be written as {spelling}"


def check_host(host: str) -> None:
    """Check that `host` is an address that a datagram can be sent to.

    Raises:
        LocalProtocolError: if it is not; the message says why.
    """
    problem = host_problem(host)
    if problem:
        raise LocalProtocolError(f"address {host!r} {problem}")


def check_invited_name(name: str) -> None:
    """Check the name that an invitation is for; empty is any.

    Raises:
        LimitError: if it is too long.
        LocalProtocolError: if it has a control character.
    """
    if name:
        _check_text("node name", name, MAX_NAME_BYTES)


def is_printable(text: str) -> bool:
    """Whether `text` has nothing in it that would move a terminal's cursor or break a line."""
    return text.isprintable() if text.isascii() else _UNPRINTABLE.search(text) is None


def _check_member(body: MemberRecord) -> None:
    _check_text("node name", body.name, MAX_NAME_BYTES)
    check_host(body.host)
    _check_port(body.port)
    if body.tags:
        _check_sum("tags", _check_labels("tag", body.tags))
    if body.birth > body.version or body.floor > body.version:
        raise LocalProtocolError("birth and floor cannot be above the incarnation")
    if body.protocol_min > body.protocol_max:
        raise LocalProtocolError("protocol_min cannot be above protocol_max")
    if not 0 <= body.boot < 2**63:
        raise LocalProtocolError("boot has 63 bits")


def _check_service(body: ServiceRecord) -> None:
    _check_text("service id", body.key, MAX_NAME_BYTES)
    _check_text("service name", body.name, MAX_NAME_BYTES)
    if body.host:
        _check_text("service address", body.host, MAX_HOST_BYTES)
    if body.port != 0:  # 0: it has no port, as a worker that only takes from a queue
        _check_port(body.port)
    total = 0
    if body.tags:
        total += _check_tags(body.tags)
    if body.meta:
        total += _check_labels("meta", body.meta)
    _check_sum("tags and meta", total)
    if not 0 <= body.weight <= 65_535:
        raise LocalProtocolError(f"weight {body.weight} is not between 0 and 65535")


def _check_status(body: StatusRecord) -> None:
    if body.key:
        _check_text("service id", body.key, MAX_NAME_BYTES)
    names = [name for name, _ in body.checks]
    for name in names:
        _check_text("check name", name, MAX_NAME_BYTES)
    if len(set(names)) < len(names):
        raise LocalProtocolError(f"two checks of {body.key or 'the node'!r} have one name: give each its own")
    if body.note:
        _check_text("note", body.note, MAX_NOTE_BYTES)
    if body.ids and len(body.ids) != len(body.checks):
        raise LocalProtocolError(f"{len(body.ids)} ids of {len(body.checks)} checks: there is one for each")
    for id in body.ids:
        if id:
            _check_text("check id", id, MAX_CHECK_ID_BYTES)


def _check_keys(body: KeyRecord) -> None:
    if body.key:
        raise LocalProtocolError("a record of keys has no key of its own")
    if len(body.target) not in (0, KEY_MARK_BYTES) or bool(body.target) != bool(body.epoch):
        raise LocalProtocolError("a change of keys has a number and a mark, or neither")
    marks = [mark for mark, _ in body.keys]
    if len(set(marks)) < len(marks):
        raise LocalProtocolError("one key is listed twice")
    if sum(state == KeyState.SENDING for _, state in body.keys) > 1:
        raise LocalProtocolError("more than one key is said to be sending")


def _check_ban(body: Ban) -> None:
    if body.owner == body.subject:
        raise LocalProtocolError("the authority cannot ban itself")
    if body.name:
        _check_text("node name", body.name, MAX_NAME_BYTES)
    if body.reason:
        _check_text("reason", body.reason, MAX_REASON_BYTES)


def _check_opaque(body: Opaque) -> None:
    # A known kind comes here only when it could not be read as what it says it is.
    if body.kind in _KNOWN_KINDS or not 1 <= body.kind <= MAX_KIND:
        raise LocalProtocolError(f"kind {body.kind} is not of a record")
    if body.key:
        _check_text("record key", body.key, MAX_NAME_BYTES)


def _check_text(what: str, text: str, limit: int) -> int:
    """Check a text that people will see; its length in bytes."""
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise LocalProtocolError(f"{what} {text!r} is no Unicode text") from None
    if size > limit:
        raise _too_long(what, size, limit)
    if size == 0:
        raise LocalProtocolError(f"{what} is empty")
    if not is_printable(text):
        raise LocalProtocolError(f"{what} {text!r} has a control character")
    return size


def _check_port(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise LocalProtocolError(f"port {port} is not between 1 and 65535")


def _check_tags(tags: Iterable[str]) -> int:
    total = count = 0
    for tag in tags:
        total += _check_text("tag", tag, MAX_TAG_BYTES)
        count += 1
    _check_count("tags", count)
    return total


def _check_labels(what: str, labels: dict[str, str]) -> int:
    _check_count(f"{what} entries", len(labels))
    total = 0
    for key, value in labels.items():
        total += _check_text(f"{what} name", key, MAX_VALUE_BYTES)
        if value:
            total += _check_text(f"{what} value", value, MAX_VALUE_BYTES)
    return total


def _check_count(what: str, count: int) -> None:
    if count > MAX_TAGS:
        raise LimitError(f"{count} {what}; the limit is {MAX_TAGS}")


def _check_sum(what: str, total: int) -> None:
    if total > MAX_TAGS_BYTES:
        raise LimitError(f"{what} are {total} bytes in all; the limit is {MAX_TAGS_BYTES}")


def _too_long(what: str, size: int, limit: int) -> LimitError:
    return LimitError(f"{what} is {size} bytes; the limit is {limit}")
