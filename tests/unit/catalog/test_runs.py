"""Runs go through their states in one way only, and what was learned from them is told right."""

from __future__ import annotations

import itertools

import pytest

from ragd.catalog.runs import NEXT, Runs
from ragd.catalog.spend import Spend
from ragd.domain.deciding import Cost, Reason, RunState
from ragd.domain.errors import BadRequest, NotFound
from ragd.domain.learning import Role
from ragd.domain.training import RunOutcome
from tests.unit.catalog.conftest import Kept

WAY = {
    RunState.WAITING: (),
    RunState.QUEUED: (RunState.QUEUED,),
    RunState.RUNNING: (RunState.QUEUED, RunState.RUNNING),
    RunState.EVALUATING: (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING),
    RunState.DONE: (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING, RunState.DONE),
    RunState.FAILED: (RunState.FAILED,),
    RunState.STOPPED: (RunState.STOPPED,),
}


def begun(runs: Runs, trainer: str = "query_adapter", *, to: RunState = RunState.WAITING) -> str:
    """A run that was taken to a state."""
    run_id = runs.begin(trainer, Role.QUERY_ADAPTER, cause="trigger", seed=7)
    for state in WAY[to]:
        runs.move(run_id, state)
    return run_id


@pytest.mark.parametrize(("before", "after"), list(itertools.product(RunState, RunState)))
def test_only_legal_transitions_are_made(kept: Kept, before: RunState, after: RunState) -> None:
    runs = Runs(kept.store, kept.clock)
    run_id = begun(runs, to=before)
    if after in NEXT[before]:
        runs.move(run_id, after)
        assert kept.rows.runs.named(run_id)["state"] == after
    else:
        with pytest.raises(BadRequest, match=f"is {before}, so it cannot become {after}"):
            runs.move(run_id, after)
        assert kept.rows.runs.named(run_id)["state"] == before


def test_a_run_that_is_done_stays_done_and_every_other_may_end() -> None:
    assert NEXT[RunState.DONE] == frozenset()
    for state in (RunState.WAITING, RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING):
        assert {RunState.FAILED, RunState.STOPPED} <= NEXT[state]


def test_a_run_keeps_why_it_began_and_everything_that_it_did(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    reasons = [Reason("changed_chunks", True, "812 of 500 chunks changed")]
    run_id = runs.begin(
        "a/b c", Role.ENCODER, cause="trigger", seed=7, reasons=reasons, settings={"rank": 4}, changes=9
    )
    assert run_id == "20231114-221320-a_b_c"
    runs.prepared(run_id, examples=1418, sha256="ab", report={"duplicates": 3}, changes=12)
    runs.reserve(run_id, Cost(100.0, 1.0))
    runs.move(run_id, RunState.QUEUED)
    kept.now += 5
    runs.move(run_id, RunState.RUNNING, worker="w1")
    runs.progress(run_id, 3, 10, {"loss": 0.5, "speed": float("inf")})
    assert kept.rows.runs.named(run_id)["metrics"] == {"loss": 0.5, "speed": None}
    runs.outcome(run_id, RunOutcome("trained", examples=1400, peak_memory_mb=321.0, loss=0.25))
    runs.move(run_id, RunState.EVALUATING)
    runs.judged(run_id, "passed", None)
    kept.now += 5
    runs.move(run_id, RunState.DONE)
    run = kept.rows.runs.named(run_id)
    assert run["reasons"] == [{"condition": "changed_chunks", "holds": True, "text": "812 of 500 chunks changed"}]
    assert (run["role"], run["seed"], run["settings"], run["data_report"]) == (
        "encoder",
        7,
        {"rank": 4},
        {"duplicates": 3},
    )
    assert (run["examples"], run["data_sha256"], run["changes"]) == (1400, "ab", 12)
    assert (run["done"], run["total"], run["metrics"]) == (3, 10, {"loss": 0.25, "speed": None})
    assert (run["attempts"], run["worker"], run["peak_memory_mb"], run["verdict"]) == (1, "w1", 321.0, "passed")
    assert (run["started_at"], run["ended_at"]) == (1_700_000_005.0, 1_700_000_010.0)


def test_a_resumed_run_forgets_why_it_ended_and_counts_its_attempts(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    run_id = begun(runs, to=RunState.RUNNING)
    runs.move(run_id, RunState.FAILED, reason="the loss is not a number", hint="lower the rate")
    failed = kept.rows.runs.named(run_id)
    assert (failed["reason"], failed["hint"], failed["ended_at"]) == (
        "the loss is not a number",
        "lower the rate",
        kept.now,
    )
    runs.move(run_id, RunState.QUEUED)
    runs.move(run_id, RunState.RUNNING)
    again = kept.rows.runs.named(run_id)
    assert (again["reason"], again["hint"], again["ended_at"], again["attempts"]) == ("", "", None, 2)


def test_a_run_is_named_by_the_beginning_of_its_id_where_that_suffices(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    first, second = begun(runs), begun(runs)
    assert second == f"{first}-2"
    kept.now += 86400
    third = begun(runs, "coarse_quantizer")
    assert kept.rows.runs.named(third[:9])["id"] == third
    assert kept.rows.runs.named(first)["id"] == first
    with pytest.raises(BadRequest, match=f"{first}, {second}"):
        kept.rows.runs.named(first[:12])
    for name in ("", "19", "%", "20231114-2213__"):
        with pytest.raises(NotFound):
            kept.rows.runs.named(name)
    with pytest.raises(NotFound):
        runs.move("nothing", RunState.QUEUED)
    with pytest.raises(NotFound):
        runs.progress("nothing", 1, 2, {})


def test_open_runs_and_the_last_of_a_trainer_are_found(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    done, queued = begun(runs, "a", to=RunState.DONE), begun(runs, "a", to=RunState.QUEUED)
    other = begun(runs, "b", to=RunState.EVALUATING)
    rows = kept.rows.runs
    assert [run["id"] for run in rows.open()] == sorted([queued, other])
    assert [run["id"] for run in rows.newest(trainer="a")] == [queued, done]
    assert [run["id"] for run in rows.newest(limit=1)] == [other]
    last = rows.last("a")
    assert last is not None
    assert last["id"] == queued
    assert rows.last("c") is None
    assert rows.last_prepared("a") is None
    runs.prepared(done, examples=1, sha256="x", report={}, changes=44)
    prepared = rows.last_prepared("a")
    assert prepared is not None
    assert (prepared["id"], prepared["changes"]) == (done, 44)


def test_failures_are_counted_back_to_the_last_success_and_runs_on_like_data_found(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    for state, data in (
        (RunState.FAILED, "x"),
        (RunState.DONE, "x"),
        (RunState.FAILED, "y"),
        (RunState.FAILED, "x"),
        (RunState.RUNNING, "x"),
    ):
        run_id = begun(runs, to=state)
        runs.prepared(run_id, examples=1, sha256=data, report={}, changes=0)
        kept.now += 1
    assert kept.rows.runs.failures_in_a_row("query_adapter") == 2
    assert kept.rows.runs.failures_in_a_row("other") == 0
    assert [run["state"] for run in kept.rows.runs.on_like_data("query_adapter", "x")] == ["failed", "done", "failed"]


def test_after_a_restart_runs_wait_for_a_worker_again(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    running, evaluating = begun(runs, to=RunState.RUNNING), begun(runs, to=RunState.EVALUATING)
    assert runs.requeue() == [running]
    assert kept.rows.runs.named(running)["attempts"] == 1
    assert kept.rows.runs.named(evaluating)["state"] == "evaluating"
    assert runs.requeue() == []


def test_trimming_keeps_the_newest_the_open_and_those_whose_model_may_serve(kept: Kept) -> None:
    runs = Runs(kept.store, kept.clock)
    ids = []
    for _ in range(5):
        ids.append(begun(runs, to=RunState.DONE))
        kept.now += 1
    waiting = begun(runs)
    for run_id, status in ((ids[0], "champion"), (ids[1], "pruned")):
        kept.store.connection.execute(
            "INSERT INTO models (role, name, version, folder, files, sha256, run_id, status, size_bytes, created_at)"
            " VALUES ('encoder', ?, 1, '', '{}', '', ?, ?, 0, 0)",
            (status, run_id, status),
        )
    assert runs.trim(2) == ids[1:3]
    assert {run["id"] for run in kept.rows.runs.newest()} == {ids[0], ids[3], ids[4], waiting}
    assert runs.trim(2) == []


def test_reserved_is_what_open_runs_have_not_spent_yet(kept: Kept) -> None:
    runs, spend = Runs(kept.store, kept.clock), Spend(kept.store, kept.clock)
    first, second, done = begun(runs), begun(runs, to=RunState.RUNNING), begun(runs, to=RunState.DONE)
    for run_id in (first, second, done):
        runs.reserve(run_id, Cost(100.0, 10.0))
    spend.charge("train", Cost(30.0, 20.0), run_id=second)
    assert kept.rows.runs.reserved() == Cost(170.0, 10.0)
