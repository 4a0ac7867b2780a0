"""What was spent adds up: to the runs, over windows, and to what the next run will cost."""

from __future__ import annotations

import pytest

from ragd.catalog.models import Models, NewModel
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.domain.deciding import Cost, RunState
from ragd.domain.learning import Role
from tests.unit.catalog.conftest import Kept


@pytest.fixture
def spend(kept: Kept) -> Spend:
    return Spend(kept.store, kept.clock)


def trained(kept: Kept, trainer: str, examples: int, cost: Cost) -> str:
    """A run that ended well, charged in two parts."""
    runs, spend = Runs(kept.store, kept.clock), Spend(kept.store, kept.clock)
    run_id = runs.begin(trainer, Role.ENCODER, cause="by hand", seed=1)
    runs.prepared(run_id, examples=examples, sha256="x", report={}, changes=0)
    spend.charge("train", Cost(cost.cpu_s * 0.75, cost.gpu_s), run_id=run_id)
    spend.charge("evaluate", Cost(cost.cpu_s * 0.25), run_id=run_id)
    for state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
        runs.move(run_id, state)
    kept.now += 10
    return run_id


def test_charges_of_runs_add_up_to_the_runs(kept: Kept, spend: Spend) -> None:
    for number in range(1, 5):
        trained(kept, "a", 100, Cost(10.0 * number, float(number)))
    spend.charge("backfill", Cost(1000.0), generation=1)
    of_runs = [(run["cpu_s"], run["gpu_s"]) for run in kept.rows.runs.newest()]
    total = kept.rows.spend.total("train", "evaluate")
    assert total.cpu_s == pytest.approx(sum(cpu for cpu, _ in of_runs))
    assert total.cpu_s == pytest.approx(100.0)
    assert total.gpu_s == pytest.approx(sum(gpu for _, gpu in of_runs))
    assert kept.rows.spend.total() == Cost(1100.0, 10.0)


def test_windows_hold_what_came_after_their_beginning(kept: Kept, spend: Spend) -> None:
    start = kept.now
    spend.charge("backfill", Cost(1.0), generation=1)
    kept.now = start + 4000
    spend.charge("backfill", Cost(2.0), generation=1)
    assert kept.rows.spend.total(since=start) == Cost(2.0)
    assert kept.rows.spend.total(since=start - 1) == Cost(3.0)
    assert kept.rows.spend.charges(start) == [(start + 4000, "backfill", Cost(2.0))]


def test_small_charges_of_no_run_share_a_row_within_an_hour(kept: Kept, spend: Spend) -> None:
    for _ in range(100):
        spend.charge("observe", Cost(0.5))
        kept.now += 60
    spend.charge("backfill", Cost(3.0), generation=1)
    spend.charge("backfill", Cost(4.0), generation=2)
    spend.charge("observe", Cost())
    rows = kept.rows.spend.by_trainer()
    assert [(row["what"], row["generation"]) for row in rows] == [
        ("observe", None),
        ("observe", None),
        ("backfill", 1),
        ("backfill", 2),
    ]
    assert kept.rows.spend.total("observe") == Cost(50.0)


def test_a_run_that_is_settled_twice_is_charged_once(kept: Kept, spend: Spend) -> None:
    run_id = Runs(kept.store, kept.clock).begin("a", Role.INDEX, cause="by hand", seed=1)
    assert spend.settle(run_id, "train", Cost(10.0, 1.0)) == Cost(10.0, 1.0)
    assert spend.settle(run_id, "train", Cost(10.0, 1.0)) == Cost()
    assert spend.settle(run_id, "train", Cost(15.0, 1.0)) == Cost(5.0)
    assert spend.settle(run_id, "evaluate", Cost(2.0)) == Cost(2.0)
    run = kept.rows.runs.named(run_id)
    assert (run["cpu_s"], run["gpu_s"]) == (17.0, 1.0)


def test_charges_tell_their_trainer_while_the_run_is_known(kept: Kept, spend: Spend) -> None:
    run_id = trained(kept, "a", 10, Cost(4.0))
    assert {(row["trainer"], row["run_id"]) for row in kept.rows.spend.by_trainer()} == {("a", run_id)}
    Runs(kept.store).trim(0)
    assert {row["trainer"] for row in kept.rows.spend.by_trainer()} == {""}
    assert kept.rows.spend.total() == Cost(4.0)


def test_the_cost_of_a_thousand_examples_is_learned_and_one_odd_run_does_not_move_it(kept: Kept) -> None:
    rows = kept.rows.spend
    assert rows.per_thousand("a") is None
    for examples, cpu_s in ((1000, 10.0), (2000, 24.0), (500, 5.5), (1000, 900.0), (4000, 44.0)):
        trained(kept, "a", examples, Cost(cpu_s))
    learned = rows.per_thousand("a")
    assert learned is not None
    assert learned.cpu_s == pytest.approx(11.0)
    assert rows.past_costs("a", limit=2) == [(4000, Cost(44.0)), (1000, Cost(900.0))]
    assert rows.per_thousand("b") is None


def test_only_models_that_won_count_as_promoted_and_each_once(kept: Kept) -> None:
    models = Models(kept.store, kept.clock)
    made = []
    for trainer in ("winner", "forced"):
        run_id = trained(kept, trainer, 100, Cost(4.0))
        new = NewModel(Role.ENCODER, trainer, 1, f"{trainer}/1", {}, "ff", 10, run_id=run_id)
        made.append(models.add(new))
    winner, forced = made
    for model, is_forced in ((winner, False), (forced, True), (winner, False)):
        models.crown(Role.ENCODER, model, forced=is_forced)
    assert kept.rows.spend.promoted() == [("winner", "encoder", 100, 4.0)]
