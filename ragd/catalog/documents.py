"""Rows of documents: what each folder holds and where each file stands. Every write joins the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ragd.catalog.store import Store
from ragd.domain.changes import Known, Observation
from ragd.domain.documents import Stat, kind_of

_UNSEEN = Stat(-1, -1, -1, -1)


@dataclass(frozen=True, slots=True)
class Root:
    """One watched folder of a collection."""

    id: int
    collection: str
    path: bytes


@dataclass(frozen=True, slots=True)
class Pending:
    """A document that waits for extraction; `size_bytes` is what the folder said last."""

    document_id: int
    version: int
    root_id: int
    path: bytes
    fresh: bool
    size_bytes: int
    attempts: int


@dataclass(frozen=True, slots=True)
class Row:
    """A document as its commits need it."""

    id: int
    root_id: int
    path: bytes
    version: int
    content_id: int | None
    fresh: bool


def split_path(path: bytes) -> tuple[bytes, bytes]:
    """A relative path as (folder, name); the folder of a file in the root itself is empty."""
    folder, _, name = path.rpartition(b"/")
    return folder, name


class Documents:
    """The documents and roots tables of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._db = store.connection

    def set_roots(self, roots: Sequence[tuple[str, bytes]]) -> tuple[Root, ...]:
        """Makes these (collection, absolute path) pairs known roots, keeping ids; others stay until dropped."""
        with self._store.transaction() as db:
            for collection, path in roots:
                db.execute(
                    "INSERT INTO roots (collection, path) VALUES (?, ?)"
                    " ON CONFLICT (path) DO UPDATE SET collection = excluded.collection",
                    (collection, path),
                )
        wanted = {path for _, path in roots}
        return tuple(root for root in self.roots() if root.path in wanted)

    def roots(self) -> tuple[Root, ...]:
        """Every root the catalog knows, configured now or before."""
        rows = self._db.execute("SELECT id, collection, path FROM roots ORDER BY id")
        return tuple(Root(*row) for row in rows)

    def drop_root(self, root_id: int) -> None:
        """Forgets a root that has no documents left."""
        self._db.execute("DELETE FROM roots WHERE id = ?", (root_id,))

    def known(self, root_id: int, paths: Iterable[bytes]) -> dict[bytes, Known]:
        """The catalog's side of a reconcile: rows of these paths, unknown ones absent."""
        found: dict[bytes, Known] = {}
        for path in paths:
            row = self._db.execute(
                "SELECT id, size_bytes, mtime_ns, ctime_ns, inode, hash, state = 'failed' FROM documents"
                " WHERE root_id = ? AND folder = ? AND name = ?",
                (root_id, *split_path(path)),
            ).fetchone()
            if row is not None:
                found[path] = Known(row[0], path, Stat(*row[1:5]), row[5], bool(row[6]))
        return found

    def below(self, root_id: int, limit: int) -> list[bytes]:
        """Some paths of a root, for removing it slice by slice."""
        rows = self._db.execute("SELECT folder, name FROM documents WHERE root_id = ? LIMIT ?", (root_id, limit))
        return [joined(folder, name) for folder, name in rows]

    def put(self, root_id: int, observation: Observation, state: str) -> Row:
        """Adds the document or gives it what was seen now; its version grows, its content stays until replaced."""
        stat = observation.stat or _UNSEEN
        folder, name = split_path(observation.path)
        row = self._db.execute(
            "INSERT INTO documents (root_id, folder, name, kind, size_bytes, mtime_ns, ctime_ns, inode, hash, state,"
            " fresh, reason, hint) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (root_id, folder, name) DO UPDATE SET size_bytes = excluded.size_bytes,"
            " mtime_ns = excluded.mtime_ns, ctime_ns = excluded.ctime_ns, inode = excluded.inode, hash = excluded.hash,"
            " state = excluded.state, fresh = excluded.fresh, reason = excluded.reason, hint = excluded.hint,"
            " version = version + 1, attempts = 0 RETURNING id, version, content_id",
            (
                root_id,
                folder,
                name,
                kind_of(observation.path),
                *_numbers(stat),
                observation.content_hash,
                state,
                observation.fresh,
                observation.problem,
                observation.hint,
            ),
        ).fetchone()
        return Row(row[0], root_id, observation.path, row[1], row[2], observation.fresh)

    def touch(self, document_id: int, stat: Stat) -> None:
        """New metadata, same content."""
        self._db.execute(
            "UPDATE documents SET size_bytes = ?, mtime_ns = ?, ctime_ns = ?, inode = ? WHERE id = ?",
            (*_numbers(stat), document_id),
        )

    def row(self, document_id: int) -> Row | None:
        """The document with this id, None when it is gone."""
        row = self._db.execute(
            "SELECT id, root_id, folder, name, version, content_id, fresh FROM documents WHERE id = ?", (document_id,)
        ).fetchone()
        return Row(row[0], row[1], joined(row[2], row[3]), row[4], row[5], bool(row[6])) if row else None

    def set_content(self, document_id: int, content_id: int | None, stat: Stat | None, content_hash: bytes) -> None:
        """The document now holds this content, read when the file had this stat (None: keep the stat)."""
        if stat is not None:
            self.touch(document_id, stat)
        self._db.execute(
            "UPDATE documents SET content_id = ?, hash = ?, state = 'ready', reason = '', hint = '', attempts = 0"
            " WHERE id = ?",
            (content_id, content_hash, document_id),
        )

    def fail(self, document_id: int, reason: str, hint: str) -> None:
        """The document cannot be read; it serves nothing until it changes or is retried."""
        self._db.execute(
            "UPDATE documents SET state = 'failed', content_id = NULL, reason = ?, hint = ? WHERE id = ?",
            (reason, hint, document_id),
        )

    def forget_look(self, document_id: int) -> None:
        """What was seen of the document no longer holds: the next look at its path decides, whatever it finds."""
        self.touch(document_id, _UNSEEN)
        self._db.execute("UPDATE documents SET state = 'ready', hash = NULL WHERE id = ?", (document_id,))

    def attempt(self, document_ids: Sequence[int]) -> None:
        """Counts one more worker lost while it held these documents."""
        self._db.executemany("UPDATE documents SET attempts = attempts + 1 WHERE id = ?", [(i,) for i in document_ids])

    def delete(self, document_id: int) -> None:
        """Removes the row; its content must have been released."""
        self._db.execute("DELETE FROM documents WHERE id = ?", (document_id,))

    def pending(self, limit: int) -> list[Pending]:
        """Documents that wait for extraction, what a person just changed first."""
        rows = self._db.execute(
            "SELECT id, version, root_id, folder, name, fresh, size_bytes, attempts FROM documents"
            " WHERE state = 'pending' ORDER BY fresh DESC, id LIMIT ?",
            (limit,),
        )
        return [Pending(r[0], r[1], r[2], joined(r[3], r[4]), bool(r[5]), r[6], r[7]) for r in rows]

    def exhausted(self, attempts: int) -> list[Row]:
        """Documents still waiting after this many workers were lost over them."""
        rows = self._db.execute(
            "SELECT id FROM documents WHERE state = 'pending' AND attempts >= ? LIMIT 64", (attempts,)
        ).fetchall()
        return [row for (document_id,) in rows if (row := self.row(document_id)) is not None]

    def reread(self, reader: str, limits: str) -> int:
        """Marks for extraction what another reader version made, and, when either argument is new, what failed.

        Returns how many documents.
        """
        way = f"{reader} {limits}"
        with self._store.transaction() as db:
            before = db.execute("SELECT value FROM facts WHERE name = 'reader'").fetchone()
            if before == (way,):
                return 0
            again = "UPDATE documents SET state = 'pending', version = version + 1, fresh = 0, attempts = 0"
            count = db.execute(
                f"{again} WHERE state = 'failed' AND hash IS NOT NULL OR state = 'ready' AND"
                " content_id IN (SELECT id FROM contents WHERE reader <> ?)",
                (reader,),
            ).rowcount
            db.execute(
                "INSERT INTO facts VALUES ('reader', ?) ON CONFLICT DO UPDATE SET value = excluded.value", (way,)
            )
            return count

    def retry(self, paths: Sequence[bytes] | None) -> list[Row]:
        """Marks failed documents (all, or those at these paths below their root) for another try; returns them."""
        again = (
            "UPDATE documents SET state = 'pending', version = version + 1, fresh = 1, attempts = 0"
            " WHERE state = 'failed' {} RETURNING id"
        )
        if paths is None:
            ids = self._db.execute(again.format("")).fetchall()
        else:
            here = again.format("AND folder = ? AND name = ?")
            ids = [row for path in paths for row in self._db.execute(here, split_path(path)).fetchall()]
        return [row for (document_id,) in ids if (row := self.row(document_id)) is not None]


def joined(folder: bytes, name: bytes) -> bytes:
    """A relative path of its two stored parts."""
    return folder + b"/" + name if folder else name


def _numbers(stat: Stat) -> tuple[int, int, int, int]:
    return stat.size_bytes, stat.mtime_ns, stat.ctime_ns, stat.inode
