"""Which short texts are the same or nearly so: normalised forms, letter triples and MinHash with a true check after."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Hashable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

NEAR: Final = 0.8
_BANDS, _ROWS_A_BAND = 16, 4
_SHINGLE = 3
_FEW, _BITS = 256, 2048
_SPACES = re.compile(r"[\W_]+")

Words = npt.NDArray[np.uint64]


def normalised(text: str) -> str:
    """The text as comparisons see it: NFKC, case folded, punctuation and runs of spaces as one space."""
    return _SPACES.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def text_id(text: str) -> str:
    """Sixteen hex digits that stand for a query wherever its text must not: equal when normalised texts are equal."""
    return hashlib.blake2b(normalised(text).encode("utf-8", "replace"), digest_size=8).hexdigest()


def shingles(text: str) -> frozenset[str]:
    """Every run of three characters of the normalised text; the whole text where it is shorter."""
    form = normalised(text)
    return frozenset(form[i : i + _SHINGLE] for i in range(max(1, len(form) - _SHINGLE + 1)))


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """What two sets share, as a share of what they hold together; 1 for two empty ones."""
    together = len(one | other)
    return len(one & other) / together if together else 1.0


class NearTexts:
    """Finds earlier texts that are nearly equal to a new one: Jaccard similarity of letter triples of at least `near`.

    Candidates come from MinHash signatures in bands (Broder 1997; at .8 one in ten thousand is missed); each is then
    compared in full, so that nothing is found that is not near. Where very many are candidates, as with
    questions made from a template, those that cannot be near are first put aside by how many bits they share, all at
    once. Texts of different groups are never compared.
    """

    def __init__(self, near: float = NEAR, *, seed: int = 0) -> None:
        self._near = near
        random = np.random.default_rng(seed)
        hashes = _BANDS * _ROWS_A_BAND
        self._factors: Words = random.integers(1, 2**63, hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets: Words = random.integers(0, 2**63, hashes, dtype=np.uint64)
        self._buckets: dict[tuple[Hashable, int, bytes], list[int]] = {}
        self._sets: list[frozenset[str]] = []
        self._groups: list[Hashable] = []
        self._bits: Words = np.empty((64, _BITS // 64), np.uint64)
        self._sizes = np.empty(64, np.int64)

    def add(self, text: str, group: Hashable = None) -> tuple[int, ...]:
        """Takes a text in and returns the positions of those of its group taken in before that are nearly equal."""
        own = shingles(text)
        values = _hashed(own)
        bands = self._bands(values)
        found = tuple(self._among(own, values, bands, group))
        at = len(self._sets)
        for number, band in bands:
            self._buckets.setdefault((group, number, band), []).append(at)
        if at == len(self._sizes):
            self._bits = np.concatenate([self._bits, np.empty_like(self._bits)])
            self._sizes = np.concatenate([self._sizes, np.empty_like(self._sizes)])
        self._bits[at], self._sizes[at] = _as_bits(values), len(own)
        self._sets.append(own)
        self._groups.append(group)
        return found

    def has_near(self, text: str, group: Hashable = None) -> bool:
        """Whether some text of the group that was taken in is nearly equal to this one, which is not taken in."""
        own = shingles(text)
        values = _hashed(own)
        return next(self._among(own, values, self._bands(values), group), None) is not None

    def _among(
        self, own: frozenset[str], values: Words, bands: Sequence[tuple[int, bytes]], group: Hashable
    ) -> Iterator[int]:
        buckets = [self._buckets.get((group, *band), ()) for band in bands]
        if sum(map(len, buckets)) <= _FEW:
            candidates = sorted({at for bucket in buckets for at in bucket})
        else:
            candidates = [at for at in self._possible(own, values) if self._groups[at] == group]
        return (at for at in candidates if jaccard(own, self._sets[at]) >= self._near)

    def _possible(self, own: frozenset[str], values: Words) -> list[int]:
        """Every position but those that share too few bits; two triples with one bit make the bound no smaller."""
        bits, count = _as_bits(values), len(self._sets)
        shared = np.bitwise_count(self._bits[:count] & bits).sum(axis=1, dtype=np.int64)
        most = shared + len(own) - int(np.bitwise_count(bits).sum())
        least = self._near / (1 + self._near) * (self._sizes[:count] + len(own))
        found: list[int] = np.flatnonzero(most >= least - 1e-9).tolist()
        return found

    def _bands(self, values: Words) -> list[tuple[int, bytes]]:
        least = ((values[:, None] * self._factors + self._offsets) >> np.uint64(32)).min(axis=0)
        return [(i, row.tobytes()) for i, row in enumerate(least.reshape(_BANDS, _ROWS_A_BAND))]


def _hashed(own: frozenset[str]) -> Words:
    return np.fromiter((zlib.crc32(part.encode("utf-8", "replace")) for part in own), np.uint64, len(own))


def _as_bits(values: Words) -> Words:
    """The hashes as one row of bits, (_BITS / 64,)."""
    row = np.zeros(_BITS, np.uint8)
    row[values % np.uint64(_BITS)] = 1
    bits: Words = np.packbits(row).view(np.uint64)
    return bits
