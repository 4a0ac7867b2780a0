"""The way of a document, readable top to bottom: observe, commit text, commit vectors.

Everything here runs in the daemon's main thread, the only writer. Each step is one transaction of
the catalog, then the same change in the index; what workers must do next is sent after it. An
answer that comes twice, late or out of order changes nothing: the catalog decides what is current.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from ragd.catalog.contents import Content, IndexDelta
from ragd.catalog.documents import Row
from ragd.domain.changes import Action, Change, Observation, Presence
from ragd.domain.documents import Extraction, Stat, kind_of
from ragd.domain.index import HalfVectors
from ragd.domain.landing import Landing
from ragd.domain.ports import VectorSource
from ragd.domain.work import EmbedResult, ExtractResult
from ragd.flow.dispatch import Dispatch
from ragd.flow.generations import Generations
from ragd.flow.tables import Tables
from ragd.plan.reconcile import reconcile

_GIVE_UP_ATTEMPTS = 4


class Ingest:
    """Applies what was observed, extracted and embedded; see the module's first lines.

    Every live generation gets every change. `reader` is the version of all readers and the split policy
    together. `recheck` asks the watcher to look at a path again. `on_encoded` hears, inside the transaction that
    keeps the vectors, a generation's id, the encoder's seconds, and whether they went into one that does not serve;
    `on_landed` what a commit made searchable, after it.
    """

    def __init__(
        self,
        tables: Tables,
        generations: Generations,
        source: VectorSource,
        dispatch: Dispatch,
        *,
        reader: str,
        recheck: Callable[[int, bytes], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._tables, self._generations = tables, generations
        self._source, self._dispatch = source, dispatch
        self._reader, self._recheck = reader, recheck
        self.on_encoded: Callable[[int, float, bool], None] = lambda _generation, _seconds, _is_fill: None
        self.on_landed: Callable[[Landing], None] = lambda _landing: None
        self._clock = clock
        self.committing = threading.Lock()
        """Held from a commit until the index equals it: whoever saw the commit may wait here for the index."""

    def observe(self, root_id: int, observations: Sequence[Observation]) -> None:
        """What the watcher saw becomes rows: contents that are known are live at once, the rest is queued."""
        documents = self._tables.documents
        known = documents.known(root_id, [o.path for o in observations])
        changes = [c for c in reconcile(observations, known) if c.action is not Action.NOTHING]
        if changes:
            with self.committing:
                with self._tables.store.transaction():
                    self._begin()
                    for change in changes:
                        self._plan(root_id, change)
                    deltas = self._settle(fresh=any(c.observation.fresh for c in changes))
                self._apply(deltas)
        self._dispatch.step()

    def commit_text(self, results: Sequence[ExtractResult], extracted_at: float) -> None:
        """What the readers found replaces the documents' chunk lists: searchable by words from here on."""
        again: list[Row] = []
        fresh = False
        with self.committing:
            with self._tables.store.transaction():
                self._begin()
                for result in results:
                    row = self._tables.documents.row(result.document_id)
                    if row is None or row.version != result.version:
                        continue
                    fresh = fresh or row.fresh
                    if result.extraction is not None:
                        self._read(row, result.extraction, extracted_at)
                    elif result.is_gone:
                        self._tables.documents.forget_look(row.id)
                        again.append(row)
                    else:
                        self._fail(row, result.reason, result.hint)
                deltas = self._settle(fresh=fresh)
            self._apply(deltas)
        self._dispatch.extracted((r.document_id, r.version) for r in results)
        self._dispatch.step()
        for row in again:
            self._recheck(row.root_id, row.path)

    def commit_vectors(self, result: EmbedResult) -> None:
        """Vectors land in the catalog, then in their generation's index: searchable by meaning from here on.

        Those of a generation that was retired meanwhile are let go.
        """
        self._land(result)
        self._dispatch.embedded(result.generation, result.chunk_ids)
        self._dispatch.step()

    def take_vectors(self, generation: int, chunk_ids: Sequence[int], vectors: HalfVectors) -> int:
        """Vectors (n, dimension) that nobody was asked for land in a live generation; returns how many were new."""
        return self._land(EmbedResult("", generation, tuple(chunk_ids), vectors, 0.0, 0))

    def _land(self, result: EmbedResult) -> int:
        live = self._generations.get(result.generation)
        if live is None:
            return 0
        with self.committing:
            enter = self._keep(result)
            told, is_fill = self._tables.receipts.landed(), live is not self._generations.serving
            cost = (result.encoded_chars, len(result.chunk_ids) if result.batch_id else 0, result.encode_s)
            self.on_landed(Landing(told.by_words, told.by_meaning, 0, *cost, is_fill))
            if enter:
                position = {chunk_id: at for at, chunk_id in enumerate(result.chunk_ids)}
                rows = [position[chunk_id] for chunk_id in enter]
                live.index.apply(
                    np.asarray(enter, dtype=np.int64),
                    result.vectors[rows],
                    _NO_IDS,
                    sequence=self._source.change_sequence(),
                )
        return len(enter)

    def _keep(self, result: EmbedResult) -> list[int]:
        tables = self._tables
        with tables.store.transaction() as db:
            self._begin()
            enter, complete = tables.vectors.put(result.generation, result.chunk_ids, result.vectors)
            tables.receipts.searchable(complete)
            for name, amount in (("encoded_chars", result.encoded_chars), ("encode_s", result.encode_s)):
                db.execute(
                    "INSERT INTO facts VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
                    (name, amount),
                )
            self.on_encoded(result.generation, result.encode_s, result.generation != self._generations.serving.id)
            tables.receipts.stamp(self._clock())
        return enter

    def step(self) -> None:
        """Sends waiting work; gives up on documents that cost several workers their lives."""
        tables = self._tables
        exhausted = tables.documents.exhausted(_GIVE_UP_ATTEMPTS)
        if exhausted:
            with self.committing:
                with tables.store.transaction():
                    self._begin()
                    for row in exhausted:
                        self._fail(
                            row, "reading it ended several workers", "look at the file; `ragd retry` tries again"
                        )
                    deltas = self._settle(fresh=False)
                self._apply(deltas)
        self._dispatch.step()

    def retry(self, paths: Sequence[bytes] | None) -> int:
        """Failed documents are read again; returns how many."""
        tables = self._tables
        with tables.store.transaction():
            rows = tables.documents.retry(paths)
            for row in rows:
                seen = Observation(row.path, Presence.PRESENT, fresh=True)
                tables.receipts.open(row.root_id, seen, row.id, "retry", self._clock())
        self._dispatch.step()
        return len(rows)

    def reread(self, document_ids: Sequence[int]) -> int:
        """These documents are read again, whatever their times say; returns how many there are."""
        documents = self._tables.documents
        with self._tables.store.transaction():
            rows = [row for row in map(documents.row, document_ids) if row is not None]
            for row in rows:
                documents.forget_look(row.id)
        for row in rows:
            self._recheck(row.root_id, row.path)
        return len(rows)

    def drop_root(self, root_id: int, *, limit: int = 256) -> bool:
        """Removes a slice of the documents of a folder that is no longer configured; True while some are left."""
        documents = self._tables.documents
        paths = documents.below(root_id, limit)
        gone = [Observation(path, Presence.GONE, seen_at=self._clock()) for path in paths]
        self.observe(root_id, gone)
        if len(paths) < limit:
            documents.drop_root(root_id)
        return len(paths) == limit

    def _plan(self, root_id: int, change: Change) -> None:
        tables = self._tables
        seen = change.observation
        now = self._clock()
        match change.action:
            case Action.ADD | Action.MODIFY:
                row = tables.documents.put(root_id, seen, "pending")
                tables.receipts.open(root_id, seen, row.id, change.action, now)
                if seen.content_hash is not None and seen.stat is not None:
                    content = tables.contents.find(seen.content_hash, kind_of(seen.path), self._reader)
                    if content is not None:
                        self._attach(row, content, seen.stat, seen.content_hash, None)
            case Action.TOUCH if change.known is not None and seen.stat is not None:
                tables.documents.touch(change.known.document_id, seen.stat)
            case Action.DELETE if change.known is not None:
                row_or_none = tables.documents.row(change.known.document_id)
                if row_or_none is not None:
                    tables.receipts.open(root_id, seen, row_or_none.id, change.action, now)
                    self._release(row_or_none)
                    tables.documents.delete(row_or_none.id)
                    tables.receipts.close(row_or_none.id, "deleted")
            case Action.FAIL:
                row = tables.documents.put(root_id, seen, "failed")
                tables.receipts.open(root_id, seen, row.id, change.action, now)
                self._fail(row, seen.problem, seen.hint)

    def _read(self, row: Row, extraction: Extraction, extracted_at: float) -> None:
        contents = self._tables.contents
        content = contents.find(extraction.content_hash, extraction.kind, self._reader)
        if content is None:
            content = contents.add(extraction, self._reader, self._generations.serving.id)
        self._attach(row, content, extraction.stat, extraction.content_hash, extracted_at)

    def _attach(self, row: Row, content: Content, stat: Stat, content_hash: bytes, extracted_at: float | None) -> None:
        tables = self._tables
        missing = content.missing
        if row.content_id != content.id:
            missing = tables.contents.acquire(content.id)
            self._release(row)
        tables.documents.set_content(row.id, content.id, stat, content_hash)
        tables.receipts.text(row.id, content.id, extracted_at, content.new_chars)
        if missing == 0:
            tables.receipts.searchable([content.id])

    def _fail(self, row: Row, reason: str, hint: str) -> None:
        self._release(row)
        self._tables.documents.fail(row.id, reason, hint)
        self._tables.receipts.close(row.id, "failed")

    def _release(self, row: Row) -> None:
        if row.content_id is not None:
            self._tables.contents.release(row.content_id)

    def _begin(self) -> None:
        # What a transaction before this one collected was rolled back with it.
        self._tables.contents.forget_references()
        self._tables.receipts.begin()

    def _settle(self, *, fresh: bool) -> dict[int, IndexDelta]:
        deltas = self._tables.contents.settle(self._generations.ids, fresh=fresh)
        self._tables.receipts.stamp(self._clock())
        return deltas

    def _apply(self, deltas: dict[int, IndexDelta]) -> None:
        self.on_landed(self._tables.receipts.landed())
        for live in self._generations.all:
            delta = deltas[live.id]
            if not (delta.enter or delta.leave):
                continue
            ids, vectors = self._source.live_vectors(live.id, np.asarray(delta.enter, dtype=np.int64))
            live.index.apply(
                ids, vectors, np.asarray(delta.leave, dtype=np.int64), sequence=self._source.change_sequence()
            )


_NO_IDS = np.empty(0, dtype=np.int64)
