"""Receipts: the way of each change with the time of every step, so that freshness is measured, not believed."""

from __future__ import annotations

from collections.abc import Iterable

from ragd.catalog.store import Store
from ragd.domain.changes import Observation
from ragd.domain.landing import Landing, Waited

# What a deleted document was is gone with it; a deletion never waits for a backfill.
_TOLD = "RETURNING id, seen_at, coalesce((SELECT fresh FROM documents d WHERE d.id = receipts.document_id), 1)"
_Row = tuple[int, float, int]


class Receipts:
    """The receipts table of one store; times are Unix seconds."""

    def __init__(self, store: Store) -> None:
        self._db = store.connection
        self.begin()

    def open(self, root_id: int, observation: Observation, document_id: int, action: str, now: float) -> int:
        """A change was planned; an earlier one of the same document that is under way is superseded. Returns its id."""
        self._db.execute(
            "UPDATE receipts SET outcome = 'superseded' WHERE document_id = ? AND outcome = 'pending'", (document_id,)
        )
        row = self._db.execute(
            "INSERT INTO receipts (root_id, path, document_id, action, outcome, seen_at, stable_at, planned_at)"
            " VALUES (?, ?, ?, ?, 'pending', ?, ?, ?) RETURNING id",
            (
                root_id,
                observation.path,
                document_id,
                action,
                observation.seen_at or now,
                observation.stable_at or now,
                now,
            ),
        ).fetchone()
        return int(row[0])

    def text(self, document_id: int, content_id: int, extracted_at: float | None, new_chars: int) -> None:
        """The document's words become searchable with this transaction."""
        rows = self._db.execute(
            "UPDATE receipts SET content_id = ?, extracted_at = ?, new_chars = ?"
            f" WHERE document_id = ? AND outcome = 'pending' {_TOLD}",
            (content_id, extracted_at, new_chars, document_id),
        )
        told = rows.fetchall()
        self._by_words += told
        if told:
            size = self._db.execute("SELECT size_chars FROM contents WHERE id = ?", (content_id,)).fetchone()
            self._edited_chars += size[0] if size else 0

    def searchable(self, content_ids: Iterable[int]) -> None:
        """With this transaction every chunk of these contents has its vector."""
        for content_id in content_ids:
            rows = self._db.execute(
                f"UPDATE receipts SET outcome = 'searchable' WHERE content_id = ? AND outcome = 'pending' {_TOLD}",
                (content_id,),
            )
            self._by_meaning += rows

    def close(self, document_id: int, outcome: str) -> None:
        """The change ends another way with this transaction: `deleted` or `failed`."""
        rows = self._db.execute(
            f"UPDATE receipts SET outcome = ? WHERE document_id = ? AND outcome = 'pending' {_TOLD}",
            (outcome, document_id),
        )
        self._by_meaning += rows if outcome == "deleted" else ()

    def stamp(self, now: float) -> None:
        """Gives what was told since `begin` its time: the last thing in a transaction, so that no step looks early."""
        self._db.executemany(
            "UPDATE receipts SET text_searchable_at = ? WHERE id = ?", [(now, row[0]) for row in self._by_words]
        )
        self._db.executemany(
            "UPDATE receipts SET searchable_at = ? WHERE id = ?", [(now, row[0]) for row in self._by_meaning]
        )
        landing = Landing(_waited(self._by_words, now), _waited(self._by_meaning, now), self._edited_chars)
        self.begin()
        self._landing = landing

    def landed(self) -> Landing:
        """What the transaction before, which is committed, made searchable; told once."""
        landing, self._landing = self._landing, Landing()
        return landing

    def begin(self) -> None:
        """Forgets what a transaction that was rolled back told."""
        self._by_words: list[_Row] = []
        self._by_meaning: list[_Row] = []
        self._edited_chars = 0
        self._landing = Landing()

    def trim(self, keep: int, limit: int = 2000) -> int:
        """Deletes a slice of all but the newest `keep` receipts and those still under way; returns how many went."""
        return self._db.execute(
            "DELETE FROM receipts WHERE id IN (SELECT id FROM receipts WHERE outcome <> 'pending'"
            " AND id <= (SELECT max(id) FROM receipts) - ? ORDER BY id LIMIT ?)",
            (keep, limit),
        ).rowcount


def _waited(rows: Iterable[_Row], now: float) -> tuple[Waited, ...]:
    return tuple(Waited(max(0.0, now - seen_at), is_fresh=bool(fresh)) for _, seen_at, fresh in rows)
