"""From the vectors of tokens to one unit vector a text, in numpy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ragd.domain.index import Vectors

MODES = frozenset({"mean", "cls", "max", "lasttoken"})


def pool(hidden: Vectors, mask: npt.NDArray[np.int64], mode: str) -> Vectors:
    """Token vectors (n, tokens, d) under a mask (n, tokens) of 0 and 1, padded on the right, to (n, d).

    `mode` is one of MODES. Raises ValueError for any other.
    """
    if mode == "cls":
        return np.asarray(hidden[:, 0])
    if mode == "lasttoken":
        return np.asarray(hidden[np.arange(len(hidden)), mask.sum(axis=1) - 1])
    if mode == "max":
        return np.asarray(np.where(mask[:, :, None] > 0, hidden, -np.inf).max(axis=1), dtype=np.float32)
    if mode == "mean":
        weights = mask.astype(np.float32)
        weights /= weights.sum(axis=1, keepdims=True)
        return np.asarray((weights[:, None, :] @ hidden)[:, 0], dtype=np.float32)
    raise ValueError(f"unknown pooling mode {mode}")


def unit(vectors: Vectors) -> Vectors:
    """The rows at length one, float32; a row of zeros stays as it is."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)
