"""Opening, migrating and refusing a catalog; transactions; purging."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from ragd.catalog.documents import Documents
from ragd.catalog.migrate import FORMAT
from ragd.catalog.purge import purge
from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import CATALOG, Store, open_readonly
from ragd.catalog.vectors import Vectors
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.errors import DiskFull, StateCorrupt, StateNewer, StateUnwritable
from ragd.domain.index import EmbeddingSpace
from ragd.flow.tables import Tables
from tests.unit.catalog.conftest import Kept

SPACE = EmbeddingSpace("a" * 16, 4, "tiny", 16)


def test_a_new_catalog_has_the_current_format_and_opens_again(tmp_path: Path) -> None:
    Store(tmp_path).close()
    store = Store(tmp_path)
    assert store.connection.execute("PRAGMA user_version").fetchone() == (FORMAT,)
    assert store.connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()


def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / CATALOG) as connection:
        connection.execute(f"PRAGMA user_version = {FORMAT + 1}")
    connection.close()
    with pytest.raises(StateNewer, match=f"format {FORMAT + 1}"):
        Store(tmp_path)
    with pytest.raises(StateNewer):
        open_readonly(tmp_path)


def test_a_file_that_is_no_catalog_is_named_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / CATALOG).write_bytes(b"this is not a database, but long enough to look at" * 40)
    with pytest.raises(StateCorrupt, match=CATALOG) as caught:
        Store(tmp_path)
    assert f"restore FILE --force`; without one, `mv {tmp_path} {tmp_path}.damaged`" in caught.value.hint


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fails() -> None:
        with store.transaction() as db:
            db.execute("INSERT INTO facts VALUES ('half', 1)")
            raise KeyError("stop")

    with pytest.raises(KeyError):
        fails()
    assert store.connection.execute("SELECT count(*) FROM facts").fetchone() == (0,)
    store.close()


def test_a_full_catalog_is_a_full_disk_in_our_words_and_loses_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)
    pages = store.connection.execute("PRAGMA page_count").fetchone()[0]
    store.connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    def fills() -> None:
        with store.transaction() as db:
            for i in range(1000):
                db.execute("INSERT INTO facts VALUES (?, ?)", (str(i), "x" * 1000))

    with pytest.raises(DiskFull, match="nothing was lost"):
        fills()
    assert store.connection.execute("SELECT count(*) FROM facts").fetchone() == (0,)
    store.connection.execute("PRAGMA max_page_count = 1000000")
    fills()
    assert store.connection.execute("SELECT count(*) FROM facts").fetchone() == (1000,)
    store.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    Store(tmp_path).close()
    connection = open_readonly(tmp_path)
    with pytest.raises(StateUnwritable, match="readonly"):
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
    connection.close()


def test_what_rested_long_enough_is_purged_and_what_lives_stays(tmp_path: Path) -> None:
    now = [100.0]
    store = Store(tmp_path)
    tables = Tables.of(store, lambda: now[0])
    generation = tables.vectors.serve(SPACE)
    kept = _content(tables, generation, b"1" * 16, "kept", "shared")
    gone = _content(tables, generation, b"2" * 16, "gone", "shared")
    for content in (kept, gone):
        tables.contents.acquire(content)
    tables.contents.settle((generation,), fresh=False)
    _embed_all(tables.vectors, generation)
    now[0] = 200.0
    tables.contents.release(gone)
    delta = tables.contents.settle((generation,), fresh=False)[generation]
    assert len(delta.leave) == 1
    assert purge(store, before=150.0) == 0
    while purge(store, before=250.0):
        pass
    texts = {row[0] for row in store.connection.execute("SELECT text FROM chunks")}
    assert texts == {"kept", "shared"}
    assert store.connection.execute("SELECT count(*) FROM vectors").fetchone() == (2,)
    assert store.connection.execute("SELECT count(*) FROM contents").fetchone() == (1,)
    store.close()


def test_another_model_gets_every_live_chunk_to_embed_and_the_old_vectors_can_go(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tables = Tables.of(store)
    first = tables.vectors.serve(SPACE)
    tables.contents.acquire(_content(tables, first, b"1" * 16, "one", "two"))
    tables.contents.settle((first,), fresh=True)
    _embed_all(tables.vectors, first)
    second = tables.vectors.serve(EmbeddingSpace("b" * 16, 4, "other", 16))
    assert second != first
    assert len(tables.vectors.to_embed(second, 10, fresh=False)) == 2
    tables.vectors.retire(first)
    gone: list[int] = []
    while not gone:
        _, gone = tables.vectors.drop_retired(limit=1)
    assert gone == [first]
    assert store.connection.execute("SELECT count(*) FROM vectors").fetchone() == (0,)
    assert tables.vectors.serve(EmbeddingSpace("b" * 16, 4, "other", 16)) == second
    store.close()


def test_the_change_log_replays_what_came_and_went_and_says_when_it_cannot(tmp_path: Path) -> None:
    store = Store(tmp_path)
    tables = Tables.of(store)
    reader = CatalogReader(tmp_path)
    generation = tables.vectors.serve(SPACE)
    content = _content(tables, generation, b"1" * 16, "one", "two")
    tables.contents.acquire(content)
    tables.contents.settle((generation,), fresh=True)
    assert reader.replay.change_sequence() == 0
    _embed_all(tables.vectors, generation)
    sequence = reader.replay.change_sequence()
    assert sequence == 2
    changed = reader.replay.changed_since(generation, 1)
    assert changed is not None
    assert changed.tolist() == [2]
    ids, vectors = reader.replay.live_vectors(generation, reader.replay.live_ids(generation))
    assert (ids.tolist(), vectors.shape) == ([1, 2], (2, 4))
    tables.vectors.trim_changes(generation, sequence)
    assert reader.replay.changed_since(generation, 1) is None
    assert reader.replay.change_sequence() == sequence
    reader.close()
    store.close()


def _content(tables: Tables, generation: int, content_hash: bytes, *texts: str) -> int:
    pieces = tuple(Piece(text, "", 0, len(text)) for text in texts)
    stat = Stat(1, 1, 1, 1)
    return tables.contents.add(Extraction(content_hash, "txt", "", stat, 8, pieces), "reader 1", generation).id


def _embed_all(vectors: Vectors, generation: int) -> None:
    waiting = vectors.to_embed(generation, 100, fresh=True) + vectors.to_embed(generation, 100, fresh=False)
    vectors.put(generation, waiting, np.full((len(waiting), 4), 0.5, np.float16))


@pytest.mark.parametrize("year", [1600, 2400])
def test_a_file_of_another_century_is_kept_and_seen_as_unchanged(kept: Kept, tmp_path: Path, year: int) -> None:
    (tmp_path / "a.txt").write_text("far")
    try:
        os.utime(tmp_path / "a.txt", ns=(int((year - 1970) * 31556952e9),) * 2)
    except OSError:
        pytest.skip("the file system knows no such time")
    seen = Stat.of((tmp_path / "a.txt").stat())
    documents = Documents(kept.store)
    (root,) = documents.set_roots([("notes", bytes(tmp_path))])
    documents.put(root.id, Observation(b"a.txt", Presence.PRESENT, stat=seen), "pending")
    assert documents.known(root.id, [b"a.txt"])[b"a.txt"].stat == Stat.of((tmp_path / "a.txt").stat())
