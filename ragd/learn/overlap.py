"""How much of a wanted answer was said: F1 over words, or over characters where a script has no spaces."""

from __future__ import annotations

import re
from collections import Counter

from ragd.learn.likeness import normalised

# One character of Chinese, Japanese, Thai and the like, or a run of anything else between spaces.
_TOKEN = re.compile(
    "[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
    "|[^\\s\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def answer_f1(said: str, wanted: str) -> float:
    """The harmonic mean of precision and recall over tokens, each as often as it occurs (Rajpurkar et al. 2016).

    From 0 to 1; 1 when both say nothing.
    """
    own, other = Counter(_TOKEN.findall(normalised(said))), Counter(_TOKEN.findall(normalised(wanted)))
    if not own or not other:
        return float(own == other)
    shared = (own & other).total()
    return 2 * shared / (own.total() + other.total())
