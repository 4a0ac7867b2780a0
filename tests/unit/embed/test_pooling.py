"""Pooling sees the tokens of a text and never its padding."""

from __future__ import annotations

import numpy as np
import pytest

from ragd.embed.pooling import MODES, pool, unit

HIDDEN = np.array([[[1, 5], [3, 1], [9, 9]], [[2, 2], [4, 6], [6, 1]]], dtype=np.float32)
MASK = np.array([[1, 1, 0], [1, 1, 1]], dtype=np.int64)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mean", [[2, 3], [4, 3]]),
        ("cls", [[1, 5], [2, 2]]),
        ("max", [[3, 5], [6, 6]]),
        ("lasttoken", [[3, 1], [6, 1]]),
    ],
)
def test_each_mode_pools_as_its_name_says(mode: str, expected: list[list[float]]) -> None:
    assert np.allclose(pool(HIDDEN, MASK, mode), expected)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_what_stands_in_the_padding_does_not_matter(mode: str) -> None:
    other = HIDDEN.copy()
    other[0, 2] = -77
    assert np.array_equal(pool(HIDDEN, MASK, mode), pool(other, MASK, mode))


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="weightedmean"):
        pool(HIDDEN, MASK, "weightedmean")


def test_rows_get_length_one_and_zeros_stay_zeros() -> None:
    rows = unit(np.array([[3, 4], [0, 0]], dtype=np.float32))
    assert rows.dtype == np.float32
    assert np.allclose(rows, np.array([[0.6, 0.8], [0, 0]]))
