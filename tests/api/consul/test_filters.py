"""The language of filters: what each operator means, what is refused, and that any text is either."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api.consul import filters, shapes

ROW: Final[dict[str, Any]] = {
    "Node": {"Node": "n1", "Meta": {"rack": "7", "a b": "x"}, "TaggedAddresses": {"lan": "10.0.0.1"}},
    "Service": {
        "Tags": ["v1", "x.y"],
        "Port": 80,
        "Address": "",
        "EnableTagOverride": False,
        "Meta": {},
        "TaggedAddresses": {"lan": {"Address": "10.0.0.2", "Port": 81}},
    },
    "Checks": [
        {"Status": "passing", "ServiceTags": []},
        {"Status": "critical", "ServiceTags": ["v1"]},
    ],
}


def holds(text: str) -> bool:
    return filters.read(text, shapes.HEALTH_INSTANCE)(ROW)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Service.Port == 80", True),
        ('Service.Port == "80"', True),
        ("Service.Port != 80", False),
        ("Node.Node == n1", True),
        ("Node.Node != `n1`", False),
        ('"v1" in Service.Tags', True),
        ("v1 in Service.Tags", True),
        ("v2 not in Service.Tags", True),
        ("x.y in Service.Tags", True),
        ('Service.Tags contains "v1"', True),
        ("Service.Tags not contains v1", False),
        ('"n" in Node.Node', True),
        ("rack in Node.Meta", True),
        ("Node.Meta contains color", False),
        ("Service.Tags is empty", False),
        ("Service.Tags is not empty", True),
        ("Service.Meta is empty", True),
        ('Node.Meta["a b"] == x', True),
        ("Node.Meta.rack == 7", True),
        ("Node.Meta.color == red", False),
        ("Node.Meta.color != red", True),
        ("Node.TaggedAddresses.lan == `10.0.0.1`", True),
        ('Service.TaggedAddresses["lan"].Port == 81', True),
        ("Service.Address == ``", True),
        ("Service.Kind == ``", True),
        ("Service.Connect.Native == false", True),
        ("Service.EnableTagOverride == False", True),
        ("Node.Node matches `^n[0-9]$`", True),
        ('Node.Node not matches "2"', True),
        # Through a list: of any element, in the negative too.
        ("Checks.Status == critical", True),
        ("Checks.Status != critical", True),
        ("not Checks.Status == critical", False),
        ("v1 in Checks.ServiceTags", True),
        # Or binds least, not most.
        ("Node.Node == n1 or Service.Port == 1 and Service.Port == 2", True),
        ("(Node.Node == n1 or Service.Port == 1) and Service.Port == 2", False),
        ("not Node.Node == n1 or Node.Node == n1", True),
        ("not not Node.Node == n1", True),
        ("Node.Node==n1", True),
    ],
)
def test_what_a_filter_means(text: str, expected: bool) -> None:
    assert holds(text) is expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("((", "1:3 (2): no match found at the end"),
        ('Nope == "x"', 'Selector "Nope" is not valid'),
        ("Checks.Nope == 1", 'Selector "Checks.Nope" is not valid'),
        ("Service.Tags.x == 1", 'Selector "Service.Tags.x" is not valid'),
        ("Service.Tags == v1", 'Invalid match operator "Equal" for selector "Service.Tags"'),
        ("Service == v1", 'Invalid match operator "Equal" for selector "Service"'),
        ("Service.Port matches 8", 'Invalid match operator "Matches" for selector "Service.Port"'),
        ("Service.Port contains 8", 'Invalid match operator "In" for selector "Service.Port"'),
        ("Service.Address is empty", 'Invalid match operator "Is Empty" for selector "Service.Address"'),
        ("Service.Port == x", "'x' is no number"),
        ("Service.EnableTagOverride == no", "'no' is neither true nor false"),
        ("Node.Node matches `((`", "Failed to compile regular expression '((': error parsing regexp"),
        ("Node.Node", "no match found at the end"),
        ("Node.Node = n1", "1:11 (10): no match found at '= n1'"),
        ("Node.Node == n1 and", "no match found at the end"),
        ("Node.Node == n1 n2", "no match found at 'n2'"),
        ("", "no match found at the end"),
        ('"a" in', "no match found at the end"),
        ("a.b.", "no match found at '.'"),
        ("x" * 4_097, "4097 characters: the limit is 4096"),
        ("not " * 65 + "Node.Node == n1", "nests more than 64 deep"),
        ("(" * 65 + "Node.Node == n1" + ")" * 65, "nests more than 64 deep"),
    ],
)
def test_what_is_no_filter_is_refused_with_the_place(text: str, reason: str) -> None:
    with pytest.raises(filters.FilterError) as caught:
        holds(text)
    assert str(caught.value).startswith("Failed to create boolean expression evaluator: ")
    assert reason in str(caught.value)


words = st.sampled_from(
    [
        *(
            "and",
            "or",
            "not",
            "(",
            ")",
            "==",
            "!=",
            "in",
            "contains",
            "is",
            "empty",
            "matches",
            ".",
            "[",
            "]",
        ),
        *("Node", "Service", "Checks", "Tags", "Status", "Meta", "Port", "x", "80", '"v1"', "`a`", '"', "\\"),
    ]
)


@given(st.lists(words, max_size=14).map(" ".join) | st.text(max_size=40))
def test_any_text_is_a_filter_or_refused(text: str) -> None:
    with contextlib.suppress(filters.FilterError):
        filters.read(text, shapes.HEALTH_INSTANCE)(ROW)


matches = st.sampled_from(
    ["Service.Port == 80", "Node.Node == n2", "v1 in Service.Tags", "Checks.Status == warning"]
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, bool]:
    """A filter, fully in brackets, and what it must give."""
    if depth == 0 or draw(st.booleans()):
        text = draw(matches)
        return text, holds(text)
    left, first = draw(expressions(depth=depth - 1))
    right, second = draw(expressions(depth=depth - 1))
    word = draw(st.sampled_from(["and", "or", "not"]))
    if word == "not":
        return f"not ({left})", not first
    return f"({left}) {word} ({right})", (first and second) if word == "and" else (first or second)


@given(expressions())
def test_and_or_and_not_are_what_logic_says(found: tuple[str, bool]) -> None:
    text, expected = found
    assert holds(text) is expected
