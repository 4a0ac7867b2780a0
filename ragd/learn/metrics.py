"""How good a ranking is: recall, reciprocal rank and nDCG at k, a query at a time, with graded judgements."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Final, TypeVar

Document = TypeVar("Document", bound=Hashable)

METRICS: Final = ("ndcg@10", "recall@10", "mrr@10")


def recall_at(ranked: Sequence[Document], grades: Mapping[Document, float], k: int) -> float:
    """The share of relevant documents (grade above 0) among the first k; 0 when nothing is relevant."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranked[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank_at(ranked: Sequence[Document], grades: Mapping[Document, float], k: int) -> float:
    """One over the rank of the first relevant document among the first k; 0 without one. Its mean is MRR@k."""
    return next((1 / rank for rank, document in enumerate(ranked[:k], 1) if grades.get(document, 0) > 0), 0.0)


def ndcg_at(ranked: Sequence[Document], grades: Mapping[Document, float], k: int) -> float:
    """Discounted gain of the first k, linear in the grade, as a share of the best possible order.

    Järvelin and Kekäläinen 2002, with the discount 1 / log2(rank + 1) and the linear gain of trec_eval.
    """
    gains = [max(0.0, grades.get(document, 0.0)) for document in ranked[:k]]
    best = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k]
    ideal = _discounted(best)
    return _discounted(gains) / ideal if ideal else 0.0


def measure(name: str) -> Callable[[Sequence[Document], Mapping[Document, float]], float]:
    """The metric called `ndcg@10`, `recall@100`, `mrr@10` or the like. Raises ValueError."""
    kind, _, depth = name.partition("@")
    functions = {"ndcg": ndcg_at, "recall": recall_at, "mrr": reciprocal_rank_at}
    if kind not in functions or not depth.isdigit() or int(depth) < 1:
        raise ValueError(f"{name} is no metric")
    return lambda ranked, grades: functions[kind](ranked, grades, int(depth))


def _discounted(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, 1))
