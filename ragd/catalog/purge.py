"""Lets go of what rested long enough: contents no document refers to, then their chunks and vectors."""

from __future__ import annotations

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
