from __future__ import annotations

import numpy as np
import pytest

from ragd.learn.clusters import chi_square, distances, fitted, histogram, nearest
from tests.unit.learn.topics import topical


def test_clusters_find_the_topics() -> None:
    rows = topical(600, seed=1, topics=4)
    centroids = fitted(rows, 4, seed=0)
    assert np.allclose(np.linalg.norm(centroids, axis=1), 1, atol=1e-5)
    assert (rows @ centroids.T).max(axis=1).mean() > 0.75


def test_equal_arguments_give_equal_clusters() -> None:
    rows = topical(200, seed=1)
    assert np.array_equal(fitted(rows, 8, seed=3), fitted(rows, 8, seed=3))


def test_equal_rows_make_one_cluster() -> None:
    rows = np.repeat(topical(1, seed=0), 10, axis=0)
    assert len(fitted(rows, 4, seed=0)) == 1


def test_there_are_never_more_clusters_than_rows() -> None:
    assert len(fitted(topical(3, seed=0), 16, seed=0)) == 3


def test_a_histogram_counts_every_row_once() -> None:
    rows = topical(300, seed=2)
    centroids = fitted(rows, 6, seed=0)
    counts = histogram(rows, centroids)
    assert counts.sum() == 300
    assert counts[0] == (nearest(rows, centroids) == 0).sum()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [([10, 10], [10, 10], 0.0), ([10, 0], [0, 10], 20.0), ([5, 5], [50, 50], 0.0), ([0, 0], [3, 4], 0.0)],
)
def test_chi_square_is_nought_for_equal_shares(one: list[int], other: list[int], expected: float) -> None:
    assert chi_square(np.array(one, np.int64), np.array(other, np.int64)) == pytest.approx(expected)


def test_chi_square_is_about_its_degrees_of_freedom_where_nothing_differs() -> None:
    random = np.random.default_rng(0)
    shares = np.full(10, 0.1)
    found = [chi_square(random.multinomial(200, shares), random.multinomial(2000, shares)) for _ in range(300)]
    assert np.mean(found) == pytest.approx(9, abs=0.8)


def test_distances_are_to_the_nearest_row_and_largest_without_any() -> None:
    rows = topical(5, seed=0)
    assert np.allclose(distances(rows, rows[::-1]), 0, atol=1e-5)
    assert np.array_equal(distances(rows, rows[:0]), np.full(5, 2, np.float32))
