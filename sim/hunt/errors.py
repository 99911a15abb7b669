"""What is raised when a world does what no world may."""

from __future__ import annotations

from sim.hunt.rules import Rule

__all__ = ["BrokenRuleError", "demand"]


class BrokenRuleError(AssertionError):
    """An invariant does not hold: which, where, when, and what was held there instead."""

    def __init__(self, rule: Rule, detail: str, *, host: str = "", at_s: float | None = None) -> None:
        super().__init__(rule, detail)
        self.rule = rule
        self.detail = detail
        self.host = host
        self.at_s = at_s

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        when = "" if self.at_s is None else f" at {self.at_s:.6f} s"
        return f"{self.rule} broken{where}{when}: {self.detail}"


def demand(holds: object, rule: Rule, detail: str) -> None:
    """Raise BrokenRuleError unless `holds`: for checks that are too rare for `detail` to cost anything."""
    if not holds:
        raise BrokenRuleError(rule, detail)
