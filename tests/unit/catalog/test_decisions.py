"""Decisions are kept when they say something new, with all that a replay needs."""

from __future__ import annotations

from dataclasses import replace

from ragd.catalog.decisions import Decisions, observed_from
from ragd.domain.deciding import Decision, Observed, Reason, Window
from tests.unit.catalog.conftest import Kept

WINDOW = Window("documents", 90.0, 200, 0.04, 12.5, None, False, 0.01)
OBSERVED = Observed(
    at=100.0,
    live_chunks=5000,
    changed_chunks=300,
    examples=1418,
    document_windows=(WINDOW, replace(WINDOW, at=80.0, mmd_p=0.002, is_drift=True)),
    bad_share=0.25,
)


def decision(at: float, *, holds: bool = False, text: str = "300 of 500", fires: bool = False) -> Decision:
    reasons = (Reason("changed_chunks", holds, text), Reason("cooldown", True, "none"))
    return Decision("query_adapter", at, fires, reasons, None if fires else 500.0)


def test_the_same_answer_is_kept_once_though_its_figures_change(kept: Kept) -> None:
    decisions = Decisions(kept.store)
    assert decisions.record(decision(100.0), OBSERVED)
    assert not decisions.record(decision(102.0, text="310 of 500"), OBSERVED)
    assert decisions.record(decision(104.0, holds=True), OBSERVED)
    assert decisions.record(decision(106.0, holds=True, fires=True), OBSERVED)
    assert not decisions.record(decision(108.0, holds=True, fires=True), OBSERVED)
    assert decisions.record(decision(110.0, holds=True, fires=True), OBSERVED, run_id="r1")
    assert decisions.record(replace(decision(110.0), trainer="other"), OBSERVED)
    history = kept.rows.decisions.history("query_adapter")
    assert [(row["at"], row["fires"], row["run_id"]) for row in history] == [
        (110.0, True, "r1"),
        (106.0, True, None),
        (104.0, False, None),
        (100.0, False, None),
    ]
    assert history[-1]["reasons"][0] == {"condition": "changed_chunks", "holds": False, "text": "300 of 500"}
    assert history[-1]["wait_until"] == 500.0
    assert len(kept.rows.decisions.history()) == 5
    assert [row["at"] for row in kept.rows.decisions.history(since=106.0, limit=2, trainer="query_adapter")] == [
        110,
        106,
    ]


def test_an_answer_that_does_not_change_is_kept_every_hour(kept: Kept) -> None:
    decisions = Decisions(kept.store)
    for at in range(0, 4 * 3600, 60):
        decisions.record(decision(float(at)), OBSERVED)
    assert [row["at"] for row in kept.rows.decisions.history()] == [10800, 7200, 3600, 0]


def test_what_was_observed_comes_back_as_it_was(kept: Kept) -> None:
    Decisions(kept.store).record(decision(100.0), OBSERVED)
    observed = kept.rows.decisions.history()[0]["observed"]
    assert observed_from(observed) == OBSERVED
    assert observed_from({**observed, "of_the_future": 1}) == OBSERVED


def test_windows_are_found_newest_first_by_kind_and_trimmed(kept: Kept) -> None:
    decisions = Decisions(kept.store)
    for number in range(5):
        decisions.add_window(replace(WINDOW, at=float(number), mmd_p=0.5 if number == 4 else None))
        decisions.add_window(replace(WINDOW, at=float(number), kind="queries", is_drift=True))
        decisions.record(decision(number * 3600.0), OBSERVED)
    assert kept.rows.decisions.windows("documents", 2) == (
        replace(WINDOW, at=4.0, mmd_p=0.5),
        replace(WINDOW, at=3.0),
    )
    decisions.trim(2, 2)
    assert [window.at for window in kept.rows.decisions.windows("queries")] == [4.0, 3.0]
    assert all(window.is_drift is True for window in kept.rows.decisions.windows("queries"))
    assert len(kept.rows.decisions.windows("documents")) == 2
    assert len(kept.rows.decisions.history()) == 2
