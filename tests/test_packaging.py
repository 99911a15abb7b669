"""What users install: the wheel, built from this tree, alone in an environment of its own."""

from __future__ import annotations

import re
import shutil
import venv
import zipfile
from email.parser import Parser
from typing import TYPE_CHECKING

import pytest

import gossip
from tests.support import ROOT, run_program, run_python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

PACKAGES = ("gossip", "sim")
RUNTIME = {"anyio", "cryptography", "h11", "h2", "msgspec", "prometheus-client", "rich", "trio"}


def sources() -> set[str]:
    """Every file of the two packages but the README's pictures, as the wheel should name it."""
    return {
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and not {"__pycache__", "pictures"}.intersection(file.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the build backend that is in this environment."""
    # From a copy, so that the checkout stays as it is and nothing left over in it gets in.
    tree = tmp_path_factory.mktemp("tree")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    out = tmp_path_factory.mktemp("wheel")
    built = run_python(
        *("-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(tree)), cwd=tree, timeout=120
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = out.iterdir()
    return path


def test_the_wheel_holds_both_packages_and_nothing_else(wheel: Path) -> None:
    assert wheel.name == f"gossip_agent-{gossip.__version__}-py3-none-any.whl"
    info = f"gossip_agent-{gossip.__version__}.dist-info/"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"gossip/py.typed", "gossip/__init__.py", "sim/__init__.py"} <= names
    assert {name for name in names if not name.startswith(info)} == sources()
    assert f"{info}licenses/LICENSE" in names


def test_the_wheel_asks_for_the_runtime_dependencies_and_no_more(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    headers = Parser().parsestr(archive.read(metadata).decode())
    required = [line for line in headers.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {re.split(r"[^\w-]", line)[0] for line in required} == RUNTIME
    assert headers["Name"] == "gossip-agent"
    assert headers["License-Expression"] == "Apache-2.0"


def test_the_wheel_alone_runs_both_commands(wheel: Path, tmp_path: Path) -> None:
    place = tmp_path / "env"
    venv.create(place, with_pip=True)
    binaries = place / "bin"
    # `tmp_path` as the working directory: the checkout must not help out.
    installed = run_program(
        [str(binaries / "pip"), "install", "--quiet", "--disable-pip-version-check", str(wheel)],
        cwd=tmp_path,
        timeout=240,
    )
    assert installed.returncode == 0, installed.stdout + installed.stderr

    for command in ([str(binaries / "gossip")], [str(binaries / "python"), "-m", "gossip"]):
        version = run_program([*command, "version"], cwd=tmp_path)
        assert version.returncode == 0, version.stderr
        assert gossip.__version__ in version.stdout

    for command in ([str(binaries / "gossip-sim")], [str(binaries / "python"), "-m", "sim"]):
        usage = run_program([*command, "--help"], cwd=tmp_path)
        assert usage.returncode == 0, usage.stderr
        assert "gossip-sim" in usage.stdout

    # What `gossip agent` imports when it runs is there too.
    probe = "import gossip.process; print(gossip.__file__)"
    agent = run_program([str(binaries / "python"), "-W", "error", "-c", probe], cwd=tmp_path)
    assert agent.returncode == 0, agent.stderr
    assert agent.stdout.startswith(str(place))
