"""Stand-ins for tests: they keep the same promises as the real parts, and complain where those would forgive."""

from __future__ import annotations

import numpy as np

from ragd.domain.errors import BrokerUnavailable
from ragd.domain.index import HalfVectors, Ids, Vectors
from ragd.domain.work import EmbedBatch, ExtractBatch


class MemoryOutbox:
    """A domain.work.Outbox that keeps what it is given in two lists, until a test does the workers' part."""

    def __init__(self) -> None:
        self.extracts: list[ExtractBatch] = []
        self.embeds: list[EmbedBatch] = []
        self.is_away = False

    def extract(self, batch: ExtractBatch) -> None:
        """Fresh batches go to the front, as in the real queue."""
        self._check()
        self.extracts.insert(0 if batch.fresh else len(self.extracts), batch)

    def embed(self, batch: EmbedBatch) -> None:
        """Fresh batches go to the front, as in the real queue."""
        self._check()
        if len(batch.chunk_ids) != len(batch.texts) or not batch.chunk_ids:
            raise AssertionError("an embed batch holds as many texts as chunks, and at least one")
        self.embeds.insert(0 if batch.fresh else len(self.embeds), batch)

    def _check(self) -> None:
        if self.is_away:
            raise BrokerUnavailable("the outbox was told to be away")


class DictIndex:
    """A domain.ports.LiveIndex over a dict; adding what is there or removing what is not is an error."""

    def __init__(self) -> None:
        self.rows: dict[int, Vectors] = {}
        self.sequence = 0

    def apply(
        self, upsert_ids: Ids, vectors: Vectors | HalfVectors, remove_ids: Ids, *, sequence: int | None = None
    ) -> None:
        """Changes the rows; ids (n,), vectors (n, dimension)."""
        for chunk_id in remove_ids.tolist():
            if chunk_id not in self.rows:
                raise AssertionError(f"chunk {chunk_id} leaves the index but is not in it")
            del self.rows[chunk_id]
        if len(upsert_ids) != len(vectors):
            raise AssertionError(f"{len(upsert_ids)} ids with {len(vectors)} vectors")
        for chunk_id, vector in zip(upsert_ids.tolist(), vectors, strict=True):
            if chunk_id in self.rows:
                raise AssertionError(f"chunk {chunk_id} enters the index but is in it")
            self.rows[chunk_id] = np.asarray(vector, dtype=np.float32)
        self.sequence = max(self.sequence, sequence or 0)
