"""The way of a query: check, find by words and by meaning, fuse, and show where each chunk stands now."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

from ragd.domain.errors import BadRequest, EncoderFailed, ModelUnavailable
from ragd.domain.index import Vectors
from ragd.domain.search import Hit, HitRow, Mode, Query
from ragd.flow.route import Asking, Routes
from ragd.search.dense import by_meaning
from ragd.search.fuse import Ranked, Ranking, alone, confidence, reciprocal_rank
from ragd.search.ports import SearchReader
from ragd.search.words import by_words

MAX_QUERY_CHARS = 8192
MAX_LIMIT = 1000
COUNTED_HITS = 10

OnAnswered = Callable[[Query, Sequence[tuple[int, int]], float, Vectors | None, str], int | None]
"""Hears a query, its hits as (chunk id, document id), milliseconds, and the encoder's vector with its space."""


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How a query is answered: chunks taken from each side before fusion, and fusion's constant."""

    candidates: int = 100
    rrf_k: int = 20


@dataclass(frozen=True, slots=True)
class Freshness:
    """How far the index is behind what was seen of the folders when the query was answered, in documents.

    `pending` are not found yet (an older text may be), `words_only` are not found by meaning yet. `proven_at` is when
    the index was last proven equal to the catalog (Unix seconds), None where it was not.
    """

    pending: int
    words_only: int
    proven_at: float | None = None

    @property
    def is_current(self) -> bool:
        """True when everything that was seen is searchable."""
        return not (self.pending or self.words_only)


@dataclass(frozen=True, slots=True)
class Answered:
    """A query's hits, best first, one a chunk, with the milliseconds it took and what the asker should know."""

    query: Query
    hits: tuple[Hit, ...]
    took_ms: float
    freshness: Freshness
    notes: tuple[str, ...]
    query_id: int | None = None
    """What feedback names the query by; None where no journal is kept."""

    def as_json(self) -> dict[str, object]:
        """The answer as plain values, in the shape of `/v1/search`."""
        return {
            "query": self.query.text,
            **({} if self.query_id is None else {"query_id": self.query_id}),
            "mode": self.query.mode.value,
            "took_ms": round(self.took_ms, 3),
            "freshness": {**asdict(self.freshness), "is_current": self.freshness.is_current},
            "notes": list(self.notes),
            "hits": [asdict(hit) for hit in self.hits],
        }


class Answer:
    """Answers queries from one catalog, by the route that serves when a search begins; safe to use from any thread.

    With a route of nothing (no vectors yet, no model) it searches by words. `on_answered` hears of every answer and
    may give it an id.
    """

    def __init__(
        self,
        reader: SearchReader,
        routes: Routes,
        settings: SearchSettings,
        freshness: Callable[[], Freshness],
        *,
        on_answered: OnAnswered | None = None,
    ) -> None:
        self._reader = reader
        self._routes = routes
        self.settings = settings
        self._freshness = freshness
        self._on_answered = on_answered
        self._counting = threading.Lock()
        self._found: Counter[int] = Counter()

    def search(self, query: Query) -> Answered:
        """The best `query.limit` chunks that pass the filters.

        Raises BadRequest for a query that cannot be searched for; EncoderFailed or ModelUnavailable when
        it asks for meaning alone and there is no encoder. A hybrid query is then answered by words, with a note.
        """
        started = time.perf_counter()
        _check(query)
        freshness = self._freshness()
        notes: list[str] = []
        candidates = max(self.settings.candidates, query.limit)
        with self._routes.taken() as route:
            asking = Asking(route)
            ranked, is_exhausted = self._ranked(asking, query, candidates, notes)
            hits = self._standing(ranked, query)
            if len(hits) < query.limit and not is_exhausted:
                # Chunks left the catalog while the index was asked: look once more, deeper.
                ranked, _ = self._ranked(asking, query, candidates * 4, notes)
                hits = self._standing(ranked, query)
        with self._counting:
            self._found.update(hit.chunk_id for hit in hits[:COUNTED_HITS])
        took_ms = (time.perf_counter() - started) * 1000
        query_id = None
        if self._on_answered is not None:
            found = [(hit.chunk_id, hit.document_id) for hit in hits]
            query_id = self._on_answered(query, found, took_ms, asking.vector, asking.space)
        return Answered(query, tuple(hits), took_ms, freshness, tuple(dict.fromkeys(notes)), query_id)

    def take_found(self) -> Mapping[int, int]:
        """How often each chunk was among the first hits since the last call; nothing is kept of the queries."""
        with self._counting:
            found, self._found = self._found, Counter()
        return found

    def _ranked(
        self, asking: Asking, query: Query, candidates: int, notes: list[str]
    ) -> tuple[tuple[Ranked, ...], bool]:
        """Every candidate, best first, and whether a deeper search could find no more."""
        rankings: dict[str, Ranking] = {}
        if query.mode is not Mode.DENSE:
            rankings["words"] = by_words(self._reader, query.text, candidates, query.filters)
        if query.mode is not Mode.WORDS and (dense := self._dense(asking, query, candidates, notes)) is not None:
            rankings["dense"] = dense
        is_exhausted = all(len(ranking) < candidates for ranking in rankings.values())
        if query.mode is Mode.HYBRID:
            # Dense scores are compared among themselves, BM25 with the chunks that have none of the words, too.
            population = {"words": candidates}
            weights = {name: confidence(ranking, population.get(name, 0)) for name, ranking in rankings.items()}
            return reciprocal_rank(rankings, weights=weights, k=self.settings.rrf_k), is_exhausted
        return tuple(r for name, ranking in rankings.items() for r in alone(name, ranking)), is_exhausted

    def _dense(self, asking: Asking, query: Query, candidates: int, notes: list[str]) -> Ranking | None:
        try:
            route = asking.route
            if route.encoder is None or route.index is None:
                raise ModelUnavailable("there is no encoder", hint="search with mode=words, or set embed.encoder")
            return by_meaning(self._reader, asking.query_vector, route.index, query.text, candidates, query.filters)
        except (EncoderFailed, ModelUnavailable) as error:
            if query.mode is Mode.DENSE:
                raise
            notes.append(f"searched by words only: {error}")
            return None

    def _standing(self, ranked: tuple[Ranked, ...], query: Query) -> list[Hit]:
        """The first `limit` chunks that a document holds now, each at the first document that does."""
        hits: list[Hit] = []
        at = 0
        while at < len(ranked) and len(hits) < query.limit:
            block = ranked[at : at + query.limit - len(hits)]
            at += len(block)
            places: dict[int, HitRow] = {}
            for row in self._reader.hit_rows([r.chunk_id for r in block], query.filters):
                places.setdefault(row.chunk_id, row)
            hits += [_hit(r, places[r.chunk_id]) for r in block if r.chunk_id in places]
        return hits


def _check(query: Query) -> None:
    if not query.text.strip():
        raise BadRequest("the query is empty", hint="say what to search for")
    if len(query.text) > MAX_QUERY_CHARS:
        raise BadRequest(
            f"the query has {len(query.text)} characters", hint=f"at most {MAX_QUERY_CHARS} characters are taken"
        )
    if any("\ud800" <= character <= "\udfff" for character in query.text):
        raise BadRequest("the query is not valid Unicode", hint="send it as UTF-8")
    if not 1 <= query.limit <= MAX_LIMIT:
        raise BadRequest(f"limit is {query.limit}", hint=f"give a limit from 1 to {MAX_LIMIT}")


def _hit(ranked: Ranked, row: HitRow) -> Hit:
    return Hit(
        chunk_id=row.chunk_id,
        collection=row.collection,
        root=row.root,
        path=row.path,
        title=row.title,
        heading=row.heading,
        page=row.page,
        start=row.start,
        end=row.end,
        text=row.text,
        score=ranked.score,
        parts=ranked.parts,
        modified_at=row.modified_at,
        document_id=row.document_id,
    )
