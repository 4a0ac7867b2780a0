"""What a person asks of a catalog: counts, lists of documents, receipts. Plain dictionaries, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ragd.catalog.connections import Connections
from ragd.catalog.documents import joined, split_path
from ragd.domain.documents import display_path
from ragd.domain.errors import BadRequest, NotFound
from ragd.domain.index import EmbeddingSpace

_STATE = "CASE WHEN d.state = 'ready' THEN CASE WHEN k.missing > 0 THEN 'text' ELSE 'searchable' END ELSE d.state END"
_DOCUMENTS = (
    f"SELECT d.id, r.collection, r.path, d.folder, d.name, d.kind, {_STATE}, k.title, d.size_bytes, d.mtime_ns,"
    " k.chunks, k.missing, d.reason, d.hint FROM documents d JOIN roots r ON r.id = d.root_id"
    " LEFT JOIN contents k ON k.id = d.content_id"
)
_STATES = {
    "pending": "d.state = 'pending'",
    "failed": "d.state = 'failed'",
    "text": "d.state = 'ready' AND k.missing > 0",
    "searchable": "d.state = 'ready' AND k.missing = 0",
}
_RECEIPTS = (
    "SELECT p.id, r.collection, r.path, p.path, p.action, p.outcome, p.seen_at, p.stable_at, p.planned_at,"
    " p.extracted_at, p.text_searchable_at, p.searchable_at, p.new_chars, p.document_id"
    " FROM receipts p LEFT JOIN roots r ON r.id = p.root_id"
)


class Overview:
    """Counts and lists over one catalog; usable from any thread."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def documents_by_state(self) -> dict[str, int]:
        """How many documents are pending, text, searchable and failed; looks at those that are not searchable only."""
        total, pending, failed = self.file_counts()
        row = self._connections.mine.execute(
            "SELECT count(*) FROM contents k INDEXED BY contents_missing CROSS JOIN documents d ON d.content_id = k.id"
            " WHERE k.missing > 0 AND k.refs > 0 AND d.state = 'ready'"
        ).fetchone()
        text = int(row[0])
        return {"pending": pending, "text": text, "searchable": total - pending - failed - text, "failed": failed}

    def file_counts(self) -> tuple[int, int, int]:
        """Documents in all, those that wait for extraction, and those that failed: cheap, from indexes alone."""
        row = self._connections.mine.execute(
            "SELECT (SELECT count(*) FROM documents), (SELECT count(*) FROM documents WHERE state = 'pending'),"
            " (SELECT count(*) FROM documents WHERE state = 'failed')"
        ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def waiting(self) -> tuple[int, int]:
        """Documents that wait for extraction and chunks that wait for a vector: (0, 0) when all is searchable."""
        row = self._connections.mine.execute(
            "SELECT (SELECT count(*) FROM documents WHERE state = 'pending'),"
            " (SELECT count(*) FROM to_embed WHERE generation = (SELECT id FROM generations WHERE serving))"
        ).fetchone()
        return int(row[0]), int(row[1])

    def unfinished(self) -> tuple[int, int]:
        """Documents that wait for extraction, and contents that are found by words only yet."""
        row = self._connections.mine.execute(
            "SELECT (SELECT count(*) FROM documents WHERE state = 'pending'),"
            " (SELECT count(*) FROM contents WHERE missing > 0 AND refs > 0)"
        ).fetchone()
        return int(row[0]), int(row[1])

    def lacking(self, generation: int) -> int:
        """Live chunks that have no vector in this generation yet."""
        row = self._connections.mine.execute("SELECT count(*) FROM to_embed WHERE generation = ?", (generation,))
        return int(row.fetchone()[0])

    def chunk_counts(self) -> dict[str, int]:
        """Live chunks, and those of them that have a vector."""
        row = self._connections.mine.execute(
            "SELECT coalesce((SELECT value FROM facts WHERE name = 'live_chunks'), 0),"
            " (SELECT count(*) FROM to_embed t JOIN generations g ON g.id = t.generation WHERE g.serving)"
        ).fetchone()
        return {"total": row[0], "with_vectors": row[0] - row[1]}

    def change_counts(self) -> tuple[int, int]:
        """Live chunks, and how many ever came or went: what a trigger counts volume by."""
        rows = dict(
            self._connections.mine.execute(
                "SELECT name, value FROM facts WHERE name IN ('live_chunks', 'changed_chunks')"
            )
        )
        return int(rows.get("live_chunks", 0)), int(rows.get("changed_chunks", 0))

    def work(self) -> dict[str, float]:
        """What the encoder was given since the catalog began: characters, and its seconds."""
        rows = self._connections.mine.execute(
            "SELECT name, value FROM facts WHERE name IN ('encoded_chars', 'encode_s')"
        )
        return {"encoded_chars": 0, "encode_s": 0.0, **dict(rows)}

    def roots(self) -> list[dict[str, Any]]:
        """The folders whose documents are known: `folder`, `collection`, and how many `files`."""
        rows = self._connections.mine.execute(
            "SELECT r.path, r.collection, count(d.id) FROM roots r"
            " LEFT JOIN documents d ON d.root_id = r.id GROUP BY r.id"
        )
        return [{"folder": display_path(path), "collection": name, "files": files} for path, name, files in rows]

    def serving(self) -> tuple[int, EmbeddingSpace] | None:
        """The serving generation and its space; None in a catalog that never had a model."""
        row = self._connections.mine.execute(
            "SELECT id, fingerprint, dimension, model, max_tokens FROM generations WHERE serving"
        ).fetchone()
        return (int(row[0]), EmbeddingSpace(*row[1:])) if row else None

    def documents(
        self,
        *,
        state: str | None = None,
        collection: str | None = None,
        path: str | None = None,
        limit: int = 100,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Documents by id, a page at a time: `documents` and `next`, the cursor of the next page or None."""
        where: list[str] = ["d.id > ?"]
        values: list[object] = [_position(cursor)]
        if state is not None:
            if state not in _STATES:
                raise BadRequest(f"{state!r} is not a state of a document", hint=f"one of {', '.join(_STATES)}")
            where.append(_STATES[state])
        if collection is not None:
            where.append("r.collection = ?")
            values.append(collection)
        if path is not None:
            condition, bound = _below(path)
            where.append(condition)
            values += bound
        rows = self._connections.mine.execute(
            f"{_DOCUMENTS} WHERE {' AND '.join(where)} ORDER BY d.id LIMIT ?", (*values, limit + 1)
        ).fetchall()
        return {
            "documents": [_document(row) for row in rows[:limit]],
            "next": str(rows[limit - 1][0]) if len(rows) > limit else None,
        }

    def receipts(self, *, path: str | None = None, limit: int = 50, pending: bool | None = None) -> dict[str, Any]:
        """The newest receipts first, of one path below its root, or only those under way (`pending`) or done."""
        where: list[str] = ["TRUE"]
        values: list[object] = []
        if path is not None:
            where.append("(p.path = ? OR p.path LIKE ? ESCAPE '\\')")
            values += [_raw(path), b"%/" + _raw(path).replace(b"%", b"\\%").replace(b"_", b"\\_")]
        if pending is not None:
            where.append(f"p.outcome {'=' if pending else '<>'} 'pending'")
        rows = self._connections.mine.execute(
            f"{_RECEIPTS} WHERE {' AND '.join(where)} ORDER BY p.id DESC LIMIT ?", (*values, limit)
        )
        return {"receipts": [_receipt(row) for row in rows]}

    def receipt_outcome(self, receipt_id: int) -> str:
        """Where a change stands; a superseded one stands where the newest change of its document does.

        Raises NotFound.
        """
        row = self._connections.mine.execute(
            "SELECT outcome, document_id FROM receipts WHERE id = ?", (receipt_id,)
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no receipt {receipt_id}", hint="`ragd receipts` lists them")
        if row[0] != "superseded":
            return str(row[0])
        newest = self._connections.mine.execute(
            "SELECT outcome FROM receipts WHERE document_id = ? ORDER BY id DESC LIMIT 1", (row[1],)
        ).fetchone()
        return str(newest[0])

    def newest_receipt(self) -> int:
        """The id of the newest receipt; 0 when there is none."""
        row = self._connections.mine.execute("SELECT max(id) FROM receipts").fetchone()
        return int(row[0] or 0)

    def waiting_since(self) -> float | None:
        """When the oldest change that is not searchable yet was seen, Unix seconds; None when none waits."""
        row = self._connections.mine.execute(
            "SELECT seen_at FROM receipts WHERE id ="
            " (SELECT min(id) FROM receipts INDEXED BY receipts_document WHERE outcome = 'pending')"
        ).fetchone()
        return float(row[0]) if row is not None else None

    def oldest_pending(self, up_to: int) -> int | None:
        """The oldest receipt under way with an id of at most `up_to`."""
        row = self._connections.mine.execute(
            "SELECT min(id) FROM receipts WHERE outcome = 'pending' AND id <= ?", (up_to,)
        ).fetchone()
        return int(row[0]) if row[0] is not None else None


def _position(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not cursor.isascii() or not cursor.isdigit() or len(cursor) > 18:  # what SQLite takes
        raise BadRequest(f"{cursor!r} is not a cursor", hint="give the `next` of the page before")
    return int(cursor)


def _below(path: str) -> tuple[str, Sequence[bytes]]:
    raw = _raw(path).strip(b"/")
    folder, name = split_path(raw)
    return (
        "((d.folder = ? AND d.name = ?) OR d.folder = ? OR d.folder >= ? AND d.folder < ?)",
        (folder, name, raw, raw + b"/", raw + b"0"),
    )


def _raw(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")


def _document(row: Sequence[Any]) -> dict[str, Any]:
    chunks = row[10] or 0
    return {
        "id": row[0],
        "collection": row[1],
        "root": display_path(row[2]),
        "path": display_path(joined(row[3], row[4])),
        "kind": row[5],
        "state": row[6],
        "title": row[7] or "",
        "size_bytes": max(0, row[8]),
        "modified_at": max(0, row[9]) / 1e9,
        "chunks": chunks,
        "chunks_embedded": chunks - (row[11] or 0),
        "reason": row[12],
        "hint": row[13],
    }


def _receipt(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "id": row[0],
        "collection": row[1] or "",
        "root": display_path(row[2]) if row[2] is not None else "",
        "path": display_path(row[3]),
        "action": row[4],
        "outcome": row[5],
        "seen_at": row[6],
        "stable_at": row[7],
        "planned_at": row[8],
        "extracted_at": row[9],
        "text_searchable_at": row[10],
        "searchable_at": row[11],
        "encoded_chars": row[12],
    }
