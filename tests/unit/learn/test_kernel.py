from __future__ import annotations

import numpy as np
import pytest

from ragd.learn.kernel import mmd_p
from tests.unit.learn.topics import mixed, topical


def test_p_is_spread_evenly_where_nothing_differs() -> None:
    found = [mmd_p(topical(60, seed=s), topical(200, seed=1000 + s), block=5, seed=s) for s in range(60)]
    assert np.mean([p <= 0.1 for p in found]) <= 0.25
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_another_distribution_gets_the_least_p() -> None:
    p = mmd_p(mixed(100, 0.5, seed=1), topical(300, seed=2), block=5, seed=0, permutations=99)
    assert p == 1 / 100


def test_chunks_that_come_in_together_are_not_taken_for_drift() -> None:
    # Each document is twenty nearly equal rows: single rows are anything but exchangeable.
    def documents(seed: int, count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        rows = np.repeat(topical(count, seed=seed, topics=40), 20, axis=0)
        return (rows + 0.01 * np.random.default_rng(seed).standard_normal(rows.shape)).astype(np.float32)

    def alarms(block: int) -> float:
        found = [mmd_p(documents(s, 6), documents(500 + s, 12), block=block, seed=s) for s in range(20)]
        return float(np.mean([p <= 0.05 for p in found]))

    assert alarms(20) <= 0.15
    assert alarms(1) >= 0.8


def test_equal_arguments_give_equal_answers() -> None:
    one, other = topical(50, seed=1), topical(80, seed=2)
    assert mmd_p(one, other, block=5, seed=4) == mmd_p(one, other, block=5, seed=4)


def test_too_little_and_too_equal_samples_tell_nothing() -> None:
    rows = topical(100, seed=0)
    assert mmd_p(rows[:15], rows, block=5, seed=0) == 1.0
    assert mmd_p(np.repeat(rows[:1], 40, axis=0), np.repeat(rows[:1], 40, axis=0), block=5, seed=0) == 1.0
