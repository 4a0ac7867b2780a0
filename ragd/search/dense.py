"""Finds chunks by meaning: the query's vector against one generation."""

from __future__ import annotations

from collections.abc import Callable

from ragd.domain.index import Vectors
from ragd.domain.search import Filters
from ragd.search.fuse import Ranking
from ragd.search.ports import Neighbours, SearchReader


def by_meaning(
    reader: SearchReader,
    query_vector: Callable[[str], Vectors],
    neighbours: Neighbours,
    text: str,
    limit: int,
    filters: Filters,
) -> Ranking:
    """At most `limit` chunks that pass the filters, best first, with the cosine to the query.

    `query_vector` gives the (dimension,) vector of a text. Raises what it raises.
    """
    allowed = reader.allowed_chunks(filters)
    if allowed is not None and not len(allowed):
        return ()
    query = query_vector(text)
    scores, ids = neighbours.search(query.reshape(1, -1), limit, allowed=allowed)
    return tuple(
        (int(chunk_id), float(score)) for chunk_id, score in zip(ids[0], scores[0], strict=True) if chunk_id >= 0
    )
