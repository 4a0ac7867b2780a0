from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.digest import Digest, digest_of, row_hashes
from ragd.domain.index import HalfVectors, Ids

DIMENSION = 6  # not a multiple of four: the last word of a row is filled up


def rows(count: int, seed: int = 0, dimension: int = DIMENSION) -> tuple[Ids, HalfVectors]:
    ids = np.arange(1, count + 1, dtype=np.int64)
    return ids, np.random.default_rng(seed).standard_normal((count, dimension)).astype(np.float16)


def test_the_same_rows_give_the_same_number_for_ever() -> None:
    ids = np.array([1, 2, 2**40], np.int64)
    vectors = (np.arange(18).reshape(3, 6) / 8).astype(np.float16)
    # Kept in catalogs: a change of this number needs a new format of the state folder.
    assert digest_of(ids, vectors) == Digest(3, 842053576792747661)


def test_no_rows_have_the_empty_digest() -> None:
    assert digest_of(np.empty(0, np.int64), np.empty((0, 0), np.float16)) == Digest()
    assert digest_of(np.empty(0, np.int64), np.empty((0, 8), np.float16)) == Digest(0, 0)


@given(st.permutations(range(12)), st.integers(0, 12))
def test_order_does_not_matter_and_rows_come_and_go(order: list[int], cut: int) -> None:
    ids, vectors = rows(12)
    whole = digest_of(ids, vectors)
    first, second = order[:cut], order[cut:]
    parts = [digest_of(ids[part], vectors[part]) for part in (first, second)]
    assert parts[0].plus(parts[1]) == whole
    assert whole.minus(parts[0]) == parts[1]
    assert whole.minus(whole) == Digest()


@pytest.mark.parametrize("dimension", [1, 4, 6, 384])
def test_every_bit_of_a_vector_counts(dimension: int) -> None:
    ids, vectors = rows(1, dimension=dimension)
    before = digest_of(ids, vectors)
    bits = vectors.view(np.uint16)
    seen = {before.value}
    for at in range(dimension):
        for bit in range(16):
            bits[0, at] ^= np.uint16(1 << bit)
            seen.add(digest_of(ids, vectors).value)
            bits[0, at] ^= np.uint16(1 << bit)
    assert len(seen) == 1 + dimension * 16
    assert digest_of(ids, vectors) == before


def test_two_rows_that_change_places_differ() -> None:
    ids, vectors = rows(2)
    assert digest_of(ids, vectors) != digest_of(ids, vectors[::-1])


def test_hashes_of_many_rows_do_not_meet() -> None:
    ids, _ = rows(50_000)
    alike = np.zeros((ids.size, 8), np.float16)
    assert np.unique(row_hashes(ids, alike)).size == ids.size


def test_a_sum_wraps_and_comes_back() -> None:
    most = Digest(1, 2**64 - 1)
    assert most.plus(Digest(1, 1)) == Digest(2, 0)
    assert Digest(2, 0).minus(most) == Digest(1, 1)
