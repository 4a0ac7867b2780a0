"""Receipts: the way of each change with the time of every step, so that freshness is measured, not believed."""

from __future__ import annotations

from collections.abc import Iterable

from ragd.catalog.store import Store
from ragd.domain.changes import Observation


class Receipts:
    """The receipts table of one store; times are Unix seconds."""

    def __init__(self, store: Store) -> None:
        self._db = store.connection

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

    def text(self, document_id: int, content_id: int, extracted_at: float | None, new_chars: int, now: float) -> None:
        """The document's words are searchable."""
        self._db.execute(
            "UPDATE receipts SET content_id = ?, extracted_at = ?, text_searchable_at = ?, new_chars = ?"
            " WHERE document_id = ? AND outcome = 'pending'",
            (content_id, extracted_at, now, new_chars, document_id),
        )

    def searchable(self, content_ids: Iterable[int], now: float) -> None:
        """Every chunk of these contents has its vector in the index."""
        self._db.executemany(
            "UPDATE receipts SET outcome = 'searchable', searchable_at = ?"
            " WHERE content_id = ? AND outcome = 'pending'",
            [(now, content_id) for content_id in content_ids],
        )

    def close(self, document_id: int, outcome: str, now: float) -> None:
        """The change ended another way: `deleted` or `failed`."""
        self._db.execute(
            "UPDATE receipts SET outcome = ?, searchable_at = ? WHERE document_id = ? AND outcome = 'pending'",
            (outcome, now if outcome == "deleted" else None, document_id),
        )

    def trim(self, keep: int) -> None:
        """Keeps the newest `keep` receipts, and whatever is still under way."""
        self._db.execute(
            "DELETE FROM receipts WHERE outcome <> 'pending' AND id <= (SELECT max(id) FROM receipts) - ?",
            (keep,),
        )
