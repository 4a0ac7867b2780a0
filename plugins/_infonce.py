"""InfoNCE in numpy: a linear residual on query vectors, learned step by step against frozen document vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ._ranking_task import Floats, Pool, Rows, Task

Weights = Mapping[str, Floats]
_BETAS = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Setting:
    """One way to train: `rank` 0 is a full matrix; `steps` in all, over which the learning rate falls to zero."""

    temperature: float
    learning_rate: float
    weight_decay: float
    rank: int
    batch_size: int
    columns: int
    accumulate: int = 1


def initial(setting: Setting, dimension: int, seed: int) -> dict[str, Floats]:
    """Weights that change nothing yet: zero, or for low rank a random way down and a zero way up."""
    if not setting.rank:
        return {"weight": np.zeros((dimension, dimension), np.float32)}
    rank = min(setting.rank, dimension)
    down = np.random.default_rng(seed).normal(0.0, dimension**-0.5, (rank, dimension))
    return {"down": down.astype(np.float32), "up": np.zeros((dimension, rank), np.float32)}


def change(weights: Weights, queries: Floats) -> Floats:
    """What the residual adds to queries (n, dimension)."""
    if "weight" in weights:
        return np.asarray(queries @ weights["weight"].T)
    return np.asarray((queries @ weights["down"].T) @ weights["up"].T)


def turned(weights: Weights, queries: Floats, share: float = 1.0) -> Floats:
    """The queries with `share` of the change, brought to unit length."""
    found = queries + np.float32(share) * change(weights, queries)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / np.maximum(length, 1e-12), dtype=np.float32)


def gradients(
    weights: Weights, task: Task, members: Rows, pool: Pool, setting: Setting, draw: np.random.Generator
) -> tuple[float, dict[str, Floats]]:
    """The weighted loss of these queries and its gradients.

    A query's loss is the negative log of the share that its positives have in the softmax over the batch's
    positives, its hard negatives, and `columns` random rows; rows of its own documents that are not positives are
    left out. So the negatives of a batch are never a query's own answers. van den Oord et al. 2018, arXiv 1807.03748.
    """
    queries = task.queries[members]
    moved = queries + change(weights, queries)
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12)
    unit = moved / length
    columns, place = _columns(task, members, pool, setting.columns, draw)
    vectors = pool.vectors[columns]
    logits = unit @ vectors.T / np.float32(setting.temperature)
    logits[_cells(task.masked, members, place)] = -np.inf
    logits -= logits.max(axis=1, keepdims=True)
    shares = np.exp(logits)
    shares /= shares.sum(axis=1, keepdims=True)
    right = np.zeros_like(shares)
    cells = _cells(task.positives, members, place)
    right[cells] = shares[cells]
    mass = np.maximum(right.sum(axis=1, keepdims=True), 1e-20)
    weight = task.weights[members][:, None] / task.weights[members].sum()
    loss = float((-np.log(mass) * weight).sum())
    slope = (shares - right / mass) * (weight / np.float32(setting.temperature))
    by_unit = slope @ vectors
    by_moved = (by_unit - unit * (by_unit * unit).sum(axis=1, keepdims=True)) / length
    return loss, _by_weight(weights, queries, np.asarray(by_moved, np.float32))


class Adam:
    """Adam with decoupled weight decay over named arrays; its state is plain arrays, so that it can be saved."""

    def __init__(self, weights: Weights) -> None:
        self.moments = {
            f"{part}.{name}": np.zeros_like(array) for name, array in weights.items() for part in ("first", "second")
        }

    def step(
        self, weights: Weights, found: Weights, number: int, rate: float, weight_decay: float
    ) -> dict[str, Floats]:
        """The weights after step `number`, counted from 1."""
        after = {}
        for name, array in weights.items():
            first = self.moments[f"first.{name}"]
            second = self.moments[f"second.{name}"]
            first += (1 - _BETAS[0]) * (found[name] - first)
            second += (1 - _BETAS[1]) * (found[name] ** 2 - second)
            size = np.sqrt(second / (1 - _BETAS[1] ** number)) + 1e-8
            move = (first / (1 - _BETAS[0] ** number)) / size + weight_decay * array
            after[name] = np.asarray(array - rate * move, dtype=np.float32)
        return after


def order(size: int, batch_size: int, seed: Sequence[int]) -> list[Rows]:
    """The queries of an epoch in batches, in random order."""
    shuffled = np.random.default_rng(list(seed)).permutation(size)
    return [shuffled[start : start + batch_size] for start in range(0, size, batch_size)]


def _by_weight(weights: Weights, queries: Floats, by_moved: Floats) -> dict[str, Floats]:
    if "weight" in weights:
        return {"weight": by_moved.T @ queries}
    lower = queries @ weights["down"].T
    return {"up": by_moved.T @ lower, "down": (by_moved @ weights["up"]).T @ queries}


def _columns(task: Task, members: Rows, pool: Pool, columns: int, draw: np.random.Generator) -> tuple[Rows, Rows]:
    """The rows of the pool that this batch is ranked among, and for each row of the pool its column, or -1."""
    size = len(pool.vectors)
    place = np.full(size, -1, dtype=np.int64)
    if columns >= size:
        place[:] = np.arange(size)
        return place, place
    place[draw.choice(size, columns, replace=False)] = 0
    for i in members:
        place[task.positives[i]] = 0
        place[task.negatives[i]] = 0
    chosen = np.flatnonzero(place == 0)
    place[chosen] = np.arange(len(chosen))
    return chosen, place


def _cells(rows: tuple[Rows, ...], members: Rows, place: Rows) -> tuple[Rows, Rows]:
    """Where the given rows of each query stand in the batch's matrix; those that are no column are left out."""
    across = np.concatenate([place[rows[i]] for i in members])
    down = np.repeat(np.arange(len(members)), [len(rows[i]) for i in members])
    is_there = across >= 0
    return down[is_there], across[is_there]
