"""`gossip-sim siege` with wrong arguments."""

from __future__ import annotations

import pytest

from sim.cli.program import main


@pytest.mark.parametrize("loss", ["200", "-1", "nan", "much"])
def test_a_loss_is_a_share_of_a_hundred(loss: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["siege", "--seeds", "0", f"--loss={loss}"])
    assert ended.value.code == 2
    assert f"'{loss}' is no share of a hundred" in capsys.readouterr().err
