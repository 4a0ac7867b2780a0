"""Documents are ranked by their best chunk, exactly."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.learn.ranking import Board, ranked_documents


@settings(max_examples=30)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_the_ranking_is_that_of_a_plain_loop(rows: int, documents: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(rows, 6)).astype(np.float16)
    queries = random.normal(size=(3, 6)).astype(np.float32)
    entries = random.integers(0, [rows, documents], size=(2 * rows, 2))
    board = Board.of(entries[:, 0], entries[:, 1])
    out = [set(random.integers(0, documents, 2).tolist()) for _ in queries]
    found = ranked_documents(queries, vectors, board, out, depth=5)
    for query, left_out, ranked in zip(queries, out, found, strict=True):
        scores = vectors.astype(np.float32) @ query
        best: dict[int, float] = {}
        for row, document in entries.tolist():
            if document not in left_out:
                best[document] = max(best.get(document, -np.inf), float(scores[row]))
        expected = sorted(best, key=lambda d: (-best[d], d))[:5]
        assert [round(best[d], 4) for d in ranked] == [round(best[d], 4) for d in expected]


def test_a_board_of_some_documents_knows_no_others() -> None:
    board = Board.of(np.array([0, 1, 2]), np.array([5, 6, 7]))
    vectors = np.eye(3, dtype=np.float16)
    assert ranked_documents(np.eye(3, dtype=np.float32)[:1], vectors, board.only([6, 7]), [()]) == [[6, 7]]
    assert ranked_documents(np.eye(3, dtype=np.float32)[:1], vectors, board.only([]), [()]) == [[]]
