r"""Regular expressions that take linear time, whoever wrote them.

Filters and events carry patterns of clients and of other nodes. Python's `re` may take for ever on a
short one, and the thread that would wait is the agent's. Here a pattern becomes an automaton that is in all
its states at once (Thompson, CACM 1968): a match costs at most text times states, and that is bounded.

The syntax is the part of RE2's that patterns have: literals, `.`, classes, `\d \w \s` and their negations,
`^ $ \b \B`, groups, `|`, `* + ? {m,n}` greedy or lazy, and `(?i)` at the beginning. There are no
captures, so laziness changes nothing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final, NoReturn, TypeAlias

from gossip.errors import LocalProtocolError

__all__ = ["MAX_PATTERN", "MAX_STATES", "PatternError", "Regex", "compile"]

MAX_PATTERN: Final = 512
MAX_STATES: Final = 1_000
"""Of an automaton: `(a{100}){100}` is refused, as RE2 does it."""
MAX_STEPS: Final = 200_000
"""States entered for one text, some 30 ms: a pattern that wants more is refused then."""
MAX_REPEAT: Final = 1_000
MAX_DEPTH: Final = 50


class PatternError(LocalProtocolError):
    """The pattern is none, or too large."""

    kind = "pattern"


Test: TypeAlias = Callable[[str], bool]
"""Whether a character is one that an arrow takes."""
Place: TypeAlias = tuple[str, ...]

_CLASSES: Final[dict[str, Test]] = {
    "d": lambda c: "0" <= c <= "9",
    "w": lambda c: c.isascii() and (c.isalnum() or c == "_"),
    "s": lambda c: c in "\t\n\f\r ",
}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_NAMED: Final[dict[str, Test]] = {
    "alpha": lambda c: c.isascii() and c.isalpha(),
    "digit": _CLASSES["d"],
    "alnum": lambda c: c.isascii() and c.isalnum(),
    "upper": lambda c: "A" <= c <= "Z",
    "lower": lambda c: "a" <= c <= "z",
    "space": lambda c: c in "\t\n\v\f\r ",
    "punct": lambda c: c.isascii() and c.isprintable() and not c.isalnum() and c != " ",
    "word": _CLASSES["w"],
    "xdigit": lambda c: c in "0123456789abcdefABCDEF",
}


class _State:
    """A place of the automaton: it takes a character, asks where it is, or leads on for nothing."""

    __slots__ = ("ask", "nexts", "test")

    def __init__(self, test: Test | None = None, ask: str = "") -> None:
        self.test = test
        self.ask = ask
        self.nexts: list[_State] = []


class Regex:
    """A compiled pattern."""

    def __init__(self, start: _State, end: _State) -> None:
        self._start = start
        self._end = end
        self._left = 0

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text.

        Raises:
            PatternError: to tell would take too long.
        """
        self._left = MAX_STEPS
        current: set[_State] = set()
        for at in range(len(text) + 1):
            self._enter(self._start, current, text, at)
            if self._end in current:
                return True
            if at == len(text):
                return False
            following: set[_State] = set()
            character = text[at]
            for state in current:
                if state.test is not None and state.test(character):
                    for each in state.nexts:
                        self._enter(each, following, text, at + 1)
            if self._end in following:
                return True
            current = following
        return False

    def _enter(self, state: _State, into: set[_State], text: str, at: int) -> None:
        waiting = [state]
        while waiting:
            each = waiting.pop()
            if each in into or (each.ask and not _holds(each.ask, text, at)):
                continue
            into.add(each)
            self._left -= 1
            if self._left < 0:
                raise PatternError("error matching regexp: it is in too many states at once: simplify it")
            if each.test is None:
                waiting.extend(each.nexts)


def _holds(ask: str, text: str, at: int) -> bool:
    if ask == "^":
        return at == 0
    if ask == "$":
        return at == len(text)
    word = _CLASSES["w"]
    before, after = at > 0 and word(text[at - 1]), at < len(text) and word(text[at])
    return (before != after) is (ask == "b")


@functools.lru_cache(maxsize=256)
def compile(pattern: str) -> Regex:  # noqa: A001 - as every module of this kind calls it
    """The automaton of a pattern.

    Raises:
        PatternError: it is no pattern, in RE2's words, or too large.
    """
    if len(pattern) > MAX_PATTERN:
        raise PatternError(f"error parsing regexp: {len(pattern)} characters: the limit is {MAX_PATTERN}")
    return _Parser(pattern).all()


_Part: TypeAlias = tuple[_State, _State]


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._at = 0
        self._depth = 0
        self._states = 0
        self._folds = False

    def all(self) -> Regex:
        if self._pattern.startswith("(?i)"):
            self._folds = True
            self._at = 4
        start, end = self._either()
        if self._at < len(self._pattern):
            self._refuse("unexpected ): ", self._pattern)
        return Regex(start, end)

    def _refuse(self, problem: str, what: str) -> NoReturn:
        raise PatternError(f"error parsing regexp: {problem}`{what}`")

    def _peek(self) -> str:
        return self._pattern[self._at] if self._at < len(self._pattern) else ""

    def _take(self) -> str:
        character = self._peek()
        self._at += 1
        return character

    def _state(self, test: Test | None = None, ask: str = "") -> _State:
        self._states += 1
        if self._states > MAX_STATES:
            self._refuse("expression too large: ", self._pattern)
        return _State(test, ask)

    def _one(self, test: Test) -> _Part:
        first, last = self._state(test), self._state()
        first.nexts.append(last)
        return first, last

    def _nothing(self, ask: str = "") -> _Part:
        first, last = self._state(ask=ask), self._state()
        first.nexts.append(last)
        return first, last

    def _either(self) -> _Part:
        parts = [self._row()]
        while self._peek() == "|":
            self._at += 1
            parts.append(self._row())
        if len(parts) == 1:
            return parts[0]
        first, last = self._state(), self._state()
        for start, end in parts:
            first.nexts.append(start)
            end.nexts.append(last)
        return first, last

    def _row(self) -> _Part:
        whole = self._nothing()
        while self._peek() not in ("", "|", ")"):
            start, end = self._repeated()
            whole[1].nexts.append(start)
            whole = whole[0], end
        return whole

    def _repeated(self) -> _Part:
        begun = self._at
        part = self._atom()
        if not (bounds := self._bounds()):
            return part
        ended = self._at
        if self._peek() == "?":
            self._at += 1
        if self._peek() and self._peek() in "*+?":
            self._refuse("invalid nested repetition operator: ", self._pattern[ended - 1 : self._at + 1])
        least, most = bounds
        after = self._at

        def copy() -> _Part:
            self._at = begun
            made = self._atom()
            self._at = after
            return made

        whole = self._nothing()
        for number in range(least):
            start, end = part if number == 0 else copy()
            whole[1].nexts.append(start)
            whole = whole[0], end
        if most < 0:
            start, end = copy() if least else part
            last = self._state()
            whole[1].nexts += [start, last]
            end.nexts += [start, last]
            return whole[0], last
        last = self._state()
        for number in range(least, most):
            start, end = part if number == 0 else copy()
            whole[1].nexts += [start, last]
            whole = whole[0], end
        whole[1].nexts.append(last)
        return whole[0], last

    def _bounds(self) -> tuple[int, int] | None:
        """How often what stands before is wanted; None if nothing says so, a negative end for no end."""
        character = self._peek()
        if character and character in "*+?":
            self._at += 1
            return {"*": (0, -1), "+": (1, -1), "?": (0, 1)}[character]
        if character != "{":
            return None
        text, brace, _ = self._pattern[self._at + 1 :].partition("}")
        low, comma, high = text.partition(",")
        if not brace or not _is_number(low) or not (high == "" or _is_number(high)):
            return None  # then it is a brace
        least = int(low)
        most = (int(high) if high else -1) if comma else least
        if max(least, most) > MAX_REPEAT or 0 <= most < least:
            self._refuse("invalid repeat count: ", "{" + text + "}")
        self._at += len(text) + 2
        return least, most

    def _atom(self) -> _Part:
        character = self._take()
        if character == "(":
            return self._group()
        if character == "[":
            return self._one(self._class())
        if character == ".":
            return self._one(lambda c: c != "\n")
        if character in "^$":
            return self._nothing(character)
        if character in "*+?":
            self._refuse("missing argument to repetition operator: ", character)
        if character == "\\":
            return self._escaped()
        return self._one(self._literal(character))

    def _literal(self, character: str) -> Test:
        if self._folds:
            folded = character.lower()
            return lambda c: c.lower() == folded
        return lambda c: c == character

    def _group(self) -> _Part:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._refuse("expression nests too deeply: ", self._pattern)
        if self._peek() == "?":
            for opening in ("?:", "?P<", "?<"):
                if self._pattern.startswith(opening, self._at):
                    self._at += len(opening)
                    if opening.endswith("<"):
                        name, closed, _ = self._pattern[self._at :].partition(">")
                        if not closed or not name.isidentifier():
                            self._refuse("invalid named capture: ", self._pattern)
                        self._at += len(name) + 1
                    break
            else:
                self._refuse(
                    "invalid or unsupported Perl syntax: ", self._pattern[self._at - 1 : self._at + 2]
                )
        part = self._either()
        if self._take() != ")":
            self._refuse("missing closing ): ", self._pattern)
        self._depth -= 1
        return part

    def _escaped(self) -> _Part:
        character = self._take()
        if not character:
            self._refuse("trailing backslash at end of expression: ", "")
        if character in "bB":
            return self._nothing(character)
        if character in "Az":
            return self._nothing("^" if character == "A" else "$")
        test = self._class_of(character)
        return self._one(test if test is not None else self._literal(self._plain(character)))

    def _class_of(self, character: str) -> Test | None:
        test = _CLASSES.get(character.lower())
        if test is None or character == character.lower():
            return test
        inner = test
        return lambda c: not inner(c)

    def _plain(self, character: str) -> str:
        """The character that an escape stands for."""
        if character in _ESCAPES:
            return _ESCAPES[character]
        if character == "x":
            digits = self._pattern[self._at : self._at + 2]
            if len(digits) == 2 and all(_NAMED["xdigit"](each) for each in digits):
                self._at += 2
                return chr(int(digits, 16))
        if character.isalnum() or not character.isascii():
            self._refuse("invalid escape sequence: ", "\\" + character)
        return character

    def _class(self) -> Test:
        begun = self._at - 1
        negated = self._peek() == "^"
        self._at += negated
        singles: list[str] = []
        ranges: list[tuple[str, str]] = []
        tests: list[Test] = []
        is_first = True
        while is_first or self._peek() != "]":
            is_first = False
            if not self._peek():
                self._refuse("missing closing ]: ", self._pattern[begun:])
            found = self._class_item()
            if not isinstance(found, str):
                tests.append(found)
                continue
            following = self._pattern[self._at : self._at + 2]
            if not following.startswith("-") or following == "-]" or len(following) < 2:
                singles.append(found)
                continue
            self._at += 1
            high = self._class_item()
            if not isinstance(high, str) or high < found:
                self._refuse("invalid character class range: ", self._pattern[begun : self._at])
            ranges.append((found, high))
        self._at += 1
        return _union(frozenset(singles), ranges, tests, negated=negated, folds=self._folds)

    def _class_item(self) -> str | Test:
        character = self._take()
        if character == "[" and self._peek() == ":":
            name, closed, _ = self._pattern[self._at + 1 :].partition(":]")
            test = _NAMED.get(name.removeprefix("^"))
            if closed and test is not None:
                self._at += len(name) + 3
                inner = test
                return (lambda c: not inner(c)) if name.startswith("^") else inner
        if character != "\\":
            return character
        escaped = self._take()
        if not escaped:
            self._refuse("trailing backslash at end of expression: ", "")
        test = self._class_of(escaped)
        return test if test is not None else self._plain(escaped)


def _union(
    singles: frozenset[str], ranges: list[tuple[str, str]], tests: list[Test], *, negated: bool, folds: bool
) -> Test:
    def has(c: str) -> bool:
        return c in singles or any(low <= c <= high for low, high in ranges) or any(t(c) for t in tests)

    def folded(c: str) -> bool:
        return has(c) or has(c.lower()) or has(c.upper())

    found = folded if folds else has
    return (lambda c: not found(c)) if negated else found


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 6
