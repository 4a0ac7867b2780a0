"""Accounts add up to the runs, bind to the budget's windows, and tell how every saving was computed."""

from __future__ import annotations

from typing import Any

import pytest

from ragd.config.learning import Budget
from ragd.domain.deciding import Cost
from ragd.learn.accounts import Charged, Ledger, accounts
from ragd.learn.savings import Embedded, Promoted, Reference, saved

NOW = 1_700_000_000.0
DAY = 86400.0
CHARGED = (
    Charged(NOW - 40 * DAY, "train", Cost(1000.0), "encoder_lora", "r0"),
    Charged(NOW - 2 * DAY, "train", Cost(60.0, 30.0), "query_adapter", "r1"),
    Charged(NOW - 2 * DAY, "prepare", Cost(2.0), "query_adapter", "r1"),
    Charged(NOW - 2 * DAY, "evaluate", Cost(4.0), "query_adapter", "r1"),
    Charged(NOW - 7200, "train", Cost(40.0), "query_adapter", "r2"),
    Charged(NOW - 7000, "evaluate", Cost(4.0), "query_adapter", "r2"),
    Charged(NOW - 3600, "backfill", Cost(500.0)),
    Charged(NOW - 60, "observe", Cost(0.5)),
)
OF_RUNS = Cost(1110.0, 30.0)
WORK = Embedded(
    encoded_chars=1_000_000,
    encode_s=50.0,
    changed_chars=4_000_000,
    new_chars=900_000,
    changes=300,
    reused=20,
    live_chars=800_000,
    live_chunks=1000,
)


def account(settings: Budget | None = None, charged: tuple[Charged, ...] = CHARGED, **given: Any) -> dict[str, Any]:
    return accounts(Ledger(charged, OF_RUNS, given.pop("embedded", WORK), **given), settings or Budget(), NOW)


def test_what_runs_were_charged_adds_up_to_the_runs() -> None:
    told = account()
    lines = [line for line in told["lines"] if line["what"] in ("prepare", "train", "evaluate")]
    for unit, of_runs in (("cpu_s", OF_RUNS.cpu_s), ("gpu_s", OF_RUNS.gpu_s)):
        assert sum(line["ever"][unit] for line in lines) == pytest.approx(of_runs)
        assert told["totals"]["runs"]["charged"][unit] == pytest.approx(of_runs)
        assert told["totals"]["runs"]["runs"][unit] == of_runs
        assert told["totals"]["runs"]["forgotten_runs"][unit] == 0.0


def test_charges_of_forgotten_runs_are_counted_apart() -> None:
    told = account(charged=(*CHARGED, Charged(NOW - 50 * DAY, "train", Cost(77.0), "", "gone")))
    assert told["totals"]["runs"]["forgotten_runs"]["cpu_s"] == 77.0
    assert told["totals"]["runs"]["charged"]["cpu_s"] == pytest.approx(OF_RUNS.cpu_s)


def test_each_line_has_a_day_a_month_and_all_time() -> None:
    (adapter,) = [line for line in account()["lines"] if (line["what"], line["trainer"]) == ("train", "query_adapter")]
    assert (adapter["day"]["cpu_s"], adapter["month"]["cpu_s"], adapter["ever"]["cpu_s"]) == (40.0, 100.0, 100.0)
    assert adapter["runs"] == 2
    assert [(line["what"], line["trainer"]) for line in account()["lines"]] == [
        ("prepare", "query_adapter"),
        ("train", "encoder_lora"),
        ("train", "query_adapter"),
        ("evaluate", "query_adapter"),
        ("backfill", ""),
        ("observe", ""),
    ]
    assert account()["totals"]["all"]["ever"]["cpu_s"] == pytest.approx(1610.5)


def test_money_appears_where_there_is_a_price() -> None:
    assert account()["has_prices"] is False
    told = account(Budget(cpu_rate=3.6, gpu_rate=36.0, currency="EUR"))
    assert (told["has_prices"], told["currency"]) == (True, "EUR")
    assert told["totals"]["all"]["month"]["money"] == pytest.approx(0.001 * 610.5 + 0.01 * 30)
    assert told["saved"][0]["money"] == pytest.approx(0.001 * 155)


def test_days_are_told_newest_first_and_only_where_something_was_spent() -> None:
    days = account()["days"]
    assert [day["day"] for day in days] == ["2023-11-14", "2023-11-12"]
    assert (days[0]["train"], days[0]["evaluate"], days[0]["backfill"], days[0]["observe"]) == (40.0, 4.0, 500.0, 0.5)
    assert (days[1]["prepare"], days[1]["train"]) == (2.0, 90.0)


def test_the_budget_tells_what_is_left_and_when_some_is_free_again() -> None:
    settings = Budget(train_cpu_s_day=100.0, train_cpu_s_month=100.0, backfill_cpu_s_day=400.0)
    limits = {limit["key"]: limit for limit in account(settings)["budget"]}
    assert set(limits) == {"budget.train_cpu_s_day", "budget.train_cpu_s_month", "budget.backfill_cpu_s_day"}
    day = limits["budget.train_cpu_s_day"]
    assert (day["used"], day["left"], day["frees_at"]) == (44.0, 56.0, NOW - 7200 + DAY)
    month = limits["budget.train_cpu_s_month"]
    assert (month["used"], month["left"], month["frees_at"]) == (110.0, 0.0, NOW + 28 * DAY)
    assert (limits["budget.backfill_cpu_s_day"]["used"], limits["budget.backfill_cpu_s_day"]["left"]) == (500.0, 0.0)
    unused = account(settings, charged=())["budget"][0]
    assert (unused["used"], unused["left"], unused["frees_at"]) == (0.0, 100.0, None)


def test_embeddings_that_were_not_recomputed_count_at_the_measured_price_of_a_character() -> None:
    embeddings, rebuilds, runs = saved(WORK, (), {})
    assert embeddings.seconds == pytest.approx(3_100_000 * 50 / 1_000_000)
    assert embeddings.count == 300
    for figure in ("300", "4,000,000", "900,000", "3,100,000", "50.00 s a million"):
        assert figure in embeddings.how
    assert (rebuilds.seconds, rebuilds.count) == (0.0, 0)
    assert (runs.seconds, runs.count) == (0.0, 0)


def test_before_anything_was_embedded_no_saving_is_claimed() -> None:
    embeddings, rebuilds, _ = saved(Embedded(changed_chars=10, changes=1), (), {})
    assert embeddings.seconds is None
    assert rebuilds.seconds is None
    assert "nothing was embedded yet" in embeddings.how
    assert account(embedded=Embedded())["saved"][0]["money"] is None


def test_a_model_that_leaves_the_vectors_alone_spares_a_rebuild_and_a_cheaper_one_a_fine_tuning() -> None:
    references = {"query-adapter": Reference("encoder_finetune", 600.0, is_learned=False)}
    promoted = (
        Promoted("query_adapter", "query-adapter", 1418, 5.0),
        Promoted("coarse_quantizer", "index", 1000, 1.0),
        Promoted("encoder_lora", "encoder", 1000, 100.0),
        Promoted("query_adapter", "query-adapter", 1, 5.0),
        Promoted("query_adapter", "query-adapter", 0, 5.0),
    )
    _, rebuilds, runs = saved(WORK, promoted, references)
    assert rebuilds.count == 4
    assert rebuilds.seconds == pytest.approx(4 * 800_000 * 50 / 1_000_000)
    assert "1,000 chunks" in rebuilds.how
    assert runs.count == 1
    assert runs.seconds == pytest.approx(600 * 1.418 - 5)
    assert "encoder_finetune at 600.0 s a thousand (its own first guess)" in runs.how


def test_the_full_fine_tuning_itself_saves_nothing() -> None:
    references = {"encoder": Reference("encoder_finetune", 600.0, is_learned=True)}
    _, _, runs = saved(WORK, [Promoted("encoder_finetune", "encoder", 1000, 500.0)], references)
    assert (runs.seconds, runs.count) == (0.0, 0)
    _, _, runs = saved(WORK, [Promoted("encoder_lora", "encoder", 1000, 500.0)], references)
    assert (runs.seconds, runs.count) == (100.0, 1)
    assert "learned from its runs" in runs.how
