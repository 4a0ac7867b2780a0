"""Exact search: a flat fp16 FAISS index whose rows are replaced and removed in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import faiss
import numpy as np
import numpy.typing as npt

from ragd.domain.errors import GenerationCorrupt
from ragd.domain.index import HalfVectors, Ids, IndexFacts, Vectors
from ragd.index.container import read_container, write_container
from ragd.index.latch import Latch
from ragd.index.rows import checked_ids, checked_queries, checked_rows, nothing_found
from ragd.index.threads import SERVING_THREADS, faiss_threads

_SLICE_ROWS = 256  # rows changed under one hold of the latch: well under a millisecond
_READ_ROWS = 4096
_FIRST_CAPACITY = 1024
_DICT_ENTRY_BYTES = 130  # a slot's share of the dict, with its two integers

Slots = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]


class ExactIndex:
    """A VectorIndex that compares every row: vectors as float16, inner product, dimension fixed.

    FAISS knows rows by slot only. The map between ids and slots is kept here, so that a removal writes
    the last row over the hole: its cost does not grow with the index. One writer at a time, searches beside it.
    """

    kind = "exact"

    def __init__(self, dimension: int) -> None:
        self._faiss: Any = faiss.IndexScalarQuantizer(
            dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        self._slot_of: dict[int, int] = {}
        self._id_at: Ids = np.empty(_FIRST_CAPACITY, np.int64)
        self._latch = Latch()

    @classmethod
    def read(cls, path: Path) -> ExactIndex:
        """The index that `write` wrote at `path`. Raises GenerationCorrupt for anything else."""
        index, ids, facts = read_container(path)
        if facts.get("kind") != cls.kind or ids.size != index.ntotal or np.unique(ids).size != ids.size:
            raise GenerationCorrupt(f"{path}: not an exact index", hint="remove it; it is rebuilt from the catalog")
        self = cls(index.d)
        self._faiss = index
        self._id_at = np.resize(ids, max(ids.size, _FIRST_CAPACITY)) if ids.size else self._id_at
        self._slot_of = dict(zip(ids.tolist(), range(ids.size), strict=True))
        return self

    @property
    def dimension(self) -> int:
        """The length of a vector."""
        return int(self._faiss.d)

    def __len__(self) -> int:
        return int(self._faiss.ntotal)

    def upsert(self, ids: Ids, vectors: Vectors | HalfVectors) -> None:
        """Adds rows, replacing those whose id is there: ids (n,), vectors (n, dimension); the last of equal ids stays.

        Raises ValueError for wrong shapes, negative ids or vectors that are not finite.
        """
        ids, rows = checked_rows(ids, vectors, self.dimension)
        with faiss_threads(SERVING_THREADS):
            for start in range(0, ids.size, _SLICE_ROWS):
                part = slice(start, start + _SLICE_ROWS)
                codes = self._faiss.sa_encode(rows[part])
                with self._latch.exclusive:
                    self._put(ids[part], codes)

    def _put(self, ids: Ids, codes: Codes) -> None:
        slots = self._slots(ids)
        is_known = slots >= 0
        if is_known.any():
            self._codes()[slots[is_known]] = codes[is_known]
        if is_known.all():
            return
        new = ids[~is_known]
        count = len(self)
        if count + new.size > self._id_at.size:
            self._id_at = np.resize(self._id_at, max(2 * self._id_at.size, count + new.size))
        self._faiss.add_sa_codes(np.ascontiguousarray(codes[~is_known]))
        self._id_at[count : count + new.size] = new
        self._slot_of.update(zip(new.tolist(), range(count, count + new.size), strict=True))

    def remove(self, ids: Ids) -> int:
        """Removes the rows with these ids, unknown ids ignored; returns how many were there."""
        ids = checked_ids(ids)
        removed = 0
        for start in range(0, ids.size, _SLICE_ROWS):
            with self._latch.exclusive:
                removed += self._take(ids[start : start + _SLICE_ROWS])
        return removed

    def _take(self, ids: Ids) -> int:
        found = [slot for slot in (self._slot_of.pop(key, -1) for key in ids.tolist()) if slot >= 0]
        if not found:
            return 0
        slots = np.array(found, np.int64)
        count = len(self)
        left = count - slots.size
        holes = slots[slots < left]
        movers = np.setdiff1d(np.arange(left, count), slots, assume_unique=True)
        if holes.size:
            codes = self._codes()
            codes[holes] = codes[movers]
            moved = self._id_at[movers]
            self._id_at[holes] = moved
            self._slot_of.update(zip(moved.tolist(), holes.tolist(), strict=True))
        self._faiss.codes.resize(left * self._faiss.code_size)
        self._faiss.ntotal = left
        return int(slots.size)

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """The k best rows of each query: scores (q, k) descending and ids (q, k); -inf and -1 fill what is missing.

        With `allowed`, only rows with these ids are considered, inside the search.
        """
        queries = checked_queries(queries, self.dimension)
        if k < 1 or not len(queries) or (allowed is not None and not len(allowed)):
            return nothing_found(len(queries), max(k, 0))
        with faiss_threads(SERVING_THREADS), self._latch.shared:
            params = None if allowed is None else self._only(allowed)
            scores, slots = self._faiss.search(queries, k, params=params)
            ids = np.where(slots >= 0, self._id_at[slots], -1)
        scores[ids < 0] = -np.inf
        return scores, ids

    def _only(self, allowed: Ids) -> Any:
        is_allowed = np.isin(self._id_at[: len(self)], allowed)
        bitmap = np.packbits(is_allowed, bitorder="little")
        return faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bitmap))

    def ids(self) -> Ids:
        """Every id, sorted, shape (n,)."""
        with self._latch.shared:
            ids = self._id_at[: len(self)].copy()
        ids.sort()
        return ids

    def vectors(self, ids: Ids) -> Vectors:
        """The stored vectors of these ids, shape (n, dimension). Raises KeyError for an unknown id."""
        ids = checked_ids(ids)
        present, rows = self.stored(ids)
        if present.size != ids.size:
            raise KeyError(int(np.setdiff1d(ids, present)[0]))
        return rows.astype(np.float32)

    def stored(self, ids: Ids) -> tuple[Ids, HalfVectors]:
        """Those of `ids` that are here, in the order given, with their vectors as kept, float16 (n, dimension)."""
        ids = checked_ids(ids)
        is_here = np.zeros(ids.size, np.bool_)
        rows = [np.empty((0, self.dimension), np.float16)]
        for start in range(0, ids.size, _SLICE_ROWS):
            part = slice(start, start + _SLICE_ROWS)
            with self._latch.shared:
                slots = self._slots(ids[part])
                is_here[part] = slots >= 0
                rows.append(self._codes()[slots[slots >= 0]].view(np.float16))
        return ids[is_here], np.concatenate(rows)

    def rows(self) -> Iterator[tuple[Ids, HalfVectors]]:
        """Every row in slices, as it lies in memory now; the caller holds off the writer."""
        for start in range(0, len(self), _READ_ROWS):
            part = slice(start, start + _READ_ROWS)
            with self._latch.shared:
                yield self._id_at[: len(self)][part].copy(), self._codes()[part].view(np.float16).copy()

    def facts(self) -> IndexFacts:
        """Kind, chunks, dimension and memory in bytes (the part that grows with the chunks)."""
        count = len(self)
        size_bytes = count * (self._faiss.code_size + _DICT_ENTRY_BYTES) + self._id_at.nbytes
        return IndexFacts(self.kind, count, self.dimension, 0, int(size_bytes))

    def write(self, path: Path) -> None:
        """Writes a file that `read` restores. Searches go on meanwhile; the caller holds off the writer."""
        write_container(path, self._faiss, self._id_at[: len(self)], {"kind": self.kind})

    def _slots(self, ids: Ids) -> Slots:
        slot_of = self._slot_of
        return np.fromiter((slot_of.get(key, -1) for key in ids.tolist()), np.int64, ids.size)

    def _codes(self) -> Codes:
        """A view of FAISS's own memory, (rows, bytes), valid until the next row is added or removed."""
        count, width = len(self), int(self._faiss.code_size)
        if not count:
            return np.empty((0, width), np.uint8)
        view = faiss.rev_swig_ptr(self._faiss.codes.data(), count * width)
        return cast(Codes, view.reshape(count, width))
