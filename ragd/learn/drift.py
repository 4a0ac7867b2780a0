"""Whether a window of new vectors is of another kind than a reference: cheap statistics, then a test to confirm.

Two statistics look at every window. *Novelty*: which items lie farther from their nearest reference row than almost
all held-out items do, and by how much (Markou and Singh: Novelty detection, Signal Processing 2003). The
*histogram*: the two-sample chi-square of the items over the reference's clusters. Their limits come from held-out
windows that arrived as real ones do: whatever ordinary windows differ by, such as one long document, widens them.
Only a window beyond a limit is put to the permutation test (`kernel`), and only both together are drift.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import numpy.typing as npt

from ragd.domain.index import Vectors
from ragd.learn.clusters import Counts, chi_square, distances, fitted, histogram
from ragd.learn.kernel import mmd_p

CONFIRMING_P = 0.05
LEAST_WINDOWS = 4
_ORDINARY = 0.98  # the share of held-out items that are not called novel
_EXCESS_SPREADS = 5.0  # how many standard deviations beyond the usual a window must be
_HISTOGRAM_SPREADS = 4.0
_ROWS_A_CLUSTER = 50
_CLUSTERS = (4, 24)
_CONFIRMING_ROWS = 600
_NOVELTY_WEIGHT = 2.0
_BLOCKS_A_WINDOW = 20
_BLOCK_ROWS = (5, 20)
Distances = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Reference:
    """What windows of `size` rows are compared with: `rows` (n, d) in arrival order, clusters, calibrated limits.

    `away` (n,) is each row's cosine distance to the nearest row of another window, `reach` the one beyond which an
    item is novel, `spread` their standard deviation. `centroids` (k, d) have `counts` (k,) rows each. A window must
    exceed `excess_limit` (mean distance beyond reach, in spreads) or `histogram_limit` (chi-square).
    """

    size: int
    rows: Vectors
    away: Distances
    reach: float
    spread: float
    centroids: Vectors
    counts: Counts
    excess_limit: float
    histogram_limit: float


@dataclass(frozen=True, slots=True)
class Look:
    """What one window showed.

    `novelty` is the share of novel items, `excess` how far they lie beyond reach, `histogram` the chi-square;
    `is_beyond` whether a limit is exceeded, `mmd_p` the test's p where it was asked.
    """

    novelty: float
    excess: float
    histogram: float
    is_beyond: bool
    mmd_p: float | None
    is_drift: bool


def calibrated(windows: Sequence[Vectors], *, seed: int, centroids: Vectors | None = None) -> Reference:
    """A reference made of disjoint `windows` of unit vectors, each (w, d), in arrival order.

    Its limits come from each window held out in turn and measured against all the others: no row is ever compared
    with itself, and no window sets its own limit. `centroids` (k, d) are fitted to all rows unless given. Raises
    ValueError for fewer than LEAST_WINDOWS windows.
    """
    if len(windows) < LEAST_WINDOWS:
        raise ValueError(f"{len(windows)} windows cannot calibrate a reference, {LEAST_WINDOWS} are needed")
    rows = np.concatenate(windows).astype(np.float32, copy=False)
    if centroids is None:
        least, most = _CLUSTERS
        centroids = fitted(rows, min(max(len(rows) // _ROWS_A_CLUSTER, least), most), seed=seed)
    away = [_away(windows, number) for number in range(len(windows))]
    counts = [histogram(window, centroids) for window in windows]
    together = np.concatenate(away)
    spread = max(float(together.std()), 1e-6)
    return Reference(
        size=len(windows[0]),
        rows=rows,
        away=together,
        reach=float(np.quantile(together, _ORDINARY)),
        spread=spread,
        centroids=centroids,
        counts=np.sum(counts, axis=0),
        excess_limit=_excess_limit(away, spread),
        histogram_limit=_histogram_limit(counts),
    )


def look(reference: Reference, window: Vectors, *, seed: int, before: Sequence[Vectors] = ()) -> Look:
    """What a window of unit vectors (w, d) shows against the reference.

    `before` are the windows right before it that were beyond a limit as well, newest first: the test is asked about
    all of them together, so that small windows add up to a proof. Deterministic for equal arguments.
    """
    away = distances(window, reference.rows)
    excess = _excess(away, reference.reach, reference.spread)
    chi = chi_square(histogram(window, reference.centroids), reference.counts)
    is_beyond = excess > reference.excess_limit or chi > reference.histogram_limit
    p = _confirmed(reference, [*reversed(before), window], seed) if is_beyond else None
    novelty = float((away > reference.reach).mean())
    return Look(novelty, excess, chi, is_beyond, p, p is not None and p <= CONFIRMING_P)


def _away(windows: Sequence[Vectors], number: int) -> Distances:
    """The distances of one window's rows to the nearest row of the others."""
    others = [distances(windows[number], other) for place, other in enumerate(windows) if place != number]
    found: Distances = np.min(others, axis=0).astype(np.float32)
    return found


def _excess(away: Distances, reach: float, spread: float) -> float:
    """How far items lie beyond reach on average, in spreads of ordinary distances."""
    return float(np.maximum(away - reach, 0).mean()) / spread


def _excess_limit(away: Sequence[Distances], spread: float) -> float:
    """The excess that no ordinary window has, from each window's by the reach that the others give."""
    found: list[float] = []
    for number, mine in enumerate(away):
        others = np.concatenate([*away[:number], *away[number + 1 :]])
        found.append(_excess(mine, float(np.quantile(others, _ORDINARY)), spread))
    together = np.concatenate(away)
    single = np.maximum(together - np.quantile(together, _ORDINARY), 0) / spread
    by_chance = float(single.std()) / fmean(len(mine) for mine in away) ** 0.5
    return _beyond(found, fmean(found), by_chance, _EXCESS_SPREADS)


def _histogram_limit(counts: Sequence[Counts]) -> float:
    """The chi-square that no ordinary window has, from each window's histogram against the others' together."""
    together = np.sum(counts, axis=0)
    found = [chi_square(mine, together - mine) for mine in counts]
    freedom = max(len(together) - 1, 1)
    return _beyond(found, max(fmean(found), freedom), (2 * freedom) ** 0.5, _HISTOGRAM_SPREADS)


def _beyond(found: Sequence[float], usual: float, by_chance: float, spreads: float) -> float:
    """So many spreads above the usual; wider where few windows tell the spread, never under what chance alone gives."""
    return usual + spreads * max(stdev(found), by_chance) * math.sqrt(1 + 1 / len(found))


def _confirmed(reference: Reference, windows: Sequence[Vectors], seed: int) -> float:
    """The p-value of the newest rows against reference rows, both cut to a bounded number.

    Each row carries, as one more dimension, how novel it is: a kernel that sees what is looked for has the power
    that a plain one lacks in hundreds of dimensions (Liu et al.: Learning Deep Kernels for Non-Parametric Two-Sample
    Tests, ICML 2020). Reference rows were measured without their own window, so that nothing but their origin differs.
    """
    least, most = _BLOCK_ROWS
    block = min(max(reference.size // _BLOCKS_A_WINDOW, least), most)
    recent = np.concatenate(windows)[-_CONFIRMING_ROWS:]
    starts = np.random.default_rng(seed).permutation(len(reference.rows) // block)[: _CONFIRMING_ROWS // block]
    chosen = (np.sort(starts)[:, None] * block + np.arange(block)).ravel()
    known = _with_novelty(reference, reference.rows[chosen], reference.away[chosen])
    return mmd_p(_with_novelty(reference, recent, distances(recent, reference.rows)), known, block=block, seed=seed)


def _with_novelty(reference: Reference, rows: Vectors, away: Distances) -> Vectors:
    novel = np.clip((away - reference.reach) / (3 * reference.spread), 0, 1)
    return np.hstack([rows, _NOVELTY_WEIGHT * novel[:, None]]).astype(np.float32)
