"""`gossip-sim replay`: one seed or plan again, told in words; or made short."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli.fuzz import STEPS, positive

if TYPE_CHECKING:
    from sim.hunt.plan import Plan
    from sim.hunt.trial import Outcome

__all__ = ["add", "replay"]

EXAMPLE = """examples:
  gossip-sim replay 17 --steps 5000
  gossip-sim replay 17 --shrink --out seed-17.json      the fewest acts that break the same rule, as a file
  gossip-sim replay seed-17.json
"""


def add(commands: Any) -> None:
    """Make the subparser."""
    parser = commands.add_parser(
        "replay",
        help="one seed of fuzz again, or a plan in a file, told in words",
        description="Run one seed of `gossip-sim fuzz` again, or a plan in a file, and tell what happened.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("plan", metavar="SEED|FILE", help="a seed, or a plan that --out wrote")
    parser.add_argument(
        "--steps", type=positive, default=STEPS, metavar="N", help=f"as given to fuzz (default: {STEPS})"
    )
    parser.add_argument(
        "--shrink", action="store_true", help="look for the fewest acts and nodes that break the same rule"
    )
    parser.add_argument(
        "--budget", type=positive, default=300, metavar="N", help="runs that --shrink may make (default: 300)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the plan there, as JSON")
    parser.add_argument(
        "--lines", type=positive, default=300, metavar="N", help="acts and notes to tell (default: 300)"
    )
    parser.add_argument("--json", action="store_true", help="print the outcome as one object, and no story")
    parser.set_defaults(run="replay:replay")


def replay(options: argparse.Namespace) -> int:
    """Tell the story; 1 if a rule broke."""
    from sim.hunt.story import Story
    from sim.hunt.trial import attempt

    plan = find_plan(options.plan, options.steps)
    if options.shrink:
        plan = make_short(plan, options.budget)
    story = Story(plan, options.lines)
    outcome = attempt(plan, None if options.json else story)
    if options.json:
        print(json.dumps(shown(outcome)), flush=True)
    else:
        for line in story.tell(outcome):
            print(line)
        sys.stdout.flush()
    if options.out is not None:
        keep(plan, options.out, made=options.shrink)
        if not options.json:
            print(f"the plan is in {options.out}: gossip-sim replay {options.out}")
    return 0 if outcome.passed else 1


def keep(plan: Plan, path: Path, *, made: bool) -> None:
    """Write the plan; one that was just `made` short, which took long, is shown if it cannot be written.

    Raises:
        StoreError: if it cannot be.
    """
    from gossip.errors import StoreError
    from sim.hunt.plan import plan_text, save_plan

    try:
        save_plan(plan, path)
    except StoreError as problem:
        if not made:
            raise
        print(plan_text(plan), end="", file=sys.stderr)
        raise StoreError(f"{problem}; the short plan is what stands above") from None


def find_plan(text: str, steps: int) -> Plan:
    """The plan of a seed, or that in a file."""
    from sim.errors import ScenarioError
    from sim.hunt.draws import draw
    from sim.hunt.plan import load_plan

    if text.isdecimal():
        return draw(int(text), steps)
    path = Path(text)
    if not path.is_file():
        raise ScenarioError(f"{text!r} is neither a seed, which is a whole number, nor a file with a plan")
    return load_plan(path)


def make_short(plan: Plan, budget: int) -> Plan:
    """The shortest plan that was found; the same one if no rule broke."""
    from sim.hunt.shrink import shrink
    from sim.hunt.trial import attempt

    found = attempt(plan)
    if found.passed:
        print("gossip-sim: every rule held, so there is nothing to make short", file=sys.stderr)
        return plan
    short, _ = shrink(plan, found, budget=budget)
    print(
        f"gossip-sim: {len(plan.acts)} acts on {plan.nodes} nodes in {plan.steps} steps became"
        f" {len(short.acts)} acts on {short.nodes} nodes in {short.steps} steps",
        file=sys.stderr,
    )
    return short


def shown(outcome: Outcome) -> dict[str, Any]:
    """The outcome as JSON has it."""
    import msgspec

    fields: dict[str, Any] = msgspec.to_builtins(outcome)
    return {**fields, "passed": outcome.passed}
