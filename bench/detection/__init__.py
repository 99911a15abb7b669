"""How soon, and how wrongly, agents hold another one for dead: gossip beside serf, as processes.

    scripts/bench detection --out FILE              all of it, see `--help` for parts
    scripts/bench detection --out FILE --resume     what FILE does not have yet
    scripts/bench detection --out FILE --report     only tells FILE, also to REPORT.md

Each agent runs on a host of its own (`bench.hosts`), one cluster at a time, and the systems take turns.
Whom a fault strikes, and when, is drawn from `--seed`, the same for both. A cluster is left to settle before
it is hurt: all show all as alive, and then it rests. A **death** is that one agent begins to show another
one as dead; its time is when the harness reads it from what the agent says. Five measurements:

- **sigkill**: one agent is killed; its host lives. First and full: the first death of it, and the last of
  the other agents' first ones, in seconds from the signal. Then it is started again.
- **silenced**: the same for a host whose packets, both ways, are dropped from one moment on, without any
  refusal. What the silenced one itself shows does not count.
- **stopped**: every ten seconds a random quarter is stopped (SIGSTOP) for 0.5 to 8 s each, and continued;
  nobody twice in a row, so that at least 12 s lie between two stops of one agent. `deaths` says which death
  counts as what.
- **split**: two random halves drop all packets of each other for `--split` seconds; then, in seconds from
  the heal, until all show all as alive.
- **busy**: four busy processes a core; every death is false.
"""

from __future__ import annotations

from bench.detection.command import SUMMARY, add_arguments, main

__all__ = ["SUMMARY", "add_arguments", "main"]
