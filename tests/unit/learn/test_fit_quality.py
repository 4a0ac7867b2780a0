"""Centroids that suit the rows lead to their neighbours; those of another time do not."""

from __future__ import annotations

import numpy as np

from ragd.learn.fit_quality import asked_rows, fit_quality, true_neighbours


def clustered(count: int, centres: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    heads = random.normal(size=(centres, 32))
    heads /= np.linalg.norm(heads, axis=1, keepdims=True)
    rows = heads[random.integers(0, centres, count)] + 0.15 * random.normal(size=(count, 32))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return heads.astype(np.float32), rows.astype(np.float16)


def test_fitting_centroids_find_more_than_those_of_another_topic() -> None:
    heads, rows = clustered(3000, 40, 0)
    other, _ = clustered(10, 40, 1)
    asked = asked_rows(np.arange(3000), 100, seed=0)
    truth = true_neighbours(rows, asked)
    good = fit_quality(heads, rows, asked, truth, nprobe=2)
    bad = fit_quality(other, rows, asked, truth, nprobe=2)
    assert np.mean(good.recall) > 0.95
    assert np.mean(bad.recall) < np.mean(good.recall) - 0.1
    assert good.rows_compared < 600
    every = fit_quality(heads, rows, asked, truth, nprobe=40)
    assert np.mean(every.recall) == 1.0


def test_half_of_what_is_asked_is_new() -> None:
    ids = np.random.default_rng(0).permutation(2000).astype(np.int64)
    asked = asked_rows(ids, 200, seed=1)
    assert len(asked) == len(set(asked.tolist())) <= 200
    assert sum(ids[asked] >= 1800) > 60


def test_few_rows_are_asked_all() -> None:
    assert set(asked_rows(np.arange(5), 100, seed=0).tolist()) == set(range(5))
