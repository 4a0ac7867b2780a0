"""Batches of labelled pairs for contrastive training: drawn by weight, and free of false negatives."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from ragd.hooks.api import Pair, Snapshot, TooFewExamples

_MOST_DRAWS = 4  # of one pair in an epoch, however heavy it is


@dataclass(frozen=True, slots=True)
class Example:
    """One row of a batch: the pair, the chunk that answers it this time, and chunks that do not."""

    pair: int
    positive: int
    negatives: tuple[int, ...]


class PairBatches:
    """Batches by number, without end: epoch after epoch, each drawn anew; the same for the same arguments.

    A pair is drawn in proportion to its weight. In a batch no document that answers one query stands as a candidate
    of another, so that in-batch negatives are negatives. Where pairs have `negatives`, each row has that many (random
    chunks of other documents fill up); with 0 none are used. Raises TooFewExamples for fewer than two usable pairs,
    and when no two of them can stand in one batch.
    """

    def __init__(self, data: Snapshot, *, size: int, negatives: int, seed: int) -> None:
        self._data = data
        self._pairs: Sequence[Pair] = list(data.pairs)
        self._size = size
        self._seed = seed
        self._chunks: list[int] = []
        self._document: list[int] = []
        for chunk in data.chunks:  # one pass: a snapshot's chunks are read from disk each time
            self._chunks.append(chunk.id)
            self._document.append(chunk.document)
        self._row_of = {chunk: row for row, chunk in enumerate(self._chunks)}
        self._usable = [i for i, pair in enumerate(self._pairs) if self._known(pair.positives)]
        self._negatives = negatives if any(self._known(self._pairs[i].negatives) for i in self._usable) else 0
        if len(self._usable) < 2:
            raise TooFewExamples(
                f"{len(self._usable)} pairs have an answer among the chunks, at least 2 are needed",
                hint="list more pairs, or wait until more was asked",
            )
        self._batches: list[list[Example]] = []
        self._epochs = 0
        self._relevant = {i: self._documents(self._pairs[i].positives) for i in self._usable}

    @property
    def negatives(self) -> int:
        """How many negatives each row has."""
        return self._negatives

    @property
    def an_epoch(self) -> int:
        """About how many batches show every pair once."""
        return -(-len(self._usable) // self._size)

    def examples(self, number: int) -> list[Example]:
        """The rows of batch `number`."""
        while len(self._batches) <= number:
            drawn = self._epoch(self._epochs)
            self._epochs += 1
            if not drawn:
                raise TooFewExamples(
                    "no two pairs are answered by different documents, so that nothing can be contrasted",
                    hint="list pairs that more documents answer",
                )
            self._batches.extend(drawn)
        return self._batches[number]

    def texts(self, number: int) -> tuple[list[str], list[list[str]]]:
        """The queries of batch `number`, and columns of documents: what answers, then each negative."""
        rows = self.examples(number)
        columns = [[row.positive for row in rows]]
        columns += [[row.negatives[i] for row in rows] for i in range(self._negatives)]
        texts = [[self._data.chunks[self._row_of[chunk]].text for chunk in column] for column in columns]
        return [self._pairs[row.pair].query for row in rows], texts

    def _epoch(self, number: int) -> list[list[Example]]:
        draw = random.Random(f"{self._seed}:{number}")  # noqa: S311 - a seeded order, not a secret
        waiting = [self._example(i, draw) for i in self._drawn(draw)]
        batches: list[list[Example]] = []
        while waiting:
            batch: list[Example] = []
            later: list[Example] = []
            taken: tuple[set[int], set[int]] = (set(), set())
            for example in waiting:
                is_in = len(batch) < self._size and self._admit(example, taken)
                (batch if is_in else later).append(example)
            waiting = later
            if len(batch) > 1 or self._negatives:
                batches.append(batch)
        return batches

    def _drawn(self, draw: random.Random) -> list[int]:
        """Every usable pair as often as its weight asks: the whole part for sure, the rest by chance; shuffled."""
        mean = sum(self._pairs[i].weight for i in self._usable) / len(self._usable)
        often = {i: min(self._pairs[i].weight / mean, _MOST_DRAWS) if mean > 0 else 1.0 for i in self._usable}
        drawn = [i for i in self._usable for _ in range(int(often[i] + draw.random()))]
        draw.shuffle(drawn)
        return drawn

    def _example(self, i: int, draw: random.Random) -> Example:
        pair = self._pairs[i]
        negatives = list(self._known(pair.negatives))
        draw.shuffle(negatives)
        del negatives[self._negatives :]
        tries = 0
        while len(negatives) < self._negatives and tries < 100:
            row = draw.randrange(len(self._chunks))
            tries += 1
            if self._document[row] not in self._relevant[i] and self._chunks[row] not in negatives:
                negatives.append(self._chunks[row])
        while len(negatives) < self._negatives:  # a corpus so small that chance finds no more
            negatives.append(negatives[0] if negatives else draw.choice(self._chunks))
        return Example(i, draw.choice(self._known(pair.positives)), tuple(negatives))

    def _admit(self, example: Example, taken: tuple[set[int], set[int]]) -> bool:
        """Whether the example may join a batch with these relevant documents and these candidates; notes it if so."""
        relevant = self._relevant[example.pair]
        candidates = self._documents((example.positive, *example.negatives))
        if relevant & taken[1] or candidates & taken[0]:
            return False
        taken[0].update(relevant)
        taken[1].update(candidates)
        return True

    def _known(self, chunk_ids: Sequence[int]) -> tuple[int, ...]:
        return tuple(chunk for chunk in chunk_ids if chunk in self._row_of)

    def _documents(self, chunk_ids: Sequence[int]) -> set[int]:
        return {self._document[self._row_of[chunk]] for chunk in self._known(chunk_ids)}
