"""The corpus as training and evaluation see it: documents, which chunks they hold, texts; in one consistent look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ragd.catalog.documents import joined
from ragd.catalog.reader import CatalogReader
from ragd.domain.documents import display_path
from ragd.domain.index import Ids

_SLICE = 512


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A document that holds chunks: its id, collection, root and path below the root, both as people see them."""

    id: int
    collection: str
    root: str
    path: str


@dataclass(frozen=True, slots=True)
class Holdings:
    """Which document holds which chunk: `chunks` (n,) and `documents` (n,), a row for each chunk of each document."""

    chunks: Ids
    documents: Ids


class CorpusReader:
    """Reads one catalog for training; usable from one thread."""

    def __init__(self, reader: CatalogReader) -> None:
        self._reader = reader

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Everything read inside the block is of one moment; keep it short, for it holds the log of changes back."""
        connection = self._reader.connection
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")

    def documents(self) -> list[DocumentRow]:
        """Every document that holds text, by id."""
        rows = self._reader.connection.execute(
            "SELECT d.id, r.collection, r.path, d.folder, d.name FROM documents d JOIN roots r ON r.id = d.root_id"
            " WHERE d.content_id IS NOT NULL ORDER BY d.id"
        )
        return [DocumentRow(r[0], r[1], display_path(r[2]), display_path(joined(r[3], r[4]))) for r in rows]

    def holdings(self) -> Holdings:
        """Every (chunk, document), by document and place in it."""
        rows = self._reader.connection.execute(
            "SELECT cc.chunk_id, d.id FROM documents d JOIN content_chunks cc ON cc.content_id = d.content_id"
            " ORDER BY d.id, cc.ordinal"
        ).fetchall()
        pairs = np.asarray(rows, dtype=np.int64).reshape(len(rows), 2)
        return Holdings(np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1]))

    def texts(self, chunk_ids: Sequence[int]) -> list[tuple[str, str]]:
        """(heading path, text) of chunks, in the order given. Raises KeyError for one that is not there."""
        found: dict[int, tuple[str, str]] = {}
        for at in range(0, len(chunk_ids), _SLICE):
            part = [int(i) for i in chunk_ids[at : at + _SLICE]]
            marks = ",".join("?" * len(part))
            for chunk_id, context, text in self._reader.connection.execute(
                f"SELECT id, context, text FROM chunks WHERE id IN ({marks})", part
            ):
                found[chunk_id] = (context, text)
        return [found[int(i)] for i in chunk_ids]

    def often_found(self) -> dict[int, float]:
        """How often chunks were among the first hits lately, by chunk id; only those that were."""
        return dict(self._reader.connection.execute("SELECT chunk_id, hits FROM found"))


def open_corpus(state: Path) -> tuple[CatalogReader, CorpusReader]:
    """The catalog of a state folder, to read. Raises StateCorrupt, StateNewer, FileNotFoundError."""
    reader = CatalogReader(state)
    return reader, CorpusReader(reader)
