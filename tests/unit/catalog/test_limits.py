"""Everything in the catalog that would grow has a limit, and what is within it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.decisions import Decisions
from ragd.catalog.history import forget_models
from ragd.catalog.journal import Journal, JournalEntry
from ragd.catalog.models import Models, NewModel
from ragd.catalog.purge import Crowd, give_back, purge
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.domain.changes import Observation, Presence
from ragd.domain.deciding import Cost, Decision, Observed, Reason, RunState, Window
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.errors import NotFound
from ragd.domain.index import EmbeddingSpace
from ragd.domain.learning import Role
from ragd.flow.tables import Tables
from tests.unit.catalog.conftest import Kept

SPACE = EmbeddingSpace("a" * 16, 4, "tiny", 16)


def count(kept: Kept, table: str) -> int:
    return int(kept.store.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def replaced(kept: Kept, tables: Tables, times: int, chunks: int = 3) -> None:
    """A document with so many chunks whose text was replaced again and again, a second apart."""
    generation = tables.vectors.serve(SPACE)
    before = None
    for number in range(times):
        pieces = tuple(Piece(f"text {number} {i}", "", 0, 8) for i in range(chunks))
        extraction = Extraction(number.to_bytes(16, "big"), "txt", "", Stat(1, 1, 1, 1), 8, pieces)
        content = tables.contents.add(extraction, "reader 1", generation).id
        tables.contents.acquire(content)
        if before is not None:
            tables.contents.release(before)
        tables.contents.settle((generation,), fresh=True)
        waiting = tables.vectors.to_embed(generation, 100, fresh=True)
        tables.vectors.put(generation, waiting, np.full((len(waiting), 4), 0.5, np.float16))
        before = content
        kept.now += 1


def test_with_too_many_chunks_at_rest_the_oldest_go_however_young(kept: Kept) -> None:
    tables = Tables.of(kept.store, kept.clock)
    replaced(kept, tables, times=11)
    assert (count(kept, "contents"), count(kept, "chunks"), count(kept, "vectors")) == (11, 33, 33)
    assert moment(kept, 30) == 0.0
    while purge(kept.store, moment(kept, 13)):
        pass
    assert (count(kept, "contents"), count(kept, "chunks"), count(kept, "vectors")) == (5, 15, 15)
    assert count(kept, "content_chunks") == 15
    texts = {row[0] for row in kept.store.connection.execute("SELECT text FROM chunks")}
    assert {"text 10 0", "text 9 0", "text 6 2"} <= texts


def moment(kept: Kept, most_chunks: int) -> float:
    crowd = Crowd(kept.store, most_chunks)
    while crowd.step(limit=3):
        pass
    return crowd.before


def test_the_log_of_changes_is_bounded_when_no_snapshot_lets_it_go(kept: Kept) -> None:
    tables = Tables.of(kept.store, kept.clock)
    replaced(kept, tables, times=10)
    rows = count(kept, "changes")
    tables.vectors.trim_changes(1, 0, most=rows)
    assert count(kept, "changes") == rows
    tables.vectors.trim_changes(1, 0, most=7)
    assert count(kept, "changes") == 7
    assert kept.store.connection.execute("SELECT value FROM facts WHERE name = 'changes_floor 1'").fetchone() == (
        rows - 7,
    )


def test_receipts_go_slice_by_slice_and_those_under_way_stay(kept: Kept) -> None:
    tables = Tables.of(kept.store, kept.clock)
    for number in range(20):
        tables.receipts.open(1, Observation(b"a", Presence.PRESENT), number, "modified", kept.now)
        if number != 3:
            tables.receipts.close(number, "failed")
    assert [tables.receipts.trim(5, limit=10) for _ in range(3)] == [10, 4, 0]
    ids = [row[0] for row in kept.store.connection.execute("SELECT document_id FROM receipts ORDER BY id")]
    assert ids == [3, 15, 16, 17, 18, 19]


def test_pages_that_are_free_go_back_to_the_disk_a_few_at_a_time(kept: Kept, tmp_path: Path) -> None:
    with kept.store.transaction() as db:
        db.executemany("INSERT INTO facts VALUES (?, ?)", ((str(i), "x" * 4000) for i in range(2000)))
    with kept.store.transaction() as db:
        db.execute("DELETE FROM facts WHERE name > '1'")
    kept.store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (tmp_path / "catalog.db").stat().st_size
    assert give_back(kept.store, free_bytes=1 << 30) == 0
    assert give_back(kept.store, free_bytes=0, most_pages=50) == 50
    turns = 1
    while give_back(kept.store, free_bytes=0, most_pages=200):
        turns += 1
    assert turns > 5
    kept.store.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert (tmp_path / "catalog.db").stat().st_size < size / 5
    assert kept.store.connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_journal_is_bounded_by_number_as_well_as_by_days(kept: Kept) -> None:
    journal = Journal(kept.store)
    journal.add([JournalEntry(i, 1000.0 + i, "how", "words", 1.0, ((7, 1),)) for i in range(1, 21)])
    journal.judge(2, 7, is_good=True, at=1100.0)
    journal.judge(20, 7, is_good=True, at=1100.0)
    assert journal.trim(0.0, most=20) == 0
    assert journal.trim(1003.0, most=10) == 10
    assert kept.rows.journal.count() == 10
    assert count(kept, "feedback") == 1


def test_decisions_and_windows_have_limits_of_their_own(kept: Kept) -> None:
    decisions = Decisions(kept.store)
    for number in range(6):
        for trainer in ("a", "b"):
            reason = Reason("volume", number % 2 == 0, "so many")
            decisions.record(Decision(trainer, kept.now, number % 2 == 0, (reason,)), Observed(kept.now, 1, 1, 1))
        decisions.add_window(Window("documents", kept.now, 100, 0.1, 0.1, None, False, 0.1))
        kept.now += 3700
    decisions.trim(4, 2)
    assert (count(kept, "decisions"), count(kept, "windows")) == (8, 2)
    assert kept.rows.decisions.windows("documents")[0].at == kept.now - 3700


def test_old_charges_become_one_sum_and_the_total_stays_true(kept: Kept) -> None:
    spend, runs = Spend(kept.store, kept.clock), Runs(kept.store, kept.clock)
    known = runs.begin("a", Role.ENCODER, cause="by hand", seed=1)
    spend.charge("train", Cost(5.0, 1.0), run_id=known)
    for number in range(10):
        spend.charge("backfill", Cost(2.0), generation=1)
        if number < 8:
            kept.store.connection.execute(
                "INSERT INTO spend (at, what, run_id, cpu_s) VALUES (?, 'train', ?, 3.0)", (kept.now, f"gone-{number}")
            )
        kept.now += 4000
    total = kept.rows.spend.total()
    assert spend.fold(kept.now - 8100) == 14
    assert kept.rows.spend.total() == total == Cost(49.0, 1.0)
    assert [(row["what"], row["run_id"]) for row in kept.rows.spend.by_trainer()].count(("train", known)) == 1
    assert count(kept, "spend") == 5
    assert spend.fold(kept.now - 8100) == 0


@pytest.fixture
def made(kept: Kept) -> Callable[[], int]:
    """A model of a run that ended."""
    models, runs = Models(kept.store, kept.clock), Runs(kept.store, kept.clock)

    def make() -> int:
        run_id = runs.begin("lora", Role.ENCODER, cause="by hand", seed=1)
        for state in (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE):
            runs.move(run_id, state)
        version = models.next_version("lora")
        kept.now += 10
        return models.add(NewModel(Role.ENCODER, "lora", version, f"lora/{version}", {}, "ff", 10, run_id=run_id))

    return make


def test_given_up_models_are_forgotten_with_their_runs_and_versions_go_on(kept: Kept, made: Callable[[], int]) -> None:
    models, runs = Models(kept.store, kept.clock), Runs(kept.store, kept.clock)
    ids = [made() for _ in range(6)]
    models.crown(Role.ENCODER, ids[2])
    models.prune(1)
    assert runs.trim(1) != []
    forget_models(kept.store, 1000)
    assert [row[0] for row in kept.store.connection.execute("SELECT id FROM models ORDER BY id")] == [ids[2], ids[5]]
    assert models.next_version("lora") == 7
    assert models.model(ids[2]).status == "champion"
    with pytest.raises(NotFound):
        models.model(ids[0])


def test_promotions_are_kept_as_far_as_a_rollback_may_lead(kept: Kept, made: Callable[[], int]) -> None:
    models = Models(kept.store, kept.clock)
    ids = [made() for _ in range(8)]
    for model_id in ids:
        models.crown(Role.ENCODER, model_id)
    assert forget_models(kept.store, 3) == 5
    assert count(kept, "promotions") == 3
    back = [models.roll_back(Role.ENCODER).model_id for _ in range(3)]
    assert back == [ids[6], ids[5], ids[4]]
