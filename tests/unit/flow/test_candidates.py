"""Every trainer with what was observed for it: counts since its last run, feedback, windows, costs, its settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragd.catalog.journal import Journal, JournalEntry
from ragd.domain.deciding import Cost, Reason, RunState, Window
from ragd.domain.errors import NotFound
from ragd.domain.learning import Data
from ragd.domain.plugins import PluginFacts
from ragd.learn.trigger import WINDOWS_ASKED
from tests.unit.flow.works import ADAPTER, FIT, LORA, NUDGE, Works


@pytest.fixture
def works(tmp_path: Path) -> Iterator[Works]:
    made = Works(tmp_path, ADAPTER, LORA, FIT, NUDGE)
    yield made
    made.close()


def test_trainers_are_told_by_name_without_those_of_blocked_plugins(works: Works) -> None:
    assert [each.facts.name for each in works.candidates.all()] == [
        "coarse_quantizer",
        "encoder_lora",
        "nudge",
        "query_adapter",
    ]
    works.plugins.block("encoder_lora", "not wanted")
    assert "encoder_lora" not in [each.facts.name for each in works.candidates.all()]


def enabled(works: Works, trainer: str) -> bool:
    return works.reason(trainer, "enabled").holds


def test_only_cheap_shipped_trainers_and_files_fire_before_they_are_configured(works: Works) -> None:
    works.plugins.facts = tuple(
        replace(one, source="file", path="/p/nudge.py") if one.name == "nudge" else one for one in works.plugins.facts
    )
    works.given.clear()
    works.restart()
    told = {each.facts.name: enabled(works, each.facts.name) for each in works.candidates.all()}
    assert told == {"coarse_quantizer": True, "query_adapter": True, "encoder_lora": False, "nudge": True}


@pytest.mark.parametrize(
    ("table", "is_enabled"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"enabled": True}, True),
        ({"new_examples": 5, "memory_mb": 900}, True),
        ({"options": {"steps": 5}, "memory_mb": 900}, False),
        ({"options": {"steps": 5}, "enabled": True}, True),
    ],
)
def test_a_shipped_trainer_that_is_configured_fires_unless_its_table_says_no_or_only_how(
    works: Works, table: dict[str, object], is_enabled: bool
) -> None:
    works.given["encoder_lora"] = table
    works.restart()
    assert enabled(works, "encoder_lora") is is_enabled


def test_changes_and_examples_count_since_the_last_run_with_data(works: Works) -> None:
    works.write(10)
    first = works.candidates.one("query_adapter").observed
    assert (first.live_chunks, first.changed_chunks, first.examples, first.new_examples) == (10, 10, 100, 100)
    assert first.last_run_at is None
    run_id = works.improve.request("query_adapter", on=None, cause="hand")
    requested_at = works.run(run_id)["requested_at"]
    before = works.candidates.one("query_adapter").observed
    assert (before.changed_chunks, before.new_examples, before.last_run_at) == (10, 100, requested_at)
    works.broken(run_id)
    works.write(3, "more")
    works.examples[Data.PAIRS] = 130
    after = works.candidates.one("query_adapter").observed
    assert (after.changed_chunks, after.examples, after.new_examples) == (3, 130, 30)
    works.examples[Data.PAIRS] = 90
    assert works.candidates.one("query_adapter").observed.new_examples == 0
    assert works.candidates.one("encoder_lora").observed.changed_chunks == 13


def test_a_run_on_a_named_file_says_nothing_of_what_is_configured(works: Works) -> None:
    works.write(10)
    works.broken(works.improve.request("query_adapter", on="/data/pairs.jsonl", cause="hand"))
    observed = works.candidates.one("query_adapter").observed
    assert (observed.changed_chunks, observed.new_examples) == (10, 100)
    assert observed.last_run_at is not None


def test_answers_count_since_the_last_run(works: Works) -> None:
    assert works.candidates.one("query_adapter").observed.bad_share is None
    works.write(5)
    journal = Journal(works.house.app.tables.store)
    journal.add([JournalEntry(n, works.house.clock(), "q", "hybrid", 1.0, ((1, 1),)) for n in range(1, 5)])
    for query in (1, 2, 3):
        journal.judge(query, 1, is_good=query == 1, at=works.house.clock())
    observed = works.candidates.one("query_adapter").observed
    assert observed.answers == 3
    assert observed.bad_share == pytest.approx(2 / 3)
    works.broken(works.improve.request("query_adapter", on=None, cause="hand"))
    journal.judge(4, 1, is_good=False, at=works.house.clock())
    observed = works.candidates.one("query_adapter").observed
    assert (observed.answers, observed.bad_share) == (1, 1.0)


def test_the_newest_windows_of_each_kind_are_seen(works: Works) -> None:
    for number in range(WINDOWS_ASKED + 2):
        for kind in ("documents", "queries"):
            window = Window(kind, float(number), 100, number / 10, 1.0, None, False)
            works.tables.decisions.add_window(window)
    observed = works.candidates.one("query_adapter").observed
    assert [window.at for window in observed.document_windows] == [4.0, 3.0, 2.0]
    assert {window.kind for window in observed.query_windows} == {"queries"}


def test_the_estimate_is_the_first_guess_until_runs_teach_better(works: Works) -> None:
    works.examples[Data.PAIRS] = 2000
    assert works.candidates.one("query_adapter").estimate == Cost(20.0)
    run_id = works.tables.runs.begin("query_adapter", ADAPTER.role, cause="hand", seed=1)
    works.tables.runs.prepared(run_id, examples=1000, sha256="x", report={}, changes=0)
    works.tables.spend.settle(run_id, "train", Cost(3.0))
    for state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
        works.tables.runs.move(run_id, state)
    assert works.candidates.one("query_adapter").estimate.cpu_s == pytest.approx(6.0)


def test_a_run_is_never_thought_cheaper_than_one_on_the_least_examples(works: Works) -> None:
    works.examples[Data.PAIRS] = 3
    candidate = works.candidates.one("query_adapter")
    assert candidate.estimate.cpu_s == pytest.approx(ADAPTER.cost_s * ADAPTER.needs.least / 1000)
    assert not works.reason("query_adapter", "examples").holds


def test_a_policy_is_asked_where_the_table_names_one(works: Works) -> None:
    works.given["query_adapter"] = {"warmup_chunks": 0, "policy": "moon"}
    works.restart()
    works.write(5)
    assert works.reason("query_adapter", "policy") == Reason("policy", False, "the policy moon has not answered")
    works.said = Reason("moon", True, "the moon is full")
    candidate = works.candidates.one("query_adapter")
    assert candidate.decision.fires
    assert works.reason("query_adapter", "policy").text == "the moon is full"


def test_a_trainer_is_named_by_the_plugin_that_would_offer_it(works: Works) -> None:
    works.plugins.facts = (*works.plugins.facts, PluginFacts("oracle", "file", problem="not trusted yet"))
    with pytest.raises(NotFound, match="no trainer oracle: the plugin oracle is not used: not trusted yet"):
        works.candidates.one("oracle")
