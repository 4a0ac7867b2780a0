"""What goes wrong on the model side: it is said, and what is indexed does not wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ragd.daemon.chores import Chores
from ragd.daemon.errands import Errands
from ragd.daemon.model_side import ModelSide
from ragd.domain.errors import LaunchFailed
from tests.unit.flow.house import House


class NoQueue:
    """A queue `train` that knows every run already."""

    def train(self, run_id: str, folder: str) -> bool:
        return False

    def stop_run(self, run_id: str) -> None:
        raise AssertionError(run_id)


def test_a_chore_whose_folder_is_gone_is_refused_by_name(tmp_path: Path) -> None:
    chores = Chores({})
    with pytest.raises(LaunchFailed, match=r"prepare 7 cannot be started: .*No such file"):
        chores.start("prepare 7", "this", [], tmp_path / "gone" / "prepare.txt", timeout_s=1.0)
    assert not chores.is_running("prepare 7")


def test_a_broken_turn_is_said_for_a_while_and_harms_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(tmp_path)
    side = ModelSide(house.app, NoQueue(), Errands(lambda: None), {}, clock=house.clock)
    try:

        def breaks(*_: Any) -> None:
            raise ZeroDivisionError("by nought")

        monkeypatch.setattr(side.improve, "step", breaks)
        side.step()
        assert "training does not get on: ZeroDivisionError: by nought" in side.reasons
        assert "model_side_broke" in caplog.text
        monkeypatch.undo()
        house.now += 60
        side.step()
        assert side.reasons == []
    finally:
        side._chores.close()
        side.roster.close()
        house.app.close()
