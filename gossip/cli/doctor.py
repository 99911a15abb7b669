"""The command `doctor`: what is wrong, in words; 0 all well, 1 something is wrong, 3 no agent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gossip.cli.output import complain, paint, plain, say, say_json
from gossip.client.channel import Channel
from gossip.config.paths import default_socket
from gossip.errors import UnreachableError

if TYPE_CHECKING:
    from argparse import Namespace

    from gossip.client.framing import Message

__all__ = ["doctor"]

NO_AGENT = 3
GRACE = 5.0
"""Seconds that the answer may be late, on a host that is slow for the very reason that is looked for."""


def doctor(options: Namespace) -> int:
    """Asks the agent for a diagnosis and prints it, a finding a line."""
    params: Message = {"timeout": options.timeout}
    if options.member is not None:
        params["member"] = options.member
    try:
        with Channel(options.socket) as channel:
            value = channel.call("agent.doctor", params, options.timeout + GRACE)
    except UnreachableError as problem:
        return _no_agent(options, problem)
    if options.json:
        say_json(value)
    else:
        for finding in value["findings"]:
            _show(finding)
        say(plain(value["summary"]) if value["ok"] else paint(plain(value["summary"]), "bold"))
    return 0 if value["ok"] else 1


def _show(finding: Message) -> None:
    is_problem = finding["severity"] == "problem"
    mark = paint("problem", "red") if is_problem else paint("note   ", "yellow")
    say(f"{mark}  {plain(' '.join(filter(None, (finding['text'], finding['advice']))))}")


def _no_agent(options: Namespace, problem: UnreachableError) -> int:
    """What can be said without an agent: that there is none, and what it has left behind."""
    path = Path(options.socket or default_socket())
    text = str(problem)
    if isinstance(problem.__cause__, ConnectionRefusedError) and path.is_socket():
        text += "; its socket is still there, so the last one was killed: see its log"
    complain(text)
    if options.json:
        finding = {"code": "no_agent", "severity": "problem", "text": text, "advice": ""}
        finding |= {"member": "", "member_id": ""}
        say_json({"ok": False, "summary": "1 problem", "findings": [finding], "facts": None})
    return NO_AGENT
