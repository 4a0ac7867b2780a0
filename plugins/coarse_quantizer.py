"""Fits the index's lists anew: spherical k-means over stored vectors, so that new topics are found again."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ragd.hooks.api import (
    Artifact,
    Data,
    Needs,
    Role,
    Run,
    TooFewExamples,
    Trainer,
    TrainingFailed,
    hookimpl,
    read_options,
    save_tensors,
)

Floats = npt.NDArray[np.float32]
_LEAST_ROWS_PER_LIST = 39
_BLOCK_ROWS = 4096


@dataclass(frozen=True, slots=True)
class QuantizerOptions:
    """What `[trainers.coarse_quantizer.options]` may hold.

    `lists` 0 takes the power of two nearest 2 * sqrt(chunks): 512 for 100,000, 2048 for 1,000,000. At most
    `rows_per_list` vectors a list are looked at. `iterations` at most; it ends earlier when no vector changes its list.
    """

    lists: int = 0
    rows_per_list: int = 64
    iterations: int = 12

    def __post_init__(self) -> None:
        if self.lists < 0 or self.iterations < 1 or self.rows_per_list < _LEAST_ROWS_PER_LIST:
            raise ValueError(
                f"lists is at least 0, iterations at least 1, rows_per_list at least {_LEAST_ROWS_PER_LIST}"
            )


class CoarseQuantizer:
    """Centroids for an inverted file, from its own vectors: nothing is embedded again.

    The loss that is reported is 1 minus the mean cosine of a vector to its centroid. A list that lost all its vectors
    takes over the one that its centroid fits worst.
    """

    name = "coarse_quantizer"
    role = Role.INDEX
    needs = Needs(Data.VECTORS, least=1000)
    cost_s = 0.1

    def train(self, run: Run) -> Artifact:
        """Fits and writes the centroids. Raises TrainingFailed or TooFewExamples."""
        options = read_options(run.settings, QuantizerOptions)
        stored = run.data.vectors
        lists = options.lists or lists_for(len(stored))
        if len(stored) < lists or not len(stored):
            raise TooFewExamples(
                f"{lists} lists need at least as many vectors, and there are {len(stored)}",
                hint="lower the option lists, or set it to 0",
            )
        rows = _sample(stored, lists * options.rows_per_list, run.seed)
        centroids, cosine, sizes = _fitted(run, rows, lists, options.iterations)
        folder = run.folder / "artifact"
        save_tensors(folder / "centroids.safetensors", centroids=centroids)
        facts = {
            "lists": lists,
            "rows": len(rows),
            "mean_cosine": cosine,
            "largest_list_share": float(sizes.max() / sizes.sum()),
            "trainable_weights": int(centroids.size),
        }
        return Artifact(folder, facts)


def lists_for(chunks: int) -> int:
    """How many lists suit this many chunks: the power of two nearest 2 * sqrt(chunks), none under 39 rows."""
    if chunks < 2 * _LEAST_ROWS_PER_LIST:
        return 1
    supported = math.floor(math.log2(chunks / _LEAST_ROWS_PER_LIST))
    return 1 << int(min(round(1 + math.log2(chunks) / 2), supported))


def _fitted(run: Run, rows: Floats, lists: int, iterations: int) -> tuple[Floats, float, npt.NDArray[np.int64]]:
    """The centroids of unit length, the mean cosine to them, and how many rows each has."""
    done, centroids, before = _restored(run, rows, lists)
    cosine, sizes = 0.0, np.ones(lists, np.int64)
    for iteration in range(done, iterations):
        assigned, cosines = _assign(run, rows, centroids)
        cosine, sizes = float(cosines.mean()), np.bincount(assigned, minlength=lists)
        run.progress(iteration + 1, iterations, loss=max(0.0, 1.0 - cosine))
        if before is not None and np.array_equal(assigned, before):
            break
        centroids, before = _moved(rows, assigned, cosines, lists), assigned
        _save(run, iteration + 1, centroids)
    else:
        assigned, cosines = _assign(run, rows, centroids)
        cosine, sizes = float(cosines.mean()), np.bincount(assigned, minlength=lists)
    run.progress(iterations, iterations, loss=max(0.0, 1.0 - cosine))
    return centroids, cosine, sizes


def _assign(run: Run, rows: Floats, centroids: Floats) -> tuple[npt.NDArray[np.int64], Floats]:
    """The nearest centroid of each row, and the cosine to it."""
    assigned = np.empty(len(rows), np.int64)
    cosines = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _BLOCK_ROWS):
        if run.is_stopping:
            raise TrainingFailed("stopped when asked", hint="resume the run to go on")
        products = rows[start : start + _BLOCK_ROWS] @ centroids.T
        best = products.argmax(axis=1)
        assigned[start : start + _BLOCK_ROWS] = best
        cosines[start : start + _BLOCK_ROWS] = products[np.arange(len(best)), best]
    return assigned, cosines


def _moved(rows: Floats, assigned: npt.NDArray[np.int64], cosines: Floats, lists: int) -> Floats:
    """Each centroid in the middle of its rows; those without take the rows that fit worst."""
    order = np.argsort(assigned, kind="stable")
    here, first = np.unique(assigned[order], return_index=True)
    centroids = np.zeros((lists, rows.shape[1]), np.float32)
    centroids[here] = np.add.reduceat(rows[order], first, axis=0)
    empty = np.setdiff1d(np.arange(lists), here)
    if empty.size:
        worst = np.argsort(cosines, kind="stable")
        _, of_lists = np.unique(assigned[worst], return_index=True)  # one row a list: equal rows would stay together
        centroids[empty] = rows[np.resize(worst[np.sort(of_lists)], empty.size)]
    return _unit(centroids)


def _sample(stored: npt.NDArray[np.float16], most: int, seed: int) -> Floats:
    chosen: npt.NDArray[np.int64] = np.arange(len(stored))
    if len(stored) > most:
        chosen = np.sort(np.random.default_rng(seed).choice(len(stored), most, replace=False))
    return _unit(np.asarray(stored[chosen], dtype=np.float32))


def _unit(rows: Floats) -> Floats:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(length, 1e-12), dtype=np.float32)


def _save(run: Run, done: int, centroids: Floats) -> None:
    """The state after an iteration: small enough to write each time; the JSON file last."""
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    save_tensors(run.checkpoints / f"{done}.safetensors", centroids=centroids)
    part = run.checkpoints / "state.part"
    part.write_text(json.dumps({"done": done, "seed": run.seed}), "utf-8")
    part.replace(run.checkpoints / "state.json")
    (run.checkpoints / f"{done - 1}.safetensors").unlink(missing_ok=True)


def _restored(run: Run, rows: Floats, lists: int) -> tuple[int, Floats, None]:
    """Iterations done and their centroids; distinct rows for a start."""
    from safetensors.numpy import load_file

    try:
        state = json.loads((run.checkpoints / "state.json").read_text("utf-8"))
        centroids = load_file(run.checkpoints / f"{state['done']}.safetensors")["centroids"]
        if state["seed"] == run.seed and centroids.shape == (lists, rows.shape[1]):
            return int(state["done"]), np.asarray(centroids, np.float32), None
    except (OSError, ValueError, KeyError):
        pass
    start = np.random.default_rng(run.seed).choice(len(rows), lists, replace=False)
    return 0, rows[start].copy(), None


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer of the index's lists."""
    return [CoarseQuantizer()]
