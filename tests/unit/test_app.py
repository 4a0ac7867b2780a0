"""Building the parts of a daemon over a state folder that has seen something."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ragd.app import App, Model, build
from ragd.config.schema import Collection, Config
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat
from ragd.domain.errors import StateBusy
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.domain.search import Query
from ragd.domain.work import EmbedResult, ExtractResult, SplitPolicy
from ragd.index.snapshot import kept_sequences, write_snapshot
from ragd.testing.fakes import MemoryOutbox

SPACE = EmbeddingSpace("c" * 16, 4, "tiny", 16)


class Constant:
    """An encoder for which everything means the same."""

    space = SPACE

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.full((len(texts), 4), 0.5, np.float32)

    def encode_query(self, text: str) -> Vectors:
        return np.full(4, 0.5, np.float32)

    def close(self) -> None:
        pass


def opened(state: Path, **sections: object) -> tuple[App, MemoryOutbox]:
    config = Config.model_validate(
        {"state": state, "collections": (Collection(name="notes", folders=(state / "kb",)),), **sections}
    )
    model = Model(EncoderSpec(), Constant(), SplitPolicy("", 1, 16), "reader 1")
    outbox = MemoryOutbox()
    return build(config, model, outbox, recheck=lambda _root, _path: None), outbox


def add(app: App, outbox: MemoryOutbox, name: bytes) -> None:
    """One document of one chunk goes the whole way."""
    (root_id,) = app.roots
    stat = Stat(1, 2, 3, 4)
    app.ingest.observe(root_id, [Observation(name, Presence.PRESENT, stat, name.ljust(16), fresh=True)])
    (item,) = outbox.extracts.pop().items
    text = f"the text of {name.decode()}"
    extraction = Extraction(name.ljust(16), "txt", "", stat, len(text), (Piece(text, "", 0, len(text)),))
    app.ingest.commit_text([ExtractResult(item.document_id, item.version, extraction)], 1.0)
    batch = outbox.embeds.pop()
    vectors = np.full((1, 4), 0.5, np.float16)
    app.ingest.commit_vectors(EmbedResult(batch.id, batch.generation, batch.chunk_ids, vectors, 0.0, 1))


def test_a_state_folder_opens_with_what_it_held(tmp_path: Path) -> None:
    app, outbox = opened(tmp_path)
    add(app, outbox, b"a.txt")
    write_snapshot(app.places.generation(app.generation_id), SPACE, app.index)
    add(app, outbox, b"b.txt")
    app.close()
    again, _ = opened(tmp_path)
    assert len(again.index) == 2
    assert again.restored.startswith("snapshot, 1 replayed")
    again.close()


def test_snapshots_of_a_future_that_a_power_cut_took_back_are_thrown_away(tmp_path: Path) -> None:
    app, outbox = opened(tmp_path)
    add(app, outbox, b"a.txt")
    past = (tmp_path / "catalog.db").read_bytes(), (tmp_path / "catalog.db-wal").read_bytes()
    add(app, outbox, b"b.txt")
    folder = app.places.generation(app.generation_id)
    write_snapshot(folder, SPACE, app.index)
    app.close()
    (tmp_path / "catalog.db").write_bytes(past[0])
    (tmp_path / "catalog.db-wal").write_bytes(past[1])
    again, outbox = opened(tmp_path)
    assert "newer than the catalog" in again.restored
    assert kept_sequences(folder) == ()
    add(again, outbox, b"c.txt")
    again.close()
    last, _ = opened(tmp_path)
    assert last.index.ids().tolist() == last.reader.replay.live_ids(last.generation_id).tolist()
    assert len(last.index) == 2
    last.close()


def test_a_configuration_that_cannot_be_noted_is_not_half_adopted(tmp_path: Path) -> None:
    app, _ = opened(tmp_path)
    before, roots = app.config, dict(app.roots)
    folders = (tmp_path / "kb", tmp_path / "more")
    wanted = before.model_copy(update={"collections": (Collection(name="notes", folders=folders),)})
    app.tables.store.connection.execute("PRAGMA busy_timeout = 10")
    with closing(sqlite3.connect(app.tables.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StateBusy):
            app.adopt(wanted)
    assert (app.config, dict(app.roots)) == (before, roots)  # so the next reload finds what changed
    app.adopt(wanted)
    assert app.config == wanted
    assert len(app.roots) == 2
    app.close()


def test_a_journal_that_was_asked_for_outlives_the_process_and_can_be_judged(tmp_path: Path) -> None:
    app, outbox = opened(tmp_path, learn={"journal": True})
    add(app, outbox, b"a.txt")
    first = app.answer.search(Query("the text", limit=1))
    assert first.query_id is not None
    app.close()
    again, _ = opened(tmp_path, learn={"journal": True})
    assert again.journal.recent(SPACE.fingerprint)[1].tolist() == [[0.5] * 4]
    second = again.answer.search(Query("the text", limit=1))
    assert second.query_id is not None
    assert second.query_id > first.query_id
    again.journal.judge(first.query_id, first.hits[0].chunk_id, is_good=True)
    (judged,) = again.reader.learning.journal.judged()
    assert (judged.text, judged.hits, judged.feedback) == ("the text", ((1, 1),), {1: True})
    assert again.reader.learning.journal.count() == 2
    again.close()


def test_without_a_journal_no_query_is_kept(tmp_path: Path) -> None:
    app, outbox = opened(tmp_path)
    add(app, outbox, b"a.txt")
    assert app.answer.search(Query("the text")).query_id is None
    app.close()
    again, _ = opened(tmp_path)
    assert again.reader.learning.journal.count() == 0
    assert again.journal.recent(SPACE.fingerprint)[1].shape == (0, 0)
    again.close()
