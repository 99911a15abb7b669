"""`?filter=`: expressions over the objects of an answer, in Consul's language (go-bexpr).

    expr  := expr or expr | expr and expr | not expr | ( expr ) | match          (or < and < not)
    match := sel == val | sel != val | val in sel | val not in sel | sel contains val | sel not contains val
           | sel is empty | sel is not empty | sel matches re | sel not matches re
    sel   := Name(.Name | ["any key"])*          val := "text" | `text` | number | bare.word

A selector is held against what the endpoint's objects have (`Shape`), so that a slip of the pen is an error
and not an empty list. One that leads through a list is true if the match is of any element, also where the
match is negative: `Checks.Status != passing` finds whoever has a check that does not pass, and
`not Checks.Status == passing` whoever has none that does. A map's key that is not there equals nothing. An
expression is bounded in length and depth.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeAlias

from gossip.api.consul import regex
from gossip.api.consul.words import parse_bool
from gossip.errors import LocalProtocolError

__all__ = [
    "BOOL",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "NUMBER",
    "TEXT",
    "TEXTS",
    "FilterError",
    "Shape",
    "Test",
    "read",
]

MAX_LENGTH: Final = 4_096
MAX_DEPTH: Final = 64

TEXT, NUMBER, BOOL, TEXTS = "text", "number", "bool", "map of texts"
Shape: TypeAlias = "str | dict[str, Shape] | list[Shape] | tuple[Shape]"
"""What is at a place: a kind of value, an object's fields, a list of one kind, a map to it (a tuple)."""
Test: TypeAlias = Callable[[Any], bool]

PREFIX: Final = "Failed to create boolean expression evaluator: "


class FilterError(LocalProtocolError):
    """The expression cannot be read, or asks for what there is not."""

    kind = "bad_request"

    def __init__(self, reason: str) -> None:
        super().__init__(PREFIX + reason)


_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`)
      | (?P<sign>==|!=|\(|\)|\[|\]|\.(?=["A-Za-z_]))
      | (?P<word>-?[0-9]+(?:\.[0-9]+)?|[A-Za-z_][A-Za-z0-9_/]*)
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


@functools.lru_cache(maxsize=1)
def _keywords() -> frozenset[str]:
    return frozenset(("and", "or", "not", "in", "contains", "is", "empty", "matches"))


def read(text: str, shape: Mapping[str, Shape]) -> Test:
    """The test of one object.

    Raises:
        FilterError: naming the place, or the selector.
    """
    if len(text) > MAX_LENGTH:
        raise FilterError(f"{len(text)} characters: the limit is {MAX_LENGTH}")
    return _Parser(_tokens(text), shape).all()


class _Token(tuple[str, str, int]):
    """(kind, content, place); the kind is `text`, `sign`, `word` or `end`."""

    __slots__ = ()


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    end = len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            begun = at + len(text[at:]) - len(text[at:].lstrip())
            raise FilterError(f"1:{begun + 1} ({begun}): no match found at {text[begun : begun + 16]!r}")
        found.append(_Token((match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))))
        at = match.end()
    found.append(_Token(("end", "", end)))
    return found


class _Parser:
    def __init__(self, tokens: list[_Token], shape: Mapping[str, Shape]) -> None:
        self._tokens = tokens
        self._shape = shape
        self._at = 0
        self._depth = 0

    def all(self) -> Test:
        test = self._or()
        if self._tokens[self._at][0] != "end":
            self._refuse()
        return test

    # ------------------------------------------------------------------------------------------ reading

    def _refuse(self, wanted: str = "") -> NoReturn:
        kind, content, place = self._tokens[self._at]
        what = "the end" if kind == "end" else repr(content[:32])
        expected = f", expected: {wanted}" if wanted else ""
        raise FilterError(f"1:{place + 1} ({place}): no match found at {what}{expected}")

    def _is(self, *words: str) -> bool:
        """Whether the next tokens are these words; takes them if so."""
        following = self._tokens[self._at : self._at + len(words)]
        if [content for kind, content, _ in following if kind in ("word", "sign")] != list(words):
            return False
        self._at += len(words)
        return True

    def _or(self) -> Test:
        tests = [self._and()]
        while self._is("or"):
            tests.append(self._and())
        return tests[0] if len(tests) == 1 else lambda value: any(test(value) for test in tests)

    def _and(self) -> Test:
        tests = [self._not()]
        while self._is("and"):
            tests.append(self._not())
        return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)

    def _not(self) -> Test:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FilterError(f"the expression nests more than {MAX_DEPTH} deep")
        try:
            if self._is("not"):
                inner = self._not()
                return lambda value: not inner(value)
            if self._is("("):
                inner = self._or()
                if not self._is(")"):
                    self._refuse('")", "and" or "or"')
                return inner
            return self._match()
        finally:
            self._depth -= 1

    def _match(self) -> Test:
        if self._begins_value():
            value = self._value()
            negated = self._is("not")
            if not self._is("in"):
                self._refuse('"in" or "not in"')
            return _contains(self._selector(), value, negated=negated)
        selector = self._selector()
        if self._is("=="):
            return _equals(selector, self._value())
        if self._is("!="):
            return _equals(selector, self._value(), negated=True)
        if self._is("is", "not", "empty"):
            return _is_empty(selector, negated=True)
        if self._is("is", "empty"):
            return _is_empty(selector, negated=False)
        negated = self._is("not")
        if self._is("contains"):
            return _contains(selector, self._value(), negated=negated)
        if self._is("matches"):
            return _matches(selector, self._value(), negated=negated)
        return self._refuse('"==", "!=", "contains", "is empty", "matches" or "not"')

    def _begins_value(self) -> bool:
        """Whether what comes is the value before an `in`: a selector is never followed by that."""
        kind, content, _ = self._tokens[self._at]
        if kind == "text" or (kind == "word" and not content[0].isalpha()):
            return True
        at = self._at + 1
        while self._tokens[at - 1][0] == "word" and self._tokens[at : at + 1] and self._tokens[at][1] == ".":
            at += 2
        following = [each[1] for each in self._tokens[at : at + 2]]
        return kind == "word" and (following[:1] == ["in"] or following == ["not", "in"])

    def _value(self) -> str:
        kind, content, _ = self._tokens[self._at]
        if kind == "text":
            self._at += 1
            if content[0] == "`":
                return content[1:-1]
            return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1], match[1]), content[1:-1])
        if kind != "word" or content in _keywords():
            self._refuse("a value")
        self._at += 1
        # A bare word may have points in it, which would else part the names of a selector.
        while self._tokens[self._at][1] == "." and self._tokens[self._at + 1][0] == "word":
            content += "." + self._tokens[self._at + 1][1]
            self._at += 2
        return content

    def _selector(self) -> _Selector:
        kind, content, _ = self._tokens[self._at]
        if kind != "word" or content in _keywords():
            self._refuse('"(", "not", a selector or a value')
        names = [content]
        self._at += 1
        while True:
            if self._is("."):
                kind, content, _ = self._tokens[self._at]
                if kind not in ("word", "text"):
                    self._refuse("a name")
                names.append(content.strip('"'))
                self._at += 1
            elif self._is("["):
                if self._tokens[self._at][0] != "text":
                    self._refuse('a key such as ["name"]')
                names.append(self._value())
                if not self._is("]"):
                    self._refuse('"]"')
            else:
                return _Selector(names, self._shape)


class _Selector:
    """The values at a place of an object, of every element where it leads through a list."""

    def __init__(self, names: list[str], shape: Mapping[str, Shape]) -> None:
        self.names = names
        self._shape: Any = dict(shape)
        place: Shape = dict(shape)
        for name in names:
            while isinstance(place, list):
                place = place[0]
            if isinstance(place, dict) and name in place:
                place = place[name]
            elif isinstance(place, tuple):
                place = place[0]
            elif place == TEXTS:
                place = TEXT
            else:
                raise FilterError(f'Selector "{".".join(names)}" is not valid')
        self.kind = place

    def refuse(self, operator: str) -> FilterError:
        return FilterError(f'Invalid match operator "{operator}" for selector "{".".join(self.names)}"')

    def values(self, value: Any) -> list[Any]:
        """Every value there: more than one behind a list; None for a key that a map does not have."""
        found, place = [value], self._shape
        for name in self.names:
            following: list[Any] = []
            while isinstance(place, list):
                place = place[0]
            is_map = not isinstance(place, dict)
            place = place[name] if isinstance(place, dict) else place[0] if isinstance(place, tuple) else TEXT
            absent = None if is_map or not isinstance(place, str) else _ABSENT[place]
            for each in found:
                ones = each if isinstance(each, list) else (each,)
                following += [one.get(name, absent) if isinstance(one, Mapping) else absent for one in ones]
            found = following
        return found

    def test(self, holds: Test, *, negated: bool) -> Test:
        """True if one of the values passes, or fails if that is asked for."""
        if negated:
            return lambda value: any(not holds(each) for each in self.values(value))
        return lambda value: any(holds(each) for each in self.values(value))


_ABSENT: Final = {TEXT: "", NUMBER: 0, BOOL: False, TEXTS: None}
"""What a field that is not shown counts as."""


def _equals(selector: _Selector, wanted: str, *, negated: bool = False) -> Test:
    if selector.kind == NUMBER:
        try:
            number = float(wanted)
        except ValueError:
            raise FilterError(f"{wanted!r} is no number") from None
        return selector.test(lambda each: each == number, negated=negated)
    if selector.kind == BOOL:
        truth = parse_bool(wanted)
        if truth is None:
            raise FilterError(f"{wanted!r} is neither true nor false")
        return selector.test(lambda each: each is truth, negated=negated)
    if selector.kind != TEXT:
        raise selector.refuse("Equal")
    return selector.test(lambda each: each == wanted, negated=negated)


def _contains(selector: _Selector, wanted: str, *, negated: bool) -> Test:
    if isinstance(selector.kind, dict) or selector.kind in (NUMBER, BOOL):
        raise selector.refuse("In")
    # Of a text a part, of a list an element, of a map a key.
    return selector.test(lambda each: each is not None and wanted in each, negated=negated)


def _is_empty(selector: _Selector, *, negated: bool) -> Test:
    if isinstance(selector.kind, dict) or selector.kind in (TEXT, NUMBER, BOOL):
        raise selector.refuse("Is Empty")
    return selector.test(lambda each: not each, negated=negated)


def _matches(selector: _Selector, pattern: str, *, negated: bool) -> Test:
    if selector.kind != TEXT:
        raise selector.refuse("Matches")
    try:
        automaton = regex.compile(pattern)
    except regex.PatternError as error:
        raise FilterError(f"Failed to compile regular expression {pattern!r}: {error}") from error
    return selector.test(lambda each: isinstance(each, str) and automaton.search(each), negated=negated)
