"""`gossip-sim siege` with wrong arguments."""

from __future__ import annotations

import pytest

from sim.cli.program import main
from sim.cli.siege import percent


@pytest.mark.parametrize("loss", ["200", "-1", "nan", "much"])
def test_a_loss_is_a_share_of_a_hundred(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["siege", "--seeds", "0", f"--loss={loss}"])
    assert ended.value.code == 2
    assert f"'{loss}' is no share of a hundred" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("loss", "is_"),
    [
        ("0", 0),
        ("2", 2),
        ("2%", 2),
        ("0.02", 2),
        ("0.2%", 0.2),
        ("1", 1),
        ("1.5", 1.5),
        ("100%", 100),
        ("0.07", 7),
    ],
)
def test_a_loss_is_written_as_for_a_run_too(loss: str, is_: float) -> None:
    assert percent(loss) == is_
