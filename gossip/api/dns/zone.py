"""What there is to answer: records made of the catalog and of the members, as they are held now."""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from gossip.api.consul import carried
from gossip.api.dns.directory import Directory
from gossip.api.dns.message import QUESTION_NAME, Rcode, Record, Type, address_record, labels_of, wire_name
from gossip.api.dns.names import Asked, Kind, Names
from gossip.core.types import Status

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Mapping

    from gossip.core.catalog import Catalog, Instance
    from gossip.core.members import Member, MemberTable

__all__ = ["Answer", "Item", "Node", "Settings", "Worth", "Zone"]

PRIORITY: Final = 1
WARNING_WEIGHT: Final = 1
"""Of an instance whose checks warn, unless it says otherwise, as Consul has it: it gets what others do not
take."""
REFRESH, RETRY, EXPIRE = 3_600, 600, 86_400
"""Of the SOA record: seconds for secondaries, which there are none of."""
NAME_SERVERS: Final = 3
MAX_STRING: Final = 255
YOUNG_SECONDS: Final = 10.0
"""For so long an agent that has found nobody says nothing of services: its own would be taken for all."""


class Node(Protocol):
    """What is read of `core.node.Node`."""

    catalog: Catalog

    @property
    def members(self) -> MemberTable: ...
    @property
    def is_waiting(self) -> bool: ...


class Settings(NamedTuple):
    """How the zone answers."""

    domains: tuple[str, ...]
    cluster: str
    ttl: int = 0
    """Seconds."""
    negative_ttl: int = 0
    only_passing: bool = False


class Item(NamedTuple):
    """A record of the answer, with the address of its target, if that is given along."""

    record: Record
    glue: tuple[Record, ...] = ()
    target_at: int = 0
    """Where in the record's data the name of the glue begins, which then points there; 0: nowhere."""


class Worth(enum.IntEnum):
    """Whether an answer is kept: until members, or the services that it depends on, change."""

    NOTHING = 0
    LITTLE = 1
    """There is no end of names that have such answers."""
    MUCH = 2


class Answer(NamedTuple):
    """What to answer, whatever room there is for it."""

    rcode: Rcode
    items: tuple[Item, ...] = ()
    authority: tuple[Record, ...] = ()
    service: str | None = None
    """It depends on services of this name, in lower case."""
    worth: Worth = Worth.NOTHING
    chase: str = ""
    """The name behind a CNAME: whose addresses a resolver may add."""


_SOA = struct.Struct("!5I")
_OWN: Final = (Kind.SERVICE, Kind.NODE, Kind.ADDRESS)
SERVFAIL: Final = Answer(Rcode.SERVFAIL)


class Zone:
    """The names of one cluster and what they stand for.

    Args:
        rng: for the order of the records, so that agents do not send all their clients to the same instance.
        clock: seconds, monotonic.
        serial: what the SOA record has for one.
    """

    def __init__(
        self,
        node: Node,
        settings: Settings,
        rng: random.Random,
        clock: Callable[[], float],
        serial: Callable[[], int],
    ) -> None:
        self.names = Names(settings.domains, settings.cluster)
        self._node = node
        self._settings = settings
        self._shuffle = rng.shuffle
        self._clock = clock
        self._serial = serial
        self._started = clock()
        self._directory = Directory(node.members, node.catalog, clock)
        center = labels_of(settings.cluster)
        self._center = center if wire_name(*center) else ()
        self._addr = {
            domain: wire_name(b"addr", *self._center, *domain) or b"\0" for domain in self.names.domains
        }
        self._apexes = {domain: _apex_names(domain) for domain in self.names.domains}

    @property
    def stamp(self) -> int:
        """Rises when members or services change."""
        return self._node.members.index + self._node.catalog.index

    def state(self, service: str | None) -> tuple[int, int]:
        """Changes when an answer may that depends on members and on the services of that name."""
        index = 0 if service is None else self._node.catalog.folded_index(service)
        return self._node.members.index, index

    def find(self, asked: Asked, kind: int) -> Answer:
        """The answer to a question for records of one type."""
        match asked.kind:
            case Kind.SERVICE:
                answer = self._service(asked, kind)
            case Kind.NODE:
                answer = self._member(asked, kind)
            case Kind.ADDRESS:
                answer = self._some(asked, self._addresses((asked.name,), kind))._replace(worth=Worth.LITTLE)
            case Kind.REVERSE:
                answer = self._pointers(asked.name, kind)
            case Kind.APEX:
                answer = self._apex(asked, kind)
            case Kind.EMPTY:
                answer = self._none(asked.domain, Rcode.NOERROR)
            case _:
                answer = self._none(asked.domain, Rcode.NXDOMAIN)
        if self._node.is_waiting and asked.kind in (Kind.SERVICE, Kind.NODE, Kind.REVERSE):
            # Others are to be found and have not been: what is not known here may well be there.
            is_young = self._clock() - self._started < YOUNG_SECONDS
            if answer.rcode is Rcode.NXDOMAIN or (is_young and asked.kind is Kind.SERVICE):
                return SERVFAIL
            return answer._replace(worth=Worth.NOTHING)
        return answer

    # ------------------------------------------------------------------------------------ kinds of names

    def _service(self, asked: Asked, kind: int) -> Answer:
        known = self._instances(asked)
        found = self._well(known)
        chase, worth = "", Worth.MUCH
        if any(carried.NODE in each.meta for each in known):
            # It changes with the machines that they are on.
            worth = Worth.NOTHING
        if not found:
            answer = self._none(asked.domain, Rcode.NXDOMAIN, asked.name)
            return answer._replace(worth=min(worth, answer.worth))
        self._shuffle(found)
        if kind == Type.SRV:
            items = self._servers(found, asked.domain)
        else:
            hosts = dict.fromkeys(each.host for each in found)
            items = self._addresses(hosts, kind)
            if not any(map(address_record, hosts)):
                # A name has one alias at most, which stands for all types.
                chase = next(iter(hosts))
                items = self._alias(chase)
                target = self.names.read(labels_of(chase.lower()))
                if items and target.kind in _OWN:
                    items += self._behind(items[0].record.data, target, kind)
                    # It changes with others than this service.
                    chase, worth = "", Worth.NOTHING
        return self._some(asked, items)._replace(
            service=asked.name, chase=chase if items else "", worth=worth
        )

    def _behind(self, owner: bytes, target: Asked, kind: int) -> list[Item]:
        """The addresses of a name of ours that an alias leads to, one step far: few clients ask again."""
        hosts: Iterable[str] = ()
        if target.kind is Kind.SERVICE:
            hosts = dict.fromkeys(each.host for each in self._well(self._instances(target)))
        elif target.kind is Kind.ADDRESS:
            hosts = (target.name,)
        elif member := self._node_named(target.name):
            hosts = (member.record.host,)
        elif machine := self._directory.machines().get(target.name):
            hosts = (machine.address,)
        found = self._addresses(hosts, kind)
        return [Item(item.record._replace(owner=owner)) for item in found]

    def _instances(self, asked: Asked) -> list[Instance]:
        catalog = self._node.catalog
        return [
            each
            for name in catalog.spellings(asked.name)
            for each in catalog.lookup(name)
            if (not asked.tag or asked.tag in map(str.lower, each.tags))
            and (not self._settings.only_passing or each.status == "passing")
        ]

    def _well(self, found: Iterable[Instance]) -> list[Instance]:
        """Those whose machine is well itself, where that is one without an agent."""
        ill = self._directory.is_ill
        return [each for each in found if (machine := carried.node_of(each.meta)) is None or not ill(machine)]

    def _servers(self, found: Iterable[Instance], domain: tuple[bytes, ...]) -> list[Item]:
        items = []
        seen = set()
        for each in found:
            target = self._target(each, domain)
            if target is None or (target, each.port) in seen:
                continue
            seen.add((target, each.port))
            weight = each.weight
            if each.status == "warning":
                weight = carried.warning_weight(each.meta, min(weight, WARNING_WEIGHT))
            data = struct.pack("!3H", PRIORITY, weight, each.port) + target
            glue: tuple[Record, ...] = ()
            if address := address_record(each.host):
                glue = (Record(target, address[0], self._settings.ttl, address[1]),)
            items.append(Item(self._record(Type.SRV, data), glue, 6))
        return items

    def _target(self, each: Instance, domain: tuple[bytes, ...]) -> bytes | None:
        """A name for an instance's host: its node's, if the node is there; else its address as a name."""
        address = address_record(each.host)
        if address is None:
            return wire_name(*labels_of(each.host))
        member = self._directory.member(each.node.lower())
        if member is not None and member.id == each.owner and member.record.host == each.host:
            name = self._node_name(member.name, domain)
            if name is not None:
                return name
        digits = address[1].hex().encode()
        return bytes((len(digits),)) + digits + self._addr[domain]

    def _member(self, asked: Asked, kind: int) -> Answer:
        member = self._node_named(asked.name)
        if member is None:
            return self._machine(asked, kind)
        return self._some(asked, self._host(member.record.host, member.record.tags, kind))._replace(
            worth=Worth.MUCH
        )

    def _machine(self, asked: Asked, kind: int) -> Answer:
        """A machine without an agent, which may be known by its host's name only."""
        machine = self._directory.machines().get(asked.name)
        if machine is None:
            return self._none(asked.domain, Rcode.NXDOMAIN, carried.BARE)
        if address_record(machine.address) is None:
            items = self._alias(machine.address)
            return self._some(asked, items)._replace(
                chase=machine.address if items else "", worth=Worth.NOTHING
            )
        return self._some(asked, self._host(machine.address, machine.meta, kind))._replace(
            worth=Worth.NOTHING
        )

    def _host(self, host: str, pairs: Mapping[str, str], kind: int) -> list[Item]:
        items = self._addresses((host,), kind)
        if kind in (Type.TXT, Type.ANY):
            items += [Item(self._record(Type.TXT, _text(*pair))) for pair in pairs.items()]
        return items

    def _node_named(self, name: str) -> Member | None:
        member = self._directory.member(name)
        return None if member is None or member.status is Status.LEFT else member

    def _pointers(self, host: str, kind: int) -> Answer:
        domain = self.names.domains[0]
        nodes = [member.name for member in self._directory.members_at(host)]
        nodes += [each.name for each in self._directory.machines().values() if each.address == host]
        names = [self._node_name(name, domain) for name in nodes]
        if not names:
            services = self._directory.services_at(host)
            names = [wire_name(*labels_of(name), b"service", *self._center, *domain) for name in services]
        items = [Item(self._record(Type.PTR, name)) for name in names if name is not None]
        answer = self._none(domain, Rcode.NXDOMAIN)
        if items:
            answer = self._some(Asked(Kind.REVERSE, domain), items if kind in (Type.PTR, Type.ANY) else [])
        # The directory may learn of services later than their index tells.
        return answer._replace(worth=Worth.NOTHING)

    def _apex(self, asked: Asked, kind: int) -> Answer:
        items: list[Item] = []
        if kind in (Type.SOA, Type.ANY):
            items.append(Item(self._authority(asked.domain)._replace(owner=QUESTION_NAME)))
        if kind in (Type.NS, Type.ANY):
            items += self._name_servers(asked.domain)
        return self._some(asked, items)

    def _name_servers(self, domain: tuple[bytes, ...]) -> list[Item]:
        """This node and some others, of which it is not known whether they serve DNS."""
        members = self._node.members
        items: list[Item] = []
        for member in (members.me, *members):
            name = self._node_name(member.name, domain)
            address = address_record(member.record.host)
            if name is not None and address is not None and member.is_live and self._is_named(member):
                glue = Record(name, address[0], self._settings.ttl, address[1])
                items.append(Item(self._record(Type.NS, name), (glue,)))
            if len(items) == NAME_SERVERS:
                break
        return items

    def _is_named(self, member: Member) -> bool:
        return self._directory.member(member.name.lower()) is member

    # ------------------------------------------------------------------------------------------- records

    def _record(self, kind: Type, data: bytes) -> Record:
        return Record(QUESTION_NAME, kind, self._settings.ttl, data)

    def _addresses(self, hosts: Iterable[str], kind: int) -> list[Item]:
        wanted = (Type.A, Type.AAAA) if kind == Type.ANY else (kind,)
        found = (address_record(host) for host in hosts)
        return [Item(self._record(*each)) for each in found if each is not None and each[0] in wanted]

    def _alias(self, host: str) -> list[Item]:
        name = wire_name(*labels_of(host))
        return [] if name is None else [Item(self._record(Type.CNAME, name))]

    def _node_name(self, name: str, domain: tuple[bytes, ...]) -> bytes | None:
        """None if the node's name is no host's name."""
        if not (name.isascii() and name.replace("-", "").replace(".", "").replace("_", "").isalnum()):
            return None
        return wire_name(*labels_of(name), b"node", *self._center, *domain)

    def _some(self, asked: Asked, items: list[Item]) -> Answer:
        """What was found; the name is there, even if it has no such records."""
        if not items:
            return self._none(asked.domain, Rcode.NOERROR)
        return Answer(Rcode.NOERROR, tuple(items))

    def _none(self, domain: tuple[bytes, ...], rcode: Rcode, service: str | None = None) -> Answer:
        return Answer(rcode, (), (self._authority(domain),), service, Worth.LITTLE)

    def _authority(self, domain: tuple[bytes, ...]) -> Record:
        apex, names = self._apexes[domain]
        ttl = self._settings.negative_ttl
        data = names + _SOA.pack(self._serial() & 0xFFFF_FFFF, REFRESH, RETRY, EXPIRE, ttl)
        return Record(apex, Type.SOA, ttl, data)


def _apex_names(domain: tuple[bytes, ...]) -> tuple[bytes, bytes]:
    """A domain as bytes, and the names in its SOA record."""
    apex = wire_name(*domain) or b"\0"
    return apex, b"\x02ns" + apex + b"\x0ahostmaster" + apex


def _text(key: str, value: str) -> bytes:
    """A pair as RFC 1464 has it; a key that begins with `rfc1035-` is left out, as Consul does."""
    whole = value if key.startswith("rfc1035-") else f"{key.replace('`', '``').replace('=', '`=')}={value}"
    data = whole.encode()
    parts = [data[at : at + MAX_STRING] for at in range(0, len(data), MAX_STRING)] or [b""]
    return b"".join(bytes((len(part),)) + part for part in parts)
