"""What may be spent now: budgets and quiet hours from the catalog's accounts, and the ladders that they hold back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ragd.config.live import LiveConfig
from ragd.config.schema import Budget
from ragd.domain.deciding import Cost
from ragd.domain.learning import Data
from ragd.flow.purse import Purse
from tests.unit.flow.works import ADAPTER, FIT, LORA, Works


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path, ADAPTER, LORA, FIT)
    yield made
    made.close()


def purse(works: Works, **budget: Any) -> Purse:
    works.budget = Budget(**budget)
    return Purse(LiveConfig(works.config), works.tables.rows)


def test_without_limits_nothing_is_held(works: Works) -> None:
    free = purse(works, train_cpu_s_day=0, train_cpu_s_month=0)
    assert free.held(Cost(1e9, 1e9), works.now) is None
    assert free.may_fill(works.now)


def test_training_is_held_by_what_was_spent_on_training_only(works: Works) -> None:
    spend = works.tables.spend
    spend.charge("backfill", Cost(1000.0), generation=1)
    spend.charge("observe", Cost(1000.0))
    tight = purse(works, train_cpu_s_day=100)
    assert tight.held(Cost(60.0), works.now) is None
    spend.charge("train", Cost(30.0), run_id="one")
    spend.charge("evaluate", Cost(20.0), run_id="one")
    held = tight.held(Cost(60.0), works.now)
    assert held is not None
    assert (held.key, held.is_never) == ("budget.train_cpu_s_day", False)
    assert tight.held(Cost(50.0), works.now) is None
    assert tight.held(Cost(60.0), works.now + 86401) is None


def test_what_a_run_under_way_holds_is_kept_for_it(works: Works) -> None:
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    works.tables.runs.reserve(run_id, Cost(80.0))
    tight = purse(works, train_cpu_s_day=100)
    held = tight.held(Cost(30.0), works.now)
    assert held is not None
    assert "reserved for runs under way" in held.why
    works.tables.spend.charge("train", Cost(50.0), run_id=run_id)
    assert tight.held(Cost(20.0), works.now) is None  # 50 spent, 30 still held
    assert tight.held(Cost(21.0), works.now) is not None


def test_quiet_hours_hold_every_run_and_no_filling(works: Works) -> None:
    quiet = purse(works, quiet_hours="00:00-23:59")
    held = quiet.held(Cost(0.0), works.now)
    assert held is not None
    assert (held.why, held.key) == ("quiet hours", "budget.quiet_hours")
    assert held.until is not None
    assert held.until > works.now
    assert quiet.may_fill(works.now)


def test_a_new_generation_is_filled_within_its_own_budget(works: Works) -> None:
    works.tables.spend.charge("train", Cost(1e6), run_id="one")
    tight = purse(works, backfill_cpu_s_day=100)
    assert tight.may_fill(works.now)
    works.tables.spend.charge("backfill", Cost(95.0), generation=2)
    assert not tight.may_fill(works.now)
    assert tight.may_fill(works.now + 86401)


def test_a_new_generation_is_not_filled_with_the_money_of_a_run_under_way(works: Works) -> None:
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    works.tables.runs.reserve(run_id, Cost(80.0))
    priced = purse(works, cpu_rate=3600, money_day=85)
    assert not priced.may_fill(works.now)
    works.tables.runs.reserve(run_id, Cost(75.0))
    assert priced.may_fill(works.now)


def test_ladders_stand_by_seconds_or_by_money(works: Works) -> None:
    works.given = {name: {"warmup_chunks": 0} for name in ("query_adapter", "encoder_lora")}
    works.restart()
    candidates, now = works.candidates.all(), works.now
    by_seconds = purse(works).ladders(candidates, 0, now)
    assert [(ladder.name, [rung.trainer for rung in ladder.rungs]) for ladder in by_seconds] == [
        ("index fit", ["coarse_quantizer"]),
        ("search", ["query_adapter", "encoder_lora"]),
    ]
    _, priced = purse(works, cpu_rate=3.6, currency="EUR", money_day=0.01).ladders(candidates, 0, now)
    assert [(rung.trainer, str(rung.stand)) for rung in priced.rungs] == [
        ("query_adapter", "goes"),
        ("encoder_lora", "next"),
    ]


def test_a_rung_that_costs_too_much_money_waits(works: Works) -> None:
    works.given = {"encoder_lora": {"warmup_chunks": 0, "changed_share": 0.1}, "query_adapter": {"enabled": False}}
    works.restart()
    works.write(10)
    poor = purse(works, train_cpu_s_day=0, train_cpu_s_month=0, cpu_rate=3600.0, currency="EUR", money_day=50)
    _, search = poor.ladders(works.candidates.all(), works.corpus().changes, works.now)
    assert (search.chosen, search.because) == ("", "encoder_lora")
    rung = search.rungs[1]
    assert (str(rung.stand), rung.why) == (
        "waits",
        "a run needs about 90.00 EUR, budget.money_day allows 50.00 EUR a day",
    )


def test_earlier_runs_stand_for_their_data(works: Works) -> None:
    """Three refusals on as many examples as there are now; what came of a named file says nothing."""
    works.write(10)
    for _ in range(3):
        works.finished(works.improve.request("query_adapter", on=None, cause="hand"), gain=-0.1)
    works.finished(works.improve.request("encoder_lora", on="/data/pairs.jsonl", cause="hand"), gain=-0.1)
    changes = works.corpus().changes
    (_, search) = purse(works).ladders(works.candidates.all(), changes, works.now)
    stands = {rung.trainer: str(rung.stand) for rung in search.rungs}
    assert stands["query_adapter"] == "skipped"
    assert stands["encoder_lora"] != "refused"
    works.examples[Data.PAIRS] = 200
    (_, grown) = purse(works).ladders(works.candidates.all(), changes, works.now)
    assert "skipped" not in {str(rung.stand) for rung in grown.rungs}
