"""Headings as queries for the chunks under them: a few, with a small weight, so that training keeps to the familiar."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from ragd.domain.learning import Pair
from ragd.learn.clean import is_long_enough
from ragd.learn.likeness import NearTexts, normalised

WEIGHT: Final = 0.1
PART: Final = 0.25
"""At most so many for each pair that somebody labelled."""
_MOST_CHUNKS = 8  # under one heading; of a longer section the heading says too little


def heading_pairs(headings: Mapping[int, str], labelled: int, away: Sequence[str], *, seed: int) -> list[Pair]:
    """Pairs of source `heading` from the heading paths of chunks (by id), a quarter as many as are `labelled`.

    None without labelled pairs: headings only temper what others teach. Headings that are nearly equal to a query in
    `away` (held out, or for validation) are left out.
    """
    under: dict[str, list[int]] = {}
    for chunk, heading in headings.items():
        if is_long_enough(normalised(heading)):
            under.setdefault(heading, []).append(chunk)
    usable = sorted(heading for heading, chunks in under.items() if len(chunks) <= _MOST_CHUNKS)
    count = min(len(usable), int(labelled * PART))
    if not count:
        return []
    near = NearTexts()
    for query in away:
        near.add(query)
    order = np.random.default_rng(seed).permutation(len(usable))
    chosen = (usable[at] for at in order if not near.has_near(usable[at]))
    return [
        Pair(heading, tuple(under[heading]), weight=WEIGHT, source="heading")
        for heading, _ in zip(chosen, range(count), strict=False)
    ]
