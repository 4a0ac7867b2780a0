"""Which topic a vector belongs to: k-means on unit vectors, histograms over its centroids, and how two differ."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ragd.domain.index import Vectors

_ROUNDS = 12
_SLICE_ROWS = 4096
Counts = npt.NDArray[np.int64]


def fitted(rows: Vectors, k: int, *, seed: int) -> Vectors:
    """At most `k` centroids (k, d), unit length, of unit vectors (n, d): k-means by cosine, seeded as k-means++.

    Deterministic for equal arguments. A centroid that loses its rows keeps its place.
    """
    random = np.random.default_rng(seed)
    centroids = _seeded(rows, min(k, len(rows)), random)
    for _ in range(_ROUNDS):
        lists = nearest(rows, centroids)
        sums = np.zeros_like(centroids)
        np.add.at(sums, lists, rows)
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        moved = np.where(norms > 1e-9, sums / np.maximum(norms, 1e-9), centroids).astype(np.float32)
        if np.allclose(moved, centroids, atol=1e-5):
            break
        centroids = moved
    return centroids


def nearest(rows: Vectors, centroids: Vectors) -> Counts:
    """The number of each row's nearest centroid, shape (n,)."""
    found: Counts = np.argmax(rows @ centroids.T, axis=1).astype(np.int64)
    return found


def histogram(rows: Vectors, centroids: Vectors) -> Counts:
    """How many rows each centroid has, shape (k,)."""
    return np.bincount(nearest(rows, centroids), minlength=len(centroids)).astype(np.int64)


def chi_square(one: Counts, other: Counts) -> float:
    """The two-sample chi-square statistic of two histograms (k,); about k - 1 where both are of one distribution."""
    n, m = int(one.sum()), int(other.sum())
    together = one + other
    filled = together > 0
    if not n or not m:
        return 0.0
    difference = (m / n) ** 0.5 * one[filled] - (n / m) ** 0.5 * other[filled]
    return float((difference**2 / together[filled]).sum())


def distances(rows: Vectors, reference: Vectors) -> npt.NDArray[np.float32]:
    """The cosine distance of each row to its nearest reference row, shape (n,), float32; 2 without a reference."""
    found = np.full(len(rows), -1.0, np.float32)
    for start in range(0, len(reference), _SLICE_ROWS):
        similar = rows @ reference[start : start + _SLICE_ROWS].T
        np.maximum(found, similar.max(axis=1, initial=-1.0), out=found)
    return (1 - found).astype(np.float32)


def _seeded(rows: Vectors, k: int, random: np.random.Generator) -> Vectors:
    """k-means++: each further centroid is drawn in proportion to its squared distance from those chosen."""
    chosen = [int(random.integers(len(rows)))]
    away = np.maximum(1 - rows @ rows[chosen[0]], 0.0).astype(np.float64)
    while len(chosen) < k and away.sum() > 1e-9:
        chosen.append(int(random.choice(len(rows), p=away / away.sum())))
        away = np.minimum(away, np.maximum(1 - rows @ rows[chosen[-1]], 0.0))
    return rows[chosen].copy()
