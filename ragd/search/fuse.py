"""Joins rankings into one by reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009): a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Ranking = tuple[tuple[int, float], ...]
"""(chunk id, score) pairs, best first, each id once."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A chunk with its score and what the score is made of: each side's own score and its rank (from 1)."""

    chunk_id: int
    score: float
    parts: dict[str, float]


def reciprocal_rank(rankings: Mapping[str, Ranking], *, k: int = 60) -> tuple[Ranked, ...]:
    """All chunks of the rankings, best first; of equal scores the one the earlier named ranking likes better.

    The score is the sum of 1/(k + rank) over the rankings that hold the chunk, divided by the most
    it can be, so that a chunk which leads every ranking has 1. A larger `k` flattens the ranks.
    """
    parts: dict[int, dict[str, float]] = {}
    sums: dict[int, float] = {}
    for name, ranking in rankings.items():
        for rank, (chunk_id, score) in enumerate(ranking, start=1):
            sums[chunk_id] = sums.get(chunk_id, 0.0) + 1.0 / (k + rank)
            parts.setdefault(chunk_id, {}).update({name: score, f"{name}_rank": float(rank)})
    best = len(rankings) / (k + 1)
    order = sorted(sums, key=lambda chunk_id: -sums[chunk_id])  # stable: keeps the order of first sight
    return tuple(Ranked(chunk_id, sums[chunk_id] / best, parts[chunk_id]) for chunk_id in order)


def alone(name: str, ranking: Ranking) -> tuple[Ranked, ...]:
    """One ranking as it is: its own scores, in its own order."""
    return tuple(
        Ranked(chunk_id, score, {name: score, f"{name}_rank": float(rank)})
        for rank, (chunk_id, score) in enumerate(ranking, start=1)
    )
