"""What search needs from below: the catalog's reading side and one generation's nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragd.domain.index import Ids, Vectors
from ragd.domain.search import Filters, HitRow


class SearchReader(Protocol):
    """The catalog's answers to a search; safe to use from any thread."""

    def word_hits(self, match: str, limit: int, filters: Filters) -> list[tuple[int, float]]:
        """Chunk ids with BM25 (higher is better) for an FTS5 MATCH expression, best first; filtered inside."""
        ...

    def allowed_chunks(self, filters: Filters) -> Ids | None:
        """Live chunks that pass the filters, sorted; None when all do."""
        ...

    def hit_rows(self, chunk_ids: Sequence[int], filters: Filters) -> list[HitRow]:
        """Where these chunks stand now, a row a (chunk, document) that passes; a chunk nobody holds has none."""
        ...


class Neighbours(Protocol):
    """One generation, searched by inner product."""

    def search(self, queries: Vectors, k: int, *, allowed: Ids | None = None) -> tuple[Vectors, Ids]:
        """Scores (q, k) descending and chunk ids (q, k); -1 fills what is missing."""
        ...
