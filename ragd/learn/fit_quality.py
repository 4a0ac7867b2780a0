"""How well centroids lead to the true neighbours: the ann_recall that an inverted file with them would have."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from ragd.domain.index import HalfVectors, Ids, Vectors

_BLOCK_ROWS = 8192


@dataclass(frozen=True, slots=True)
class FitQuality:
    """For each asked row the share of its true neighbours that are found; mean rows compared; median time (ms)."""

    recall: tuple[float, ...]
    rows_compared: float
    query_ms: float


def asked_rows(chunk_ids: Ids, count: int, *, seed: int) -> Ids:
    """Rows to ask with: half among the newest tenth (the largest ids), where lists fit worst, half among all."""
    random = np.random.default_rng(seed)
    order = np.argsort(chunk_ids, kind="stable")
    newest = order[-max(1, len(order) // 10) :]
    chosen = [
        random.choice(newest, min(count // 2, len(newest)), replace=False),
        random.choice(len(order), min(count, len(order)), replace=False),
    ]
    return np.unique(np.concatenate(chosen))[:count].astype(np.int64)


def true_neighbours(vectors: HalfVectors, asked: Ids, k: int = 10) -> list[Ids]:
    """The k rows nearest to each asked row by inner product, itself left out, found by comparing with all."""
    rows = np.asarray(vectors, np.float32)
    found: list[Ids] = []
    for at in asked.tolist():
        scores = rows @ rows[at]
        scores[at] = -np.inf
        found.append(_best(scores, k))
    return found


def fit_quality(
    centroids: Vectors, vectors: HalfVectors, asked: Ids, truth: list[Ids], nprobe: int, k: int = 10
) -> FitQuality:
    """Puts `vectors` (n, dimension) into the lists of `centroids` (lists, dimension) and asks with some of its rows."""
    rows = np.asarray(vectors, np.float32)
    heads = np.asarray(centroids, np.float32)
    lists = np.concatenate(
        [np.argmax(rows[at : at + _BLOCK_ROWS] @ heads.T, axis=1) for at in range(0, len(rows), _BLOCK_ROWS)]
    )
    members = np.split(np.argsort(lists, kind="stable"), np.cumsum(np.bincount(lists, minlength=len(heads)))[:-1])
    recall: list[float] = []
    compared: list[int] = []
    took: list[float] = []
    for at, expected in zip(asked.tolist(), truth, strict=True):
        begun = time.perf_counter()
        probed = _best(heads @ rows[at], nprobe)
        candidates = np.concatenate([members[number] for number in probed])
        candidates = candidates[candidates != at]
        answer = candidates[_best(rows[candidates] @ rows[at], k)]
        took.append((time.perf_counter() - begun) * 1000)
        recall.append(len(np.intersect1d(answer, expected)) / len(expected) if len(expected) else 1.0)
        compared.append(len(candidates))
    return FitQuality(tuple(recall), float(np.mean(compared)), float(np.median(took)))


def _best(scores: Vectors, k: int) -> Ids:
    k = min(k, len(scores))
    if not k:
        return np.empty(0, np.int64)
    return np.asarray(np.argpartition(-scores, k - 1)[:k], np.int64)
