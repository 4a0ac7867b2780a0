"""The account of a real catalog: charges, promotions and receipts come together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.learning import Learning
from ragd.catalog.models import Models, NewModel
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.catalog.store import Store
from ragd.config.learning import Budget
from ragd.domain.deciding import Cost, RunState
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import TrainerFacts
from ragd.flow.spending import references, spending

NOW = 1_700_000_000.0
FINETUNE = TrainerFacts("encoder_finetune", Role.ENCODER, Needs(Data.PAIRS), 600.0, "encoder_finetune")
TRAINERS = (
    FINETUNE,
    dataclasses.replace(FINETUNE, name="encoder_lora", cost_s=900.0),
    dataclasses.replace(FINETUNE, name="query_adapter", role=Role.QUERY_ADAPTER, cost_s=1.0),
    dataclasses.replace(FINETUNE, name="generator_lora", role=Role.GENERATOR, cost_s=50.0),
    dataclasses.replace(FINETUNE, name="generator_distill", role=Role.GENERATOR, cost_s=70.0),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


def trained(store: Store, trainer: str, role: Role, *, examples: int, cpu_s: float, promote: bool = False) -> None:
    runs, spend, models = (
        Runs(store, lambda: NOW),
        Spend(store, lambda: NOW),
        Models(store, lambda: NOW),
    )
    run_id = runs.begin(trainer, role, cause="by hand", seed=1)
    runs.prepared(run_id, examples=examples, sha256="x", report={}, changes=0)
    spend.settle(run_id, "train", Cost(cpu_s))
    spend.settle(run_id, "evaluate", Cost(1.0))
    for state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
        runs.move(run_id, state)
    if promote:
        version = models.next_version(trainer)
        new = NewModel(role, trainer, version, f"{trainer}/{version}", {}, f"{trainer}{version}", 1, run_id=run_id)
        models.crown(role, models.add(new))


def test_the_account_of_a_catalog_adds_up_and_tells_its_savings(store: Store) -> None:
    trained(store, "query_adapter", Role.QUERY_ADAPTER, examples=1000, cpu_s=5.0, promote=True)
    trained(store, "encoder_lora", Role.ENCODER, examples=1000, cpu_s=100.0)
    Spend(store, lambda: NOW).charge("backfill", Cost(30.0), generation=1)
    store.connection.executescript(
        "INSERT INTO facts VALUES ('encoded_chars', 1000), ('encode_s', 2.0), ('live_chunks', 3);"
        "INSERT INTO contents VALUES (1, X'01', 'md', 'r', '', 1000, 3, 0, 1, NULL);"
        "INSERT INTO contents VALUES (2, X'02', 'md', 'r', '', 400, 1, 0, 0, 5);"
        "INSERT INTO receipts (root_id, path, content_id, action, outcome, seen_at, stable_at, planned_at, new_chars)"
        " VALUES (1, X'61', 1, 'add', 'searchable', 1, 1, 1, 1000),"
        " (1, X'61', 1, 'modify', 'searchable', 2, 2, 2, 100),"
        " (1, X'62', 2, 'add', 'searchable', 3, 3, 3, 0), (1, X'63', NULL, 'delete', 'deleted', 4, 4, 4, 0);"
    )
    learning = Learning.of(lambda: store.connection)
    told = spending(learning, Budget(train_cpu_s_day=200.0), TRAINERS, NOW)
    assert told["totals"]["runs"]["charged"] == told["totals"]["runs"]["runs"]
    assert told["totals"]["runs"]["runs"]["cpu_s"] == pytest.approx(107.0)
    assert told["totals"]["all"]["day"]["cpu_s"] == pytest.approx(137.0)
    assert told["budget"][0]["left"] == pytest.approx(93.0)
    embeddings, rebuilds, runs = told["saved"]
    assert embeddings["cpu_s"] == pytest.approx((2400 - 1100) * 0.002)
    assert (rebuilds["count"], rebuilds["cpu_s"]) == (1, pytest.approx(1000 * 0.002))
    assert (runs["count"], runs["cpu_s"]) == (1, pytest.approx(600.0 - 6.0))


def test_an_empty_catalog_has_an_account_of_nothing(store: Store) -> None:
    told = spending(Learning.of(lambda: store.connection), Budget(), (), NOW)
    assert told["lines"] == []
    assert told["days"] == []
    assert told["totals"]["all"]["ever"] == {"cpu_s": 0.0, "gpu_s": 0.0, "money": 0.0}


def test_the_full_fine_tuning_of_a_role_is_the_named_one_else_the_dearest(store: Store) -> None:
    rows = Learning.of(lambda: store.connection).spend
    found = references(rows, TRAINERS)
    assert {role: reference.trainer for role, reference in found.items()} == {
        Role.QUERY_ADAPTER: "encoder_finetune",
        Role.ENCODER: "encoder_finetune",
        Role.GENERATOR: "generator_distill",
    }
    assert not found[Role.ENCODER].is_learned
    trained(store, "encoder_finetune", Role.ENCODER, examples=2000, cpu_s=999.0)
    learned = references(rows, TRAINERS)[Role.ENCODER]
    assert (learned.is_learned, learned.per_thousand_s) == (True, 500.0)
    assert references(rows, ()) == {}
