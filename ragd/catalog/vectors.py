"""Generations, the vectors they keep for good, and the embed work still to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ragd.catalog import digests
from ragd.catalog.store import Store
from ragd.domain.digest import Digest, digest_of
from ragd.domain.index import EmbeddingSpace, EncoderSpec, HalfVectors


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """A live generation as the catalog knows it; `spec` opens its encoder, None means the configured one."""

    id: int
    space: EmbeddingSpace
    spec: EncoderSpec | None
    is_serving: bool
    created_at: float


class Vectors:
    """The generations, vectors, to_embed and changes tables of one store."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._db = store.connection
        self._clock = clock

    def serve(self, space: EmbeddingSpace, spec: EncoderSpec | None = None) -> int:
        """The generation of this space, made when new, now live and the serving one; returns its id."""
        with self._store.transaction():
            generation, _ = self.open(space, spec)
            self.make_serving(generation)
            return generation

    def live(self) -> tuple[GenerationRow, ...]:
        """The generations that get every change, the serving one first, then from old to new."""
        rows = self._db.execute(
            "SELECT id, fingerprint, dimension, model, max_tokens, spec, serving, created_at FROM generations"
            " WHERE state = 'live' ORDER BY serving DESC, id"
        )
        return tuple(GenerationRow(r[0], EmbeddingSpace(*r[1:5]), _spec(r[5]), bool(r[6]), r[7]) for r in rows)

    def known(self) -> tuple[int, ...]:
        """Every generation that has something in the catalog, live or retired."""
        return tuple(row[0] for row in self._db.execute("SELECT id FROM generations ORDER BY id"))

    def open(self, space: EmbeddingSpace, spec: EncoderSpec | None = None) -> tuple[int, bool]:
        """The generation of this space, live from now on, and whether it was live before.

        One that was not gets every live chunk without a vector as embed work, what is found most often first;
        snapshots of it, if there are any, say nothing any more. `spec` None means the configured encoder.
        """
        text = json.dumps(asdict(spec)) if spec is not None else ""
        with self._store.transaction() as db:
            row = db.execute("SELECT id, state FROM generations WHERE fingerprint = ?", (space.fingerprint,)).fetchone()
            if row is None:
                generation = db.execute(
                    "INSERT INTO generations (fingerprint, dimension, model, max_tokens, created_at, spec)"
                    " VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
                    (space.fingerprint, space.dimension, space.model, space.max_tokens, self._clock(), text),
                ).fetchone()[0]
            else:
                generation = row[0]
                # The same space may have moved: from the configuration to the registry, or to another folder.
                db.execute(
                    "UPDATE generations SET state = 'live', spec = ?, model = ? WHERE id = ?",
                    (text, space.model, generation),
                )
                if row[1] == "live":
                    return int(generation), True
                db.execute("DELETE FROM to_embed WHERE generation = ?", (generation,))
            db.execute(
                "INSERT INTO to_embed (generation, chunk_id, fresh, weight) SELECT ?, c.id, 0,"
                " coalesce((SELECT CAST(round(hits) AS INTEGER) FROM found f WHERE f.chunk_id = c.id), 0)"
                " FROM chunks c WHERE refs > 0 AND NOT EXISTS"
                " (SELECT 1 FROM vectors v WHERE v.generation = ? AND v.chunk_id = c.id)",
                (generation, generation),
            )
            digests.recount(db, generation)  # changes passed it by while it was not live
            return int(generation), False

    def make_serving(self, generation: int) -> list[int]:
        """Moves the serving flag to a live generation; returns the contents that lack nothing since."""
        with self._store.transaction() as db:
            db.execute("UPDATE generations SET serving = (id = ?)", (generation,))
            before = {row[0] for row in db.execute("SELECT id FROM contents WHERE missing > 0 AND refs > 0")}
            db.execute("UPDATE contents SET missing = 0 WHERE missing > 0 AND refs > 0")
            # What is live and lacks a vector is what waits to be embedded; what rests is counted when it comes back.
            lacking = db.execute(
                "UPDATE contents SET missing = (SELECT count(*) FROM content_chunks c WHERE c.content_id = contents.id"
                " AND EXISTS (SELECT 1 FROM to_embed t WHERE t.generation = ? AND t.chunk_id = c.chunk_id))"
                " WHERE refs > 0 AND id IN (SELECT c.content_id FROM to_embed t CROSS JOIN content_chunks c"
                " ON c.chunk_id = t.chunk_id WHERE t.generation = ?) RETURNING id",
                (generation, generation),
            ).fetchall()
            return sorted(before.difference(row[0] for row in lacking))

    def retire(self, generation: int) -> None:
        """No change reaches this generation any more; `drop_retired` takes its vectors away."""
        with self._store.transaction() as db:
            db.execute("UPDATE generations SET state = 'retired', serving = 0 WHERE id = ?", (generation,))
            digests.forget(db, generation)

    def drop_retired(self, limit: int = 5000) -> tuple[int, list[int]]:
        """Deletes up to a slice of what retired generations hold.

        Returns how many rows went, and the generations that are gone with them.
        """
        with self._store.transaction() as db:
            row = db.execute("SELECT min(id) FROM generations WHERE state = 'retired'").fetchone()
            if row[0] is None:
                return 0, []
            generation, gone = row[0], 0
            for table in ("to_embed", "vectors"):
                gone += db.execute(
                    f"DELETE FROM {table} WHERE generation = ? AND chunk_id IN"
                    f" (SELECT chunk_id FROM {table} WHERE generation = ? LIMIT ?)",
                    (generation, generation, limit - gone),
                ).rowcount
            if gone == limit:
                return gone, []
            db.execute("DELETE FROM changes WHERE generation = ?", (generation,))
            db.execute("DELETE FROM facts WHERE name = ?", (f"changes_floor {generation}",))
            db.execute("DELETE FROM generations WHERE id = ?", (generation,))
            return gone, [generation]

    def behind(self, generation: int, serving: int) -> tuple[bool, bool]:
        """Whether a generation lacks chunks that the serving one has, and whether some of them are not fresh."""
        lacks = (
            "SELECT EXISTS (SELECT 1 FROM to_embed t WHERE t.generation = ? AND t.fresh {} AND NOT EXISTS"
            " (SELECT 1 FROM to_embed s WHERE s.generation = ? AND s.chunk_id = t.chunk_id))"
        )
        is_old, is_fresh = (
            bool(self._db.execute(lacks.format(which), (generation, serving)).fetchone()[0]) for which in ("= 0", "> 0")
        )
        return is_old or is_fresh, is_old

    def to_embed(self, generation: int, limit: int, *, fresh: bool) -> list[int]:
        """Chunks that wait for a vector: those found most often lately, then in the order they came."""
        rows = self._db.execute(
            "SELECT chunk_id FROM to_embed WHERE generation = ? AND fresh = ? ORDER BY weight DESC, chunk_id LIMIT ?",
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
        """Stores vectors; returns (ids that now enter the generation's index, contents that now lack nothing).

        Only the serving generation completes contents.
        """
        position = {chunk_id: at for at, chunk_id in enumerate(chunk_ids)}
        serving = self._db.execute("SELECT 1 FROM generations WHERE id = ? AND serving", (generation,)).fetchone()
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
            if serving:
                complete += self._completed(chunk_id)
        self._db.executemany(
            "INSERT INTO changes (generation, chunk_id) VALUES (?, ?)", [(generation, i) for i in enter]
        )
        entered = digest_of(np.asarray(enter, dtype=np.int64), vectors[[position[i] for i in enter]])
        digests.change(self._db, generation, entered, Digest())
        return enter, complete

    def _completed(self, chunk_id: int) -> list[int]:
        rows = self._db.execute(
            "UPDATE contents SET missing = missing - (SELECT count(*) FROM content_chunks c"
            " WHERE c.content_id = contents.id AND c.chunk_id = ?)"
            " WHERE refs > 0 AND id IN (SELECT content_id FROM content_chunks WHERE chunk_id = ?)"
            " RETURNING id, missing",
            (chunk_id, chunk_id),
        ).fetchall()
        return [content_id for content_id, missing in rows if missing == 0]

    def trim_changes(self, generation: int, up_to: int, most: int | None = None) -> None:
        """Forgets a generation's log up to and including this sequence: no older snapshot of it will be replayed.

        With `most` no sequence older than that many is kept either, be there a snapshot that needs it or not.
        """
        with self._store.transaction() as db:
            if most is not None:
                newest = db.execute("SELECT coalesce(max(seq), 0) FROM changes").fetchone()[0]
                up_to = max(up_to, newest - most)
            if up_to <= 0:
                return
            db.execute("DELETE FROM changes WHERE seq <= ? AND generation = ?", (up_to, generation))
            db.execute(
                "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = max(value, excluded.value)",
                (f"changes_floor {generation}", up_to),
            )


def _spec(text: str) -> EncoderSpec | None:
    return EncoderSpec(**json.loads(text)) if text else None
