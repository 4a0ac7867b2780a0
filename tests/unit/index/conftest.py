"""A catalog in a dict: the source of truth that index tests restore from and verify against."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from ragd.domain.digest import Digest, digest_of
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids, Vectors

DIMENSION = 16


class DictSource:
    """A VectorSource over a dict, with a log of changes that can be trimmed."""

    def __init__(self) -> None:
        self.rows: dict[int, HalfVectors] = {}
        self.log: list[tuple[int, int]] = []
        self.floor = 0
        self.kept: Digest | None = None  # where what was kept is not what is there

    def commit(self, upsert: Iterable[int], vectors: Vectors, remove: Iterable[int] = ()) -> int:
        for key, vector in zip(upsert, vectors, strict=True):
            self.rows[key] = vector.astype(np.float16)
            self.log.append((self.change_sequence() + 1, key))
        for key in remove:
            if self.rows.pop(key, None) is not None:
                self.log.append((self.change_sequence() + 1, key))
        return self.change_sequence()

    def change_sequence(self) -> int:
        return self.log[-1][0] if self.log else self.floor

    def live_ids(self, generation: int) -> Ids:
        return np.array(sorted(self.rows), np.int64)

    def changed_since(self, generation: int, sequence: int) -> Ids | None:
        if sequence < self.floor:
            return None
        return np.array(sorted({key for seq, key in self.log if seq > sequence}), np.int64)

    def digest(self, generation: int) -> Digest:
        return self.kept or digest_of(*self.live_vectors(generation, self.live_ids(generation)))

    def live_vectors(self, generation: int, ids: Ids) -> tuple[Ids, HalfVectors]:
        # In an order of its own, and shapeless when nothing is live: callers may rely on neither.
        live = [key for key in reversed(ids.tolist()) if key in self.rows]
        if not live:
            return np.empty(0, np.int64), np.empty((0, 0), np.float16)
        return np.array(live, np.int64), np.array([self.rows[key] for key in live], np.float16)


@pytest.fixture
def source() -> DictSource:
    return DictSource()


@pytest.fixture(scope="session")
def new_source() -> type[DictSource]:
    return DictSource


@pytest.fixture
def space() -> EmbeddingSpace:
    return EmbeddingSpace(fingerprint="f" * 32, dimension=DIMENSION, model="test", max_tokens=256)
