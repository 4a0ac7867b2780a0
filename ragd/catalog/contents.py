"""Contents and their chunks, who refers to them, and therefore what words and vectors must be live.

A document refers to one content, a content lists chunks; both are counted. When a chunk's count
leaves or reaches zero it enters or leaves full-text search, the embed work and the index, all in
the transaction of the document that caused it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ragd.catalog import digests
from ragd.catalog.store import Store
from ragd.catalog.tokens import index_text
from ragd.domain.documents import Extraction


@dataclass(frozen=True, slots=True)
class IndexDelta:
    """What a commit means for the index: chunks that have a vector and enter, chunks that leave."""

    enter: tuple[int, ...] = ()
    leave: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Content:
    """One content: how many of its chunk rows still lack a vector, and how many characters were new."""

    id: int
    missing: int
    new_chars: int = 0


class Contents:
    """The contents, chunks and words tables of one store; collects reference changes until `settle`."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._db = store.connection
        self._clock = clock
        self._references: Counter[int] = Counter()

    def find(self, content_hash: bytes, kind: str, reader: str) -> Content | None:
        """The content these bytes gave before, live or resting."""
        row = self._db.execute(
            "SELECT id, missing FROM contents WHERE hash = ? AND kind = ? AND reader = ?", (content_hash, kind, reader)
        ).fetchone()
        return Content(row[0], row[1]) if row else None

    def add(self, extraction: Extraction, reader: str, generation: int) -> Content:
        """Stores what a file held, reusing every chunk that is known; nothing refers to it yet."""
        content_id = self._db.execute(
            "INSERT INTO contents (hash, kind, reader, title, size_chars, chunks, missing, retired_at)"
            " VALUES (?, ?, ?, ?, ?, ?, 0, ?) RETURNING id",
            (
                extraction.content_hash,
                extraction.kind,
                reader,
                extraction.title,
                extraction.size_chars,
                len(extraction.pieces),
                self._clock(),
            ),
        ).fetchone()[0]
        new_chars = 0
        rows: list[tuple[int, int, int, int, int, int | None]] = []
        for ordinal, piece in enumerate(extraction.pieces):
            chunk_id, is_new = self._chunk(piece.key, piece.context, piece.text)
            new_chars += len(piece.embedded) if is_new else 0
            rows.append((content_id, ordinal, chunk_id, piece.start, piece.end, piece.page))
        self._db.executemany("INSERT INTO content_chunks VALUES (?, ?, ?, ?, ?, ?)", rows)
        missing = self._db.execute(
            "UPDATE contents SET missing = (SELECT count(*) FROM content_chunks c WHERE c.content_id = contents.id"
            " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.generation = ? AND v.chunk_id = c.chunk_id))"
            " WHERE id = ? RETURNING missing",
            (generation, content_id),
        ).fetchone()[0]
        return Content(content_id, missing, new_chars)

    def acquire(self, content_id: int) -> int:
        """One more document refers to this content; returns how many of its rows lack a vector that serves."""
        refs, missing = self._db.execute(
            "UPDATE contents SET refs = refs + 1, retired_at = NULL WHERE id = ? RETURNING refs, missing", (content_id,)
        ).fetchone()
        if refs == 1:
            self._references.update(self._chunk_ids(content_id))
            # While it rested vectors may have come, and another generation may have taken over.
            missing = self._db.execute(
                "UPDATE contents SET missing = (SELECT count(*) FROM content_chunks c WHERE c.content_id = contents.id"
                " AND NOT EXISTS (SELECT 1 FROM vectors v WHERE v.chunk_id = c.chunk_id AND v.generation ="
                " (SELECT id FROM generations WHERE serving))) WHERE id = ? RETURNING missing",
                (content_id,),
            ).fetchone()[0]
        return int(missing)

    def release(self, content_id: int) -> None:
        """One document less refers to this content; the last one lets it rest."""
        refs = self._db.execute(
            "UPDATE contents SET refs = refs - 1 WHERE id = ? RETURNING refs", (content_id,)
        ).fetchone()[0]
        if refs == 0:
            self._db.execute("UPDATE contents SET retired_at = ? WHERE id = ?", (self._clock(), content_id))
            self._references.subtract(self._chunk_ids(content_id))

    def settle(self, generations: Iterable[int], *, fresh: bool) -> dict[int, IndexDelta]:
        """Turns the collected reference changes into words, embed work and change log; a delta a live generation."""
        born, dying = self._counted()
        self._words(born, dying)
        if len(born) != len(dying):
            self._db.execute(
                "INSERT INTO facts VALUES ('live_chunks', ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                (len(born) - len(dying),),
            )
        if born or dying:
            self._db.execute(
                "INSERT INTO facts VALUES ('changed_chunks', ?)"
                " ON CONFLICT DO UPDATE SET value = value + excluded.value",
                (len(born) + len(dying),),
            )
        now = self._clock()
        self._db.executemany("UPDATE chunks SET retired_at = NULL WHERE id = ?", [(i,) for i in born])
        self._db.executemany("UPDATE chunks SET retired_at = ? WHERE id = ?", [(now, i) for i in dying])
        return {generation: self._delta(generation, born, dying, fresh) for generation in generations}

    def _delta(self, generation: int, born: list[int], dying: list[int], fresh: bool) -> IndexDelta:
        entering, enter = digests.of_chunks(self._db, generation, born)
        lacking = sorted(set(born).difference(entering))
        leaving, leave = digests.of_chunks(self._db, generation, dying)
        digests.change(self._db, generation, enter, leave)
        self._db.executemany(
            "INSERT INTO to_embed (generation, chunk_id, fresh) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET fresh = max(fresh, excluded.fresh)",
            [(generation, i, fresh) for i in lacking],
        )
        self._db.executemany(
            "DELETE FROM to_embed WHERE generation = ? AND chunk_id = ?", [(generation, i) for i in dying]
        )
        self._db.executemany(
            "INSERT INTO changes (generation, chunk_id) VALUES (?, ?)",
            [(generation, i) for i in (*entering, *leaving)],
        )
        return IndexDelta(tuple(entering), tuple(leaving))

    def _counted(self) -> tuple[list[int], list[int]]:
        born: list[int] = []
        dying: list[int] = []
        for chunk_id, change in self._references.items():
            if change == 0:
                continue
            refs = self._db.execute(
                "UPDATE chunks SET refs = refs + ? WHERE id = ? RETURNING refs", (change, chunk_id)
            ).fetchone()[0]
            if refs == change:
                born.append(chunk_id)
            elif refs == 0:
                dying.append(chunk_id)
        self._references.clear()
        return born, dying

    def forget_references(self) -> None:
        """Drops what was collected in a transaction that was rolled back."""
        self._references.clear()

    def _chunk(self, key: bytes, context: str, text: str) -> tuple[int, bool]:
        row = self._db.execute("SELECT id FROM chunks WHERE key = ?", (key,)).fetchone()
        if row is not None:
            return row[0], False
        added = self._db.execute(
            "INSERT INTO chunks (key, context, text, retired_at) VALUES (?, ?, ?, ?) RETURNING id",
            (key, _storable(context), _storable(text), self._clock()),
        ).fetchone()
        return added[0], True

    def _chunk_ids(self, content_id: int) -> list[int]:
        rows = self._db.execute("SELECT chunk_id FROM content_chunks WHERE content_id = ?", (content_id,))
        return [row[0] for row in rows]

    def _words(self, born: list[int], dying: list[int]) -> None:
        for chunk_id in born:
            context, text = self._text(chunk_id)
            self._db.execute(
                "INSERT INTO words (rowid, context, body) VALUES (?, ?, ?)",
                (chunk_id, index_text(context), index_text(text)),
            )
        for chunk_id in dying:
            # A contentless table forgets a row only when told exactly what it was given.
            context, text = self._text(chunk_id)
            self._db.execute(
                "INSERT INTO words (words, rowid, context, body) VALUES ('delete', ?, ?, ?)",
                (chunk_id, index_text(context), index_text(text)),
            )

    def _text(self, chunk_id: int) -> tuple[str, str]:
        row = self._db.execute("SELECT context, text FROM chunks WHERE id = ?", (chunk_id,)).fetchone()
        return row[0], row[1]


def _storable(text: str) -> str:
    # Lone surrogates cannot be written as UTF-8.
    return text.encode("utf-8", "replace").decode("utf-8")
