"""What goes wrong on the model side: it is said, and what is indexed does not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.runs import Runs
from ragd.daemon.chores import Chores
from ragd.daemon.errands import Errands
from ragd.daemon.model_side import ModelSide
from ragd.domain.deciding import RunState
from ragd.domain.errors import LaunchFailed
from ragd.domain.learning import Role
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


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    made.write("river.txt", "otters swim upstream", "beavers build dams")
    made.work()
    yield made
    made.app.close()


@pytest.fixture
def side(house: House) -> Iterator[ModelSide]:
    made = ModelSide(house.app, NoQueue(), Errands(lambda: None), {}, clock=house.clock)
    yield made
    made._chores.close()
    made.roster.close()


def test_what_passed_before_a_kill_goes_live_at_the_next_start(house: House, side: ModelSide) -> None:
    model_id = passed(house, house.adapter())
    assert house.champion(Role.QUERY_ADAPTER) is None
    start(side)
    assert house.champion(Role.QUERY_ADAPTER) == (model_id, "serving", True)


def test_what_was_rolled_back_stays_so_at_the_next_start(house: House, side: ModelSide) -> None:
    model_id = passed(house, house.adapter())
    house.app.promotions.promote(model_id)
    house.app.promotions.roll_back(Role.QUERY_ADAPTER)
    start(side)
    assert house.champion(Role.QUERY_ADAPTER) == (None, "serving", False)


def passed(house: House, model_id: int) -> int:
    """The model of a run that the gate let pass."""
    runs = Runs(house.app.tables.store, house.clock)
    run_id = runs.begin("query_adapter", Role.QUERY_ADAPTER, cause="trigger", seed=1)
    for state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
        runs.move(run_id, state)
    runs.judged(run_id, "passed", model_id)
    return model_id


def start(side: ModelSide) -> None:
    """What a start and the first turn do."""
    side.improve.start()
    for thread in threading.enumerate():
        if thread.name == "open-model":
            thread.join()
    side.improve.step()


def test_a_broken_turn_is_said_for_a_while_and_harms_nothing_else(
    house: House, side: ModelSide, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
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
