"""Feedback becomes pairs that count what a reader was unlikely to see the more."""

from __future__ import annotations

import pytest

from ragd.catalog.journal import JudgedQuery
from ragd.learn.journal import MOST_WEIGHT, inverse_propensity, journal_asked


def row(number: int, feedback: dict[int, bool]) -> JudgedQuery:
    hits = tuple((100 + rank, 10 + rank) for rank in range(20))
    return JudgedQuery(number, 1000.0 + number, f"query {number}", "hybrid", hits, feedback)


def test_only_queries_with_a_good_answer_become_pairs() -> None:
    found = journal_asked([row(1, {100: False}), row(2, {101: True, 100: False})])
    assert [asked.place for asked in found] == ["journal:2"]
    assert [(claim.chunk, claim.grade) for claim in found[0].claims] == [(101, 1.0), (100, 0.0)]
    assert (found[0].source, found[0].at) == ("journal", 1002.0)


def test_a_good_answer_further_down_counts_more_and_the_mean_is_one() -> None:
    first, third, last = journal_asked([row(1, {100: True}), row(2, {102: True}), row(3, {119: True})])
    assert third.weight == pytest.approx(3 * first.weight)
    assert last.weight == pytest.approx(MOST_WEIGHT * first.weight)
    assert (first.weight + third.weight + last.weight) / 3 == pytest.approx(1)


def test_an_answer_that_was_not_shown_counts_as_the_next_rank() -> None:
    shown, hidden = journal_asked([row(1, {100: True}), row(2, {999: True})])
    assert hidden.weight == pytest.approx(inverse_propensity(21) * shown.weight)
    assert inverse_propensity(0) == 1
