"""Patterns against Python's own engine where both have the same language, and the bounds."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gossip.api.consul import regex

atoms = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "[ab]",
        "[^a]",
        "[a-c]",
        r"\d",
        r"\w",
        r"\s",
        r"\.",
        "(a|b)",
        "(?:ab)",
        "^",
        "$",
        r"\b",
        "",
    ]
)
repeats = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{1,3}", "*?"])


@st.composite
def patterns(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(0, 5))):
        atom = draw(atoms)
        repeat = "" if atom in ("", "^", "$", r"\b") else draw(repeats)
        parts.append(atom + repeat)
    text = "".join(parts)
    return draw(st.sampled_from([text, f"({text})", f"{text}|b", f"(?i){text}"]))


@given(patterns(), st.text("abcAB .1_\n", max_size=12))
def test_what_python_finds_is_found(pattern: str, text: str) -> None:
    # `$` before a last line break is Python's own; in RE2 the end is the end.
    same = re.search(pattern.replace("$", r"\Z"), text, re.ASCII) is not None
    assert regex.compile(pattern).search(text) is same


@given(st.text("ab()[]{}|*+?.^$\\-:01,xdwsPi<>", max_size=24), st.text("ab01", max_size=8))
def test_any_text_is_a_pattern_or_refused(pattern: str, text: str) -> None:
    with contextlib.suppress(regex.PatternError):
        regex.compile(pattern).search(text)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("[[:alpha:]]+-[[:digit:]]{2}", "ab-12", True),
        ("[]a]", "]", True),
        ("a{,2}", "a{,2}", True),
        (r"\x41", "A", True),
        (r"\Aab\z", "ab", True),
        ("(?P<name>x)y", "xy", True),
        (r"[\d-]+x", "1-2x", True),
        (r"\bfoo\b", "a foobar", False),
        ("", "", True),
    ],
)
def test_what_python_spells_otherwise(pattern: str, text: str, found: bool) -> None:
    assert regex.compile(pattern).search(text) is found


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("((", "missing closing ): `((`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("[a", "missing closing ]: `[a`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a{2,1}", "invalid repeat count: `{2,1}`"),
        ("(?=x)", "invalid or unsupported Perl syntax: `(?=`"),
        (r"\q", r"invalid escape sequence: `\q`"),
        ("a)", "unexpected ): `a)`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("[b-a]", "invalid character class range: `[b-a`"),
        ("(a{1000}){1000}", "expression too large: `(a{1000}){1000}`"),
    ],
)
def test_what_is_no_pattern_is_told_as_go_tells_it(pattern: str, reason: str) -> None:
    with pytest.raises(regex.PatternError) as caught:
        regex.compile(pattern)
    assert str(caught.value) == f"error parsing regexp: {reason}"


def test_no_pattern_and_no_depth_takes_long() -> None:
    with pytest.raises(regex.PatternError, match="512"):
        regex.compile("a" * 513)
    with pytest.raises(regex.PatternError, match="deeply"):
        regex.compile("(" * 60 + ")" * 60)
    begun = time.perf_counter()
    assert not regex.compile("(a*)*b").search("a" * 4_000)
    with pytest.raises(regex.PatternError, match="too many states"):
        regex.compile("(" + "|".join(["a.*"] * 90) + ")*x").search("a" * 4_000)
    # Python's engine would not end in this life.
    assert time.perf_counter() - begun < 20.0
