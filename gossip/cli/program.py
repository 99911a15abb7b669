"""From arguments to an exit status: 0 done, 1 it did not work, 2 wrong usage, 3 no agent at that socket."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, cast

from gossip.cli.parser import parse
from gossip.errors import ConfigError, DeniedError, GossipError, UnreachableError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Sequence

__all__ = ["main"]

DONE, FAILED, USAGE, NO_AGENT, INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that `argv` (the process's own arguments when None) asks for; its exit status."""
    try:
        options = parse(argv)
        status = _function(options)(options)
        print(end="", flush=True)  # standard output may be none at all
    except GossipError as problem:
        return _failed(problem)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough. The interpreter would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
        return _failed(GossipError(f"the output cannot be written: {problem.strerror}"))
    return status


def _function(options: Namespace) -> Callable[[Namespace], int]:
    """The function that carries a command out, named `module:function` by the parser."""
    module, name = options.run.split(":")
    return cast("Callable[[Namespace], int]", getattr(import_module(f"gossip.cli.{module}"), name))


def _failed(problem: GossipError) -> int:
    from gossip.cli.output import complain

    complain(_with_name(str(problem)) if isinstance(problem, DeniedError) else str(problem))
    if isinstance(problem, UnreachableError):
        return NO_AGENT
    return USAGE if isinstance(problem, ConfigError) else FAILED


def _with_name(text: str) -> str:
    """What the agent refuses to a user, whom it knows by his number: with his name."""
    import pwd

    user = os.geteuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        return text
    return text.replace(f"user {user} may not", f"user {name} ({user}) may not", 1)
