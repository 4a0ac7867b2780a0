"""A state folder as a daemon leaves it, made in this process: documents, and vectors of a real encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.domain.changes import Observation, Presence
from ragd.domain.documents import Extraction, Piece, Stat, content_hash, kind_of
from ragd.domain.ports import Encoder
from ragd.flow.tables import Tables

READER = "testing 1"


class IndexedState:
    """Fills `state` with documents whose passages are chunks; `add` may be called again, `close` once.

    Everything is in the collection `collection`, below the root `/kb/COLLECTION`. The encoder is the caller's.
    """

    def __init__(self, state: Path, encoder: Encoder) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.state = state
        self._encoder = encoder
        self._store = Store(state)
        self.tables = Tables.of(self._store)
        self.generation = self.tables.vectors.serve(encoder.space)

    def add(
        self,
        documents: Mapping[str, Sequence[str]],
        *,
        collection: str = "notes",
        headings: Mapping[str, str] | None = None,
    ) -> None:
        """Adds documents, path -> passages; `headings` names what stands above all passages of a document.

        Passages that are new are encoded.
        """
        root = self.tables.documents.set_roots([(collection, f"/kb/{collection}".encode())])[0].id
        with self._store.transaction():
            for path, passages in documents.items():
                self._put(root, path, passages, (headings or {}).get(path, ""))
            self.tables.contents.settle([self.generation], fresh=False)
        while wanting := self.tables.vectors.to_embed(self.generation, 256, fresh=False):
            ids, texts = self.tables.vectors.texts(wanting)
            vectors = self._encoder.encode(texts).astype("float16")
            with self._store.transaction():
                self.tables.vectors.put(self.generation, ids, vectors)

    def _put(self, root: int, path: str, passages: Sequence[str], heading: str) -> None:
        raw = path.encode()
        body = "\n\n".join((heading, *passages)).encode()
        stat = Stat(len(body), 1, 1, 1)
        seen = Observation(raw, Presence.PRESENT, stat, content_hash(body), seen_at=1.0, stable_at=1.0)
        row = self.tables.documents.put(root, seen, "ready")
        known = self.tables.contents.find(content_hash(body), kind_of(raw), READER)
        if known is None:
            pieces = tuple(Piece(text, heading, 0, len(text)) for text in passages)
            extraction = Extraction(content_hash(body), kind_of(raw), "", stat, len(body), pieces)
            known = self.tables.contents.add(extraction, READER, self.generation)
        self.tables.contents.acquire(known.id)
        self.tables.documents.set_content(row.id, known.id, stat, content_hash(body))

    def reader(self) -> CatalogReader:
        """A reader of the catalog; the caller closes it."""
        return CatalogReader(self.state)

    def close(self) -> None:
        """Closes the catalog."""
        self._store.close()
