"""What a person tries by hand does not stand in the way of what triggers begin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.catalog.learning import Learning
from ragd.catalog.runs import Runs
from ragd.catalog.store import Store
from ragd.config.live import LiveConfig
from ragd.config.schema import Config, TrainerSettings
from ragd.domain.deciding import Cost, Decision, Observed, RunState
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import PluginFacts, TrainerFacts
from ragd.flow.candidates import Candidate
from ragd.flow.purse import Purse
from ragd.learn.ladder import Stand
from ragd.learn.trigger import Past

NOW = 1_700_000_000.0
FACTS = TrainerFacts("query_adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 50), 1.0, "query_adapter")
CANDIDATE = Candidate(
    FACTS,
    PluginFacts("query_adapter", "bundled", trainers=(FACTS,)),
    TrainerSettings(),
    Observed(at=NOW, live_chunks=500, changed_chunks=500, examples=100, new_examples=100),
    Decision("query_adapter", NOW, True, ()),
    Cost(1.0),
    Past(),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path)
    yield made
    made.close()


def stand_after(store: Store, on: str | None) -> Stand:
    """How the rung stands after three runs that failed at once, on a named file or on what is configured."""
    runs = Runs(store, lambda: NOW)
    for _ in range(3):
        told = {"options": {}, "available": 100, "on": on}
        run_id = runs.begin("query_adapter", Role.QUERY_ADAPTER, cause="by hand", seed=1, settings=told)
        runs.move(run_id, RunState.FAILED, reason="line 2: not JSON")
    ladders = Purse(LiveConfig(Config()), Learning.of(lambda: store.connection)).ladders([CANDIDATE], 500, NOW)
    return ladders[0].rungs[0].stand


def test_runs_on_a_named_file_that_was_broken_do_not_close_the_ladder(store: Store) -> None:
    assert stand_after(store, on="/home/me/broken.jsonl") is Stand.GOES


def test_runs_on_what_is_configured_do_when_they_failed_three_times(store: Store) -> None:
    assert stand_after(store, on=None) is Stand.SKIPPED


def test_what_came_since_is_counted_from_the_last_run_on_what_is_configured(store: Store) -> None:
    runs = Runs(store, lambda: NOW)
    ids = [
        runs.begin("query_adapter", Role.QUERY_ADAPTER, cause="by hand", seed=1, settings={"on": on})
        for on in (None, "/home/me/mine.jsonl")
    ]
    for run_id in ids:
        runs.prepared(run_id, examples=60, sha256="ab", report={}, changes=500)
    found = Learning.of(lambda: store.connection).runs.last_prepared("query_adapter")
    assert found is not None
    assert found["id"] == ids[0]
