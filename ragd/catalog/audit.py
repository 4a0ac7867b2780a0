"""Counts anew, from the documents up, what the catalog keeps counted; and puts right what is not as it says."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ragd.catalog import digests
from ragd.catalog.connection import Connection
from ragd.catalog.store import Store
from ragd.catalog.tokens import index_text

_HELD = "SELECT DISTINCT content_id FROM documents WHERE content_id IS NOT NULL"
_CONTENTS = (
    "SELECT k.id, coalesce(d.n, 0) FROM contents k LEFT JOIN (SELECT content_id, count(*) AS n FROM documents"
    " WHERE content_id IS NOT NULL GROUP BY content_id) d ON d.content_id = k.id WHERE k.refs <> coalesce(d.n, 0)"
)
_CHUNKS = (
    "SELECT c.id, coalesce(x.n, 0) FROM chunks c LEFT JOIN (SELECT chunk_id, count(*) AS n FROM content_chunks"
    f" WHERE content_id IN ({_HELD}) GROUP BY chunk_id) x ON x.chunk_id = c.id WHERE c.refs <> coalesce(x.n, 0)"
)
_LIVE = f"SELECT chunk_id FROM content_chunks WHERE content_id IN ({_HELD})"
# FTS5 keeps the length of every row it indexed, by row id, in a table of its own.
_UNSAID = f"SELECT DISTINCT chunk_id FROM ({_LIVE}) WHERE chunk_id NOT IN (SELECT id FROM words_docsize)"
_GHOSTS = f"SELECT id FROM words_docsize WHERE id NOT IN ({_LIVE})"
_UNEMBEDDED = (
    "SELECT DISTINCT c.id FROM chunks c JOIN generations g ON g.state = 'live' WHERE c.refs > 0"
    " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.generation = g.id AND v.chunk_id = c.id)"
    " AND NOT EXISTS (SELECT 1 FROM to_embed t WHERE t.generation = g.id AND t.chunk_id = c.id)"
)
# What is live and lacks a vector is, once that is right, what waits to be embedded.
_RECOUNT_MISSING = (
    "UPDATE contents SET missing = (SELECT count(*) FROM content_chunks c JOIN to_embed t ON t.chunk_id = c.chunk_id"
    " WHERE c.content_id = contents.id AND t.generation = (SELECT id FROM generations WHERE serving)) WHERE refs > 0"
)


@dataclass(frozen=True, slots=True)
class Books:
    """What is counted wrong: (id, right count) of contents and chunks; chunks whose words are missing or ghosts.

    `unembedded` are live chunks that have no vector in some live generation, and do not wait for one.
    """

    contents: tuple[tuple[int, int], ...]
    chunks: tuple[tuple[int, int], ...]
    unsaid: tuple[int, ...]
    ghosts: tuple[int, ...]
    unembedded: tuple[int, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """One sentence for each kind of fault; none where the books are right."""
        said = (
            (len(self.contents), "contents are held by another number of documents than noted"),
            (len(self.chunks), "chunks are held by another number of contents than noted"),
            (len(self.unsaid), "chunks are not found by their words"),
            (len(self.ghosts), "chunks that no document holds are found by words"),
            (len(self.unembedded), "chunks have no vector and do not wait for one"),
        )
        return tuple(f"{count:,} {what}" for count, what in said if count)


def audit(connection: Connection) -> Books:
    """Compares every count with the documents; reads all of the catalog but its texts and vectors."""
    contents, chunks = (tuple(connection.execute(sql)) for sql in (_CONTENTS, _CHUNKS))
    ids = (tuple(row[0] for row in connection.execute(sql)) for sql in (_UNSAID, _GHOSTS, _UNEMBEDDED))
    return Books(contents, chunks, *ids)


def put_right(store: Store, books: Books, clock: Callable[[], float] = time.time) -> None:
    """Notes the right counts, and what follows from them: words, embed work, the change log and the digests."""
    with store.transaction() as db:
        now = clock()
        for table, wrong in (("contents", books.contents), ("chunks", books.chunks)):
            db.executemany(
                f"UPDATE {table} SET refs = ?, retired_at = CASE WHEN ? > 0 THEN NULL ELSE coalesce(retired_at, ?) END"
                " WHERE id = ?",
                [(count, count, now, key) for key, count in wrong],
            )
        _put_words_right(db, books)
        live = db.execute("SELECT count(*) FROM chunks WHERE refs > 0").fetchone()[0]
        db.execute(
            "INSERT INTO facts VALUES ('live_chunks', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (live,)
        )
        for (generation,) in db.execute("SELECT id FROM generations WHERE state = 'live'").fetchall():
            _put_generation_right(db, generation, [*(key for key, _ in books.chunks), *books.unembedded])
        db.execute(_RECOUNT_MISSING)


def _put_words_right(db: Connection, books: Books) -> None:
    texts = {
        key: db.execute("SELECT context, text FROM chunks WHERE id = ?", (key,)).fetchone()
        for key in (*books.unsaid, *books.ghosts)
    }
    if any(texts[key] is None for key in books.ghosts):
        # A contentless table forgets a row only when told what it was given, and nobody knows that any more.
        db.execute("INSERT INTO words (words) VALUES ('delete-all')")
        again = db.execute("SELECT id, context, text FROM chunks WHERE refs > 0").fetchall()
    else:
        for key in books.ghosts:
            context, text = texts[key]
            db.execute(
                "INSERT INTO words (words, rowid, context, body) VALUES ('delete', ?, ?, ?)",
                (key, index_text(context), index_text(text)),
            )
        again = [(key, *texts[key]) for key in books.unsaid]
    db.executemany(
        "INSERT INTO words (rowid, context, body) VALUES (?, ?, ?)",
        ((key, index_text(context), index_text(text)) for key, context, text in again),
    )


def _put_generation_right(db: Connection, generation: int, chunk_ids: list[int]) -> None:
    changed = [(generation, key) for key in chunk_ids]
    db.executemany("DELETE FROM to_embed WHERE generation = ? AND chunk_id = ?", changed)
    db.executemany(
        "INSERT INTO to_embed (generation, chunk_id, fresh) SELECT ?, id, 0 FROM chunks WHERE id = ? AND refs > 0"
        " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.generation = ? AND v.chunk_id = chunks.id)",
        [(*pair, generation) for pair in changed],
    )
    db.executemany("INSERT INTO changes (generation, chunk_id) VALUES (?, ?)", changed)
    digests.recount(db, generation)
