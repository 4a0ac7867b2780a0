"""Prompts become rows of tokens: bos, prompt, answer, eos, of which the answer is learned and never cut."""

from __future__ import annotations

from typing import Any

import pytest

from ragd.domain.learning import Prompt
from ragd.hooks.prompts import prompt_ids, prompt_row


class Letters:
    """One token a letter; the ends are 1 and 2, or None."""

    def __init__(self, bos: int | None = 1, eos: int | None = 2) -> None:
        self.bos_token_id, self.eos_token_id = bos, eos

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [ord(letter) for letter in text]}


def test_a_row_is_bos_prompt_answer_eos_and_learns_from_the_answer_on() -> None:
    row = prompt_row(Letters(), Prompt("ab", "yz"), window=10)
    assert row is not None
    assert row.ids == (1, 97, 98, 121, 122, 2)
    assert row.labels == (-100, -100, -100, 121, 122, 2)
    assert (row.asked, row.learned) == (3, 3)


@pytest.mark.parametrize(("window", "ids"), [(6, (1, 97, 98)), (5, (1, 98)), (4, (1,))])
def test_a_long_prompt_loses_its_beginning_and_the_answer_nothing(window: int, ids: tuple[int, ...]) -> None:
    row = prompt_row(Letters(), Prompt("ab", "yz"), window)
    assert row is not None
    assert row.ids == (*ids, 121, 122, 2)


@pytest.mark.parametrize(("answer", "window"), [("yz", 3), ("", 10), ("y" * 20, 10)])
def test_an_answer_that_is_empty_or_does_not_fit_gives_no_row(answer: str, window: int) -> None:
    assert prompt_row(Letters(), Prompt("ab", answer), window) is None


def test_a_tokenizer_without_ends_adds_none() -> None:
    row = prompt_row(Letters(None, None), Prompt("ab", "yz"), window=3)
    assert row is not None
    assert (row.ids, row.asked) == ((98, 121, 122), 1)
    assert prompt_row(Letters(None, None), Prompt("", "yz"), window=9) is None


def test_what_is_asked_begins_as_what_was_learned() -> None:
    row = prompt_row(Letters(), Prompt("ab", "yz"), window=10)
    assert row is not None
    assert prompt_ids(Letters(), "ab", 10) == list(row.ids[: row.asked])
    assert prompt_ids(Letters(), "abc", 1) == [1]
