"""Facts in, findings out: a table of what is said of each, and of what is not."""

from __future__ import annotations

from typing import Any

import pytest

from gossip.diagnosis import Finding, diagnose, summary
from gossip.diagnosis.facts import (
    Accused,
    Back,
    Doubted,
    Facts,
    Me,
    Other,
    Peer,
    Refused,
    Relapse,
    Seed,
    Witness,
    host_of,
)
from gossip.diagnosis.finding import accusers, listed, span

WELL: dict[str, Any] = {"small": "acked", "full": "acked", "stream": "acked", "heard": True}
HERE = "10.0.0.1:7946"


def back(small: str = "acked", full: str = "acked", stream: str = "acked", **more: Any) -> Back:
    fields: dict[str, Any] = {"tried": HERE, "seen": "10.0.0.1:51000", "heard": True, **more}
    return Back(small=small, full=full, stream=stream, **fields)


def me(**more: Any) -> Me:
    fields: dict[str, Any] = {"members": {"alive": 4, "suspect": 0, "dead": 0, "left": 0}, **more}
    return Me("00" * 16, "me", "gossip", HERE, **fields)


def peer(name: str = "b", status: str = "alive", **more: Any) -> Peer:
    fields: dict[str, Any] = {"for_s": 12.0, **WELL, "back": back(), **more}
    return Peer(name.encode().hex() * 16, name, f"10.0.0.{1 + ord(name[0]) - 96}:7946", status, **fields)


def said(me_: Me, *peers: Peer, **more: Any) -> list[Finding]:
    return diagnose(Facts(me_, peers, **more))


def one(me_: Me, *peers: Peer, **more: Any) -> Finding:
    (finding,) = said(me_, *peers, **more)
    return finding


def test_nothing_is_said_of_who_is_well() -> None:
    facts = Facts(me(), (peer("b"), peer("c")))
    assert diagnose(facts) == []
    assert summary(facts, []).startswith("All is well: 4 members are alive; by UDP")
    assert "b and c and they reach it" in summary(facts, [])


def test_the_summary_claims_only_what_was_tried() -> None:
    assert summary(Facts(me()), []) == "All is well: 4 members are alive."
    facts = Facts(me(), (peer("b", full="untried"), peer("c", back=None)))
    assert summary(facts, diagnose(facts)) == "All is well: 4 members are alive."
    found = said(me(flags=("isolated",)), peer("b", "dead"))
    assert summary(Facts(me()), found) == "2 problems"


# -- of the agent itself


@pytest.mark.parametrize(
    ("facts", "severity", "code", "words"),
    [
        ({"flags": ("duplicate_identity",)}, "problem", "duplicate_identity", "data directory of its own"),
        ({"flags": ("banned",)}, "problem", "banned", "no other agent listens to it"),
        ({"flags": ("isolated",)}, "problem", "isolated", "hears nobody"),
        ({"flags": ("view_disagrees",)}, "problem", "view_disagrees", "changed nothing"),
        (
            {"flags": ("banned", "isolated"), "members": {"alive": 1}, "seeds": (Seed("s:1", "no answer"),)},
            "problem",
            "banned",
            "another --data-dir",
        ),
        (
            {"seeds": (Seed("s:1", "that is this agent itself, or another with a copy of its key"),)},
            "note",
            "seed",
            "move node.key out of its own",
        ),
        ({"flags": ("ephemeral",)}, "", "", ""),
        (
            {"maintenance": "new disks"},
            "note",
            "maintenance",
            "in maintenance (new disks): lookups give none",
        ),
        ({"maintenance": ""}, "note", "maintenance", "This node is in maintenance: lookups give none"),
        (
            {"same_name": (Other("ab" * 16, "me", "10.0.0.7:7946"),)},
            "problem",
            "name_conflict",
            "Two live members are called 'me': this agent (10.0.0.1:7946) and me at 10.0.0.7:7946 (id abab",
        ),
        (
            {"same_address": (Other("ab" * 16, "x", HERE), Other("cd" * 16, "y", HERE))},
            "problem",
            "address_conflict",
            "3 live members are said to be at 10.0.0.1:7946: this agent, x at",
        ),
        (
            {"doubts": (Doubted(5.0, 7.7, 0.0, overflow=False, mute=False),)},
            "note",
            "starved",
            "was not running for 7.7 s (stopped, or starved of CPU or memory) 5.0 s ago.",
        ),
        (
            {"doubts": (Doubted(5.0, 7.7, 0.0, overflow=False, mute=False),), "flags": ("doubting",)},
            "problem",
            "starved",
            "judges nobody until it has heard others again",
        ),
        (
            {"doubts": (Doubted(65.0, 0.0, 3_600.0, overflow=False, mute=False),)},
            "note",
            "clock_gap",
            "1 h ahead of the running time: it was suspended, or its wall clock was set, 1 min 5 s ago.",
        ),
        (
            {"doubts": (Doubted(5.0, 0.0, 0.0, overflow=True, mute=False),)},
            "note",
            "overflow",
            "net.core.rmem_max",
        ),
        (
            {"doubts": (Doubted(5.0, 0.0, 0.0, overflow=False, mute=True),)},
            "note",
            "mute",
            "None of its datagrams left this host 5.0 s ago. Look at the interface",
        ),
        (
            {
                "doubts": tuple(
                    Doubted(at, 1.0, 0.0, overflow=False, mute=False) for at in (300.0, 200.0, 9.0)
                )
            },
            "problem",
            "starved",
            "3 times within 10 min",
        ),
        (
            {"doubts": tuple(Doubted(at, 1.0, 0.0, overflow=False, mute=False) for at in (11.0, 10.0, 9.0))},
            "note",
            "starved",
            "9.0 s ago",
        ),
        (
            {
                "doubts": tuple(
                    Doubted(at, late, 0.0, overflow=False, mute=True)
                    for at, late in ((150.0, 0.002), (141.0, 0.001), (131.0, 0.001), (122.0, 0.001))
                )
            },
            "note",
            "mute",
            "None of its datagrams left this host 2 min 2 s ago. Look at",
        ),
        (
            {"doubts": tuple(Doubted(at, 0.0, 0.0, overflow=False, mute=True) for at in (300.0, 200.0, 9.0))},
            "problem",
            "mute",
            "3 times within 10 min",
        ),
        ({"doubts": (Doubted(601.0, 7.7, 0.0, overflow=False, mute=False),)}, "", "", ""),
        ({"lag_s": 0.15}, "note", "lag", "up to 0.1 s late"),
        ({"lag_s": 0.05}, "", "", ""),
        (
            {"accused": (Accused("a", "silent", 40.0), Accused("b", "silent", 80.0))},
            "note",
            "accused",
            "a and b accused this agent within 10 min, last 40 s ago, and it had to refute that: they",
        ),
        ({"accused": (Accused("a", "silent", 700.0),)}, "", "", ""),
        ({"health": 4}, "note", "health", "health 4 of 8"),
        (
            {"refused": (Refused("cluster", "10.0.0.9:7946", False, 12, 3.0),)},
            "problem",
            "other_cluster",
            "9:7946 sent was of another cluster than 'gossip', or damaged on the way (12 times, last 3.0 s",
        ),
        (
            {"refused": (Refused("sealed", "10.0.0.9:40000", True, 1, 3.0),)},
            "problem",
            "other_key",
            "0.9 (TCP) sent was sealed with a key that this agent does not have (once, last 3.0 s ago).",
        ),
        (
            {"refused": (Refused("version", "10.0.0.9:1", False, 2, 3.0),)},
            "problem",
            "other_version",
            "Upgrade",
        ),
        (
            {"refused": (Refused("malformed", "10.0.0.9:1", False, 2, 3.0),)},
            "note",
            "unreadable",
            "malformed",
        ),
        ({"refused": (Refused("unknown_kind", "10.0.0.9:1", False, 2, 3.0),)}, "", "", ""),
        ({"seeds": (Seed("s:1", ""),)}, "", "", ""),
        ({"seeds": (Seed("s:1", "no agent listens at 10.0.0.8:1"),)}, "note", "seed", "no agent listens at"),
        (
            {"seeds": (Seed("s:1", "no answer from 10.0.0.8:1"),), "members": {"alive": 1}},
            "problem",
            "seed",
            "Start an agent there",
        ),
        (
            {"seeds": (Seed("s:1", "s: the name cannot be resolved: no such name"),)},
            "note",
            "seed",
            "Correct --join, or see to the resolution of names on this host.",
        ),
        (
            {"seeds": (Seed("s:1", "10.0.0.8:1 broke the connection off"),), "members": {"alive": 1}},
            "problem",
            "seed",
            "compare --cluster and 'gossip keys list' on both",
        ),
        (
            {
                "seeds": (
                    Seed("s:1", "this node is not let in: its invitation was used before, by 'b' (62c9)"),
                )
            },
            "note",
            "seed",
            "an invitation of this node's own",
        ),
        ({"members": {"alive": 1}}, "note", "alone", "gossip join ADDRESS"),
    ],
)
def test_what_is_said_of_the_agent(facts: dict[str, Any], severity: str, code: str, words: str) -> None:
    findings = said(me(**facts))
    assert [(each.severity, each.code) for each in findings] == ([(severity, code)] if code else [])
    if code:
        assert words in f"{findings[0].text} {findings[0].advice}"
        assert findings[0].member == ""


def test_an_agent_doubts_itself_for_the_last_of_the_reasons_that_it_had() -> None:
    stopped = Doubted(60.0, 7.7, 0.0, overflow=False, mute=False)
    unsent = Doubted(1.0, 0.0, 0.0, overflow=False, mute=True)
    now, before = said(me(doubts=(stopped, unsent), flags=("doubting",)))
    assert (now.severity, now.code) == ("problem", "mute")
    assert "judges nobody" in now.text
    assert (before.severity, before.code) == ("note", "starved")
    assert "judges nobody" not in before.text


def test_of_who_is_banned_nothing_else_is_told() -> None:
    hung_up = peer("b", small="silent", full="silent", stream="hung_up", heard=False, back=None)
    assert [each.code for each in said(me(flags=("banned",)), hung_up)] == ["banned"]
    assert [each.code for each in said(me(), hung_up)] == ["foreign"]


# -- of the way in


@pytest.mark.parametrize(
    ("came", "code", "words"),
    [
        (back(), "", ""),
        (back(full="silent"), "mtu_in", "1,428"),
        (back(full="untried"), "", ""),
        (
            back(stream="refused"),
            "tcp_in",
            "a TCP connection of b and c there is refused. Open TCP port 7946",
        ),
        (back("silent", "untried"), "udp_in", "arrive only as answers to its own"),
        (back("not_me", "untried"), "not_me_here", "Another agent answers b and c at 10.0.0.1:7946"),
        (back("silent", "untried", "silent"), "closed_here", "UDP is not answered, TCP is not answered."),
        (back("refused", "untried", "refused"), "port_here", "UDP is refused, TCP is refused."),
        (
            back("silent", "untried", "silent", seen="203.0.113.5:40000"),
            "advertise",
            "at 10.0.0.1:7946, which it advertises; its connections come from 203.0.113.5: it is behind NAT",
        ),
        (back(seen="203.0.113.5:40000"), "", ""),
        (back("untried", "untried", "untried"), "", ""),
        (
            back("untried", "untried", "untried", seen="203.0.113.5:40000"),
            "unshown",
            "b and c did not try to reach this agent at 10.0.0.1:7946, which it advertises: no such member",
        ),
    ],
)
def test_how_nobody_reaches_the_agent_is_told_once(came: Back, code: str, words: str) -> None:
    findings = said(me(), peer("b", back=came), peer("c", back=came))
    assert [(each.code, each.member) for each in findings] == ([(code, "")] if code else [])
    if code:
        assert words in f"{findings[0].text} {findings[0].advice}"


def test_what_one_of_two_cannot_reach_lies_between_them() -> None:
    found = one(me(), peer("b", back=back(stream="silent")), peer("c"))
    assert (found.code, found.member) == ("tcp_in", "b")
    found = one(me(), peer("b", back=back(stream="silent")))
    assert (found.code, found.member) == ("tcp_in", "b"), "one alone may itself be at fault"
    found = one(me(), peer("b", back=back("silent", "untried", "silent", seen="203.0.113.5:1")))
    assert (found.code, found.member) == ("advertise", ""), "but not for where this agent comes from"
    found = one(me(), peer("b", back=back(*["untried"] * 3, seen="203.0.113.5:1")), peer("c"))
    assert (found.code, found.member) == ("unshown", "b")


def test_ipv6_addresses_are_compared_by_host() -> None:
    assert host_of("[2001:db8::1]:7946") == "2001:db8::1"
    assert host_of("10.0.0.1:7946") == "10.0.0.1"


# -- of the way out, and of members


SILENT: dict[str, Any] = {"small": "silent", "full": "untried", "heard": False, "back": None}
GONE: dict[str, Any] = {**SILENT, "small": "refused", "stream": "refused"}
NOWHERE: dict[str, Any] = {**SILENT, "stream": "silent"}


@pytest.mark.parametrize(
    ("facts", "code", "words"),
    [
        ({**SILENT}, "udp", "b: datagrams to it are not answered; TCP to 10.0.0.3:7946 is answered."),
        ({**SILENT, "back": back("silent", "untried", heard=False)}, "udp_both", "in either direction"),
        ({**SILENT, "back": back("silent", "untried", heard=True)}, "udp_from", "its own do not arrive here"),
        (
            {**SILENT, "heard": True, "back": back("silent", "untried", heard=False)},
            "udp_to",
            "do not reach it",
        ),
        (
            {**SILENT, "heard": True, "back": back("silent", "untried", heard=True)},
            "udp_lossy",
            "not all of them",
        ),
        ({**SILENT, "back": back()}, "udp_lossy", "not all of them"),
        ({**SILENT, "stream": "silent"}, "unreachable", "Its host is down or cut off"),
        ({**SILENT, "stream": "silent", "heard": True}, "unreachable", "its datagrams arrive here"),
        ({**SILENT, "stream": "silent", "heard_ago_s": 90.0}, "unreachable", "was last heard 1 min 30 s ago"),
        ({**SILENT, "stream": "mute"}, "stuck", "That process is stopped, hanging or starved of CPU"),
        ({**SILENT, "stream": "hung_up"}, "foreign", "is no agent of this cluster"),
        ({**SILENT, "stream": "foreign"}, "foreign", "another cluster name or key"),
        ({**SILENT, "stream": "unreachable"}, "no_route", "no route to 10.0.0.3:7946"),
        ({**SILENT, "stream": "refused"}, "port_closed", "its host refuses TCP."),
        ({**SILENT, "small": "refused", "stream": "refused"}, "port_closed", "its host refuses UDP and TCP."),
        (
            {**SILENT, "stream": "refused", "heard": True},
            "port_closed",
            "though its own datagrams arrive here. A firewall there rejects what comes to port 7946",
        ),
        ({**SILENT, "stream": "refused", "heard_ago_s": 4.0}, "port_closed", "though it was heard 4.0 s ago"),
        ({**SILENT, "stream": "refused", "heard_ago_s": 40.0}, "port_closed", "nothing listens at"),
        ({**SILENT, "small": "refused"}, "udp_refused", "UDP to 10.0.0.3:7946 is refused, TCP is answered."),
        ({**SILENT, "small": "not_me"}, "not_me", "another agent answers at 10.0.0.3:7946"),
        ({"stream": "silent"}, "tcp_out", "TCP to 10.0.0.3:7946 is not answered, UDP is."),
        (
            {"stream": "refused"},
            "tcp_odd",
            "UDP to 10.0.0.3:7946 is answered, TCP is refused. A firewall there",
        ),
        ({"stream": "foreign"}, "tcp_odd", "Something else takes TCP on that port there"),
        ({"full": "silent"}, "mtu_out", "1,400 bytes"),
    ],
)
def test_how_one_member_is_not_reached(facts: dict[str, Any], code: str, words: str) -> None:
    found = one(me(), peer("b", **facts), peer("c"), peer("d"))
    assert (found.code, found.severity, found.member) == (code, "problem", "b")
    assert words in f"{found.text} {found.advice}"


def test_a_suspect_is_told_with_its_accusers_and_what_others_meet() -> None:
    suspect = peer(
        "b", "suspect", **{**SILENT, "stream": "silent"},
        accused=(Accused("c", "silent"), Accused("d", "silent"), Accused("this agent", "refused")),
        witnesses=(Witness("c", "acked"), Witness("d", "silent"), Witness("e", None)),
    )  # fmt: skip
    found = one(me(), suspect, peer("c"))
    assert found.text == (
        "b is suspect for 12 s (c and d accuse it of silence, this agent of a closed port): neither UDP nor"
        " TCP to 10.0.0.3:7946 is answered from here; c reaches it by UDP, and d does not."
    )


def test_a_dead_member_comes_with_the_way_to_forget_it() -> None:
    gone = {**SILENT, "small": "refused", "stream": "refused", "heard_ago_s": 4.0}
    found = one(me(), peer("b", "dead", **gone))
    assert found.text == "b is dead for 12 s: nothing listens at 10.0.0.3:7946, its host refuses UDP and TCP."
    assert found.advice == "Start its agent again; if it is gone for good: gossip evict b."


@pytest.mark.parametrize(
    ("facts", "severity", "code"),
    [
        ({"status": "suspect"}, "problem", "answers_now"),
        ({"status": "suspect", "witnesses": (Witness("c", "silent"),)}, "problem", "path_elsewhere"),
        ({"status": "suspect", "small": "untried", "stream": "untried"}, "problem", "member"),
        ({"status": "dead", "small": "untried", "stream": "untried", "doubted": True}, "note", "member"),
        ({"status": "left"}, "note", "left"),
        ({"status": "left", **GONE}, "note", "left"),
        ({"status": "left", **GONE, "flags": ("unstable",)}, "note", "left"),
        ({"flags": ("restarting",), **GONE}, "note", "restarting"),
        ({"flags": ("restarting",), **SILENT, "stream": "silent"}, "note", "restarting"),
        ({"flags": ("restarting",), **SILENT}, "problem", "udp"),
        ({"status": "dead", "flags": ("restarting",), **GONE}, "problem", "port_closed"),
        ({"flags": ("degraded",)}, "note", "degraded"),
        ({"flags": ("unstable",)}, "note", "unstable"),
        (
            {"flags": ("unstable",), "small": "untried", "full": "untried", "stream": "untried"},
            "note",
            "unstable",
        ),
        ({"no_back": "no answer", "back": None}, "note", "no_dial_back"),
        ({"no_back": "busy", "back": None}, "", ""),
    ],
)
def test_what_else_is_said_of_a_member(facts: dict[str, Any], severity: str, code: str) -> None:
    findings = said(me(), peer("b", **facts))
    assert [(each.severity, each.code) for each in findings] == ([(severity, code)] if code else [])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({}, "again and again. Now nobody accuses it."),
        ({"relapse": Relapse(40.0)}, "again and again. It last came back 40 s ago. Now nobody accuses it."),
        (
            {
                "relapse": Relapse(
                    200.0, (Accused("c", "silent"), Accused("d", "silent"), Accused("e", "refused"))
                )
            },
            "It last came back 3 min 20 s ago; c and d had accused it of silence, e of a closed port. Now",
        ),
        ({"accused": (Accused("c", "gave_up"),)}, "again and again. Now c accuses it of silence to the end."),
        ({"accused": (Accused("c", "silent"),), "status": "suspect"}, "again and again. Now it is suspect."),
    ],
)
def test_who_is_unstable_is_told_with_what_stood_against_it(facts: dict[str, Any], words: str) -> None:
    (found,) = [
        each for each in said(me(), peer("b", flags=("unstable",), **facts)) if each.code == "unstable"
    ]
    assert found.severity == "note"
    assert found.member == "b"
    assert found.text.startswith("b is flagged unstable: it falls silent and comes back, ")
    assert words in found.text
    assert found.advice


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({**SILENT}, "udp"),
        ({**SILENT, "back": back("silent", "untried", heard=False)}, "udp_both"),
        ({"full": "silent"}, "mtu_out"),
        ({"stream": "silent", "back": None}, "tcp_out"),
    ],
)
def test_what_fails_towards_all_is_told_once(facts: dict[str, Any], code: str) -> None:
    found = one(me(), peer("b", **facts), peer("c", **facts))
    assert (found.code, found.member) == (code, "")
    assert "b and c" in found.text


def test_a_dead_host_beside_it_does_not_hide_what_fails_towards_all() -> None:
    gone = peer("d", "dead", **{**SILENT, "stream": "silent"})
    findings = said(me(), peer("b", full="silent"), peer("c", full="silent"), gone)
    assert [(each.code, each.member) for each in findings] == [("mtu_out", ""), ("unreachable", "d")]


def test_what_fails_towards_all_is_not_taken_for_an_answer_of_who_is_suspect_besides() -> None:
    found = one(me(), peer("b", "suspect", **SILENT), peer("c", **SILENT))
    assert (found.code, found.member) == ("udp", "")
    findings = said(me(), peer("b", "dead", **SILENT), peer("c", **SILENT))
    assert [(each.code, each.member) for each in findings] == [("udp", ""), ("udp", "b")]


def test_if_nobody_answers_at_all_no_other_host_is_called_down() -> None:
    cut = (
        peer("b", "suspect", **NOWHERE),
        peer("c", **NOWHERE),
        peer("d", **{**NOWHERE, "stream": "unreachable"}),
    )
    found = one(me(), *cut)
    assert (found.code, found.severity, found.member) == ("unreachable", "problem", "")
    assert "b, c and d" in found.text
    assert "this host" in found.advice
    found = one(me(flags=("isolated",)), *cut)
    assert found.code == "isolated"
    assert one(me(flags=("isolated",)), cut[0]).code == "isolated"


def test_if_some_are_not_reached_they_are_told_one_by_one() -> None:
    cut = (peer("b", **NOWHERE), peer("c", **NOWHERE))
    assert [each.member for each in said(me(), *cut, peer("d"))] == ["b", "c"]
    assert [each.member for each in said(me(), *cut, peer("d", **GONE))] == ["b", "c", "d"]
    dead = (peer("b", "dead", **NOWHERE), peer("c", "dead", **NOWHERE))
    assert [each.member for each in said(me(), *dead)] == ["b", "c"]


def test_others_whose_word_came_late_are_not_said_to_reach_it_by_udp() -> None:
    """A helper asks who is degraded over a stream too, and its report does not say which way was answered."""
    early, late = Witness("c", "acked"), Witness("d", "acked", late=True)
    assert one(me(), peer("b", **SILENT, witnesses=(early,)), peer("c")).text.endswith(
        "; c reaches it by UDP."
    )
    found = one(me(), peer("b", **SILENT, witnesses=(late,)), peer("c"))
    assert found.text.endswith("TCP to 10.0.0.3:7946 is answered; d reaches it, maybe by TCP only.")
    found = one(me(), peer("b", **SILENT, witnesses=(early, late, Witness("e", "silent"))), peer("c"))
    assert found.text.endswith("; c reaches it by UDP; d reaches it, maybe by TCP only, and e does not.")


def test_a_command_is_given_with_what_finds_the_member() -> None:
    """Its name may be that of another, which commands find first."""
    found = one(me(), peer("b", "dead", **GONE, handle="62626262"))
    assert found.text.startswith("b is dead")
    assert found.advice.endswith("gossip evict 62626262.")
    untried = peer("b", "suspect", small="untried", stream="untried", handle="62626262")
    assert one(me(), untried).advice == "gossip doctor 62626262"


def test_who_has_yielded_to_its_twin_is_told_how_to_come_back_and_not_that_its_view_differs() -> None:
    found = one(me(flags=("duplicate_identity", "view_disagrees")))
    assert found.code == "duplicate_identity"
    assert "start this one again" in found.advice


def test_a_conflict_between_others_is_told_once() -> None:
    b = peer("b", same_name=(Other("ff" * 16, "b", "10.0.0.77:7946"),))
    twin = Peer(
        "ff" * 16, "b", "10.0.0.77:7946", "alive", 1.0, same_name=(Other(b.id, "b", b.address),), **WELL
    )
    found = one(me(), b, twin)
    assert (found.code, found.advice) == ("name_conflict", "Give one of them another --name.")
    mine = peer("b", same_address=(Other("00" * 16, "me", HERE),))
    found = one(me(), mine)
    assert found.code == "address_conflict"


def test_only_the_member_that_was_asked_for_is_told_of() -> None:
    b, c = peer("b", **SILENT), peer("c", full="silent")
    assert [each.member for each in said(me(), b, c, only=c.id)] == ["c"]
    assert said(me(), b, c, only="00" * 16) == []


def test_members_that_were_not_tried_are_counted() -> None:
    found = one(me(), more=3)
    assert found.code == "more_members"
    assert found.text.startswith("3 more members are suspect or dead")


def test_problems_come_first() -> None:
    findings = said(me(lag_s=0.2, health=5), peer("b", **SILENT))
    assert [each.severity for each in findings] == ["problem", "note", "note"]


# -- words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0.0 s"), (0.84, "0.8 s"), (12.4, "12 s"), (59.7, "1 min"), (200.0, "3 min 20 s"),
        (7_200.0, "2 h"), (7_260.0, "2 h 1 min"), (86_400.0 * 5, "5 d"), (90_000.0, "1 d 1 h"),
    ],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_lists() -> None:
    assert [listed(list("abcdefg")[:count]) for count in (0, 1, 2, 3, 5, 7)] == [
        "", "a", "a and b", "a, b and c", "a, b, c, d and e", "a, b, c, d and 3 more",
    ]  # fmt: skip
    assert accusers([]) == ""
    assert accusers([Accused("a", "gave_up")]) == "a accuses it of silence to the end"
