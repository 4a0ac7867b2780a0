"""Pairs have the chunks that answer first, and negatives that do not answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from ragd.domain.index import Vectors
from ragd.domain.learning import Chunk
from ragd.learn.assemble import MOST_POSITIVES, Shelf, assembled
from ragd.learn.negatives import Mining, mined
from ragd.learn.resolve import Question


def unit(rows: npt.NDArray[np.float64]) -> Vectors:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


@pytest.fixture
def shelf() -> Shelf:
    """Forty documents of two chunks each; chunk ids begin at 100."""
    vectors = unit(np.random.default_rng(0).normal(size=(80, 16)))
    chunks = [Chunk(100 + n, n // 2, "notes", f"{n // 2}.md", f"passage {n} of it") for n in range(80)]
    return Shelf(chunks, vectors.astype(np.float16), {d: [100 + 2 * d, 101 + 2 * d] for d in range(40)})


def test_the_most_similar_chunk_of_a_document_comes_first(shelf: Shelf) -> None:
    query = shelf.vectors[7].astype(np.float32)
    (pair,) = assembled([Question("seventh", {3: 1.0})], query[None], shelf, None)
    assert (pair.positives, pair.negatives) == ((107, 106), ())


def test_known_passages_stand_alone_and_words_of_the_answer_go_ahead(shelf: Shelf) -> None:
    query = shelf.vectors[7].astype(np.float32)
    known = Question("seventh", {3: 1.0}, chunks=frozenset({106}))
    worded = Question("seventh", {3: 1.0}, answer="Passage 6 of it")
    first, second = assembled([known, worded], np.stack([query, query]), shelf, None)
    assert first.positives == (106,)
    assert second.positives == (106, 107)


def test_grades_rank_documents_and_there_are_at_most_sixteen_positives(shelf: Shelf) -> None:
    grades = {d: float(d == 20) + 1 for d in range(30)}
    (pair,) = assembled([Question("many", grades)], shelf.vectors[:1].astype(np.float32), shelf, None)
    assert set(pair.positives[:2]) == {140, 141}
    assert len(pair.positives) == MOST_POSITIVES


def test_a_question_without_a_chunk_on_the_shelf_makes_no_pair(shelf: Shelf) -> None:
    assert assembled([Question("gone", {77: 1.0})], shelf.vectors[:1].astype(np.float32), shelf, Mining()) == []


def test_negatives_never_come_from_a_document_that_answers_and_labelled_ones_come_first(shelf: Shelf) -> None:
    queries = unit(shelf.vectors[::2].astype(np.float64) + 0.3 * np.random.default_rng(1).normal(size=(40, 16)))
    asked = [
        Question(f"q{d}", {d: 1.0, (d + 1) % 40: 1.0}, against_chunks=frozenset({100 + (2 * d + 9) % 80}))
        for d in range(40)
    ]
    pairs = assembled(asked, queries, shelf, Mining(count=4))
    for d, pair in enumerate(pairs):
        answering = {100 + 2 * d, 101 + 2 * d, 100 + 2 * ((d + 1) % 40), 101 + 2 * ((d + 1) % 40)}
        assert not answering & set(pair.negatives)
        assert len(set(pair.negatives)) == len(pair.negatives)
        if 100 + (2 * d + 9) % 80 not in answering:
            assert pair.negatives[0] == 100 + (2 * d + 9) % 80
    assert sum(len(pair.negatives) for pair in pairs) > 100


def test_mined_rows_are_under_the_margin_and_the_hardest_that_are() -> None:
    random = np.random.default_rng(2)
    vectors = unit(random.normal(size=(500, 24))).astype(np.float16)
    queries = unit(random.normal(size=(20, 24)))
    positives = [np.array([n]) for n in range(20)]
    mining = Mining(top=500, count=3, skip=0, relative=0.9, most=0.8)
    for n, found in enumerate(mined(queries, vectors, positives, positives, mining)):
        scores = vectors.astype(np.float32) @ queries[n]
        positive = float(scores[n])
        ceiling = min(0.8, positive * 0.9 if positive > 0 else positive - 0.1)
        allowed = [row for row in np.argsort(-scores) if scores[row] < ceiling and row != n]
        assert found.tolist() == allowed[:3]


def test_a_score_that_denies_the_answer_weighs_nothing(shelf: Shelf) -> None:
    asked = [Question(f"q{score}", {1: score}, score=score, weight=2.0) for score in (0.0, 0.4, 0.5, 1.0)]
    pairs = assembled(asked, shelf.vectors[:4].astype(np.float32), shelf, None)
    assert [(pair.score, pair.weight) for pair in pairs] == [(0.0, 0.0), (0.4, 0.0), (0.5, 2.0), (1.0, 2.0)]


def test_few_rows_give_few_negatives() -> None:
    vectors = unit(np.eye(3)).astype(np.float16)
    nothing = np.empty(0, np.int64)
    assert [rows.size for rows in mined(unit(np.eye(3)), vectors, [nothing] * 3, [nothing] * 3, Mining(skip=0))] == [
        2
    ] * 3
