"""A command answers within 120 ms of being typed, so it loads what it needs and nothing else."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

import pytest

from tests.cli.test_checks import a_check
from tests.client.scripted import Reply, ScriptedAgent, a_member, an_instance
from tests.support import ROOT, clean_environment, run_python

HEAVY = ("asyncio", "cryptography", "dataclasses", "msgspec", "rich", "trio", "gossip.agent", "gossip.core")

ONE_SHOT = [
    ["members"],
    ["members", "--json"],
    ["info", "--help"],
    ["lookup", "web", "--one"],
    ["register", "web", "--port", "1"],
    ["services"],
    ["check", "pass", "web"],
    ["checks"],
    ["maintenance", "on", "web"],
    ["reload"],
    ["doctor"],
    ["monitor", "--help"],
    ["run", "--help"],
    ["top", "--help"],
    ["version"],
    ["completion", "bash"],
    ["--help"],
]

PRINT_MODULES = """
import sys
from gossip.cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    pass
print("MODULES", *sorted(sys.modules))
"""


@pytest.fixture
def answering(agent: ScriptedAgent) -> ScriptedAgent:
    agent.script = {
        "members.list": Reply({"members": [a_member()], "index": 1}),
        "services.lookup": Reply({"instances": [an_instance()], "index": 1}),
        "services.list": Reply(
            {"services": [{"name": "web", "instances": 1, "tags": [], "failing": 0}], "index": 1}
        ),
        "services.register": Reply({"id": "web", "version": 1}),
        "checks.update": Reply({"id": "web", "status": "passing"}),
        "checks.list": Reply({"checks": [a_check()], "index": 1}),
        "maintenance.set": Reply({"id": "web", "on": True}),
        "agent.doctor": Reply({"ok": True, "summary": "All is well.", "findings": [], "facts": {}}),
        "agent.reload": Reply({"services": 0, "added": 0, "changed": 0, "removed": 0}),
    }
    return agent


def loaded(*arguments: str, socket: str) -> set[str]:
    ran = run_python("-c", PRINT_MODULES, *arguments, extra={"GOSSIP_SOCKET": socket})
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    return set(ran.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize("arguments", ONE_SHOT, ids=" ".join)
def test_a_one_shot_command_loads_no_agent(answering: ScriptedAgent, arguments: list[str]) -> None:
    modules = loaded(*arguments, socket=answering.path)
    assert {name for name in modules if name in HEAVY or name.startswith("gossip.core.")} == set()


def test_the_default_socket_is_found_without_the_agents_libraries() -> None:
    ran = run_python("-c", PRINT_MODULES, "members")
    modules = set(ran.stdout.splitlines()[-1].split()[1:])
    assert "gossip.config" in modules
    assert modules & {"asyncio", "cryptography", "msgspec", "trio", "gossip.agent"} == set()


def test_importing_the_package_loads_nothing() -> None:
    code = "import sys; old = {*sys.modules}; import gossip; gossip.__version__; print(*{*sys.modules} - old)"
    ran = run_python("-c", code)
    assert ran.returncode == 0, ran.stderr
    assert {name for name in ran.stdout.split() if name.startswith("gossip")} == {"gossip"}


@pytest.mark.slow
def test_members_takes_120_ms_at_most(answering: ScriptedAgent) -> None:
    """Processor time, so that a busy machine proves nothing about us; the bench measures the clock."""

    def spent() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    taken = []
    for _ in range(20):
        before = spent()
        subprocess.run(
            [sys.executable, "-m", "gossip", "members"],
            cwd=ROOT,
            env=clean_environment({"GOSSIP_SOCKET": answering.path}),
            stdout=subprocess.DEVNULL,
            check=True,
        )
        taken.append(spent() - before)
    assert statistics.median(taken) <= 0.120
