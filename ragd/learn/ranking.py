"""Documents ranked exactly: every chunk compared with every query, a document standing for its best chunk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors
from ragd.learn.negatives import similarities

DEPTH: Final = 100


@dataclass(frozen=True, slots=True)
class Board:
    """Which document each row of some vectors belongs to: `rows` (n,) and `documents` (n,), sorted by document.

    A chunk that stands in several documents has several entries.
    """

    rows: Ids
    documents: Ids

    @classmethod
    def of(cls, rows: Ids, documents: Ids) -> Board:
        """A board of (row, document) entries in any order."""
        order = np.lexsort((rows, documents))
        return cls(rows[order], documents[order])

    def only(self, documents: Iterable[int]) -> Board:
        """The board of these documents alone."""
        kept = np.isin(self.documents, np.fromiter(documents, np.int64))
        return Board(self.rows[kept], self.documents[kept])


def ranked_documents(
    queries: Vectors, vectors: HalfVectors, board: Board, left_out: Sequence[Iterable[int]], depth: int = DEPTH
) -> list[list[int]]:
    """The `depth` best documents of each query, best first, ties by document id; `left_out` are not ranked.

    `queries` (q, dimension) and `vectors` (n, dimension) are unit vectors; there is one `left_out` a query.
    """
    if not board.rows.size:
        return [[] for _ in queries]
    documents, starts = np.unique(board.documents, return_index=True)
    found: list[list[int]] = []
    for start, scores in similarities(queries, vectors):
        best = np.maximum.reduceat(scores[:, board.rows], starts, axis=1)
        for offset, row in enumerate(best):
            out = np.fromiter(left_out[start + offset], np.int64)
            row[np.isin(documents, out)] = -np.inf
            top = min(depth, row.size)
            chosen = np.argpartition(-row, top - 1)[:top]
            chosen = chosen[np.lexsort((documents[chosen], -row[chosen]))]
            found.append(documents[chosen[np.isfinite(row[chosen])]].tolist())
    return found
