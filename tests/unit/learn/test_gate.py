"""The gate lets through what measurably won, and names the rule that anything else broke."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragd.config.schema import Gate
from ragd.domain.deciding import Verdict
from ragd.domain.learning import Role
from ragd.learn.gate import GateReport, alpha_of, attempts_on_like, judge
from ragd.learn.scores import SMALLER, Scores, Served, Slice

GATE = Gate()
SAME = Served(query_ms=10.0, memory_mb=100.0, size_bytes=1000)


def scores(gain: float = 0.06, queries: int = 200, *, spread: float = 0.15, seed: int = 0) -> Scores:
    random = np.random.default_rng(seed)
    before = random.random(queries)
    changes = random.normal(0, spread, queries)
    after = before + changes - changes.mean() + gain
    return Scores(
        role=Role.QUERY_ADAPTER,
        metric="ndcg@10",
        queries=tuple(str(n) for n in range(queries)),
        champion={"ndcg@10": tuple(before.tolist())},
        challenger={"ndcg@10": tuple(after.tolist())},
        champion_serves=SAME,
        challenger_serves=SAME,
    )


def broken(report: GateReport) -> list[str]:
    return [reason.condition for reason in report.reasons if not reason.holds]


def test_a_clear_gain_passes_and_the_report_says_so() -> None:
    report = judge(scores(), GATE)
    assert (report.verdict, broken(report)) == (Verdict.PASSED, [])
    assert report.gain == pytest.approx(0.06)
    assert report.p_value < 0.001
    assert report.sentence.startswith("passed: ndcg@10 0.")
    assert report.as_json()["verdict"] == "passed"


def test_what_is_clearly_better_passes_also_after_many_attempts() -> None:
    late = judge(scores(0.2), GATE, attempts_before=60)
    assert (late.verdict, broken(late)) == (Verdict.PASSED, [])
    assert late.p_value <= late.alpha < 1e-5
    assert judge(scores(0.03), GATE, attempts_before=60).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    ("measured", "rule"),
    [
        (scores(queries=20), "min_queries"),
        (scores(0.004, spread=0.001), "min_effect"),
        (scores(0.006, 40, spread=0.3), "significance"),
        (scores(0.0), "min_effect"),
        (scores(-0.06), "min_effect"),
        (replace(scores(), slices={"tail": Slice((0.5,) * 40, (0.47,) * 40)}), "slice tail"),
        (replace(scores(), challenger_serves=replace(SAME, query_ms=16.0)), "latency"),
        (replace(scores(), challenger_serves=replace(SAME, memory_mb=170.0)), "memory"),
        (
            replace(
                scores(),
                guards=("f1",),
                champion={**scores().champion, "f1": (0.5, 0.6)},
                challenger={**scores().challenger, "f1": (0.4, 0.5)},
            ),
            "f1",
        ),
    ],
)
def test_each_rule_refuses_by_its_name(measured: Scores, rule: str) -> None:
    report = judge(measured, GATE)
    assert report.verdict is Verdict.REFUSED
    assert rule in broken(report)
    text = next(reason.text for reason in report.reasons if reason.condition == broken(report)[0])
    assert report.sentence.endswith(text)


def test_small_slices_and_small_differences_in_cost_do_not_refuse() -> None:
    measured = replace(
        scores(),
        slices={"tiny": Slice((0.9,) * 8, (0.1,) * 8)},
        champion_serves=Served(0.2, 4.0, 10),
        challenger_serves=Served(1.0, 14.0, 10),
    )
    assert judge(measured, GATE).verdict is Verdict.PASSED


def test_bytes_of_files_stand_in_for_memory_that_was_not_measured() -> None:
    measured = replace(scores(), champion_serves=Served(10, 0, 50 << 20), challenger_serves=Served(10, 0, 90 << 20))
    assert broken(judge(measured, GATE)) == ["memory"]


def test_later_attempts_on_like_data_must_be_surer() -> None:
    measured = scores(0.03, 200, spread=0.2, seed=2)
    first = judge(measured, GATE)
    assert first.verdict is Verdict.PASSED
    later = judge(measured, GATE, attempts_before=9)
    assert broken(later) == ["significance"]
    assert later.attempt == 10


def test_all_attempts_together_spend_no_more_than_alpha() -> None:
    spent = sum(alpha_of(attempt, 0.05) for attempt in range(1, 100_000))
    assert spent <= 0.05
    assert spent == pytest.approx(0.05, rel=1e-4)
    assert alpha_of(1, 0.05) == pytest.approx(0.05 * 6 / math.pi**2)


def test_attempts_count_when_they_asked_mostly_the_same() -> None:
    own = [str(n) for n in range(100)]
    grown = [*own, *(f"x{n}" for n in range(300))]
    assert attempts_on_like(own, [own, own[:50], own[:49], grown, ["y"]]) == 3
    assert attempts_on_like(grown, [own]) == 0
    assert attempts_on_like([], [own, []]) == 0


def smaller(gain: float, serves: Served, **more: float) -> Scores:
    return replace(scores(gain, **more), aim=SMALLER, challenger_serves=serves)  # type: ignore[arg-type]


LIGHT = Served(query_ms=9.9, memory_mb=40.0, size_bytes=400)


def test_a_smaller_model_passes_when_it_is_surely_about_as_good_and_saves() -> None:
    assert judge(smaller(-0.002, LIGHT, spread=0.03), GATE).verdict is Verdict.PASSED
    assert broken(judge(smaller(-0.002, SAME, spread=0.03), GATE)) == ["saving"]
    assert broken(judge(smaller(-0.002, replace(SAME, query_ms=8.0), spread=0.03), GATE)) == []


def test_a_smaller_model_that_may_be_worse_is_refused() -> None:
    assert "margin" in broken(judge(smaller(-0.03, LIGHT, spread=0.03), GATE))
    assert broken(judge(smaller(-0.01, LIGHT, queries=40, spread=0.3), GATE)) == ["significance"]


@pytest.mark.slow
def test_a_gate_without_a_difference_lets_almost_nothing_through() -> None:
    """The whole gate on challengers that are no better: at most alpha of them pass, over twenty attempts each."""
    random = np.random.default_rng(7)
    passed = 0
    series = 60
    for _ in range(series):
        before = random.choice([0.0, 0.0, 0.4, 0.6, 1.0], 80)
        for attempt in range(20):
            after = np.where(random.random(80) < 0.3, random.permutation(before), before)
            measured = replace(
                scores(queries=80),
                champion={"ndcg@10": tuple(before.tolist())},
                challenger={"ndcg@10": tuple(after.tolist())},
            )
            if judge(measured, GATE, attempt).verdict is Verdict.PASSED:
                passed += 1
                break
    assert passed / series <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / series)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(5, 60))
def test_a_challenger_that_is_worse_on_average_never_passes(seed: int, queries: int) -> None:
    measured = scores(-abs(np.random.default_rng(seed).normal(0, 0.1)) - 1e-6, queries, seed=seed)
    assert judge(measured, GATE).verdict is Verdict.REFUSED
