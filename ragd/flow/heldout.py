"""The questions that only an evaluation asks, and the ground on which two models answer them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ragd.catalog.corpus import CorpusReader, Holdings, open_corpus
from ragd.catalog.reader import CatalogReader
from ragd.catalog.tokens import match_expression
from ragd.domain.errors import ModelMismatch, TooFewExamples
from ragd.domain.index import EmbeddingSpace, HalfVectors, Ids, Vectors
from ragd.domain.search import Filters
from ragd.domain.training import Preparation, RunPlaces
from ragd.flow.examples import Layout, gather, read_layout
from ragd.learn.likeness import NearTexts, text_id
from ragd.learn.ranking import Board, ranked_documents
from ragd.learn.slices import slices_of
from ragd.learn.snapshot import read_snapshot
from ragd.learn.splits import HeldOut, Side, Split, askable

MOST_COMPARED: Final = 200_000
"""Chunks that are compared with every query; of more, those that answer one and others by chance."""
_CHAMPION_DEPTH = 30
_WORDS_DEPTH = 15


@dataclass(frozen=True, slots=True)
class Ground:
    """Chunks with the champion's vectors (n, dimension), the documents they stand in, and texts if they are asked for.

    `pool` says in words which chunks these are.
    """

    chunks: Ids
    vectors: HalfVectors
    board: Board
    texts: Sequence[str]
    pool: str


@dataclass(frozen=True, slots=True)
class HeldOutSet:
    """Held-out questions with the slices they are in, and the documents that are held out."""

    items: tuple[HeldOut, ...]
    slices: Mapping[str, tuple[int, ...]]
    heldout_documents: frozenset[int]

    @property
    def queries(self) -> list[str]:
        """Their texts."""
        return [item.question.query for item in self.items]

    @property
    def ids(self) -> tuple[str, ...]:
        """Hashes that stand for the texts."""
        return tuple(text_id(query) for query in self.queries)

    def with_unseen_answer(self) -> list[int]:
        """Positions of the questions that a held-out document answers."""
        return [
            at for at, item in enumerate(self.items) if self.heldout_documents.intersection(item.question.grades.keys())
        ]


class Trial:
    """One look at the catalog for an evaluation: close it when the ground is laid."""

    def __init__(self, places: RunPlaces, preparation: Preparation) -> None:
        self._places, self._preparation = places, preparation
        self._reader: CatalogReader
        self._corpus: CorpusReader
        self._reader, self._corpus = open_corpus(Path(preparation.state))
        self._layout: Layout = read_layout(self._corpus, preparation.heldout_share)

    def close(self) -> None:
        """Closes the catalog."""
        self._reader.close()

    def serving(self, fingerprint: str) -> tuple[int, EmbeddingSpace]:
        """The serving generation. Raises ModelMismatch when it is not the one that the run's data was made in."""
        serving = self._reader.overview.serving()
        if serving is None or serving[1].fingerprint != fingerprint:
            raise ModelMismatch(
                "another embedding space serves now than when the run's data was made", hint="train again"
            )
        return serving

    def questions(self) -> HeldOutSet:
        """The held-out questions, without any that is nearly equal to one that was trained on.

        Raises TooFewExamples when there is none, PairsInvalid.
        """
        data = read_snapshot(self._places.data)
        split = data.manifest.facts["split"]
        border = Split(float(split["heldout_share"]), split["newest_from"])
        examples = gather(self._preparation, self._reader, self._corpus, self._layout, split=border)
        # Files and documents may have changed since: what counts is what the trainer really saw.
        trained = NearTexts()
        for pair in (*data.pairs, *data.validation_pairs):
            trained.add(pair.query)
        items = [item for item in askable(examples.divided.heldout) if not trained.has_near(item.question.query)]
        items = sorted(items, key=lambda item: text_id(item.question.query))[: self._preparation.most_queries]
        if not items:
            raise TooFewExamples(
                "no held-out question is there to compare by", hint="list more of them with learn.pairs"
            )
        collections = {row.id: row.collection for row in self._layout.documents}
        out = frozenset(document for document, side in self._layout.sides.items() if side is Side.HELD_OUT)
        return HeldOutSet(tuple(items), slices_of(items, collections, self._often_found()), out)

    def _often_found(self) -> dict[int, float]:
        hits = self._corpus.often_found()
        found: dict[int, float] = {}
        holdings = self._layout.holdings
        for chunk, document in zip(holdings.chunks.tolist(), holdings.documents.tolist(), strict=True):
            if chunk in hits:
                found[document] = found.get(document, 0.0) + hits[chunk]
        return found

    def ground(self, generation: int, items: Sequence[HeldOut], *, seed: int, most: int = MOST_COMPARED) -> Ground:
        """Every chunk with a vector; where there are more than `most`, those that answer and others by chance."""
        live = self._reader.replay.live_ids(generation)
        if len(live) > most:
            live = _chosen(live, self._answering(items), (), most, seed)
            return self._laid(generation, live, f"chunks that answer and a random sample, {most:,} in all", texts=False)
        return self._laid(generation, live, "every chunk", texts=False)

    def pool(self, whole: Ground, generation: int, held: HeldOutSet, champion: Vectors, *, seed: int) -> Ground:
        """Chunks few enough to be encoded anew, with texts: every one, or those that answer, those that the champion
        and a search by words find (the words know neither model, so that the pool favours neither), and others.

        `champion` are the champion's query vectors (q, dimension).
        """
        most = self._preparation.most_encoded
        if len(whole.chunks) <= most:
            return self._laid(generation, whole.chunks, "every chunk", texts=True)
        likely = _interleaved(self._found(whole, champion), self._found_by_words(held.queries))
        chosen = _chosen(whole.chunks, self._answering(held.items), likely, most, seed)
        pool = f"{len(chosen):,} of {len(whole.chunks):,} chunks: those that answer, likely ones, a random sample"
        return self._laid(generation, chosen, pool, texts=True)

    def _laid(self, generation: int, chunks: Ids, pool: str, *, texts: bool) -> Ground:
        ids, vectors = self._reader.replay.live_vectors(generation, chunks)
        order = np.argsort(ids)
        ids, vectors = ids[order], vectors[order]
        seen: Sequence[str] = ()
        if texts:
            parts = self._corpus.texts(ids.tolist())
            seen = [f"{context}\n\n{text}" if context else text for context, text in parts]
        return Ground(ids, vectors, _board(ids, self._layout.holdings), seen, pool)

    def _answering(self, items: Sequence[HeldOut]) -> Ids:
        documents = np.array(sorted({d for item in items for d in item.question.grades}), np.int64)
        holdings = self._layout.holdings
        return np.unique(holdings.chunks[np.isin(holdings.documents, documents)])

    def _found(self, ground: Ground, queries: Vectors) -> list[list[int]]:
        """Per query the chunks nearest to it: each chunk ranked as if it were a document."""
        each = np.arange(len(ground.chunks), dtype=np.int64)
        ranked = ranked_documents(queries, ground.vectors, Board(each, each), [()] * len(queries), _CHAMPION_DEPTH)
        return [[int(ground.chunks[row]) for row in rows] for rows in ranked]

    def _found_by_words(self, queries: Sequence[str]) -> list[list[int]]:
        return [
            [chunk for chunk, _ in self._reader.word_hits(match_expression(query), _WORDS_DEPTH, Filters())]
            for query in queries
        ]


def _board(ids: Ids, holdings: Holdings) -> Board:
    kept = np.isin(holdings.chunks, ids)
    return Board.of(np.searchsorted(ids, holdings.chunks[kept]).astype(np.int64), holdings.documents[kept])


def _interleaved(*found: Sequence[Sequence[int]]) -> list[int]:
    """Chunks by rank over all queries: every first one before any second one."""
    deepest = max((len(row) for rows in found for row in rows), default=0)
    return list(
        dict.fromkeys(row[rank] for rank in range(deepest) for rows in found for row in rows if rank < len(row))
    )


def _chosen(every: Ids, answering: Ids, likely: Iterable[int], most: int, seed: int) -> Ids:
    """`most` of `every`: those that answer, up to four fifths with likely ones, the rest by chance; sorted."""
    first = np.intersect1d(every, answering)[:most]
    room = max(0, most * 4 // 5 - len(first))
    likely_ids = np.array(list(likely), np.int64)
    second = likely_ids[np.isin(likely_ids, every) & ~np.isin(likely_ids, first)][:room]
    rest = np.setdiff1d(every, np.concatenate([first, second]))
    count = max(0, most - len(first) - len(second))
    third = np.random.default_rng(seed).permutation(rest)[:count]
    return np.sort(np.concatenate([first, second, third])).astype(np.int64)
