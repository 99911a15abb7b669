"""The pictures of a run: which there are, that they are the same each time, and that none is half written."""

from __future__ import annotations

import hashlib
import resource
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from sim.draw.files import draw_all
from sim.errors import MissingExtraError
from tests.sim.draw.runs import made, real

ROOT = Path(__file__).parents[3]
ALWAYS = {
    "beliefs.png",
    "beliefs.svg",
    "convergence.png",
    "convergence.svg",
    "load.png",
    "load.svg",
    "replay.html",
}
SOME = {"detection.png", "detection.svg", "dissemination.png", "dissemination.svg"}
SAMPLES = [{"at_us": 0, "running": 3, "views": 1, "converged_share": 1.0}]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("drawn") / "new"
    written = draw_all(real(), directory)
    assert {path.name for path in written} == {path.name for path in directory.iterdir()} == ALWAYS | SOME
    return directory


def test_pngs_are_as_wide_as_they_should_be(drawn: Path) -> None:
    for path in drawn.glob("*.png"):
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert int.from_bytes(data[16:20], "big") == 1_080


def test_svgs_are_well_formed_and_name_no_date(drawn: Path) -> None:
    for path in drawn.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")  # noqa: S314 - our own file
        assert "dc:date" not in path.read_text()


def test_the_same_run_gives_the_same_files_in_another_process(drawn: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from sim.draw.files import draw_all; from tests.sim.draw.runs import real;"
        " draw_all(real(), sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, check=True)
    assert {path.name: _hash(path) for path in tmp_path.iterdir()} == {
        path.name: _hash(path) for path in drawn.iterdir()
    }


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_of_a_run_without_failures_and_news_there_is_no_plot_of_them(tmp_path: Path) -> None:
    assert {path.name for path in draw_all(made(3, samples=SAMPLES), tmp_path)} == ALWAYS


def test_a_run_that_was_interrupted_at_once_can_be_drawn(tmp_path: Path) -> None:
    assert {path.name for path in draw_all(made(1, end_s=0.0), tmp_path)} == ALWAYS


def test_a_run_that_has_no_nodes_yet_can_be_drawn(tmp_path: Path) -> None:
    drawn = {path.name for path in draw_all(made(0, end_s=0.0), tmp_path)}
    assert drawn == {name for name in ALWAYS if not name.startswith("beliefs")}


def test_a_full_disk_leaves_no_half_picture(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, hard))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            draw_all(real(), tmp_path)
        assert caught.value.filename == str(tmp_path / "convergence.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.glob(".*"))
    for path in tmp_path.iterdir():
        assert path.stat().st_size < 30_000


def test_without_matplotlib_there_is_the_page_and_a_clear_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"needs matplotlib.*gossip-agent\[sim\]"):
        draw_all(made(3, samples=SAMPLES), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["replay.html"]


def test_drawing_leaves_the_users_settings_alone(tmp_path: Path) -> None:
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 23.0}):
        draw_all(made(3, samples=SAMPLES), tmp_path)
        assert mpl.rcParams["font.size"] == 23.0
