"""Pairs from the query journal: judged answers, corrected for how likely each was to be looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

from ragd.learn.claims import Asked, Claim

ETA: Final = 1.0
MOST_WEIGHT: Final = 10.0


class JudgedQuery(Protocol):
    """A journaled query with feedback: what it found, best first, and which chunks were judged good (or not)."""

    @property
    def id(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def text(self) -> str: ...
    @property
    def hits(self) -> Sequence[tuple[int, int]]:
        """(chunk id, document id), best first."""
        ...

    @property
    def feedback(self) -> Mapping[int, bool]:
        """Whether each judged chunk was good."""
        ...


def journal_asked(rows: Iterable[JudgedQuery]) -> list[Asked]:
    """Queries with at least one good answer, their good and bad chunks as claims.

    An answer at rank r is looked at with a probability of about 1 / r^eta, so a good one counts r^eta times, at most
    ten: inverse propensity scoring (Joachims, Swaminathan and Schnabel 2017, arXiv 1608.04468). The weights are
    scaled to a mean of 1, so that the journal as a whole counts as much as as many pairs from files.
    """
    found: list[Asked] = []
    for row in rows:
        rank_of = {chunk: rank for rank, (chunk, _) in reversed(list(enumerate(row.hits, 1)))}
        good = [chunk for chunk, is_good in row.feedback.items() if is_good]
        if not good:
            continue
        weights = [inverse_propensity(rank_of.get(chunk, len(row.hits) + 1)) for chunk in good]
        claims = [Claim("", 1.0, chunk=chunk) for chunk in good]
        claims += [Claim("", 0.0, chunk=chunk) for chunk, is_good in row.feedback.items() if not is_good]
        found.append(
            Asked(
                row.text,
                tuple(claims),
                weight=sum(weights) / len(weights),
                source="journal",
                at=row.at,
                place=f"journal:{row.id}",
            )
        )
    return _scaled(found)


def inverse_propensity(rank: int) -> float:
    """What a good answer at this rank (from 1) counts."""
    return float(min(max(rank, 1) ** ETA, MOST_WEIGHT))


def _scaled(asked: Sequence[Asked]) -> list[Asked]:
    mean = sum(item.weight for item in asked) / len(asked) if asked else 1.0
    return [replace(item, weight=item.weight / mean) for item in asked]
