from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.domain.index import IndexFacts, IndexPolicy
from ragd.index.policy import Fit, Upkeep, kind_for, lists_for, needs_refit, upkeep

POLICY = IndexPolicy()
FRESH = Fit(chunks_at_fit=200_000, cosine_at_fit=0.7, inserted=0, inserted_cosine=None)


def facts(chunks: int) -> IndexFacts:
    return IndexFacts("any", chunks, 384, 0, 0)


@pytest.mark.parametrize(("chunks", "lists"), [(100_000, 512), (200_000, 1024), (1_000_000, 2048), (4_000_000, 4096)])
def test_lists_follow_the_measured_rule(chunks: int, lists: int) -> None:
    assert lists_for(chunks) == lists


@given(st.integers(0, 10**8))
def test_every_list_has_rows_to_be_fitted_to(chunks: int) -> None:
    lists = lists_for(chunks)
    assert lists == 1 or chunks / lists >= 39
    assert lists.bit_count() == 1


@given(st.integers(0, 10**7), st.integers(0, 10**7))
def test_more_chunks_never_get_fewer_lists(one: int, other: int) -> None:
    fewer, more = sorted((one, other))
    assert lists_for(fewer) <= lists_for(more)


def test_a_new_index_is_exact_below_the_threshold_and_inverted_from_it_up() -> None:
    assert kind_for(99_999, POLICY) == "exact"
    assert kind_for(100_000, POLICY) == "ivf"
    assert kind_for(0, IndexPolicy(ivf_above=0)) == "exact"


@pytest.mark.parametrize(
    ("fit", "chunks", "ann_recall", "expected"),
    [
        (FRESH, 200_000, None, False),
        (FRESH, 400_000, None, False),
        (FRESH, 400_001, None, True),
        (FRESH, 99_999, None, True),
        (FRESH, 200_000, 0.96, False),
        (FRESH, 200_000, 0.94, True),
        (Fit(200_000, 0.7, 4_000, 0.7 * 0.84), 200_000, None, True),
        (Fit(200_000, 0.7, 3_999, 0.7 * 0.84), 200_000, None, False),
        (Fit(200_000, 0.7, 50_000, 0.7 * 0.86), 200_000, None, False),
        (Fit(200_000, 0.0, 50_000, 0.0), 200_000, None, False),
    ],
    ids=["fresh", "twice", "over twice", "under half", "recall ok", "recall low", "worn", "few", "near", "no vectors"],
)
def test_lists_are_fitted_again_when_they_no_longer_serve(
    fit: Fit, chunks: int, ann_recall: float | None, expected: bool
) -> None:
    assert needs_refit(fit, chunks, ann_recall=ann_recall) is expected


def test_an_index_at_the_threshold_does_not_go_to_and_fro() -> None:
    assert upkeep(facts(100_000), None, POLICY) is Upkeep.TO_IVF
    assert upkeep(facts(99_999), Fit(100_000, 0.7, 0, None), POLICY) is Upkeep.NOTHING
    assert upkeep(facts(49_999), Fit(100_000, 0.7, 0, None), POLICY) is Upkeep.TO_EXACT
    assert upkeep(facts(49_999), None, POLICY) is Upkeep.NOTHING


def test_a_policy_turned_on_its_head_does_not_loop() -> None:
    odd = IndexPolicy(ivf_above=100, exact_below=1_000)
    assert upkeep(facts(100), None, odd) is Upkeep.TO_IVF
    assert upkeep(facts(100), Fit(100, 0.7, 0, None), odd) is Upkeep.NOTHING


def test_worn_lists_ask_for_a_refit() -> None:
    assert upkeep(facts(200_000), Fit(200_000, 0.7, 20_000, 0.4), POLICY) is Upkeep.REFIT
    assert upkeep(facts(200_000), FRESH, POLICY, ann_recall=0.5) is Upkeep.REFIT
