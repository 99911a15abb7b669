"""Which names there are, and what they say."""

from __future__ import annotations

from typing import Any

import pytest

from gossip.api.consul import carried
from gossip.core.types import Status, Verdict
from tests.api.dns.world import Dns, shown


def world(**more: Any) -> Dns:
    here = Dns(**more)
    node = here.node
    node.put(here.one, "web1", "web", 8_001, ["v1", "a.b"])
    node.put(here.two, "web2", "web", 8_002, ["v2", "UP"], weight=7)
    node.put(here.one, "web3", "web", 8_003, ["v2"], host="10.9.0.3")
    node.put(here.one, "web6", "web", 8_006, ["v6"], host="2001:db8::6")
    node.put(here.two, "Api", "Api", 9_000)
    node.put(here.two, "ext", "ext", 443, host="www.example.com")
    return here


FOUR = ["10.0.0.1", "10.0.0.2", "10.9.0.3"]
SIX = ["2001:db8::6"]
SRV = [
    "1 1 8001 n1.node.east.consul.",
    "1 1 8003 0a090003.addr.east.consul.",
    "1 1 8006 20010db8000000000000000000000006.addr.east.consul.",
    "1 7 8002 n2.node.east.consul.",
]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.service.consul", "A", FOUR),
        ("web.service.consul", "AAAA", SIX),
        ("web.service.consul", "ANY", sorted(FOUR + SIX)),
        ("web.service.consul", "SRV", SRV),
        ("WEB.Service.CONSUL", "A", FOUR),
        ("web.service.gossip", "A", FOUR),
        ("web.service.gossip", "SRV", [each.replace("consul", "gossip") for each in SRV]),
        ("web.service.east.consul", "A", FOUR),
        ("web.service.east.dc.consul", "A", FOUR),
        ("v2.web.service.consul", "A", ["10.0.0.2", "10.9.0.3"]),
        ("a.b.web.service.consul", "A", ["10.0.0.1"]),
        ("up.web.service.consul", "A", ["10.0.0.2"]),
        ("_web._tcp.service.consul", "SRV", SRV),
        ("_web._v1.service.consul", "SRV", SRV[:1]),
        ("_web._tcp.consul", "SRV", SRV),
        ("_web._tcp.east.consul", "SRV", SRV),
        ("_web._tcp.service.consul", "A", FOUR),
        ("api.service.consul", "SRV", ["1 1 9000 n2.node.east.consul."]),
        ("ext.service.consul", "A", ["www.example.com."]),
        ("ext.service.consul", "TXT", ["www.example.com."]),
        ("ext.service.consul", "SRV", ["1 1 443 www.example.com."]),
        ("n1.node.consul", "A", ["10.0.0.1"]),
        ("N1.node.east.consul", "A", ["10.0.0.1"]),
        ("n1.node.consul", "TXT", ['"role=db"']),
        ("n1.node.consul", "ANY", ['"role=db"', "10.0.0.1"]),
        ("0a090003.addr.consul", "A", ["10.9.0.3"]),
        ("0A090003.addr.east.consul", "ANY", ["10.9.0.3"]),
        ("20010db8000000000000000000000006.addr.consul", "AAAA", SIX),
        ("1.0.0.10.in-addr.arpa", "PTR", ["n1.node.east.consul."]),
        ("3.0.9.10.in-addr.arpa", "PTR", ["web.service.east.consul."]),
        ("6." + "0." * 23 + "8.b.d.0.1.0.0.2.ip6.arpa", "PTR", ["web.service.east.consul."]),
        ("consul", "SOA", ["ns.consul. hostmaster.consul. 7 3600 600 86400 0"]),
        ("gossip", "SOA", ["ns.gossip. hostmaster.gossip. 7 3600 600 86400 0"]),
        ("consul", "NS", ["n0.node.east.consul.", "n1.node.east.consul.", "n2.node.east.consul."]),
    ],
)
def test_what_a_name_says(name: str, kind: str, expected: list[str]) -> None:
    here = world()
    assert here.data(name, kind) == expected
    assert here.data(name, kind, edns=1_232) == expected


THERE, NOT_THERE = "NOERROR+SOA", "NXDOMAIN+SOA"


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("nope.service.consul", "A", NOT_THERE),
        ("v9.web.service.consul", "A", NOT_THERE),
        ("_web._udp.service.consul", "SRV", NOT_THERE),
        ("web.service.west.consul", "A", NOT_THERE),
        ("web.service.west.dc.consul", "A", NOT_THERE),
        ("nope.node.consul", "A", NOT_THERE),
        ("web.query.consul", "A", NOT_THERE),
        ("web.connect.consul", "A", NOT_THERE),
        ("web.consul", "A", NOT_THERE),
        ("0a0900.addr.consul", "A", NOT_THERE),
        ("0a09000g.addr.consul", "A", NOT_THERE),
        ("a.0a090003.addr.consul", "A", NOT_THERE),
        ("9.9.9.9.in-addr.arpa", "PTR", NOT_THERE),
        # There, and nothing of the kind.
        ("web.service.consul", "MX", THERE),
        ("api.service.consul", "AAAA", THERE),
        ("n1.node.consul", "AAAA", THERE),
        ("n1.node.consul", "SRV", THERE),
        ("0a090003.addr.consul", "AAAA", THERE),
        ("1.0.0.10.in-addr.arpa", "A", THERE),
        ("consul", "A", THERE),
        # On the way to names that are there.
        ("service.consul", "A", THERE),
        ("node.consul", "NS", THERE),
        ("addr.east.consul", "A", THERE),
        ("east.consul", "A", THERE),
        ("dc.consul", "A", THERE),
        ("east.dc.consul", "A", THERE),
        ("_tcp.service.consul", "SRV", THERE),
        ("_tcp.consul", "A", THERE),
        # Nobody's but others'.
        ("www.example.com", "A", "REFUSED"),
        ("consul.example.com", "A", "REFUSED"),
        (".", "NS", "REFUSED"),
        ("9.9.in-addr.arpa", "PTR", "REFUSED"),
        ("999.9.9.9.in-addr.arpa", "PTR", "REFUSED"),
    ],
)
def test_what_is_not_there_is_told_apart_from_what_has_no_such_record(
    name: str, kind: str, code: str
) -> None:
    here = world()
    assert here.code(name, kind) == code
    assert here.code(name, kind) == code, "and again, when it is kept"


def test_srv_brings_the_addresses_of_its_targets() -> None:
    message = world().ask("web.service.consul", "SRV", edns=1_232)
    given = {each.name.to_text(): rdata.to_text() for each in message.additional for rdata in each}
    assert given == {
        "n1.node.east.consul.": "10.0.0.1",
        "n2.node.east.consul.": "10.0.0.2",
        "0a090003.addr.east.consul.": "10.9.0.3",
        "20010db8000000000000000000000006.addr.east.consul.": "2001:db8::6",
    }
    for rdata in message.answer[0]:
        target = rdata.target.to_text()
        kind = "AAAA" if ":" in given[target] else "A"
        assert world().data(target, kind) == [given[target]], "and the target itself says the same"


def test_the_target_is_the_address_where_the_name_is_somebody_elses() -> None:
    """Of two nodes with one name, one is asked for by it."""
    here = Dns()
    other = here.node.add("N1", host="10.0.0.9")
    for owner in (here.one, other):
        here.node.put(owner, "web", "web", 80)
    named = {
        target: here.data(target)
        for target in (each.split()[-1] for each in here.data("web.service.consul", "SRV"))
    }
    assert sorted(named.values()) == [["10.0.0.1"], ["10.0.0.9"]]


def test_only_who_is_well_is_given() -> None:
    here = world()
    everybody = {"10.0.0.1": ["web1"], "10.0.0.2": ["web2"], "10.9.0.3": ["web3"]}
    assert here.data("web.service.consul") == sorted(everybody)
    here.node.check(here.one, "web1", Verdict.WARNING)
    assert here.data("web.service.consul") == sorted(everybody)
    here.node.check(here.one, "web1", Verdict.CRITICAL)
    assert here.data("web.service.consul") == ["10.0.0.2", "10.9.0.3"]
    here.node.check(here.two, "web2", Verdict.PASSING, maintenance=True)
    assert here.data("web.service.consul") == ["10.9.0.3"]
    here.node.check(here.one, "web1", Verdict.PASSING)
    here.node.set_status(here.one, Status.SUSPECT)
    assert here.data("web.service.consul") == ["10.0.0.1", "10.9.0.3"]
    here.node.set_status(here.one, Status.DEAD)
    assert here.code("web.service.consul") == NOT_THERE
    assert here.code("web.service.consul", "SRV") == NOT_THERE
    assert here.data("n1.node.consul") == ["10.0.0.1"], "where it is does not depend on how it is"
    here.node.set_status(here.one, Status.LEFT)
    assert here.code("n1.node.consul") == NOT_THERE
    here.node.set_status(here.one, Status.ALIVE)
    assert here.data("web.service.consul") == ["10.0.0.1", "10.9.0.3"]
    here.node.delete(here.one, "web1")
    assert here.data("web.service.consul") == ["10.9.0.3"]


def test_a_warning_leaves_little_weight_or_none() -> None:
    here = world()
    here.node.check(here.two, "web2", Verdict.WARNING)
    assert "1 1 8002 n2.node.east.consul." in here.data("web.service.consul", "SRV")
    strict = world(only_passing=True)
    strict.node.check(strict.two, "web2", Verdict.WARNING)
    assert strict.data("web.service.consul") == ["10.0.0.1", "10.9.0.3"]
    strict.node.set_status(strict.one, Status.SUSPECT)
    assert strict.code("web.service.consul") == NOT_THERE


@pytest.mark.parametrize(("said", "weight"), [("4", 4), ("0", 0), ("99999", 1), ("-1", 1), ("x", 1)])
def test_an_instance_may_say_what_it_weighs_in_warning(said: str, weight: int) -> None:
    """Registered with `Weights` of both kinds; other agents may send anything there."""
    here = Dns()
    here.node.put(here.one, "a", "web", 80, weight=9, meta={carried.WARNING: said})
    assert here.data("web.service.consul", "SRV") == ["1 9 80 n1.node.east.consul."]
    here.node.check(here.one, "a", Verdict.WARNING)
    assert here.data("web.service.consul", "SRV") == [f"1 {weight} 80 n1.node.east.consul."]


@pytest.mark.parametrize(
    ("host", "kind", "behind"),
    [
        ("n2.node.consul", "A", ["10.0.0.2"]),
        ("N2.Node.East.Consul.", "A", ["10.0.0.2"]),
        ("n2.node.consul", "AAAA", []),
        ("web.service.gossip", "A", FOUR),
        ("web.service.consul", "ANY", FOUR + SIX),
        ("0a090003.addr.consul", "A", ["10.9.0.3"]),
        ("nobody.node.consul", "A", []),
        ("nothing.service.consul", "A", []),
        ("own.service.consul", "A", []),
        ("ext.service.consul", "A", []),
    ],
)
def test_an_alias_to_a_name_of_ours_comes_with_what_is_behind_it(
    host: str, kind: str, behind: list[str]
) -> None:
    here = world()
    here.node.put(here.one, "own", "own", 1, host=host)
    answer = here.ask("own.service.consul", kind)
    alias, *rest = answer.answer
    assert [str(each) for each in alias] == [host.removesuffix(".") + "."], "first, as clients read"
    assert sorted(str(each) for rrset in rest for each in rrset) == sorted(behind)
    assert all(rrset.name == alias[0].target for rrset in rest)


def test_what_is_behind_an_alias_is_as_it_is_now() -> None:
    here = world()
    here.node.put(here.one, "own", "own", 1, host="api.service.consul")
    assert here.data("own.service.consul") == ["10.0.0.2", "api.service.consul."]
    here.node.delete(here.two, "Api")
    assert here.data("own.service.consul") == ["api.service.consul."]


def test_a_machine_without_an_agent_is_a_node_too() -> None:
    """What `catalog/register` makes of it, which is no service of its users'."""
    here = world()
    here.node.put(here.one, "own", "own", 1, host="box.node.consul")
    assert here.code("box.node.consul") == NOT_THERE, "and this answer is kept"
    box = carried.Foreign("Box", "10.7.7.7", "", {"os": "plan9"}, {})
    here.node.put(here.two, "Box/", carried.BARE, 0, host=box.address, meta=carried.put(node=box))
    assert here.data("box.node.consul") == here.data("BOX.node.east.gossip") == ["10.7.7.7"]
    assert here.code("box.node.consul", "AAAA") == "NOERROR+SOA"
    assert here.data("box.node.consul", "TXT") == ['"os=plan9"']
    assert here.data("own.service.consul") == ["10.7.7.7", "box.node.consul."]
    assert here.data("7.7.7.10.in-addr.arpa", "PTR") == ["Box.node.east.consul."]
    here.node.put(here.two, "Box/db", "db", 5, host=box.address, meta=carried.put(node=box))
    assert here.data("db.service.consul") == ["10.7.7.7"]
    here.node.check(here.two, "Box/", Verdict.CRITICAL)
    assert here.data("box.node.consul") == ["10.7.7.7"], "a node's name is no promise"
    assert here.code("db.service.consul") == NOT_THERE, "a service is one"
    here.node.set_status(here.two, Status.DEAD)
    assert here.code("box.node.consul") == NOT_THERE
    named = carried.Foreign("saas", "www.example.com", "", {}, {})
    here.node.put(here.one, "saas/", carried.BARE, 0, host=named.address, meta=carried.put(node=named))
    assert here.data("saas.node.consul") == ["www.example.com."]


def test_ports_on_one_address_are_one_address_and_several_servers() -> None:
    here = Dns()
    for number in range(3):
        here.node.put(here.one, f"web{number}", "web", 8_000 + number)
    assert here.data("web.service.consul") == ["10.0.0.1"]
    message = here.ask("web.service.consul", "SRV")
    assert len(shown(message)) == 3
    assert len(message.additional) == 1


def test_spellings_are_one_service() -> None:
    here = Dns()
    here.node.put(here.one, "a", "Web", 1)
    here.node.put(here.two, "b", "wEB", 2)
    assert here.data("web.service.consul") == ["10.0.0.1", "10.0.0.2"]
    here.node.put(here.node.id, "c", "web", 3)
    assert here.data("web.service.consul") == ["10.0.0.1", "10.0.0.2", "127.0.0.1"]
    here.node.delete(here.one, "a")
    here.node.delete(here.two, "b")
    assert here.data("web.service.consul") == ["127.0.0.1"]
    assert here.node.catalog.spellings("web") == ["web"]


def test_ttls() -> None:
    here = world(ttl=5, negative_ttl=2)
    message = here.ask("web.service.consul", "SRV")
    assert {each.ttl for each in (*message.answer, *message.additional)} == {5}
    (soa,) = here.ask("nope.service.consul").authority
    assert (soa.ttl, soa[0].minimum) == (2, 2)


def test_names_with_dots_and_clusters_with_dots() -> None:
    here = Dns(cluster="eu.prod")
    here.node.add("db-3.example.com", host="10.0.0.3")
    assert here.data("db-3.example.com.node.consul") == ["10.0.0.3"]
    assert here.data("db-3.example.com.node.eu.prod.consul") == ["10.0.0.3"]
    assert here.data("3.0.0.10.in-addr.arpa", "PTR") == ["db-3.example.com.node.eu.prod.consul."]
    assert here.code("prod.consul") == THERE


@pytest.mark.parametrize("cluster", ["x" * 64, "a..b"])
def test_a_cluster_that_is_no_label_stays_out_of_names(cluster: str) -> None:
    here = Dns(cluster=cluster)
    here.node.put(here.one, "web", "web", 80)
    assert here.data("web.service.consul", "SRV") == ["1 1 80 n1.node.consul."]


@pytest.mark.parametrize("name", ["a b", "ü", "x" * 64])
def test_a_node_that_is_no_label_is_named_by_its_address(name: str) -> None:
    here = Dns()
    odd = here.node.add(name, host="10.0.0.3")
    here.node.put(odd, "web", "web", 80)
    assert here.data("web.service.consul", "SRV") == ["1 1 80 0a000003.addr.east.consul."]


def test_domains_may_be_several_and_nested() -> None:
    here = Dns(domains=("sd.example.com", "example.com"))
    here.node.put(here.one, "web", "web", 80)
    assert here.data("web.service.sd.example.com") == ["10.0.0.1"]
    assert here.data("web.service.example.com") == ["10.0.0.1"]
    assert here.data("1.0.0.10.in-addr.arpa", "PTR") == ["n1.node.east.sd.example.com."]
    assert here.code("web.service.consul") == "REFUSED"


def test_long_meta_data_is_cut_into_strings() -> None:
    here = Dns()
    member = here.node.members.get(here.one)
    assert member is not None
    member.record.tags.update({"a=b`": "x" * 300, "rfc1035-k": "v"})
    message = here.ask("n1.node.consul", "TXT", edns=4_096)
    texts = {b"".join(rdata.strings) for rdata in message.answer[0]}
    assert texts == {b"role=db", b"a`=b``=" + b"x" * 300, b"v"}


def test_before_anybody_is_found_nothing_is_denied() -> None:
    """A caller would take "no such service" for the truth, and some of the instances for all."""
    here = world()
    here.node.is_waiting = True
    assert here.code("web.service.consul") == "SERVFAIL"
    assert here.code("nope.service.consul") == "SERVFAIL"
    assert here.code("nope.node.consul") == "SERVFAIL"
    assert here.data("n1.node.consul") == ["10.0.0.1"]
    assert here.code("consul", "SOA") == "NOERROR"
    here.now += 11
    assert here.data("web.service.consul") == FOUR, "by now this agent may well be alone"
    assert here.code("nope.service.consul") == "SERVFAIL"
    here.node.is_waiting = False
    assert here.code("nope.service.consul") == NOT_THERE


def test_the_walk_over_services_is_made_once_a_second() -> None:
    here = world()
    assert here.code("4.0.9.10.in-addr.arpa", "PTR") == NOT_THERE
    here.node.put(here.one, "late", "late", 1, host="10.9.0.4")
    assert here.code("4.0.9.10.in-addr.arpa", "PTR") == NOT_THERE
    here.now += 1
    assert here.data("4.0.9.10.in-addr.arpa", "PTR") == ["late.service.east.consul."]
