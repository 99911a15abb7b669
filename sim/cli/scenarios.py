"""`gossip-sim scenarios`: what ships, and the text of one to copy."""

from __future__ import annotations

import argparse
import json
from typing import Any

__all__ = ["add", "scenarios"]

EXAMPLE = """examples:
  gossip-sim scenarios
  gossip-sim scenarios rack-failure > mine.toml
"""


def add(commands: Any) -> None:
    """Add the command to the program's."""
    parser = commands.add_parser(
        "scenarios",
        help="what ships, one line each; or the TOML of one",
        description="List the scenarios that ship; with a name, print the TOML of that one, to be copied.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="print this one's TOML")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run="scenarios:scenarios")


def scenarios(options: argparse.Namespace) -> int:
    """Print the list, or one scenario."""
    from sim.scenario.shipped import headlines, shipped_text

    if options.name is not None:
        text = shipped_text(options.name)
        print(
            json.dumps({"name": options.name, "toml": text}) if options.json else text,
            end="\n" if options.json else "",
        )
        return 0
    found = headlines()
    if options.json:
        print(json.dumps(found))
        return 0
    width = max(len(entry["name"]) for entry in found)
    for entry in found:
        print(f"{entry['name']:{width}}  {entry['nodes']:>5} nodes  {entry['headline']}")
    return 0
