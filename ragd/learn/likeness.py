"""Which short texts are the same or nearly so: normalised forms, letter triples and MinHash with a true check after."""

from __future__ import annotations

import hashlib
import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

NEAR: Final = 0.8
_BANDS, _ROWS_A_BAND = 16, 4
_SHINGLE = 3
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
    compared in full, so that nothing is found that is not near.
    """

    def __init__(self, near: float = NEAR, *, seed: int = 0) -> None:
        self._near = near
        random = np.random.default_rng(seed)
        hashes = _BANDS * _ROWS_A_BAND
        self._factors: Words = random.integers(1, 2**63, hashes, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._offsets: Words = random.integers(0, 2**63, hashes, dtype=np.uint64)
        self._buckets: dict[tuple[int, bytes], list[int]] = {}
        self._sets: list[frozenset[str]] = []

    def add(self, text: str) -> tuple[int, ...]:
        """Takes a text in and returns the positions of those taken in before that are nearly equal to it."""
        own = shingles(text)
        bands = self._bands(own)
        found = self._among(own, bands)
        for band in bands:
            self._buckets.setdefault(band, []).append(len(self._sets))
        self._sets.append(own)
        return found

    def has_near(self, text: str) -> bool:
        """Whether some text that was taken in is nearly equal to this one, which is not taken in."""
        own = shingles(text)
        return bool(self._among(own, self._bands(own)))

    def _among(self, own: frozenset[str], bands: Sequence[tuple[int, bytes]]) -> tuple[int, ...]:
        candidates = {at for band in bands for at in self._buckets.get(band, ())}
        return tuple(sorted(at for at in candidates if jaccard(own, self._sets[at]) >= self._near))

    def _bands(self, own: frozenset[str]) -> list[tuple[int, bytes]]:
        values = np.fromiter((zlib.crc32(part.encode("utf-8", "replace")) for part in own), np.uint64, len(own))
        least = ((values[:, None] * self._factors + self._offsets) >> np.uint64(32)).min(axis=0)
        return [(i, row.tobytes()) for i, row in enumerate(least.reshape(_BANDS, _ROWS_A_BAND))]
