"""A turn of retention: everything at its limit, in slices, whatever a kill left lying about."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.catalog.runs import Runs
from ragd.daemon import retention
from ragd.daemon.errands import Errands
from ragd.daemon.model_side import ModelSide
from ragd.daemon.upkeep import Upkeep
from ragd.domain.deciding import Cost, RunState
from ragd.domain.learning import Role
from ragd.index.snapshot import kept_sequences
from tests.unit.daemon.test_mishaps import NoQueue
from tests.unit.flow.house import House

LIMITS: dict[str, Any] = {"days": 0, "receipts": 100, "snapshots": 3, "models": 2, "decisions": 10, "run_log_kb": 1}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path, retain=LIMITS)
    yield made
    made.app.close()


def kept(house: House) -> Upkeep:
    return Upkeep(house.app, is_alive=lambda _batch: True, embed_workers=lambda: 1, clock=house.clock)


def counted(house: House, table: str) -> int:
    return int(house.app.tables.store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_a_turn_brings_everything_to_its_limit_and_ends(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    upkeep = kept(house)
    for number in range(150):
        house.write("river.txt", f"otters number {number}", "beavers build dams")
        house.work()
    assert (counted(house, "contents"), counted(house, "receipts")) == (150, 150)
    monkeypatch.setattr(retention, "_BUDGET_S", 0.0)
    upkeep.step()
    assert counted(house, "receipts") == 150  # not one slice in no time
    monkeypatch.setattr(retention, "_BUDGET_S", 10.0)
    upkeep.step()
    assert (counted(house, "contents"), counted(house, "chunks"), counted(house, "receipts")) == (1, 2, 100)
    house.write("river.txt", "otters at last", "beavers build dams")
    house.work()
    upkeep.step()
    assert counted(house, "contents") == 2
    house.now += 61
    upkeep.step()
    assert counted(house, "contents") == 1


def test_so_many_snapshots_are_kept_and_folders_of_unknown_generations_go(house: House) -> None:
    upkeep = kept(house)
    for number in range(5):
        house.write("river.txt", f"otters number {number}")
        house.work()
        upkeep.finish()
    folder = house.state / "generations"
    (folder / "77").mkdir()
    (folder / "77" / "00000001").mkdir()
    (folder / "notes").mkdir()
    upkeep.step()
    assert sorted(path.name for path in folder.iterdir()) == ["1", "notes"]
    assert len(kept_sequences(folder / "1")) == 3


def test_models_and_runs_beyond_their_limit_go_by_themselves_with_their_files(house: House) -> None:
    side = ModelSide(house.app, NoQueue(), Errands(lambda: None), {}, clock=house.clock)
    runs = Runs(house.app.tables.store, house.clock)
    for number in range(4):
        house.adapter(scale=float(number))
        run_id = runs.begin("query_adapter", Role.QUERY_ADAPTER, cause="by hand", seed=1)
        runs.move(run_id, RunState.FAILED)
    house.app.tables.store.connection.execute(
        "INSERT INTO spend (at, what, cpu_s) VALUES (1, 'train', 1), (2, 'train', 2)"
    )
    house.now += 500 * 86400.0
    strange = house.state / "runs" / "20200101-000000-nobody"
    strange.mkdir(parents=True)
    side.step()
    assert sorted(path.name for path in (house.app.places.models / "query_adapter").iterdir()) == ["3", "4"]
    assert house.app.reader.learning.spend.charges() == [(1.0, "train", Cost(3.0))]
    assert strange.is_dir()  # its own time is of today: of a worker for another daemon, perhaps
    side._chores.close()
    side.roster.close()
    assert threading.active_count() < 20


def test_a_clock_that_jumps_forward_expires_nothing_and_is_named_until_it_is_right_or_a_day_has_passed(
    tmp_path: Path,
) -> None:
    house = House(tmp_path, retain={"days": 7})
    passed = [0.0]
    kept = retention.Retention(
        house.app, may_drop=lambda: True, dropped=lambda _: None, clock=house.clock, steady=lambda: passed[0]
    )

    def let_pass(seconds: float, set_by: float = 0.0) -> None:
        passed[0] += seconds
        house.now += seconds + set_by
        for _ in range(10):
            kept.step()

    house.write("river.txt", "otters swim upstream")
    house.work()
    house.write("river.txt", "beavers build dams")
    house.work()
    let_pass(61, set_by=3000)
    assert (kept.reasons, counted(house, "chunks")) == ([], 2)
    let_pass(61, set_by=10 * 86400)
    assert counted(house, "chunks") == 2
    assert "set forward by 10.0 days" in kept.reasons[0]
    assert "timedatectl" in kept.reasons[0]
    let_pass(61, set_by=-10 * 86400)
    assert (kept.reasons, counted(house, "chunks")) == ([], 2)
    let_pass(61, set_by=10 * 86400)
    let_pass(86400)
    assert (kept.reasons, counted(house, "chunks")) == ([], 1)
    house.app.close()


def test_a_clock_set_back_stops_no_turn(house: House) -> None:
    upkeep = kept(house)
    upkeep.step()
    for number in range(150):
        house.write("river.txt", f"otters number {number}")
        house.work()
    house.now -= 30 * 86400
    upkeep.step()
    assert counted(house, "receipts") == 100
