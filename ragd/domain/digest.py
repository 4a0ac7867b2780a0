"""A digest of rows that is kept up to date by adding and taking away, on both sides of a proof."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ragd.domain.index import HalfVectors, Ids

_SLICE_ROWS = 1024
_MODULUS = 1 << 64
_LANE_VALUES = 4  # float16 values in one 64-bit lane

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Digest:
    """How many rows there are, and the sum of their hashes modulo 2**64.

    A sum does not ask in which order rows came, so a change costs what it touches. Equal digests of two
    sides mean equal rows, ids and vectors bit by bit, unless two different sets collide (1 in 2**64).
    """

    rows: int = 0
    value: int = 0

    def plus(self, other: Digest) -> Digest:
        """With the rows of `other` as well."""
        return Digest(self.rows + other.rows, (self.value + other.value) % _MODULUS)

    def minus(self, other: Digest) -> Digest:
        """Without the rows of `other`, which are in it."""
        return Digest(self.rows - other.rows, (self.value - other.value) % _MODULUS)


def digest_of(ids: Ids, vectors: HalfVectors) -> Digest:
    """The digest of rows: ids (n,) with vectors (n, dimension) float16.

    It is kept in the catalog, so the same rows must give the same number in every version of ragd.
    """
    return Digest(len(ids), int(row_hashes(ids, vectors).sum(dtype=np.uint64)))


def row_hashes(ids: Ids, vectors: HalfVectors) -> Words:
    """A 64-bit hash of each row, (n,): of its id and of every bit of its vector."""
    lanes = _lanes(vectors)
    first, second = _mixed(np.arange(2 * lanes.shape[1], dtype=np.uint64)).reshape(2, -1) | np.uint64(1)
    hashes = np.empty(len(ids), np.uint64)
    for start in range(0, len(ids), _SLICE_ROWS):
        part = slice(start, start + _SLICE_ROWS)
        # A product carries upwards only: folded down and multiplied once more, the high bits count as the low ones do.
        folded = lanes[part] * first
        folded ^= folded >> np.uint64(32)
        folded *= second
        keys = _mixed(ids[part].astype(np.uint64))
        hashes[part] = _mixed(folded.sum(axis=1, dtype=np.uint64) ^ keys)
    return hashes


def _lanes(vectors: HalfVectors) -> Words:
    """The bits of each vector as 64-bit words, (n, words), the last filled with zeros."""
    count, dimension = vectors.shape
    short = -dimension % _LANE_VALUES
    if short:
        vectors = np.concatenate([vectors, np.zeros((count, short), np.float16)], axis=1)
    return np.ascontiguousarray(vectors, dtype="<f2").view("<u8")


def _mixed(words: Words) -> Words:
    """The finaliser of SplitMix64: every bit of a word reaches every bit of the result.

    Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    words = words + np.uint64(0x9E3779B97F4A7C15)
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Words = words ^ (words >> np.uint64(31))
    return mixed
