"""Lets go of what rested long enough, or is too much: contents no document refers to, then their chunks and vectors."""

from __future__ import annotations

import math

from ragd.catalog.store import Store

_SLICE = 500
_DROP_VECTORS = "DELETE FROM vectors WHERE generation IN (SELECT id FROM generations) AND chunk_id = ?"


def purge(store: Store, before: float) -> int:
    """Deletes one slice of what was retired before this Unix time; returns how many rows went, 0 when all is done."""
    with store.transaction() as db:
        contents = [
            row[0]
            for row in db.execute(
                "SELECT id FROM contents WHERE refs = 0 AND retired_at < ? AND NOT EXISTS"
                " (SELECT 1 FROM documents d WHERE d.content_id = contents.id) LIMIT ?",
                (before, _SLICE),
            )
        ]
        for content_id in contents:
            db.execute("DELETE FROM content_chunks WHERE content_id = ?", (content_id,))
            db.execute("DELETE FROM contents WHERE id = ?", (content_id,))
        chunks = [
            row[0]
            for row in db.execute(
                "SELECT id FROM chunks WHERE refs = 0 AND retired_at < ? AND NOT EXISTS"
                " (SELECT 1 FROM content_chunks cc WHERE cc.chunk_id = chunks.id) LIMIT ?",
                (before, _SLICE),
            )
        ]
        for chunk_id in chunks:
            db.execute(_DROP_VECTORS, (chunk_id,))
            db.execute("DELETE FROM found WHERE chunk_id = ?", (chunk_id,))
            db.execute("DELETE FROM chunks WHERE id = ?", (chunk_id,))
        return len(contents) + len(chunks)


class Crowd:
    """Finds the Unix time `before` which contents must go so that those at rest list this many chunks at most.

    A chunk counts for each content that lists it: those rows are what a large file leaves behind at every edit. `step`
    looks at a slice, newest first; `before` is 0 until too many were found.
    """

    def __init__(self, store: Store, most_chunks: int) -> None:
        self._db = store.connection
        self._left = most_chunks
        self._last = (math.inf, 0)
        self.before = 0.0

    def step(self, limit: int = 2000) -> int:
        """Returns how many contents were looked at; 0 when all is known."""
        if self.before:
            return 0
        rows = self._db.execute(
            "SELECT retired_at, id, chunks FROM contents WHERE refs = 0 AND (retired_at, id) < (?, ?)"
            " ORDER BY retired_at DESC, id DESC LIMIT ?",
            (*self._last, limit),
        ).fetchall()
        for retired_at, content_id, chunks in rows:
            self._last = (retired_at, content_id)
            self._left -= chunks
            if self._left < 0:
                self.before = float(retired_at) + 1e-6  # this one goes as well
                break
        return len(rows)


def give_back(store: Store, free_bytes: int, most_pages: int = 256) -> int:
    """Returns free pages of the catalog to the disk while it holds more than this; returns how many pages went.

    A tenth of the file may be free in any case: it is used again soon. At most `most_pages` a call (a few
    milliseconds). Nothing in a catalog that was made before pages could be given back.
    """
    db = store.connection
    free, pages, page_bytes = (
        int(db.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("freelist_count", "page_count", "page_size")
    )
    surplus = min(most_pages, free - max(free_bytes // page_bytes, pages // 10))
    if surplus <= 0:
        return 0
    with store.transaction():
        for _ in range(surplus):  # one each: Python's sqlite3 takes one step of a statement without columns
            db.execute("PRAGMA incremental_vacuum(1)")
    return free - int(db.execute("PRAGMA freelist_count").fetchone()[0])
