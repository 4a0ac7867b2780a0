"""The journal takes queries from any thread at once, and writes them seldom, in the main one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.catalog.journal import Journal, JournalRows
from ragd.catalog.store import Store
from ragd.catalog.vectors import Vectors
from ragd.domain.errors import DiskFull, NotFound
from ragd.domain.index import EmbeddingSpace
from ragd.domain.search import Mode, Query
from ragd.flow import journal as room
from ragd.flow.journal import QueryJournal

HITS = ((10, 1), (11, 1))
SPACE = "f" * 16


class World:
    """A store, its journal's rows, and the time."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rows = JournalRows(lambda: store.connection)
        self.now = 1_700_000_000.0

    def journal(self, **given: Any) -> QueryJournal:
        settings = {"is_kept": True, "newest_id": self.rows.newest_id(), "clock": lambda: self.now, **given}
        return QueryJournal(Journal(self.store), **settings)

    def rows_written(self) -> int:
        """Rows changed so far, as SQLite counts them."""
        return int(self.store.connection.total_changes)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Store(tmp_path)
    Vectors(store).serve(EmbeddingSpace(SPACE, 4, "tiny", 16))
    yield World(store)
    store.close()


def noted(journal: QueryJournal, text: str = "how", value: float = 0.5) -> int | None:
    vector = np.full(4, value, dtype=np.float32)
    return journal.note(Query(text, Mode.DENSE), HITS, 2.5, vector, SPACE)


def test_a_query_has_its_id_at_once_and_is_kept_with_the_next_flush(world: World) -> None:
    journal = world.journal()
    query_id = noted(journal, "how do I undo?")
    assert query_id == 1_700_000_000_000_000
    assert query_id < 2**53  # a browser's number holds it
    assert world.rows.count() == 0
    assert journal.flush() == 1
    row = world.store.connection.execute("SELECT id, at, text, mode, took_ms, hits, generation FROM queries").fetchone()
    assert row == (query_id, world.now, "how do I undo?", "dense", 2.5, "[[10,1],[11,1]]", 1)
    assert world.rows.vectors(1, 5).tolist() == [[0.5] * 4]
    assert world.rows.shown()[0].hits == HITS


def test_ids_rise_within_a_moment_and_over_restarts_with_a_clock_set_back(world: World) -> None:
    journal = world.journal()
    ids = [noted(journal) for _ in range(3)]
    journal.flush()
    world.now -= 3600
    again = world.journal()
    ids += [noted(again), noted(again)]
    assert ids == [1_700_000_000_000_000 + n for n in range(5)]


def test_writing_happens_at_most_every_two_seconds(world: World) -> None:
    journal = world.journal()
    written = []
    for _ in range(60):
        noted(journal)
        written.append(journal.flush())
        world.now += 0.1
    assert sum(count > 0 for count in written) == 3
    assert journal.flush(at_once=True) == 60 - sum(written)
    assert world.rows.count() == 60


def test_nothing_is_written_when_nothing_was_asked(world: World) -> None:
    journal = world.journal()
    journal.flush()
    before = world.rows_written()
    for _ in range(10):
        world.now += 3
        assert journal.flush() == 0
    assert world.rows_written() == before


def test_without_a_journal_only_vectors_stay_and_only_in_memory(world: World) -> None:
    journal = world.journal(is_kept=False)
    assert noted(journal) is None
    assert journal.flush(at_once=True) == 0
    assert world.rows.count() == 0
    heard, vectors = journal.recent(SPACE)
    assert (heard, vectors.tolist()) == (1, [[0.5] * 4])


def test_the_last_vectors_of_a_space_are_remembered_oldest_first(world: World) -> None:
    journal = world.journal(remembered=3)
    journal.remember(np.full((2, 4), 0.25, dtype=np.float16), SPACE)
    for value in (0.5, 1.0):
        noted(journal, value=value)
    heard, vectors = journal.recent(SPACE)
    assert heard == 2
    assert vectors.dtype == np.float16
    assert vectors[:, 0].tolist() == [0.25, 0.5, 1.0]
    journal.note(Query("words"), HITS, 1.0, None, "")
    journal.note(Query("other"), HITS, 1.0, np.ones(8, dtype=np.float32), "another space")
    heard, vectors = journal.recent(SPACE)
    assert (heard, vectors.shape) == (3, (2, 4))
    assert journal.recent("unknown")[1].shape == (0, 0)


def test_a_query_answered_by_words_is_kept_without_a_vector(world: World) -> None:
    journal = world.journal()
    journal.note(Query("plain", Mode.WORDS), HITS, 1.0, None, "")
    journal.flush()
    assert world.store.connection.execute("SELECT vector, generation FROM queries").fetchall() == [(None, None)]


def test_a_hit_can_be_judged_the_moment_it_was_shown(world: World) -> None:
    journal = world.journal()
    query_id = noted(journal)
    assert query_id is not None
    journal.judge(query_id, 11, is_good=True)
    assert world.rows.judged()[0].feedback == {11: True}
    with pytest.raises(NotFound, match="no query 5"):
        journal.judge(5, 11, is_good=True)


def test_old_queries_are_forgotten_once_a_minute(world: World) -> None:
    journal = world.journal(keep_days=1.0)
    noted(journal)
    journal.flush()
    world.now += 86400 - 600
    journal.flush()
    assert world.rows.count() == 1
    noted(journal, "later")
    world.now += 590
    journal.flush()
    world.now += 50
    journal.flush()
    assert world.rows.count() == 2
    world.now += 10
    journal.flush()
    assert world.rows.count() == 1


def test_what_a_full_disk_refused_is_written_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = world.journal()
    noted(journal)

    def full(*_: object) -> None:
        raise DiskFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "add", full)
        with pytest.raises(DiskFull):
            journal.flush()
    noted(journal)
    assert journal.flush(at_once=True) == 2
    assert world.rows.count() == 2


def test_a_flood_drops_the_oldest_and_says_how_many_without_their_text(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(room, "_MOST_WAITING", 3)
    journal = world.journal()
    for number in range(5):
        noted(journal, f"secret {number}")
    with caplog.at_level(logging.DEBUG):
        journal.flush()
    assert [query.text for query in world.rows.shown()] == ["secret 4", "secret 3", "secret 2"]
    assert "journal_overflowed queries=2" in caplog.text
    assert "secret" not in caplog.text


def test_threads_that_search_at_once_lose_no_query_and_share_no_id(world: World) -> None:
    journal = world.journal()
    ids: list[int | None] = []

    def ask() -> None:
        ids.extend(noted(journal) for _ in range(200))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        journal.flush(at_once=True)
    for thread in threads:
        thread.join()
    journal.flush(at_once=True)
    assert len(set(ids)) == 800
    assert world.rows.count() == 800
