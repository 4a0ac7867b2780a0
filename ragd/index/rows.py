"""What may enter an index: rows and queries of the right shape and type, finite, each id once."""

from __future__ import annotations

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors


def checked_rows(ids: Ids, vectors: Vectors | HalfVectors, dimension: int) -> tuple[Ids, Vectors]:
    """The rows as FAISS takes them: ids (n,) int64 distinct, vectors (n, dimension) float32, both contiguous.

    Of several rows with one id the last stays. Raises ValueError for a wrong shape, a negative id or a
    vector that is not finite: FAISS would drop such a row without a word.
    """
    ids = checked_ids(ids)
    if not ids.size and not len(vectors):
        return ids, np.empty((0, dimension), np.float32)
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    if vectors.shape != (ids.size, dimension):
        raise ValueError(f"vectors must have the shape {(ids.size, dimension)}, not {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError("vectors must be finite")
    distinct, last = np.unique(ids[::-1], return_index=True)
    if distinct.size == ids.size:
        return ids, vectors
    keep = np.sort(ids.size - 1 - last)
    return ids[keep], vectors[keep]


def checked_ids(ids: Ids) -> Ids:
    """Ids (n,) as contiguous int64. Raises ValueError for another shape or a negative id."""
    ids = np.ascontiguousarray(ids, dtype=np.int64)
    if ids.ndim != 1:
        raise ValueError(f"ids must have one dimension, not {ids.ndim}")
    if ids.size and ids.min() < 0:
        raise ValueError("ids must not be negative")
    return ids


def checked_queries(queries: Vectors, dimension: int) -> Vectors:
    """Queries (q, dimension) as contiguous float32. Raises ValueError for another shape."""
    queries = np.ascontiguousarray(queries, dtype=np.float32)
    if queries.ndim != 2 or queries.shape[1] != dimension:
        raise ValueError(f"queries must have the shape (q, {dimension}), not {queries.shape}")
    return queries


def nothing_found(queries: int, k: int) -> tuple[Vectors, Ids]:
    """The answer of an index that holds no row that may answer: scores (q, k) of -inf and ids (q, k) of -1."""
    return np.full((queries, k), -np.inf, np.float32), np.full((queries, k), -1, np.int64)
