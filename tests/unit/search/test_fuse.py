"""Rank fusion, as values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragd.search.fuse import Ranking, alone, confidence, reciprocal_rank


def test_a_chunk_that_leads_both_sides_has_score_one() -> None:
    fused = reciprocal_rank({"dense": ((7, 0.9), (8, 0.5)), "words": ((7, 12.0), (9, 3.0))})
    assert fused[0].chunk_id == 7
    assert fused[0].score == pytest.approx(1.0)


def test_parts_name_each_sides_score_and_rank_and_nothing_else() -> None:
    fused = {r.chunk_id: r.parts for r in reciprocal_rank({"dense": ((7, 0.9), (8, 0.5)), "words": ((8, 12.0),)})}
    assert fused[7] == {"dense": 0.9, "dense_rank": 1.0}
    assert fused[8] == {"dense": 0.5, "dense_rank": 2.0, "words": 12.0, "words_rank": 1.0}


def test_a_chunk_found_by_both_beats_one_found_by_a_single_side_at_the_same_rank() -> None:
    fused = reciprocal_rank({"dense": ((1, 0.9), (2, 0.8)), "words": ((3, 9.0), (2, 8.0))})
    assert [r.chunk_id for r in fused] == [2, 1, 3]


def test_of_equal_scores_the_ranking_named_first_decides() -> None:
    fused = reciprocal_rank({"words": ((9, 2.0),), "dense": ((4, 0.9),)})
    assert [r.chunk_id for r in fused] == [9, 4]


def test_a_heavier_ranking_decides_between_two_chunks_at_the_same_rank() -> None:
    rankings: dict[str, Ranking] = {"words": ((9, 2.0),), "dense": ((4, 0.9),)}
    fused = reciprocal_rank(rankings, weights={"words": 0.2, "dense": 0.4})
    assert [r.chunk_id for r in fused] == [4, 9]
    assert fused[0].score == pytest.approx(2 / 3)


def _scored(*scores: float) -> Ranking:
    return tuple(enumerate(scores))


def test_the_only_chunk_with_a_word_is_certain() -> None:
    assert confidence(_scored(4.2), population=100) == pytest.approx(1.0)


def test_scores_that_are_alike_yield_to_scores_that_stand_apart() -> None:
    alike = _scored(*(0.50 - at / 1000 for at in range(100)))
    apart = _scored(0.9, *(0.3 - at / 1000 for at in range(99)))
    assert confidence(alike, 0) < 0.1 < 0.8 < confidence(apart, 0)


def test_confidence_ignores_shift_and_scale() -> None:
    scores = [0.9, 0.5, 0.4, 0.4, 0.1]
    moved = [3 * score + 7 for score in scores]
    assert confidence(_scored(*scores), 0) == pytest.approx(confidence(_scored(*moved), 0))


@pytest.mark.parametrize("scores", [(), (1.0,), (0.5, 0.5, 0.5), (0.0, 0.0), (-1.0, -1.0)])
def test_confidence_is_positive_and_at_most_one_for_scores_that_tell_nothing(scores: tuple[float, ...]) -> None:
    assert 0 < confidence(_scored(*scores), 0) <= 1


def test_nothing_found_is_nothing_fused() -> None:
    assert reciprocal_rank({"dense": (), "words": ()}) == ()
    assert reciprocal_rank({}) == ()


def test_a_ranking_alone_keeps_its_scores_and_order() -> None:
    ranked = alone("words", ((5, 3.5), (2, 1.5)))
    assert [(r.chunk_id, r.score) for r in ranked] == [(5, 3.5), (2, 1.5)]
    assert ranked[1].parts == {"words": 1.5, "words_rank": 2.0}


_rankings = st.lists(st.integers(0, 30), unique=True, max_size=20).map(
    lambda ids: tuple((i, 1.0 - at / 100) for at, i in enumerate(ids))
)


@given(dense=_rankings, words=_rankings)
def test_fusion_loses_and_invents_no_chunk_and_never_reverses_a_common_order(dense: Ranking, words: Ranking) -> None:
    fused = reciprocal_rank({"dense": dense, "words": words})
    ids = [r.chunk_id for r in fused]
    assert sorted(ids) == sorted({i for i, _ in dense} | {i for i, _ in words})
    assert all(0 < r.score <= 1.0 + 1e-12 for r in fused)
    assert [r.score for r in fused] == sorted((r.score for r in fused), reverse=True)
    place = {chunk_id: at for at, chunk_id in enumerate(ids)}
    in_dense = {chunk_id: at for at, (chunk_id, _) in enumerate(dense)}
    in_words = {chunk_id: at for at, (chunk_id, _) in enumerate(words)}
    both = in_dense.keys() & in_words.keys()
    for a in both:
        for b in both:
            if in_dense[a] < in_dense[b] and in_words[a] < in_words[b]:
                assert place[a] < place[b]
