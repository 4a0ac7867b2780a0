"""A ranking task in frozen document vectors: queries with the rows that answer them, and how well they are ranked."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ragd.hooks.api import Pair, Run, Snapshot, TooFewExamples

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
_BLOCK_QUERIES = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """Document vectors to rank: `vectors` (n, dimension) of unit length, sorted by `document` (n,)."""

    vectors: Floats
    document: Rows
    starts: Rows

    def rows_of(self, documents: Sequence[int]) -> Rows:
        """Every row of these documents."""
        first = np.searchsorted(self.document, documents)
        last = np.searchsorted(self.document, documents, side="right")
        return np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])


@dataclass(frozen=True, slots=True)
class Task:
    """Queries (q, dimension) with weights (q,) and, for each, rows of the pool: what answers, and what is not asked.

    `positives` answer. `masked` are other chunks of the same documents: neither right nor wrong. `negatives` look
    right and are wrong. `documents` are the relevant ones.
    """

    queries: Floats
    weights: Floats
    positives: tuple[Rows, ...]
    masked: tuple[Rows, ...]
    negatives: tuple[Rows, ...]
    documents: tuple[Rows, ...]

    def __len__(self) -> int:
        return len(self.queries)

    def joined(self, other: Task) -> Task:
        """Both tasks as one."""
        return Task(
            np.concatenate([self.queries, other.queries]),
            np.concatenate([self.weights, other.weights]),
            self.positives + other.positives,
            self.masked + other.masked,
            self.negatives + other.negatives,
            self.documents + other.documents,
        )


def build(run: Run, *, most_rows: int) -> tuple[Pool, Task, Task]:
    """The pool, the training task and the validation task of a run.

    The pool holds every chunk of every relevant document and every hard negative, and random others up to
    `most_rows`. Without ten validation queries every fifth relevant document is taken from training for them.
    Raises TooFewExamples when fewer than ten queries are left to train on.
    """
    data = run.data
    document = {chunk.id: chunk.document for chunk in data.chunks}  # in the order of the vectors
    asked = _merged(document, [*data.pairs]), _merged(document, [*data.validation_pairs])
    if len(asked[1]) < 10:
        asked = _parted([*asked[0], *asked[1]])
    if len(asked[0]) < 10:
        raise TooFewExamples(
            f"{len(asked[0])} queries have an answer among the chunks, at least 10 are needed",
            hint="list more pairs, or wait until more was asked",
        )
    pool, place = _pool(data, document, [*asked[0], *asked[1]], most_rows, run.seed)
    vectors = run.encode_queries([one.query for one in (*asked[0], *asked[1])])
    split = len(asked[0])
    return pool, _task(asked[0], vectors[:split], pool, place), _task(asked[1], vectors[split:], pool, place)


def ndcg(pool: Pool, queries: Floats, task: Task, k: int = 10) -> Floats:
    """nDCG at `k` of each query (unit vectors), shape (q,); a document counts by its best chunk in the pool."""
    found = np.zeros(len(queries), dtype=np.float32)
    discount = 1 / np.log2(2 + np.arange(k))
    names = pool.document[pool.starts]
    for start in range(0, len(queries), _BLOCK_QUERIES):
        block = queries[start : start + _BLOCK_QUERIES] @ pool.vectors.T
        scores = np.maximum.reduceat(block, pool.starts, axis=1)
        for i, row in enumerate(scores, start):
            relevant = row[np.searchsorted(names, task.documents[i])]
            # Ties count against: a transform that makes everything equal must not look good.
            ranks = np.sort((row[None] >= relevant[:, None]).sum(axis=1) - 1)
            ranks = np.maximum(ranks, np.arange(len(ranks)))
            found[i] = discount[ranks[ranks < k]].sum() / discount[: len(relevant)].sum()
    return found


@dataclass(frozen=True, slots=True)
class _Asked:
    """One query with everything that is known of it."""

    query: str
    weight: float
    positives: frozenset[int]
    negatives: frozenset[int]
    documents: frozenset[int]


def _merged(document: Mapping[int, int], pairs: Sequence[Pair]) -> list[_Asked]:
    """One entry for equal queries: what answers one of them answers all."""
    known: dict[str, Any] = {}
    for pair in pairs:
        positives = {chunk for chunk in pair.positives if chunk in document}
        if not positives or pair.weight <= 0:
            continue
        entry = known.setdefault(pair.query, [0.0, set(), set()])
        entry[0] += pair.weight
        entry[1] |= positives
        entry[2] |= {chunk for chunk in pair.negatives if chunk in document}
    return [
        _Asked(
            query,
            weight,
            frozenset(positives),
            frozenset(negatives - positives),
            frozenset(document[chunk] for chunk in positives),
        )
        for query, (weight, positives, negatives) in known.items()
    ]


def _parted(asked: list[_Asked]) -> tuple[list[_Asked], list[_Asked]]:
    """Training and validation, such that no document answers in both; what would straddle is left out."""
    documents = sorted({document for one in asked for document in one.documents})
    held = frozenset(documents[4::5])
    return [one for one in asked if not one.documents & held], [one for one in asked if one.documents <= held]


def _pool(
    data: Snapshot, document: Mapping[int, int], asked: Sequence[_Asked], most_rows: int, seed: int
) -> tuple[Pool, dict[int, int]]:
    """The vectors to rank, and where each chunk stands among them."""
    relevant = {one for entry in asked for one in entry.documents}
    negatives = {chunk for entry in asked for chunk in entry.negatives}
    chunks, of = list(document), list(document.values())
    needed = [i for i, chunk in enumerate(chunks) if of[i] in relevant or chunk in negatives]
    others = sorted(set(range(len(chunks))) - set(needed))
    room = max(0, most_rows - len(needed))
    if len(others) > room:
        others = random.Random(seed).sample(others, room)  # noqa: S311 - a seeded sample, not a secret
    rows = sorted([*needed, *others], key=lambda i: (of[i], i))
    documents = np.array([of[i] for i in rows], dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, documents[1:] != documents[:-1]])
    vectors = np.asarray(data.vectors[rows], dtype=np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return Pool(vectors, documents, starts), {chunks[i]: place for place, i in enumerate(rows)}


def _task(asked: Sequence[_Asked], vectors: Floats, pool: Pool, place: dict[int, int]) -> Task:
    positives = tuple(_rows(one.positives, place) for one in asked)
    documents = tuple(np.array(sorted(one.documents), dtype=np.int64) for one in asked)
    same = [pool.rows_of(sorted(one.documents)) for one in asked]
    mean = sum(one.weight for one in asked) / max(1, len(asked))
    return Task(
        np.ascontiguousarray(vectors, dtype=np.float32),
        np.array([one.weight / mean for one in asked], dtype=np.float32),
        positives,
        tuple(np.setdiff1d(all_rows, right) for all_rows, right in zip(same, positives, strict=True)),
        tuple(_rows(one.negatives, place) for one in asked),
        documents,
    )


def _rows(chunks: frozenset[int], place: dict[int, int]) -> Rows:
    return np.array(sorted(place[chunk] for chunk in chunks), dtype=np.int64)
