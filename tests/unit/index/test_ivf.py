from __future__ import annotations

import numpy as np
import pytest

from ragd.domain.index import IndexPolicy, Vectors
from ragd.index.ivf import IvfIndex
from ragd.index.policy import needs_refit

DIMENSION = 24


def topics(rows: int, seed: int, centres: int = 40) -> Vectors:
    """Unit vectors around topic centres that the seed chooses: another seed, other topics."""
    rng = np.random.default_rng(seed)
    middle = rng.standard_normal((centres, DIMENSION))
    vectors = middle[rng.integers(centres, size=rows)] + 0.4 * rng.standard_normal((rows, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors, np.float32)


def filled(vectors: Vectors, policy: IndexPolicy) -> IvfIndex:
    index = IvfIndex(DIMENSION)
    index.fit(vectors, policy)
    index.fill(np.arange(len(vectors)), vectors)
    index.mark_fitted()
    return index


def test_rows_before_a_fit_are_a_mistake() -> None:
    with pytest.raises(RuntimeError, match="fitted before"):
        IvfIndex(DIMENSION).upsert(np.arange(1), topics(1, seed=0))


def test_a_fit_needs_a_vector() -> None:
    with pytest.raises(ValueError, match="at least one"):
        IvfIndex(DIMENSION).fit(np.empty((0, DIMENSION), np.float32), IndexPolicy())


def test_inserts_like_the_fitted_rows_keep_the_centroid_cosine() -> None:
    vectors = topics(6_000, seed=1)
    index = filled(vectors[:5_000], IndexPolicy())
    assert index.facts().centroid_cosine is None
    index.upsert(np.arange(5_000, 6_000), vectors[5_000:])
    ratio = index.facts().centroid_cosine
    assert ratio is not None
    assert ratio > 0.93
    assert not needs_refit(index.fit_facts, len(index))


def test_inserts_of_new_topics_show_in_the_centroid_cosine_and_a_fit_cures_it() -> None:
    policy = IndexPolicy(nprobe=4)
    index = filled(topics(5_000, seed=1), policy)
    new = topics(500, seed=2)
    index.upsert(np.arange(5_000, 5_500), new)
    ratio = index.facts().centroid_cosine
    assert ratio is not None
    assert ratio < 0.85
    assert needs_refit(index.fit_facts, len(index))
    again = filled(np.concatenate([topics(5_000, seed=1), new]), policy)
    assert again.ann_recall(new[:100]) > index.ann_recall(new[:100])
    assert not needs_refit(again.fit_facts, len(again))


def test_looking_at_every_list_is_exact() -> None:
    vectors = topics(3_000, seed=3)
    index = filled(vectors, IndexPolicy(nprobe=4096))
    assert index.ann_recall(topics(50, seed=4)) == 1.0


def test_a_narrow_filter_finds_rows_that_lie_far_from_the_query() -> None:
    vectors = topics(5_000, seed=5)
    index = filled(vectors, IndexPolicy(nprobe=1))
    allowed = np.random.default_rng(0).choice(5_000, 20, replace=False)
    found = index.search(vectors[:1], 20, allowed=allowed)[1]
    assert sorted(found[0].tolist()) == sorted(allowed.tolist())


def test_a_fit_to_a_sample_makes_lists_for_all_the_rows_to_come() -> None:
    vectors = topics(4_000, seed=6)
    index = IvfIndex(DIMENSION)
    index.fit(vectors, IndexPolicy(), chunks=100_000)
    assert index.facts().lists == 512
    assert len(index) == 0
