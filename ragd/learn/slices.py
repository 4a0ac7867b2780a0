"""Parts of the held-out queries that are looked at on their own: collection, script, head and tail, where from."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from ragd.learn.likeness import normalised
from ragd.learn.splits import HeldOut

LEAST: Final = 5
"""Queries of a slice worth showing; the gate itself asks for more."""
_SCRIPTS: Final = {
    "CJK": "han",
    "HIRAGANA": "kana",
    "KATAKANA": "kana",
    "HANGUL": "hangul",
    "LATIN": "latin",
    "CYRILLIC": "cyrillic",
    "GREEK": "greek",
    "ARABIC": "arabic",
    "HEBREW": "hebrew",
    "DEVANAGARI": "devanagari",
    "THAI": "thai",
}


def slices_of(
    items: Sequence[HeldOut], collections: Mapping[int, str], often_found: Mapping[int, float]
) -> dict[str, tuple[int, ...]]:
    """Positions of the queries in each slice; slices with all queries or fewer than five are left out.

    `collections` names the collection of each document. `often_found` says how often each document was found lately:
    the half of the queries whose documents are found most is the head, the rest the tail. Where nothing is known of
    that, a query is in the tail when its words are rare among all these queries. Journal queries held out by their
    time are `newest`.
    """
    found: dict[str, list[int]] = {}
    for at, item in enumerate(items):
        names = {collections.get(document, "") for document in item.question.grades}
        labels = {f"collection {name}" for name in names if name}
        labels |= {f"script {script_of(item.question.query)}", f"source {item.question.source}"}
        if item.is_newest:
            labels.add("newest")
        for label in labels:
            found.setdefault(label, []).append(at)
    found |= _head_and_tail(items, often_found)
    return {name: tuple(at) for name, at in sorted(found.items()) if LEAST <= len(at) < len(items)}


def script_of(text: str) -> str:
    """The script of most letters, by their Unicode names: `latin`, `han`, `kana`, ...; `other` for what has no name
    here. Japanese is `kana` as soon as it uses any."""
    counts: Counter[str] = Counter()
    for letter in text:
        if letter.isalpha():
            first = unicodedata.name(letter, "OTHER").split(" ")[0].split("-")[0]
            counts[_SCRIPTS.get(first, "other")] += 1
    if counts["kana"] and counts["han"]:
        return "kana"
    return counts.most_common(1)[0][0] if counts else "other"


def _head_and_tail(items: Sequence[HeldOut], often_found: Mapping[int, float]) -> dict[str, list[int]]:
    if often_found:
        weights = [max(often_found.get(d, 0.0) for d in item.question.grades) for item in items]
    else:
        weights = _commonness(items)
    order = sorted(range(len(items)), key=lambda at: (-weights[at], at))
    middle = len(items) // 2
    return {"head": sorted(order[:middle]), "tail": sorted(order[middle:])}


def _commonness(items: Sequence[HeldOut]) -> list[float]:
    """For each query in how many queries its rarest two words stand, on average: 1 for words of its own."""
    words = [_words(item.question.query) for item in items]
    counts = Counter(word for each in words for word in each)
    return [
        sum(rarest) / len(rarest) if (rarest := sorted(counts[word] for word in each)[:2]) else 0.0 for each in words
    ]


def _words(query: str) -> set[str]:
    """Words; pairs of characters where a script puts no spaces between them."""
    form = normalised(query)
    if script_of(form) in ("han", "kana", "thai"):
        letters = form.replace(" ", "")
        return {letters[i : i + 2] for i in range(max(1, len(letters) - 1))}
    return set(form.split())
