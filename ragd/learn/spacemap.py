"""A map from a new embedding space into the old one, fitted on chunks that have a vector in both.

While a new space's generation fills, new queries are mapped and searched among old vectors (Drift-Adapter, arXiv
2509.23471). Four kinds are fitted, and what agrees best with the new space on chunks set aside is taken. One of them is
not fitted on chunks as if they were queries, but so that every chunk's score is what its new vector would give it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ragd.domain.index import HalfVectors, Ids, Vectors

LEAST_CHUNKS: Final = 20
_SET_ASIDE: Final = 0.2
_MOST_ASKED: Final = 400
_RIDGES: Final = (1e-3, 1e-2, 1e-1, 1.0)
_SCORE_RIDGES: Final = (1e-5, 1e-4, 1e-3, 1e-2)
_RANK_PARTS: Final = (1.0, 0.5, 0.25)
_HIDDEN: Final = 256
_STEPS, _BATCH, _RATE, _LOOK_EVERY = 400, 256, 1e-3, 50

Tensors = Mapping[str, Vectors]
Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SpaceMap:
    """A fitted map in the form of a query transform (`affine` or `mlp`), which also brings to unit length.

    `agreement` is the mean share of the ten nearest chunks that a mapped vector finds among old vectors and its
    original among new ones, on chunks that were set aside; `tried` the same for every kind.
    """

    kind: str
    form: str
    tensors: Tensors
    agreement: float
    tried: Mapping[str, float]
    chunks: int


def fit_map(new: Vectors | HalfVectors, old: Vectors | HalfVectors, *, seed: int) -> SpaceMap:
    """The best map from `new` (s, n) to `old` (s, m): the same chunks in both spaces, unit vectors.

    Raises ValueError for fewer than twenty chunks.
    """
    if len(new) != len(old) or len(new) < LEAST_CHUNKS:
        raise ValueError(f"a map is fitted on at least {LEAST_CHUNKS} chunks, {len(new)} are there")
    x, y = np.asarray(new, np.float32), np.asarray(old, np.float32)
    order = np.random.default_rng(seed).permutation(len(x))
    aside = order[: max(4, int(len(x) * _SET_ASIDE))]
    used = order[len(aside) :]
    candidates = {"identity": _identity(x, y), "procrustes": procrustes(x[used], y[used])}
    candidates |= {f"low-rank affine {r}": t for r, t in affines(x[used], y[used]).items()}
    candidates |= {f"scores {ridge:g}": scoring(x[used], y[used], ridge) for ridge in _SCORE_RIDGES}
    candidates["mlp"] = residual_mlp(x[used], y[used], seed=seed)
    tried = {
        name: agreement(apply(tensors, x[aside]), x[aside], y, x, aside)
        for name, tensors in candidates.items()
        if tensors
    }
    best = max(tried, key=lambda name: (round(tried[name], 3), name != "mlp"))
    form = "mlp" if best == "mlp" else "affine"
    return SpaceMap(best, form, candidates[best], tried[best], tried, len(x))


def procrustes(x: Matrix, y: Matrix) -> Tensors:
    """The map with orthonormal rows or columns nearest to taking x (s, n) to y (s, m) (Schönemann 1966)."""
    left, _, right = np.linalg.svd(y.T @ x, full_matrices=False)
    return {"weight": np.asarray(left @ right, np.float32), "bias": np.zeros(y.shape[1], np.float32)}


def scoring(x: Matrix, y: Matrix, ridge: float) -> Tensors:
    """The linear map W (m, n) under which y W, asked by any query, gives the scores that x gives: ridge regression of
    the new vectors x (s, n) on the old ones y (s, m), since score(W q, y) = q · (y W)."""
    gram = y.T.astype(np.float64) @ y
    gram[np.diag_indices_from(gram)] += ridge * max(float(np.trace(gram)) / len(gram), 1e-12)
    weight = np.linalg.solve(gram, y.T.astype(np.float64) @ x)
    return {"weight": np.asarray(weight, np.float32), "bias": np.zeros(y.shape[1], np.float32)}


def affines(x: Matrix, y: Matrix) -> dict[int, Tensors]:
    """Ridge regressions of y (s, m) on x (s, n), by rank: the whole one, and its best approximations of lower rank.

    The ridge is chosen on a part of the rows; lower ranks keep the leading directions of the fitted values (reduced
    rank regression, Izenman 1975).
    """
    cut = max(1, len(x) // 5)
    ridge = min(_RIDGES, key=lambda value: _distance(_ridge(x[cut:], y[cut:], value), x[:cut], y[:cut]))
    whole = _ridge(x, y, ridge)
    fitted = (x - x.mean(axis=0)) @ whole["weight"].T
    _, _, directions = np.linalg.svd(fitted, full_matrices=False)
    found: dict[int, Tensors] = {}
    for part in _RANK_PARTS:
        rank = max(1, int(min(len(directions), y.shape[1]) * part))
        basis = directions[:rank]
        weight = whole["weight"] if part == 1.0 else (basis.T @ basis) @ whole["weight"]
        bias = y.mean(axis=0) - weight @ x.mean(axis=0)
        found[rank] = {"weight": np.asarray(weight, np.float32), "bias": np.asarray(bias, np.float32)}
    return found


def residual_mlp(x: Matrix, y: Matrix, *, seed: int) -> Tensors:
    """A linear map with a small network beside it, which begins as the linear map alone and learns the rest.

    Adam on the squared distance to y (s, m); the weights are those that were best on a part that neither saw.
    """
    random = np.random.default_rng(seed)
    cut = max(1, len(x) // 10)
    starts = [procrustes(x[cut:], y[cut:]), *affines(x[cut:], y[cut:]).values()]
    linear = min(starts, key=lambda tensors: _distance(tensors, x[:cut], y[:cut]))
    n, m = x.shape[1], y.shape[1]
    hidden = min(_HIDDEN, max(8, len(x) // 4))
    weights: dict[str, Matrix] = {
        "hidden": (random.normal(0, 1, (hidden, n)) * np.sqrt(2 / n)).astype(np.float32),
        "hidden_bias": np.zeros(hidden, np.float32),
        "out": np.zeros((m, hidden), np.float32),
        "out_bias": linear["bias"].copy(),
        "skip": linear["weight"].copy(),
    }
    adam = _Adam(weights)
    best, best_at = {name: array.copy() for name, array in weights.items()}, _distance(weights, x[:cut], y[:cut])
    for step in range(1, _STEPS + 1):
        rows = random.integers(cut, len(x), min(_BATCH, len(x) - cut))
        adam.step(weights, _gradients(weights, x[rows], y[rows]), _RATE * (1 - step / (_STEPS + 1)))
        if step % _LOOK_EVERY == 0 and (distance := _distance(weights, x[:cut], y[:cut])) < best_at:
            best, best_at = {name: array.copy() for name, array in weights.items()}, distance
    return best


def apply(tensors: Tensors, vectors: Vectors) -> Vectors:
    """The mapped vectors, (s, m), unit length: what a query transform of these tensors gives."""
    mapped = _linear(tensors, np.asarray(vectors, np.float32))
    norms = np.linalg.norm(mapped, axis=1, keepdims=True)
    return np.asarray(mapped / np.maximum(norms, 1e-12), np.float32)


def agreement(
    mapped: Vectors,
    queries: Vectors,
    old: Vectors | HalfVectors,
    new: Vectors | HalfVectors,
    itself: Ids | None = None,
    k: int = 10,
) -> float:
    """The mean share of the k rows of `new` (s, n) nearest to each of `queries` (q, n) that are also among the k rows
    of `old` (s, m) nearest to `mapped` (q, m). `itself` (q,) are rows that are the query, and do not count."""
    count = min(len(queries), _MOST_ASKED)
    k = min(k, len(new) - 1)
    if k < 1 or not count:
        return 0.0
    found = _nearest(mapped[:count], old, itself, k)
    truth = _nearest(queries[:count], new, itself, k)
    shared = [len(np.intersect1d(one, other, assume_unique=True)) for one, other in zip(found, truth, strict=True)]
    return float(np.mean(shared)) / k


def _nearest(queries: Vectors, rows: Vectors | HalfVectors, itself: Ids | None, k: int) -> Ids:
    scores = np.asarray(queries, np.float32) @ np.asarray(rows, np.float32).T
    if itself is not None:
        scores[np.arange(len(queries)), itself[: len(queries)]] = -np.inf
    return np.asarray(np.argpartition(-scores, k - 1, axis=1)[:, :k], np.int64)


def _identity(x: Matrix, y: Matrix) -> Tensors:
    """No map at all, where both spaces have one dimension: what a gentle training needs."""
    n, m = x.shape[1], y.shape[1]
    return {"weight": np.eye(n, dtype=np.float32), "bias": np.zeros(n, np.float32)} if n == m else {}


def _ridge(x: Matrix, y: Matrix, ridge: float) -> Tensors:
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    centred = (x - mean_x).astype(np.float64)
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += ridge * max(float(np.trace(gram)) / len(gram), 1e-12)
    weight = np.linalg.solve(gram, centred.T @ (y - mean_y)).T
    return {"weight": np.asarray(weight, np.float32), "bias": np.asarray(mean_y - weight @ mean_x, np.float32)}


def _linear(tensors: Tensors, x: Matrix) -> Matrix:
    if "weight" in tensors:
        return np.asarray(x @ tensors["weight"].T + tensors["bias"], np.float32)
    hidden = np.maximum(x @ tensors["hidden"].T + tensors["hidden_bias"], 0.0)
    return np.asarray(x @ tensors["skip"].T + hidden @ tensors["out"].T + tensors["out_bias"], np.float32)


def _distance(tensors: Tensors, x: Matrix, y: Matrix) -> float:
    """Mean of one minus the cosine."""
    return float(1 - (apply(tensors, x) * y).sum(axis=1).mean())


def _gradients(weights: Mapping[str, Matrix], x: Matrix, y: Matrix) -> dict[str, Matrix]:
    before = x @ weights["hidden"].T + weights["hidden_bias"]
    hidden = np.maximum(before, 0.0)
    error = (x @ weights["skip"].T + hidden @ weights["out"].T + weights["out_bias"] - y) * (2 / len(x))
    back = (error @ weights["out"]) * (before > 0)
    return {
        "out": error.T @ hidden,
        "out_bias": error.sum(axis=0),
        "skip": error.T @ x,
        "hidden": back.T @ x,
        "hidden_bias": back.sum(axis=0),
    }


class _Adam:
    """Adam with its usual constants (Kingma and Ba 2015)."""

    def __init__(self, weights: Mapping[str, Matrix]) -> None:
        self._first = {name: np.zeros_like(array) for name, array in weights.items()}
        self._second = {name: np.zeros_like(array) for name, array in weights.items()}
        self._steps = 0

    def step(self, weights: Mapping[str, Matrix], gradients: Mapping[str, Any], rate: float) -> None:
        """Changes the weights in place."""
        self._steps += 1
        for name, gradient in gradients.items():
            first, second = self._first[name], self._second[name]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            scale = np.sqrt(second / (1 - 0.999**self._steps)) + 1e-8
            weights[name] -= rate * (first / (1 - 0.9**self._steps)) / scale
