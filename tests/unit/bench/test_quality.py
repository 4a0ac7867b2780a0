"""The measures of bench.quality against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from bench.quality import ndcg, recall


def test_a_perfect_ranking_has_ndcg_one() -> None:
    assert ndcg(["a", "b", "c"], {"a": 2, "b": 1, "z": 0}) == pytest.approx(1.0)


def test_ndcg_discounts_by_the_logarithm_of_the_rank() -> None:
    assert ndcg(["x", "a"], {"a": 1}) == pytest.approx(1 / math.log2(3))
    assert ndcg(["b", "a"], {"a": 2, "b": 1}) == pytest.approx((1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3)))


def test_documents_after_the_tenth_count_for_nothing() -> None:
    ranked = [f"x{at}" for at in range(10)] + ["a"]
    assert ndcg(ranked, {"a": 1}) == 0.0
    assert recall(ranked, {"a": 1}) == 0.0


def test_recall_is_the_share_of_relevant_documents_found() -> None:
    assert recall(["a", "x"], {"a": 1, "b": 1, "c": 0}) == 0.5
