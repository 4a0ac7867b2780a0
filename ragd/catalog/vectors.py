"""Generations, the vectors they keep for good, and the embed work still to do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ragd.catalog.store import Store
from ragd.domain.index import EmbeddingSpace, HalfVectors


class Vectors:
    """The generations, vectors, to_embed and changes tables of one store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._db = store.connection
        self._clock = clock

    def serve(self, space: EmbeddingSpace) -> int:
        """The generation of this space, made when new, now the serving one; returns its id.

        A new generation gets every live chunk as embed work.
        """
        with self._store.transaction() as db:
            row = db.execute(
                "SELECT id, serving FROM generations WHERE fingerprint = ?", (space.fingerprint,)
            ).fetchone()
            if row is None:
                generation = db.execute(
                    "INSERT INTO generations (fingerprint, dimension, model, max_tokens, created_at)"
                    " VALUES (?, ?, ?, ?, ?) RETURNING id",
                    (space.fingerprint, space.dimension, space.model, space.max_tokens, self._clock()),
                ).fetchone()[0]
            elif row[1]:
                return int(row[0])
            else:
                generation = row[0]
            db.execute("UPDATE generations SET serving = (id = ?)", (generation,))
            db.execute(
                "INSERT OR IGNORE INTO to_embed SELECT ?, id, 0 FROM chunks c WHERE refs > 0 AND NOT EXISTS"
                " (SELECT 1 FROM vectors v WHERE v.generation = ? AND v.chunk_id = c.id)",
                (generation, generation),
            )
            db.execute(
                "UPDATE contents SET missing = (SELECT count(*) FROM content_chunks c WHERE c.content_id = contents.id"
                " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.generation = ? AND v.chunk_id = c.chunk_id))",
                (generation,),
            )
            return int(generation)

    def drop_others(self, generation: int) -> int:
        """Deletes up to a slice of vectors of generations that no longer serve; returns how many rows went."""
        with self._store.transaction() as db:
            gone = db.execute(
                "DELETE FROM vectors WHERE (generation, chunk_id) IN (SELECT generation, chunk_id FROM vectors"
                " WHERE generation <> ? LIMIT 5000)",
                (generation,),
            ).rowcount
            if gone == 0:
                db.execute("DELETE FROM to_embed WHERE generation <> ?", (generation,))
                db.execute("DELETE FROM generations WHERE id <> ?", (generation,))
            return gone

    def to_embed(self, generation: int, limit: int, *, fresh: bool) -> list[int]:
        """Chunks that wait for a vector, in the order they came."""
        rows = self._db.execute(
            "SELECT chunk_id FROM to_embed WHERE generation = ? AND fresh = ? ORDER BY chunk_id LIMIT ?",
            (generation, fresh, limit),
        )
        return [row[0] for row in rows]

    def texts(self, chunk_ids: Sequence[int]) -> tuple[tuple[int, ...], tuple[str, ...]]:
        """What the encoder sees of these chunks; chunks that are gone are left out."""
        ids: list[int] = []
        texts: list[str] = []
        for chunk_id in chunk_ids:
            row = self._db.execute("SELECT context, text FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            if row is not None:
                ids.append(chunk_id)
                texts.append(f"{row[0]}\n\n{row[1]}" if row[0] else row[1])
        return tuple(ids), tuple(texts)

    def put(self, generation: int, chunk_ids: Sequence[int], vectors: HalfVectors) -> tuple[list[int], list[int]]:
        """Stores vectors; returns (ids that now enter the index, contents that now lack nothing)."""
        enter: list[int] = []
        complete: list[int] = []
        for chunk_id, vector in zip(chunk_ids, vectors, strict=True):
            row = self._db.execute("SELECT refs FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            if row is None:
                continue
            new = self._db.execute(
                "INSERT OR IGNORE INTO vectors VALUES (?, ?, ?)", (generation, chunk_id, vector.tobytes())
            ).rowcount
            self._db.execute("DELETE FROM to_embed WHERE generation = ? AND chunk_id = ?", (generation, chunk_id))
            if not new:
                continue
            if row[0] > 0:
                enter.append(chunk_id)
            complete += self._completed(chunk_id)
        self._db.executemany(
            "INSERT INTO changes (generation, chunk_id) VALUES (?, ?)", [(generation, i) for i in enter]
        )
        return enter, complete

    def _completed(self, chunk_id: int) -> list[int]:
        rows = self._db.execute(
            "UPDATE contents SET missing = missing - (SELECT count(*) FROM content_chunks c"
            " WHERE c.content_id = contents.id AND c.chunk_id = ?)"
            " WHERE id IN (SELECT content_id FROM content_chunks WHERE chunk_id = ?) RETURNING id, missing",
            (chunk_id, chunk_id),
        ).fetchall()
        return [content_id for content_id, missing in rows if missing == 0]

    def trim_changes(self, up_to: int) -> None:
        """Forgets the log up to and including this sequence: no snapshot older than it will be replayed."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM changes WHERE seq <= ?", (up_to,))
            db.execute(
                "INSERT INTO facts VALUES ('changes_floor', ?)"
                " ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
                (up_to,),
            )
