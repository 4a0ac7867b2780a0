"""Metrics equal those of the field's own evaluator on data shaped like a test collection."""

from __future__ import annotations

import ir_measures
import numpy as np
import pytest
from ir_measures import RR, R, nDCG

from ragd.learn.metrics import METRICS, measure, ndcg_at, recall_at, reciprocal_rank_at

QUERIES, DOCUMENTS = 60, 300


def collection() -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Judgements and a run about as dense as Cranfield's: seven judged documents a query, grades 0 to 3."""
    random = np.random.default_rng(5)
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    for query in range(QUERIES):
        judged = random.choice(DOCUMENTS, random.integers(1, 15), replace=False)
        qrels[f"q{query}"] = {f"d{d}": int(random.integers(0, 4)) for d in judged}
        scores = random.normal(size=DOCUMENTS)
        scores[judged] += random.normal(1.5, 1.0, size=len(judged))
        shown = random.choice(DOCUMENTS, random.integers(5, DOCUMENTS), replace=False)
        run[f"q{query}"] = {f"d{d}": float(scores[d]) for d in shown}
    return qrels, run


@pytest.mark.parametrize(
    ("name", "theirs"), [("ndcg@10", nDCG @ 10), ("recall@10", R @ 10), ("mrr@10", RR @ 10), ("recall@100", R @ 100)]
)
def test_each_query_scores_as_ir_measures_says(name: str, theirs: object) -> None:
    qrels, run = collection()
    expected = {m.query_id: m.value for m in ir_measures.iter_calc([theirs], qrels, run)}
    for query, scores in run.items():
        ranked = sorted(scores, key=lambda d: -scores[d])
        assert measure(name)(ranked, dict(qrels[query])) == pytest.approx(expected[query], abs=1e-9), query


def test_nothing_relevant_scores_nothing() -> None:
    for metric in (ndcg_at, recall_at, reciprocal_rank_at):
        assert metric(["a", "b"], {"a": 0.0}, 10) == 0.0
        assert metric([], {"a": 1.0}, 10) == 0.0


def test_a_perfect_order_scores_one_and_rank_eleven_nothing() -> None:
    grades = {"a": 3.0, "b": 1.0}
    assert [measure(name)(["a", "b"], grades) for name in METRICS] == [1.0, 1.0, 1.0]
    assert [measure(name)([*"cdefghijkl", "a"], grades) for name in METRICS] == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", ["ndcg", "map@10", "ndcg@0", "ndcg@x"])
def test_an_unknown_metric_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is no metric"):
        measure(name)
