"""Slices show who is asked about what."""

from __future__ import annotations

import pytest

from ragd.learn.overlap import answer_f1
from ragd.learn.resolve import Question
from ragd.learn.slices import script_of, slices_of
from ragd.learn.splits import HeldOut


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("what is a latch?", "latin"),
        ("印度的梵語", "han"),
        ("印度のことば", "kana"),
        ("한국어", "hangul"),
        ("что это", "cyrillic"),
        ("42 ?!", "other"),
        ("ＷＩＤＥ letters", "latin"),
    ],
)
def test_the_script_is_that_of_most_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def items(queries: list[str], source: str = "file") -> list[HeldOut]:
    return [HeldOut(Question(q, {n: 1.0}, source=source), is_newest=source == "journal") for n, q in enumerate(queries)]


def test_collections_scripts_and_sources_are_slices_when_they_are_a_part() -> None:
    asked = items([f"latin words number {n}" for n in range(6)]) + items(
        [f"印度的梵語{n}" for n in range(6)], "journal"
    )
    found = slices_of(asked, {n: "notes" if n < 6 else "" for n in range(12)}, {})
    assert found["script latin"] == found["source file"] == tuple(range(6))
    assert found["script han"] == found["source journal"] == found["newest"] == tuple(range(6, 12))
    assert "collection notes" not in found  # every query is of it


def test_what_is_found_most_is_the_head() -> None:
    found = slices_of(items(["some query"] * 12), {}, {n: float(n) for n in range(12)})
    assert (found["head"], found["tail"]) == (tuple(range(6, 12)), tuple(range(6)))


def test_without_counts_queries_of_rare_words_are_the_tail() -> None:
    common = [f"list every file in folder {'abc'[n % 3]}" for n in range(8)]
    rare = [
        f"{word} {word[::-1]}"
        for word in ("quixotic", "zeppelin", "obelisk", "marzipan", "flotsam", "gossamer", "tundra", "ziggurat")
    ]
    found = slices_of(items(common + rare), {}, {})
    assert (found["head"], found["tail"]) == (tuple(range(8)), tuple(range(8, 16)))


@pytest.mark.parametrize(
    ("said", "wanted", "expected"),
    [
        ("The Cat sat.", "the cat", 0.8),
        ("nothing alike", "the cat", 0.0),
        ("印度歐洲", "歐洲", 2 * 2 / 6),
        ("歐洲 1998", "歐洲", 2 * 2 / 5),
        ("", "", 1.0),
        ("", "the cat", 0.0),
        ("cat cat cat", "cat", 0.5),
    ],
)
def test_overlap_counts_words_or_characters(said: str, wanted: str, expected: float) -> None:
    assert answer_f1(said, wanted) == pytest.approx(expected)
