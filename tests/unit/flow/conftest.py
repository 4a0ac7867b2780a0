"""A folder, a catalog and an index driven by hand: each worker's part is one call."""

from __future__ import annotations

import hashlib
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from ragd.catalog.reader import CatalogReader
from ragd.catalog.store import Store
from ragd.domain.changes import Observation, Presence
from ragd.domain.digest import digest_of
from ragd.domain.documents import Extraction, Piece, Stat, content_hash
from ragd.domain.index import EmbeddingSpace, EncoderSpec, HalfVectors
from ragd.domain.work import EmbedResult, ExtractResult
from ragd.flow.dispatch import Bounds, Dispatch
from ragd.flow.generations import Generations, Live
from ragd.flow.ingest import Ingest
from ragd.flow.tables import Tables
from ragd.index.generation import Generation
from ragd.testing.fakes import DictIndex, MemoryOutbox

DIMENSION = 8
READER = "paragraphs 1"


class World:
    """Files are a dict; `see` tells ragd of paths, `extract` and `embed` do the workers' work."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.files: dict[bytes, bytes] = {}
        self.now = 1000.0
        self.ticks = 0
        self.embedded_texts: list[str] = []
        self.rechecked: list[bytes] = []
        self.index = DictIndex()
        self.open()

    def open(self) -> None:
        self.store = Store(self.state)
        self.tables = Tables.of(self.store, self.clock)
        self.reader = CatalogReader(self.state)
        space = EmbeddingSpace("f" * 16, DIMENSION, "tiny", 64)
        self.generation = self.tables.vectors.serve(space)
        self.generations = Generations([Live(self.generation, space, EncoderSpec(), cast(Generation, self.index))])
        self.root = self.tables.documents.set_roots([("notes", b"/kb")])[0].id
        self.outbox = MemoryOutbox()
        self.dispatch = Dispatch(
            self.tables.documents,
            self.tables.vectors,
            self.outbox,
            roots={self.root: b"/kb"},
            generations=self.generations,
            bounds=Bounds(extract_files=4, embed_chunks=4),
            clock=self.clock,
        )
        self.ingest = Ingest(
            self.tables,
            self.generations,
            self.reader.replay,
            self.dispatch,
            reader=READER,
            recheck=lambda _root, path: self.rechecked.append(path),
            clock=self.clock,
        )

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def restart(self) -> None:
        """A kill: memory is lost, the catalog stays, the index is made again from it."""
        self.close()
        self.index = DictIndex()
        self.open()
        ids, vectors = self.reader.replay.live_vectors(self.generation, self.reader.replay.live_ids(self.generation))
        self.index.apply(ids, vectors.astype(np.float32), np.empty(0, np.int64))

    def close(self) -> None:
        self.reader.close()
        self.store.close()

    def write(self, path: bytes, text: str) -> None:
        self.ticks += 1
        self.files[path] = text.encode()
        self.see(path)

    def see(self, *paths: bytes, fresh: bool = True) -> None:
        self.ingest.observe(self.root, [self._observation(path, fresh) for path in paths])

    def extract(self, count: int = 10**6) -> None:
        """The extract worker: answers up to `count` batches, those sent meanwhile too."""
        while self.outbox.extracts and count:
            count -= 1
            batch = self.outbox.extracts.pop(0)
            self.ingest.commit_text(
                [self._extracted(i.document_id, i.version, i.path) for i in batch.items], self.clock()
            )

    def embed(self, count: int = 10**6) -> None:
        """The embed worker."""
        while self.outbox.embeds and count:
            count -= 1
            batch = self.outbox.embeds.pop(0)
            self.embedded_texts += batch.texts
            vectors = np.stack([vector_of(text) for text in batch.texts])
            chars = sum(map(len, batch.texts))
            self.ingest.commit_vectors(EmbedResult(batch.id, batch.generation, batch.chunk_ids, vectors, 0.1, chars))

    def work(self) -> None:
        """Both workers until nothing is left to do."""
        self.ingest.step()
        while self.outbox.extracts or self.outbox.embeds:
            self.extract()
            self.embed()

    def state_of(self, path: bytes) -> tuple[str, str] | None:
        folder, _, name = path.rpartition(b"/")
        row = self.store.connection.execute(
            "SELECT state, reason FROM documents WHERE folder = ? AND name = ?", (folder, name)
        ).fetchone()
        return (row[0], row[1]) if row else None

    def live_texts(self) -> set[str]:
        """What the index holds, as texts: every id in it must be a chunk of some document."""
        ids = list(self.index.rows)
        found_ids, texts = self.tables.vectors.texts(ids)
        assert len(found_ids) == len(ids)
        for text, chunk_id in zip(texts, ids, strict=True):
            np.testing.assert_allclose(self.index.rows[chunk_id], vector_of(text).astype(np.float32))
        self.assert_digests()
        return set(texts)

    def assert_digests(self) -> None:
        """The digest that the catalog kept of each live generation is that of the rows in its index."""
        for live in self.generations.all:
            rows = cast(DictIndex, live.index).rows
            ids = np.array(list(rows), np.int64)
            vectors = np.array(list(rows.values()), np.float16).reshape(len(rows), live.space.dimension)
            assert self.reader.replay.digest(live.id) == digest_of(ids, vectors)

    def expected_texts(self) -> set[str]:
        return {piece.embedded for data in self.files.values() for piece in pieces_of(data)}

    def receipts(self) -> list[tuple[str, str]]:
        return self.store.connection.execute("SELECT action, outcome FROM receipts ORDER BY id").fetchall()

    def _observation(self, path: bytes, fresh: bool) -> Observation:
        data = self.files.get(path)
        if data is None:
            return Observation(path, Presence.GONE, seen_at=self.now, stable_at=self.now, fresh=fresh)
        return Observation(
            path,
            Presence.PRESENT,
            self._stat(data),
            content_hash(data),
            seen_at=self.now,
            stable_at=self.now,
            fresh=fresh,
        )

    def _stat(self, data: bytes) -> Stat:
        # Files with other bytes are other files: one moved over another has an inode of its own.
        return Stat(len(data), self.ticks, self.ticks, 1 + zlib.crc32(data))

    def _extracted(self, document_id: int, version: int, path: bytes) -> ExtractResult:
        data = self.files.get(path)
        if data is None:
            return ExtractResult(document_id, version, None, is_gone=True)
        if data.startswith(b"broken"):
            return ExtractResult(document_id, version, None, "cannot be read", "mend it")
        pieces = pieces_of(data)
        return ExtractResult(
            document_id,
            version,
            Extraction(content_hash(data), "txt", "", self._stat(data), len(data), pieces),
        )


def pieces_of(data: bytes) -> tuple[Piece, ...]:
    """One piece a paragraph."""
    return tuple(Piece(text, "", 0, len(text)) for text in data.decode().split("\n\n") if text)


def vector_of(text: str) -> HalfVectors:
    digest = hashlib.blake2b(text.encode(), digest_size=DIMENSION).digest()
    return (np.frombuffer(digest, np.uint8) / 255).astype(np.float16)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture
def worlds(tmp_path: Path) -> Iterator[type[World]]:
    """For Hypothesis: a fresh state folder for every example."""
    made: list[World] = []

    class Fresh(World):
        def __init__(self) -> None:
            folder = tmp_path / str(len(made))
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            super().__init__(folder)
            made.append(self)

    yield Fresh
    for world in made:
        world.close()
