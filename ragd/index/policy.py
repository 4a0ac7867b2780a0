"""When an index changes its kind, how many lists it gets, and when its lists no longer fit: pure decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ragd.domain.index import IndexFacts, IndexPolicy

_LEAST_ROWS_PER_LIST = 39  # below this FAISS calls k-means badly supported
_WORN_COSINE = 0.85
_WORTH_INSERTED_SHARE = 0.02
_WORN_RECALL = 0.95


class Upkeep(StrEnum):
    """What an index needs: nothing, another kind, or lists fitted again to the rows it holds now."""

    NOTHING = "nothing"
    TO_IVF = "to_ivf"
    TO_EXACT = "to_exact"
    REFIT = "refit"


@dataclass(frozen=True, slots=True)
class Fit:
    """How an inverted file stood when its lists were fitted, and what has come in since.

    `cosine_at_fit` is the mean cosine of its rows to their list's centroid at that time,
    `inserted_cosine` that of the `inserted` rows since, None while there are none.
    """

    chunks_at_fit: int
    cosine_at_fit: float
    inserted: int
    inserted_cosine: float | None

    @property
    def centroid_cosine(self) -> float | None:
        """The inserted rows' mean centroid cosine as a share of the one at fit; None while there are none."""
        if self.inserted_cosine is None or self.cosine_at_fit <= 0:
            return None
        return self.inserted_cosine / self.cosine_at_fit


def lists_for(chunks: int) -> int:
    """How many inverted lists suit this many chunks: the power of two nearest 2 * sqrt(chunks).

    512 at 100,000, 1024 at 200,000, 2048 at 1,000,000; fewer where a list would get under 39 rows.
    """
    if chunks < 2 * _LEAST_ROWS_PER_LIST:
        return 1
    suits = round(1 + math.log2(chunks) / 2)
    supported = math.floor(math.log2(chunks / _LEAST_ROWS_PER_LIST))
    return 1 << min(suits, supported)


def kind_for(chunks: int, policy: IndexPolicy) -> str:
    """The kind of a new index of this many chunks: `exact`, or `ivf` from `policy.ivf_above` up."""
    return "ivf" if chunks >= max(policy.ivf_above, 1) else "exact"


def needs_refit(fit: Fit, chunks: int, *, ann_recall: float | None = None) -> bool:
    """Whether lists fitted earlier no longer serve the `chunks` rows held now.

    True when what came in since lies far from the centroids (ratio under .85 over at least 2 % of the
    rows), when the index grew past twice or shrank under half of what was fitted, or when a measured
    recall against exact search, if given, is under .95. A higher nprobe does not cure the first.
    """
    ratio = fit.centroid_cosine
    is_worn = ratio is not None and ratio < _WORN_COSINE and fit.inserted >= _WORTH_INSERTED_SHARE * chunks
    is_resized = chunks > 2 * fit.chunks_at_fit or 2 * chunks < fit.chunks_at_fit
    is_missing_hits = ann_recall is not None and ann_recall < _WORN_RECALL
    return is_worn or is_resized or is_missing_hits


def upkeep(facts: IndexFacts, fit: Fit | None, policy: IndexPolicy, *, ann_recall: float | None = None) -> Upkeep:
    """What the index with these facts needs now; `fit` is given for an inverted file.

    The way back to exact lies at `policy.exact_below`, well under `policy.ivf_above`, so that a folder
    at the threshold does not go to and fro.
    """
    if fit is None:
        return Upkeep.TO_IVF if kind_for(facts.chunks, policy) == "ivf" else Upkeep.NOTHING
    if facts.chunks < max(1, min(policy.exact_below, policy.ivf_above)):
        return Upkeep.TO_EXACT
    if needs_refit(fit, facts.chunks, ann_recall=ann_recall):
        return Upkeep.REFIT
    return Upkeep.NOTHING
