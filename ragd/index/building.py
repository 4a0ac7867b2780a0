"""A whole index of either kind, built from rows fetched in slices: memory grows by the index alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ragd.domain.index import HalfVectors, Ids, IndexPolicy, Vectors
from ragd.index.exact import ExactIndex
from ragd.index.ivf import IvfIndex
from ragd.index.policy import lists_for

_SLICE_ROWS = 4096

ServedIndex = ExactIndex | IvfIndex
Fetch = Callable[[Ids], tuple[Ids, Vectors | HalfVectors]]


def built(
    kind: str,
    ids: Ids,
    fetch: Fetch,
    dimension: int,
    policy: IndexPolicy,
    step: Callable[[int], None],
    *,
    centroids: Vectors | None = None,
) -> ServedIndex:
    """A new index of `kind` (`exact` or `ivf`) with those of `ids` (n,) that `fetch` still finds.

    `fetch` gives the present ones of some ids with their vectors. `step` hears how many ids are done,
    after every slice and after k-means; it may raise to give up. An inverted file has the lists of `centroids` where
    they are given; else they are found here, and an index without rows is always exact.
    """
    index: ServedIndex
    if kind == IvfIndex.kind and centroids is not None:
        index = IvfIndex(dimension)
        index.adopt(centroids, policy)
    else:
        index = _fitted(ids, fetch, dimension, policy, step) if kind == IvfIndex.kind else ExactIndex(dimension)
    for start in range(0, ids.size, _SLICE_ROWS):
        present, vectors = fetch(ids[start : start + _SLICE_ROWS])
        if isinstance(index, IvfIndex):
            index.fill(present, vectors)
        else:
            index.upsert(present, vectors)
        step(min(start + _SLICE_ROWS, ids.size))
    if isinstance(index, IvfIndex):
        index.mark_fitted()
    return index


def _fitted(ids: Ids, fetch: Fetch, dimension: int, policy: IndexPolicy, step: Callable[[int], None]) -> ServedIndex:
    wanted = min(ids.size, lists_for(ids.size) * policy.training_rows_per_list)
    chosen = np.sort(np.random.default_rng(ids.size).choice(ids, wanted, replace=False))
    sample = [np.empty((0, dimension), np.float16)]
    for start in range(0, chosen.size, _SLICE_ROWS):
        present, vectors = fetch(chosen[start : start + _SLICE_ROWS])
        if present.size:
            sample.append(np.asarray(vectors, np.float16))
        step(0)
    rows = np.concatenate(sample)
    if not len(rows):
        return ExactIndex(dimension)
    index = IvfIndex(dimension)
    index.fit(rows, policy, chunks=ids.size)
    step(0)
    return index
