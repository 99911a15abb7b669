"""`python -m bench [COMMAND] ...`; without a command, `run`.

A command is a module here with `SUMMARY`, `add_arguments(parser)` and `main(arguments) -> exit status`.
"""

from __future__ import annotations

import argparse
import importlib
import sys

COMMANDS = (
    "run",
    "report",
    "packets",
    "repair",
    "misses",
    "lookups",
    "http",
    "dns",
    "faces",
    "gap",
    "detection",
    "rotation",
    "calling",
)


def main(words: list[str]) -> int:
    """Run the command that `words` ask for; its exit status."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure gossip beside its peers.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        module = importlib.import_module(f"bench.{name}")
        command = commands.add_parser(name, help=module.SUMMARY, description=module.SUMMARY)
        module.add_arguments(command)
        command.set_defaults(main=module.main)
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["run", *words]
    arguments = parser.parse_args(words)
    status: int = arguments.main(arguments)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
