"""Finds chunks by their words: BM25 over the catalog's full text."""

from __future__ import annotations

from ragd.catalog.tokens import match_expression
from ragd.domain.search import Filters
from ragd.search.fuse import Ranking
from ragd.search.ports import SearchReader


def by_words(reader: SearchReader, text: str, limit: int, filters: Filters) -> Ranking:
    """At most `limit` chunks that pass the filters, best first, with BM25 (higher is better).

    Empty when the text holds no word.
    """
    match = match_expression(text)
    return tuple(reader.word_hits(match, limit, filters)) if match else ()
