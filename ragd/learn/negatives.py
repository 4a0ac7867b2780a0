"""Which chunks answer a question best, and which look as if they did: exact search over the snapshot's vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors

_BLOCK_SCORES: Final = 16_000_000  # similarities held at once: 64 MB


@dataclass(frozen=True, slots=True)
class Mining:
    """How hard negatives are chosen among the `top` best rows of a query.

    A candidate's similarity must be under `relative` of the positive's (false negatives score about as high as the
    positive: Moreira et al. 2024, arXiv 2407.15831) and under `most`; the first `skip` that pass are left out too, and
    the next `count` taken.
    """

    top: int = 100
    count: int = 4
    skip: int = 1
    relative: float = 0.95
    most: float = 0.95


def mined(
    queries: Vectors, vectors: HalfVectors, positives: Sequence[Ids], masked: Sequence[Ids], mining: Mining
) -> list[Ids]:
    """The rows of `vectors` (n, dimension) that are hard negatives of each of `queries` (q, dimension), best first.

    `positives` are the rows that answer each query, best first: the first one's similarity sets the margin. `masked`
    rows are never taken: every chunk of a document that answers the query, held out or not. All unit vectors.
    """
    found: list[Ids] = []
    for start, scores in similarities(queries, vectors):
        for offset, row in enumerate(scores):
            at = start + offset
            own = positives[at]
            ceiling = mining.most
            if own.size:
                positive = float(row[own[0]])
                # A margin relative to a similarity of zero or less would be none.
                ceiling = min(ceiling, positive * mining.relative if positive > 0 else positive - (1 - mining.relative))
            row[own] = -np.inf
            row[masked[at]] = -np.inf
            row[row >= ceiling] = -np.inf
            found.append(_best(row, mining.top)[mining.skip : mining.skip + mining.count])
    return found


def similarities(queries: Vectors, vectors: HalfVectors) -> Iterator[tuple[int, Vectors]]:
    """Inner products in blocks: (number of the first query, scores (b, n), float32); the block may be written to."""
    documents = np.ascontiguousarray(vectors, dtype=np.float32).T
    size = max(1, _BLOCK_SCORES // max(1, len(vectors)))
    for start in range(0, len(queries), size):
        yield start, np.asarray(queries[start : start + size], np.float32) @ documents


def _best(row: Vectors, top: int) -> Ids:
    top = min(top, row.size)
    chosen = np.argpartition(-row, top - 1)[:top] if top else np.empty(0, np.int64)
    chosen = chosen[np.lexsort((chosen, -row[chosen]))]
    return np.asarray(chosen[np.isfinite(row[chosen])], np.int64)
