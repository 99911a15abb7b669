"""`gossip top`: what a frame shows at any size, how it follows the agent, and how it ends."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gossip.cli.output import width_of
from gossip.cli.pulse import MAX_SERVICES, Look, Pulse, ServiceRow
from gossip.cli.screen import draw, share
from gossip.errors import UnreachableError
from tests.agent.processes import PATIENCE
from tests.cli.test_checks import a_check
from tests.client.scripted import ID_A, ID_B, Reply, ScriptedAgent, a_member, an_instance
from tests.support import ROOT, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from tests.cli.conftest import Ran

    Run = Callable[..., Ran]


def an_info(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID_A,
        "name": "n1",
        "cluster": "prod",
        "version": "0.1.0",
        "uptime_s": 200.0,
        "members": {"alive": 2, "suspect": 1, "dead": 0, "left": 0},
        "services": 4,
        "health": 0,
        "flags": [],
        "view": {"fingerprint": "f", "agreement": 0.5},
        "queue": 3,
        "counters": {"datagrams_sent": 2_000, "bytes_sent": 600_000, "datagrams_received": 200},
    } | changes


def a_look(**changes: Any) -> Look:
    return Look(
        at=100.0,
        info=an_info(),
        members=[a_member("n1", flags=["self"]), a_member("n2", id=ID_B, status="suspect", rtt_ms=12.34)],
        services=[
            ServiceRow("api", {"passing": 3}),
            ServiceRow("web", {"passing": 2, "critical": 1}),
        ],
        more_services=0,
        checks=[a_check(), a_check("web:disk", status="critical", output="[red]full\x1b[2J")],
        rates={"datagrams_sent": 10.0, "bytes_sent": 3_000.0, "datagrams_received": 1.0},
    )._replace(**changes)


def shown(look: Look, width: int = 80, height: int = 24, away: str = "", hint: str = "") -> list[str]:
    """The lines of a frame, on a terminal without colours."""
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(draw(look, width, height, away, hint), height=height)
    return captured.get().splitlines()


def test_a_frame_of_80_by_24_has_it_all() -> None:
    lines = shown(a_look(), hint="q quits")
    assert (len(lines), {width_of(line) for line in lines}) == (24, {80})
    text = "\n".join(lines)
    head, members, services, traffic = lines[:4]
    assert "n1 in prod" in head
    assert "up 3m20s" in head
    assert "q quits" in head
    assert re.search(r"members +2 alive  1 suspect +health +well   queue 3", members)
    assert re.search(r"services +4 instances in lookups +agreement +50% of the peers", services)
    assert re.search(r"traffic +out 10/s 3\.0kB/s  in 1/s 0B/s +checks +1 critical  1 passing", traffic)
    # Trouble comes first.
    assert text.index("n2") < text.index("n1  ")
    assert text.index("web    ") < text.index("api ")
    assert re.search(r"n2 +suspect .* 12\.3ms +0 +- +127\.0\.0\.1:7946", text)
    assert re.search(r"web +3 +2 passing  1 critical", text)
    # What others say is text: no markup, no escape sequence.
    assert re.search(r"web:disk +critical +\[red\]full\\x1b\[2J", text)


def test_a_wide_frame_has_its_panels_side_by_side() -> None:
    lines = shown(a_look(), 200, 50)
    assert (len(lines), {width_of(line) for line in lines}) == (50, {200})
    assert any("members 2" in line and "services 2" in line for line in lines)


def test_what_does_not_fit_is_counted() -> None:
    many = [a_member(f"n{number:04}", id=f"{number:032x}") for number in range(2_000)]
    lines = shown(a_look(members=many, checks=[], more_services=10))
    assert len(lines) == 24
    edges = [line for line in lines if " more " in line]
    rows = sum("127.0.0.1:7946" in line for line in lines)
    assert f"{2_000 - rows} more" in edges[0]
    assert "10 more" in edges[1]
    assert rows >= 5
    assert any("services 12" in line for line in lines)


@pytest.mark.parametrize("size", [(20, 5), (40, 10), (80, 8), (119, 24), (120, 9), (300, 100)])
def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    lines = shown(a_look(), *size)
    assert len(lines) == size[1]
    assert all(width_of(line) <= size[0] for line in lines)


def test_an_agent_that_is_away_is_told_in_the_first_line() -> None:
    assert (
        "n1 is away since 12:03:20 (5s): this is what it said last"
        in shown(a_look(), away="12:03:20 (5s)")[0]
    )


def test_an_agent_in_doubt_and_one_without_counters_are_shown() -> None:
    info = an_info(health=3, flags=["isolated"], view={"fingerprint": "f", "agreement": None})
    text = "\n".join(shown(a_look(info=info, rates={}, checks=[]), 120, 30))
    assert "doubts itself (3), isolated" in text
    assert re.search(r"agreement +unknown", text)
    assert re.search(r"traffic +unknown", text)
    assert re.search(r"checks +none here", text)


@given(st.integers(4, 200), st.lists(st.integers(3, 300), min_size=1, max_size=3))
def test_panels_share_all_lines_and_none_starves(room: int, wanted: list[int]) -> None:
    given_ = share(room, wanted)
    assert sum(given_) == room
    if sum(wanted) <= room:
        assert all(lines >= want for lines, want in zip(given_, wanted, strict=True))
    assert all(lines >= min(want, room // len(wanted)) for lines, want in zip(given_, wanted, strict=True))


# -- Pulse -------------------------------------------------------------------------------------------------


@pytest.fixture
def agent() -> Iterator[ScriptedAgent]:
    with ScriptedAgent() as scripted:
        scripted.script = {
            "agent.info": Reply(an_info()),
            "members.list": Reply({"members": [a_member("n1", flags=["self"])], "index": 1}),
            "services.list": Reply({"services": [{"name": "web", "instances": 1, "tags": []}], "index": 1}),
            "services.lookup": Reply(
                {"instances": [an_instance("a"), an_instance("b", status="critical")], "index": 1}
            ),
            "checks.list": Reply({"checks": [a_check()], "index": 1}),
            "members.watch": Reply({"watch": 1, "members": [], "index": 1}),
            "services.watch": Reply({"watch": 2, "services": [], "index": 1}),
        }
        yield scripted


def test_a_look_has_rates_since_the_start_and_then_since_the_last(
    agent: ScriptedAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    with Pulse(agent.path) as pulse:
        monkeypatch.setattr("gossip.cli.pulse.time.monotonic", lambda: now[0])
        first = pulse.look()
        assert first.rates == {"datagrams_sent": 10.0, "bytes_sent": 3_000.0, "datagrams_received": 1.0}
        assert first.services == [ServiceRow("web", {"passing": 1, "critical": 1})]
        assert agent.asked[-2] == ("services.lookup", {"service": "web", "any": True})
        agent.script["agent.info"] = Reply(an_info(counters={"datagrams_sent": 2_050}))
        now[0] += 2.0
        assert pulse.look().rates == {"datagrams_sent": 25.0}


def test_of_many_services_only_as_many_as_a_screen_has_are_looked_up(agent: ScriptedAgent) -> None:
    services = [{"name": f"s{number}", "instances": 1, "tags": []} for number in range(1_000)]
    agent.script["services.list"] = Reply({"services": services, "index": 1})
    with Pulse(agent.path) as pulse:
        look = pulse.look()
    assert (len(look.services), look.more_services) == (MAX_SERVICES, 1_000 - MAX_SERVICES)
    assert agent.methods.count("services.lookup") == MAX_SERVICES


def test_an_agent_without_checks_is_no_error(agent: ScriptedAgent) -> None:
    del agent.script["checks.list"]
    with Pulse(agent.path) as pulse:
        assert pulse.look().checks == []


def test_news_make_it_readable_and_an_agent_that_went_away_is_found_again(agent: ScriptedAgent) -> None:
    agent.script["services.watch"].close = True
    with Pulse(agent.path) as pulse:
        assert select.select([pulse], [], [], PATIENCE)[0] == [pulse]
        with pytest.raises(UnreachableError):
            pulse.settle()
        info = agent.script["agent.info"]
        agent.script["agent.info"] = Reply(close=True, raw=b"", later=info)
        with pytest.raises(UnreachableError):
            pulse.look()
        assert pulse.fileno() == -1
        assert pulse.look().info["name"] == "n1"
        assert pulse.fileno() >= 0


# -- the command ---------------------------------------------------------------------------------------------


def test_once_prints_one_frame_as_text(
    agent: ScriptedAgent, gossip: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    ran = gossip("top", "--once")
    assert (ran.status, ran.err, ran.out.count("\n")) == (0, "", 24)
    assert re.search(r"web +2 +1 critical  1 passing", ran.out)
    assert "\x1b" not in ran.out
    assert "q quits" not in ran.out


class Terminal:
    """`gossip top` on a terminal of its own."""

    def __init__(self, agent: ScriptedAgent) -> None:
        self.ours, theirs = pty.openpty()
        self.resize(80, 24)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gossip", "top"],
            cwd=ROOT,
            env=clean_environment({"GOSSIP_SOCKET": agent.path, "TERM": "xterm", "NO_COLOR": "1"}),
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        os.close(theirs)
        self.text = ""

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def until(self, pattern: str) -> None:
        """Returns when what has been drawn since the last call has this in it."""
        deadline = time.monotonic() + PATIENCE
        while not re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.text)):
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {self.text!r}"
            if select.select([self.ours], [], [], left)[0]:
                self.text += os.read(self.ours, 65_536).decode(errors="replace")
        self.text = ""

    def type(self, keys: bytes) -> None:
        os.write(self.ours, keys)

    def end(self) -> int:
        """Its status; reads on, so that it is not held up by what it still draws."""
        while self.process.poll() is None:
            if select.select([self.ours], [], [], 0.05)[0]:
                try:
                    os.read(self.ours, 65_536)
                except OSError:
                    break  # nobody holds the other end any more
        return self.process.wait(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self.process:
            self.process.kill()
        os.close(self.ours)


def test_it_follows_resizes_outlives_the_agent_and_ends_at_q(agent: ScriptedAgent) -> None:
    with Terminal(agent) as terminal:
        terminal.until("n1 in prod")
        terminal.type(b"x\x1b[A")  # keys that mean nothing
        terminal.resize(200, 50)
        # The kernel sends it to a terminal's foreground group, which this one has not.
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.until(r"members 1 ─+╮╭─ services 1")
        info = agent.script["agent.info"]
        agent.script["agent.info"] = Reply(raw=b"", close=True, later=Reply(raw=b"", close=True, later=info))
        terminal.until("n1 is away since")
        terminal.until("n1 in prod")
        terminal.type(b"q")
        assert terminal.end() == 0


def test_no_agent_is_status_3(gossip: Run, tmp_path: object) -> None:
    ran = gossip("top", "--once", "--socket", f"{tmp_path}/none")
    assert (ran.status, ran.out) == (3, "")
