"""Unit vectors as text has them, for tests of drift: topics in few dimensions, and noise in all."""

from __future__ import annotations

import numpy as np

from ragd.domain.index import Vectors

DIMENSION = 64


def topical(rows: int, *, seed: int, far: bool = False, topics: int = 12) -> Vectors:
    """Rows of some topics, shape (rows, DIMENSION); `far` ones share no topic with the others."""
    world = np.random.default_rng(99 if far else 7)
    axes = world.standard_normal((topics, DIMENSION))
    random = np.random.default_rng(seed)
    vectors = axes[random.integers(topics, size=rows)] + 0.6 * random.standard_normal((rows, DIMENSION))
    found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def mixed(rows: int, share: float, *, seed: int) -> Vectors:
    """Rows of which this share is far, at random places."""
    found = topical(rows, seed=seed)
    places = np.random.default_rng(seed).choice(rows, round(share * rows), replace=False)
    found[places] = topical(len(places), seed=seed, far=True)
    return found
