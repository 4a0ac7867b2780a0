"""The reading side of the catalog: any thread, each with a connection of its own, beside the one writer."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ragd.catalog.connections import Connections
from ragd.catalog.documents import joined, split_path
from ragd.catalog.learning import Learning
from ragd.catalog.overview import Overview
from ragd.catalog.registry import Registry
from ragd.catalog.replay import Replay
from ragd.catalog.scope import Scope
from ragd.domain.changes import Known
from ragd.domain.documents import Stat, display_path
from ragd.domain.index import Ids
from ragd.domain.search import Filters, HitRow

_KNOWN = "id, size_bytes, mtime_ns, ctime_ns, inode, hash, state = 'failed'"


class CatalogReader:
    """Everything search, the watcher and the status pages ask of a catalog. Raises StateCorrupt, StateNewer."""

    def __init__(self, state: Path) -> None:
        self._connections = Connections(state)
        self.replay = Replay(self._connections)
        self.overview = Overview(self._connections)
        self.registry = Registry(self._connections)
        self.learning = Learning.of(lambda: self._connections.mine)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's read-only connection."""
        return self._connections.mine

    def close(self) -> None:
        """Closes the connections of every thread; none may be in use."""
        self._connections.close()

    # The watcher's questions.

    def known_marks(self, root_id: int, folder: bytes) -> list[tuple[bytes, int]]:
        """(name, mark of its stat) of the documents directly in one folder of a root; the mark is `Stat.mark`.

        A failed document whose bytes were never read has the mark -1, so that it is looked at again.
        """
        return self.connection.execute(
            "SELECT name, CASE WHEN hash IS NULL AND state = 'failed' THEN -1"
            " ELSE size_bytes + mtime_ns + ctime_ns + (inode & 0xFFFFFFFF) END"
            " FROM documents WHERE root_id = ? AND folder = ?",
            (root_id, folder),
        ).fetchall()

    def known_digests(self, root_id: int, below: bytes = b"") -> dict[bytes, int]:
        """A digest of the rows of each folder that holds documents, at or below one folder of a root.

        Equal digests mean equal rows: whatever is done to a row changes its version, its id or its times.
        """
        values: tuple[object, ...] = (root_id,)
        where = "root_id = ?"
        if below:
            where += " AND (folder = ? OR folder >= ? AND folder < ?)"
            values = (root_id, below, below + b"/", below + b"0")
        rows = self.connection.execute(
            "SELECT folder, count(*), sum(id), sum(version), sum(state = 'failed'),"
            # In milliseconds, so that the sum fits.
            " sum((size_bytes + mtime_ns + ctime_ns + (inode & 0xFFFFFFFF)) >> 20)"
            f" FROM documents WHERE {where} GROUP BY folder",
            values,
        )
        return {row[0]: hash(row) for row in rows}

    def known_path(self, root_id: int, path: bytes) -> Known | None:
        """The document at one path of a root."""
        r = self.connection.execute(
            f"SELECT {_KNOWN} FROM documents WHERE root_id = ? AND folder = ? AND name = ?",
            (root_id, *split_path(path)),
        ).fetchone()
        return Known(r[0], path, Stat(r[1], r[2], r[3], r[4]), r[5], bool(r[6])) if r else None

    def known_hashes(self) -> list[tuple[bytes, Known]]:
        """(root, what is known) of every document whose bytes were read, by root and path."""
        rows = self.connection.execute(
            "SELECT r.path, d.folder, d.name, d.id, d.size_bytes, d.mtime_ns, d.ctime_ns, d.inode, d.hash,"
            " d.state = 'failed' FROM documents d JOIN roots r ON r.id = d.root_id WHERE d.hash IS NOT NULL"
            " ORDER BY d.root_id, d.folder, d.name"
        )
        return [(r[0], Known(r[3], joined(r[1], r[2]), Stat(*r[4:8]), r[8], bool(r[9]))) for r in rows]

    def document_count(self, root_id: int | None = None) -> int:
        """How many documents the catalog holds, of one root or of all."""
        where, values = ("WHERE root_id = ?", (root_id,)) if root_id is not None else ("", ())
        return int(self.connection.execute(f"SELECT count(*) FROM documents {where}", values).fetchone()[0])

    # Search's questions.

    def word_hits(self, match: str, limit: int, filters: Filters) -> list[tuple[int, float]]:
        """Chunks for an FTS5 MATCH expression, best first, with BM25 (higher is better); filtered inside."""
        if not match:
            return []
        scope = Scope.of(filters, self.connection)
        rows = self.connection.execute(
            "SELECT rowid, -bm25(words, 2.0, 1.0) FROM words WHERE words MATCH ?"
            f"{scope.chunk_condition('words.rowid')} ORDER BY bm25(words, 2.0, 1.0) LIMIT ?",
            (match, *scope.values, limit),
        )
        return [(int(row[0]), float(row[1])) for row in rows]

    def allowed_chunks(self, filters: Filters) -> Ids | None:
        """Live chunks that pass the filters, sorted; None when all do."""
        if filters.is_empty:
            return None
        scope = Scope.of(filters, self.connection)
        rows = self.connection.execute(
            "SELECT DISTINCT cc.chunk_id FROM documents d JOIN roots r ON r.id = d.root_id"
            f" JOIN content_chunks cc ON cc.content_id = d.content_id WHERE {scope.condition} ORDER BY 1",
            scope.values,
        )
        return np.fromiter((row[0] for row in rows), dtype=np.int64)

    def hit_rows(self, chunk_ids: Sequence[int], filters: Filters) -> list[HitRow]:
        """Where these chunks stand now: one row a (chunk, document), in documents that pass the filters."""
        scope = Scope.of(filters, self.connection)
        found: list[HitRow] = []
        for chunk_id in chunk_ids:
            rows = self.connection.execute(
                'SELECT d.id, r.collection, r.path, d.folder, d.name, k.title, c.context, cc.page, cc.start, cc."end",'
                " c.text, d.mtime_ns, min(cc.ordinal) FROM content_chunks cc JOIN contents k ON k.id = cc.content_id"
                " JOIN documents d ON d.content_id = k.id JOIN roots r ON r.id = d.root_id"
                f" JOIN chunks c ON c.id = cc.chunk_id WHERE cc.chunk_id = ? AND {scope.condition}"
                " GROUP BY d.id ORDER BY d.id",
                (chunk_id, *scope.values),
            )
            found += [
                HitRow(
                    chunk_id=chunk_id,
                    document_id=r[0],
                    collection=r[1],
                    root=display_path(r[2]),
                    path=display_path(joined(r[3], r[4])),
                    title=r[5],
                    heading=r[6],
                    page=r[7],
                    start=r[8],
                    end=r[9],
                    text=r[10],
                    modified_at=r[11] / 1e9,
                )
                for r in rows
            ]
        return found
