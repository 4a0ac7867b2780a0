"""Texts that are nearly equal are found, and no others."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.learn import likeness
from ragd.learn.likeness import NEAR, NearTexts, jaccard, normalised, shingles, text_id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What's  a LATCH?", "what s a latch"),
        ("Ｗｉｄｅ", "wide"),
        ("印度的梵語？", "印度的梵語"),
        ("Straße", "STRASSE"),
    ],
)
def test_equal_texts_in_other_dress_have_one_form_and_one_id(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert text_id(one) == text_id(other)


def test_a_text_without_letters_is_empty_and_still_has_shingles() -> None:
    assert normalised(" ?! ") == ""
    assert shingles("?") == frozenset({""})


def test_a_changed_letter_is_near_and_another_question_is_not() -> None:
    near = NearTexts()
    assert near.add("how do I undo the last commit in a repository") == ()
    assert near.add("how does one bake bread without an oven") == ()
    assert near.add("how do I undo the last commits in a repository") == (0,)
    assert near.has_near("How do I undo the last commit, in a repository?")
    assert not near.has_near("how do I list all commits of one author")


@given(st.lists(st.text(alphabet="abcd ", min_size=1, max_size=24), min_size=2, max_size=12))
def test_what_is_found_is_what_a_full_comparison_finds(texts: list[str]) -> None:
    near = NearTexts()
    for at, text in enumerate(texts):
        found = near.add(text)
        expected = tuple(before for before in range(at) if jaccard(shingles(texts[before]), shingles(text)) >= NEAR)
        # MinHash may miss a pair at the border, one in ten thousand; it never invents one.
        assert set(found) <= set(expected)
        assert [b for b in expected if normalised(texts[b]) == normalised(text)] == [
            b for b in found if normalised(texts[b]) == normalised(text)
        ]


@given(st.lists(st.text(alphabet="abcdefg ", min_size=1, max_size=24), min_size=2, max_size=12))
def test_nothing_is_missed_where_too_many_are_candidates(texts: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likeness, "_FEW", -1)
        near = NearTexts()
        for at, text in enumerate(texts):
            found = near.add(text)
            assert found == tuple(
                before for before in range(at) if jaccard(shingles(texts[before]), shingles(text)) >= NEAR
            )


def test_thousands_of_questions_from_one_template_are_compared_at_once() -> None:
    near = NearTexts()
    began = time.process_time()
    for number in range(2000):
        near.add(f"what is the price of the red model w{number * 7919 % 1000} this year?", number % 7)
    assert near.has_near("What is the price of the red model w1 this year", 1)
    assert time.process_time() - began < 5.0  # minutes, were each compared with each


def test_texts_of_other_groups_are_not_compared() -> None:
    near = NearTexts()
    near.add("how do I undo a commit", "git")
    assert near.add("how do I undo a commit", "hg") == ()
    assert near.add("how do I undo a commit", "git") == (0,)
    assert not near.has_near("how do I undo a commit")
