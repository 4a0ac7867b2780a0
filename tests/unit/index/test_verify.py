from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ragd.domain.index import EmbeddingSpace, IndexPolicy, Vectors
from ragd.index.generation import Generation
from ragd.index.restore import rebuild
from ragd.index.verify import repair, verify

DIMENSION = 16
NOTHING = np.empty(0, np.int64)
ONE = 1


def unit(rows: int, seed: int) -> Vectors:
    vectors: Vectors = np.random.default_rng(seed).standard_normal((rows, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@pytest.fixture(params=[10_000, 100], ids=["exact", "ivf"])
def generation(request: pytest.FixtureRequest, space: EmbeddingSpace, source: Any) -> Generation:
    source.commit(range(500), unit(500, seed=1))
    return rebuild(space, source, ONE, IndexPolicy(ivf_above=request.param, exact_below=50))


def test_an_index_equal_to_its_catalog_is_clean(generation: Generation, source: Any) -> None:
    report = verify(generation, source, ONE, sample=None)
    assert report.is_clean
    assert (report.catalog_chunks, report.index_chunks) == (500, 500)
    assert report.seconds >= 0


def test_missing_ghost_and_differing_rows_are_named_and_mended(generation: Generation, source: Any) -> None:
    generation.apply(np.array([7, 900, 901]), unit(3, seed=2), np.array([1, 2]))
    report = verify(generation, source, ONE, sample=None)
    assert (report.missing, report.ghosts, report.differing) == ((1, 2), (900, 901), (7,))
    assert not report.is_clean
    assert repair(generation, source, ONE, report) == 5
    assert verify(generation, source, ONE, sample=None).is_clean
    assert np.allclose(generation.vectors(np.array([7])), source.rows[7], atol=1e-3)


def test_a_sample_compares_some_vectors_and_every_id(generation: Generation, source: Any) -> None:
    generation.apply(np.arange(0, 500), unit(500, seed=2), np.array([499]))
    report = verify(generation, source, ONE, sample=20)
    assert len(report.differing) == 20
    assert report.missing == (499,)
    assert report.differing != verify(generation, source, ONE, sample=20, seed=1).differing


def test_one_unit_of_rounding_is_no_difference_and_two_are(generation: Generation, source: Any) -> None:
    vector = source.rows[3]
    source.rows[3] = np.nextafter(vector, np.float16(2))
    assert verify(generation, source, ONE, sample=None).is_clean
    source.rows[3] = np.nextafter(np.nextafter(np.nextafter(vector, np.float16(2)), np.float16(2)), np.float16(2))
    assert verify(generation, source, ONE, sample=None).differing == (3,)


def test_a_report_that_grew_old_does_no_harm(generation: Generation, source: Any) -> None:
    generation.apply(NOTHING, unit(0, seed=0), np.array([1, 2]))
    report = verify(generation, source, ONE)
    source.commit([], unit(0, seed=0), remove=[1])
    generation.apply(np.array([2]), np.asarray(source.rows[2], np.float32)[None], NOTHING)
    repair(generation, source, ONE, report)
    assert verify(generation, source, ONE, sample=None).is_clean


def test_an_empty_catalog_empties_the_index(generation: Generation, source: Any) -> None:
    source.commit([], unit(0, seed=0), remove=range(500))
    repair(generation, source, ONE, verify(generation, source, ONE))
    assert len(generation) == 0
    assert verify(generation, source, ONE).is_clean
