"""The query journal: what was asked, what was found, and what people said of it; kept only where that was asked for."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ragd.catalog.store import Store
from ragd.domain.errors import NotFound
from ragd.domain.index import HalfVectors, Vectors


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One answered query at Unix seconds `at`: hits are (chunk id, document id), best first.

    `vector` (shape (dimension,)) is the encoder's, without an adapter, in the space with the fingerprint `space`;
    None where the query was answered without one. It is kept as float16.
    """

    id: int
    at: float
    text: str
    mode: str
    took_ms: float
    hits: tuple[tuple[int, int], ...]
    vector: HalfVectors | Vectors | None = None
    space: str = ""


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A journaled query as training sees it: (chunk id, document id) by rank, and whether judged chunks were good."""

    id: int
    at: float
    text: str
    mode: str
    hits: tuple[tuple[int, int], ...]
    feedback: Mapping[int, bool] = field(default_factory=dict)

    def rank(self, chunk_id: int) -> int | None:
        """The place of a chunk among the hits, from 1; None where it was not shown: position bias depends on it."""
        return next((rank for rank, (shown, _) in enumerate(self.hits, start=1) if shown == chunk_id), None)


class Journal:
    """Writes the queries and feedback tables of one store; main thread only."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add(self, entries: Sequence[JournalEntry]) -> None:
        """Keeps answered queries, all in one transaction."""
        with self._store.transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO queries (id, at, text, mode, took_ms, hits, vector, generation)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, (SELECT id FROM generations WHERE fingerprint = ?))",
                [
                    (
                        *(entry.id, entry.at, entry.text, entry.mode, entry.took_ms),
                        json.dumps(entry.hits, separators=(",", ":")),
                        None if entry.vector is None else entry.vector.astype(np.float16).tobytes(),
                        None if entry.vector is None else entry.space,
                    )
                    for entry in entries
                ],
            )

    def judge(self, query_id: int, chunk_id: int, *, is_good: bool, at: float) -> None:
        """Notes whether a chunk answered a query; a later judgement replaces an earlier one. Raises NotFound."""
        with self._store.transaction() as db:
            row = db.execute("SELECT hits FROM queries WHERE id = ?", (query_id,)).fetchone()
            if row is None:
                raise NotFound(
                    f"there is no query {query_id} in the journal",
                    hint="queries are kept while `learn.journal` is true, for `learn.journal_days` days",
                )
            is_known = (
                any(chunk == chunk_id for chunk, _ in json.loads(row[0]))
                or db.execute("SELECT 1 FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
            )
            if not is_known:
                raise NotFound(
                    f"there is no chunk {chunk_id}, and the query {query_id} did not find one",
                    hint="give the chunk id that stands beside a hit",
                )
            db.execute(
                "INSERT INTO feedback VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET is_good = excluded.is_good, at = excluded.at",
                (query_id, chunk_id, is_good, at),
            )

    def trim(self, before: float, most: int | None = None) -> int:
        """Forgets queries from before a moment, and all but the newest `most`, with what was said of them; how many."""
        with self._store.transaction() as db:
            if most is not None:
                row = db.execute("SELECT at FROM queries ORDER BY at DESC LIMIT 1 OFFSET ?", (most - 1,)).fetchone()
                before = before if row is None else max(before, row[0])
            db.execute("DELETE FROM feedback WHERE query_id IN (SELECT id FROM queries WHERE at < ?)", (before,))
            return db.execute("DELETE FROM queries WHERE at < ?", (before,)).rowcount


class JournalRows:
    """Reads the journal; `connect` gives the calling thread's connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect

    def newest_id(self) -> int:
        """The largest id given so far; 0 in an empty journal."""
        return int(self._connect().execute("SELECT max(id) FROM queries").fetchone()[0] or 0)

    def count(self, since: float = 0.0, *, judged: bool = False) -> int:
        """How many queries came after a moment, all or only those that somebody judged."""
        condition = " AND id IN (SELECT query_id FROM feedback)" if judged else ""
        row = self._connect().execute(f"SELECT count(*) FROM queries WHERE at > ?{condition}", (since,)).fetchone()
        return int(row[0])

    def judgements(self, since: float = 0.0) -> tuple[int, int]:
        """(good, bad) judgements given after a moment: a trigger's share of bad answers."""
        row = (
            self._connect()
            .execute(
                "SELECT coalesce(sum(is_good), 0), coalesce(sum(NOT is_good), 0) FROM feedback WHERE at > ?", (since,)
            )
            .fetchone()
        )
        return int(row[0]), int(row[1])

    def judged(self, since: float = 0.0) -> list[JudgedQuery]:
        """Queries that somebody judged, oldest first: what training and evaluation take from the journal."""
        said: dict[int, dict[int, bool]] = {}
        connection = self._connect()
        for query_id, chunk_id, is_good in connection.execute(
            "SELECT f.query_id, f.chunk_id, f.is_good FROM feedback f JOIN queries q ON q.id = f.query_id"
            " WHERE q.at > ? ORDER BY f.query_id, f.chunk_id",
            (since,),
        ):
            said.setdefault(query_id, {})[chunk_id] = bool(is_good)
        rows = connection.execute(
            "SELECT id, at, text, mode, hits FROM queries WHERE at > ? AND id IN (SELECT query_id FROM feedback)"
            " ORDER BY at, id",
            (since,),
        )
        return [
            JudgedQuery(query_id, at, text, mode, _hits(hits), said[query_id])
            for query_id, at, text, mode, hits in rows
            if query_id in said
        ]

    def shown(self, since: float = 0.0, limit: int = 100_000) -> list[JudgedQuery]:
        """The newest queries, judged or not, newest first: how often each rank is shown at all."""
        rows = self._connect().execute(
            "SELECT id, at, text, mode, hits FROM queries WHERE at > ? ORDER BY at DESC, id DESC LIMIT ?",
            (since, limit),
        )
        return [JudgedQuery(row[0], row[1], row[2], row[3], _hits(row[4])) for row in rows]

    def vectors(self, generation: int, limit: int, since: float = 0.0) -> HalfVectors:
        """The newest query vectors of one embedding space, oldest first, shape (n, dimension), float16."""
        rows = self._connect().execute(
            "SELECT vector FROM queries WHERE generation = ? AND at > ? ORDER BY at DESC, id DESC LIMIT ?",
            (generation, since, limit),
        )
        raw = [row[0] for row in rows][::-1]
        if not raw:
            return np.empty((0, 0), dtype=np.float16)
        return np.frombuffer(b"".join(raw), dtype=np.float16).reshape(len(raw), -1)


def _hits(text: str) -> tuple[tuple[int, int], ...]:
    return tuple((int(chunk), int(document)) for chunk, document in json.loads(text))
