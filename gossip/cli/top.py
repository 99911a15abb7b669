"""The command `top`: a live screen, drawn anew each second and soon after each change."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from typing import TYPE_CHECKING

from gossip.cli.output import age
from gossip.cli.pulse import Pulse
from gossip.cli.screen import draw
from gossip.cli.signals import Signals
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from rich.console import Console
    from rich.live import Live

    from gossip.cli.pulse import Look

__all__ = ["top"]

EACH_SECONDS = 1.0
SOONEST_SECONDS = 0.2
"""After a look: many changes at once are one."""


def top(options: Namespace) -> int:
    """Shows the screen until `q`, or with `--once` prints one."""
    if options.json:
        options.parser.error("top draws for people: programs read 'gossip info --json' and the others")
    if not options.once and not sys.stdout.isatty():
        options.parser.error("top needs a terminal to draw on: use --once for one screen as text")
    from rich.console import Console

    with Pulse(options.socket) as pulse:
        look = pulse.look()
        console = Console(highlight=False)
        if options.once:
            width, height = console.size
            console.print(draw(look, width, height), height=height)
            return 0
        _live(console, pulse, look)
    return 0


def _live(console: Console, pulse: Pulse, look: Look) -> None:
    from rich.live import Live

    with (
        Signals((signal.SIGWINCH,)) as resized,
        _keys() as keys,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        screen = _Screen(live, pulse, look)
        screen.draw()
        while True:
            waiting = [each for each in (resized, pulse) if each.fileno() >= 0]
            ready, _, _ = select.select([*waiting, *keys], [], [], screen.patience())
            if any(each in ready for each in keys) and _wants_to_quit(keys):
                return
            resized.take()
            screen.step(changed=pulse in ready)


class _Screen:
    def __init__(self, live: Live, pulse: Pulse, look: Look) -> None:
        self._live = live
        self._pulse = pulse
        self._look = look
        self._away: float | None = None
        """Wall-clock seconds when the agent was first missed."""
        self._looked = time.monotonic()
        self._due = self._looked + EACH_SECONDS

    def patience(self) -> float:
        return max(self._due - time.monotonic(), 0.0)

    def step(self, *, changed: bool) -> None:
        """Looks at the agent if that is due, and draws."""
        try:
            if changed:
                self._pulse.settle()
                self._due = min(self._due, self._looked + SOONEST_SECONDS)
            if time.monotonic() >= self._due:
                self._looked = time.monotonic()
                self._due = self._looked + EACH_SECONDS
                self._look = self._pulse.look()
                self._away = None
        except UnreachableError:
            self._pulse.close()
            self._away = self._away or time.time()
        self.draw()

    def draw(self) -> None:
        """What was last heard, for the terminal as large as it is now."""
        away = ""
        if self._away is not None:
            clock = time.strftime("%H:%M:%S", time.localtime(self._away))
            away = f"{clock} ({age(time.time() - self._away)})"
        width, height = self._live.console.size
        self._live.update(draw(self._look, width, height, away, "q quits"), refresh=True)


@contextlib.contextmanager
def _keys() -> Iterator[list[int]]:
    """The keyboard, each key at once and unseen; nothing if the input is no terminal."""
    try:
        keyboard = sys.stdin.fileno()
        is_terminal = os.isatty(keyboard)
    except (ValueError, AttributeError):
        is_terminal = False
    if not is_terminal:
        yield []
        return
    import termios
    import tty

    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield [keyboard]
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def _wants_to_quit(keys: list[int]) -> bool:
    """`q`, Escape alone, or the keyboard's end; the sequences of other keys begin with Escape too."""
    typed = os.read(keys[0], 1024)
    return (
        not typed or typed == b"\x1b" or any(key in b"qQ" for key in typed if not typed.startswith(b"\x1b"))
    )
