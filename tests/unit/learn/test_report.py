"""The gate's page says what was compared, with which figures, and what was decided."""

from __future__ import annotations

from dataclasses import replace

from ragd.config.schema import Gate
from ragd.domain.learning import Role
from ragd.learn.gate import judge
from ragd.learn.report import page
from ragd.learn.scores import Scores, Served, Slice

SCORES = Scores(
    role=Role.QUERY_ADAPTER,
    metric="ndcg@10",
    queries=tuple("abcdefghij" * 4),
    champion={"ndcg@10": (0.2, 0.4) * 20},
    challenger={"ndcg@10": (0.3, 0.5) * 20},
    slices={"collection a|b": Slice((0.2,) * 20, (0.3,) * 20)},
    champion_serves=Served(7.0, 0.0, 90_000_000),
    challenger_serves=Served(7.25, 0.0, 91_000_000),
    facts={"pool": "every chunk", "map": {"kind": "mlp", "agreement": 0.971234}},
)


def test_a_pass_is_one_readable_page() -> None:
    text = page(judge(SCORES, Gate()), SCORES, {"trainer": "query_adapter", "run": "r7", "seed": "3"})
    assert text.startswith("# query_adapter: passed\n\nPassed: ndcg@10 0.300 → 0.400 on 40 held-out queries, p = ")
    assert "| ndcg@10 | 0.3000 | 0.4000 | +0.1000 | 40 / 0 / 0 |" in text
    assert "| collection a\\|b | 20 | 0.2000 | 0.3000 | +0.1000 |" in text
    assert "| median of a query, ms | 7.00 | 7.25 |" in text
    assert "| memory, MiB | not measured | not measured |" in text
    assert "| map | kind mlp, agreement 0.9712 |" in text
    assert "| run | r7 |" in text
    assert "| parent | - |" in text


def test_a_refusal_names_its_rule_and_who_goes_on_serving() -> None:
    worse = replace(SCORES, challenger={"ndcg@10": (0.1, 0.4) * 20})
    text = page(judge(worse, Gate()), worse)
    assert "query-adapter: refused" in text
    assert "The champion goes on serving." in text
    assert "| min_effect | **no** |" in text


def test_every_table_has_as_many_cells_in_each_row() -> None:
    for block in page(judge(SCORES, Gate()), SCORES).split("\n\n"):
        if block.startswith("|"):
            assert len({line.replace("\\|", "").count("|") for line in block.strip().splitlines()}) == 1
