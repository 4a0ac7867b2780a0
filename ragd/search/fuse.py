"""Joins rankings into one by weighted reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009); pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

Ranking = tuple[tuple[int, float], ...]
"""(chunk id, score) pairs, best first, each id once."""

_LEAST = 0.01  # a ranking that tells nothing apart still breaks ties


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk with its score and what the score is made of: each side's own score and its rank (from 1)."""

    chunk_id: int
    score: float
    parts: dict[str, float]


def reciprocal_rank(
    rankings: Mapping[str, Ranking], *, weights: Mapping[str, float] | None = None, k: int = 20
) -> tuple[Ranked, ...]:
    """All chunks of the rankings, best first; of equal scores the one the earlier named ranking likes better.

    The score is the sum of weight/(k + rank) over the rankings that hold the chunk, divided by the most
    it can be, so that a chunk which leads every ranking has 1. A larger `k` flattens the ranks. Weights
    are positive, 1 where none is given.
    """
    shares = {name: (weights or {}).get(name, 1.0) for name in rankings}
    parts: dict[int, dict[str, float]] = {}
    sums: dict[int, float] = {}
    for name, ranking in rankings.items():
        for rank, (chunk_id, score) in enumerate(ranking, start=1):
            sums[chunk_id] = sums.get(chunk_id, 0.0) + shares[name] / (k + rank)
            parts.setdefault(chunk_id, {}).update({name: score, f"{name}_rank": float(rank)})
    best = sum(shares.values()) / (k + 1)
    order = sorted(sums, key=lambda chunk_id: -sums[chunk_id])  # stable: keeps the order of first sight
    return tuple(Ranked(chunk_id, sums[chunk_id] / best, parts[chunk_id]) for chunk_id in order)


def confidence(ranking: Ranking, population: int) -> float:
    """How sure a ranking is of its first chunk, from just above 0 to 1: a weight for fusion.

    The square of how far the first score stands above the mean in standard deviations, as a share of the
    most it can be. `population` is how many scores there are to compare with: those that the ranking does
    not list count as 0 (a chunk without the query's words has no BM25). An encoder that does not know the
    query's language scores everything alike and so yields to the words; a word that only one chunk holds
    is sure. Neither shift nor scale of the scores matters, so that any encoder's cosines will do.
    """
    n = max(population, len(ranking))
    if n < 2 or not ranking:
        return 1.0
    scores = [score for _, score in ranking]
    mean = sum(scores) / n
    variance = (sum((score - mean) ** 2 for score in scores) + (n - len(scores)) * mean**2) / n
    if variance <= 0.0:
        return _LEAST
    share = (scores[0] - mean) / math.sqrt(variance * (n - 1))
    return min(1.0, max(_LEAST, share**2))


def alone(name: str, ranking: Ranking) -> tuple[Ranked, ...]:
    """One ranking as it is: its own scores, in its own order."""
    return tuple(
        Ranked(chunk_id, score, {name: score, f"{name}_rank": float(rank)})
        for rank, (chunk_id, score) in enumerate(ranking, start=1)
    )
