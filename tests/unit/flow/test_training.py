"""Runs from their request to their scores: what lies in a folder and stands in the catalog tells what comes next."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ragd.domain.deciding import Cost, RunState
from ragd.domain.errors import ArtifactInvalid, BadRequest, LaunchFailed, NotFound, TrainingFailed
from ragd.domain.learning import Resources
from ragd.domain.training import RunOutcome
from ragd.flow.training import WHOLE_RUNS
from ragd.learn.records import Attempts, read_attempts, read_request, write_attempts
from ragd.learn.snapshot import read_manifest, read_preparation
from tests.unit.flow.workshop import ChoresFake, Workshop


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path)
    yield made
    made.close()


def trained(shop: Workshop) -> str:
    """A run whose result is being measured."""
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.tells(run_id, shop.result(run_id))
    return run_id


def test_a_run_goes_from_its_request_to_its_scores(shop: Workshop) -> None:
    run_id = shop.begun()
    places = shop.places(run_id)
    assert read_request(places).id == run_id
    assert read_preparation(places).state == "state"
    assert shop.chores.running == {f"prepare {run_id}": ("ragd.flow.prepare", (str(places.folder),))}
    assert (shop.state(run_id), shop.queue.sent) == ("queued", [])

    shop.prepared(run_id, examples=90)
    run = shop.run(run_id)
    assert (run["examples"], run["data_report"], run["changes"]) == (90, {"dropped": 3}, 12)
    assert run["data_sha256"] == read_manifest(places.data).data_sha256
    assert (shop.state(run_id), shop.queue.sent) == ("queued", [run_id])

    shop.training.progress(run_id, 3, 10, {"loss": 0.5}, worker="gpu-box")
    run = shop.run(run_id)
    assert (run["state"], run["done"], run["total"], run["metrics"]) == ("running", 3, 10, {"loss": 0.5})
    assert (run["attempts"], run["worker"]) == (1, "gpu-box")

    shop.tells(run_id, shop.result(run_id))
    run = shop.run(run_id)
    assert (run["state"], run["examples"], run["peak_memory_mb"], run["metrics"]) == (
        *("evaluating", 100, 120.0),
        {"loss": 0.25},
    )
    assert shop.chores.running == {f"evaluate {run_id}": ("ragd.flow.evaluate", (str(places.folder),))}

    shop.measured(run_id)
    assert (shop.scored, shop.ended, shop.chores.running) == ([run_id], [], {})


def test_what_is_being_done_already_is_not_begun_twice(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.step()
    shop.prepared(run_id)
    shop.step()
    shop.trains(run_id)
    shop.step()
    assert shop.queue.sent == [run_id]
    shop.tells(run_id, shop.result(run_id))
    shop.step()
    assert shop.chores.started == [f"prepare {run_id}", f"evaluate {run_id}"]


WAY = (RunState.QUEUED, RunState.RUNNING, RunState.EVALUATING)
Given = Callable[[Workshop, str], object]


def nothing(shop: Workshop, run_id: str) -> None: ...


def data(shop: Workshop, run_id: str) -> None:
    shop.freeze(run_id)


def result(shop: Workshop, run_id: str) -> None:
    shop.freeze(run_id)
    shop.result(run_id)


def wish(shop: Workshop, run_id: str) -> None:
    shop.freeze(run_id)
    shop.writes(run_id, RunOutcome("stopped", reason="stopped when asked", cpu_s=1.0))


def failure(shop: Workshop, run_id: str) -> None:
    shop.freeze(run_id)
    shop.writes(run_id, RunOutcome("failed", reason="loss became nan", hint="lower the rate", cpu_s=1.0))


def measured(shop: Workshop, run_id: str) -> None:
    shop.freeze(run_id)
    shop.result(run_id)
    shop.measure(run_id)


@pytest.mark.parametrize(
    ("state", "lies_there", "then", "does"),
    [
        (RunState.QUEUED, nothing, "queued", "prepare"),
        (RunState.QUEUED, data, "queued", "train"),
        (RunState.QUEUED, result, "evaluating", "evaluate"),
        (RunState.QUEUED, wish, "stopped", ""),
        (RunState.QUEUED, failure, "failed", ""),
        (RunState.QUEUED, measured, "done", ""),
        (RunState.RUNNING, data, "running", "train"),
        (RunState.RUNNING, result, "evaluating", "evaluate"),
        (RunState.RUNNING, wish, "stopped", ""),
        (RunState.RUNNING, failure, "failed", ""),
        (RunState.RUNNING, measured, "done", ""),
        (RunState.EVALUATING, result, "evaluating", "evaluate"),
        (RunState.EVALUATING, measured, "done", ""),
    ],
)
@pytest.mark.parametrize("is_restarted", [False, True], ids=["going on", "after a kill"])
def test_what_lies_in_the_folder_tells_what_comes_next(
    shop: Workshop, state: RunState, lies_there: Given, then: str, does: str, is_restarted: bool
) -> None:
    run_id = shop.begun()
    for passed in WAY[: WAY.index(state) + 1][1:]:
        shop.runs.move(run_id, passed)
    lies_there(shop, run_id)
    shop.chores.running.clear()
    shop.chores.started.clear()
    if is_restarted:
        shop.restart()
        then = "queued" if then == "running" else then
    shop.step()
    assert shop.state(run_id) == then
    started = [name.split()[0] for name in shop.chores.started]
    assert [*started, *["train" for _ in shop.queue.sent]] == ([does] if does else [])
    assert shop.scored == ([run_id] if then == "done" else [])
    assert [state for _, state in shop.ended] == ([then] if then in ("stopped", "failed") else [])


def test_data_that_was_made_while_nobody_listened_is_noted_all_the_same(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.freeze(run_id, examples=80)
    shop.restart()
    shop.step()
    run = shop.run(run_id)
    assert (run["examples"], run["data_report"]) == (80, {"dropped": 3})
    assert run["data_sha256"] == read_manifest(shop.places(run_id).data).data_sha256
    assert shop.rows.runs.last_prepared(run["trainer"]) == run


@pytest.mark.parametrize("stage", ["preparing", "queued", "running", "trained", "measured"])
def test_a_run_comes_to_its_end_whenever_the_daemon_is_killed(shop: Workshop, stage: str) -> None:
    run_id = shop.begun()
    if stage == "preparing":
        shop.restart()
        shop.step()
    shop.prepared(run_id)
    if stage == "queued":
        shop.restart()
        shop.step()
    shop.trains(run_id)
    if stage == "running":
        shop.restart()
        shop.step()
        assert shop.state(run_id) == "queued"
        shop.trains(run_id, 2)
    outcome = shop.result(run_id)
    if stage == "trained":  # its word was lost
        shop.queue.done(run_id)
        shop.restart()
        shop.step()
    else:
        shop.tells(run_id, outcome)
    if stage == "measured":
        shop.measure(run_id)
        shop.restart()
        shop.step()
    else:
        shop.measured(run_id)
    assert (shop.scored, shop.state(run_id)) == ([run_id], "done")
    assert shop.queue.sent == [run_id]
    assert shop.run(run_id)["cpu_s"] == pytest.approx(shop.rows.spend.total().cpu_s)
    assert shop.rows.spend.total("train").cpu_s == pytest.approx(4.0)


def test_a_result_that_is_told_twice_counts_once(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    outcome = shop.result(run_id)
    for _ in range(3):
        shop.tells(run_id, outcome)
    run = shop.run(run_id)
    assert (run["state"], run["attempts"], run["cpu_s"]) == ("evaluating", 1, pytest.approx(5.0))
    shop.measured(run_id)
    shop.tells(run_id, outcome)
    assert (shop.state(run_id), shop.scored) == ("done", [run_id])
    assert shop.rows.spend.total("train") == Cost(4.0)


def test_costs_add_up_over_attempts_and_stages(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id, cpu_s=1.5)
    shop.trains(run_id)
    shop.tells(run_id, shop.writes(run_id, RunOutcome("stopped", cpu_s=3.0, gpu_s=1.0)))
    shop.training.resume(run_id)
    shop.trains(run_id, 5)
    shop.tells(run_id, shop.result(run_id, cpu_s=7.0, gpu_s=2.5))  # of all attempts together
    shop.measured(run_id, cpu_s=2.0)
    run = shop.run(run_id)
    assert (run["cpu_s"], run["gpu_s"]) == (pytest.approx(1.5 + 7.0 + 2.0), pytest.approx(2.5))
    by_stage = {what: shop.rows.spend.total(what) for what in ("prepare", "train", "evaluate")}
    assert by_stage == {"prepare": Cost(1.5), "train": Cost(7.0, 2.5), "evaluate": Cost(2.0)}
    assert shop.rows.spend.of_runs() == shop.rows.spend.total()


@pytest.mark.parametrize("kind", ["prepare", "evaluate"])
def test_a_child_that_fails_ends_the_run_with_its_reason(shop: Workshop, kind: str) -> None:
    run_id = shop.begun() if kind == "prepare" else trained(shop)
    shop.chores.end(f"{kind} {run_id}", status=14, reason="12 pairs, 50 are needed", hint="list more")
    shop.step()
    run = shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("failed", "12 pairs, 50 are needed", "list more")
    assert shop.ended == [(run_id, RunState.FAILED)]
    assert shop.rows.spend.total(kind).cpu_s == 1.0  # type: ignore[arg-type]
    shop.step()
    assert shop.chores.running == {}


@pytest.mark.parametrize(("status", "said"), [(-9, "ended with -9"), (0, "ended with 0")])
@pytest.mark.parametrize("kind", ["prepare", "evaluate"])
def test_a_child_that_dies_or_leaves_nothing_behind_fails_the_run(
    shop: Workshop, kind: str, status: int, said: str
) -> None:
    run_id = shop.begun() if kind == "prepare" else trained(shop)
    shop.chores.end(f"{kind} {run_id}", status=status)
    shop.step()
    assert shop.state(run_id) == "failed"
    assert shop.run(run_id)["reason"] == f"the process that was to {kind} {said}"


def test_what_a_child_printed_last_does_not_matter_when_its_work_is_there(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.freeze(run_id, examples=70)
    shop.chores.end(f"prepare {run_id}", reason="a library said good bye")
    shop.step()
    assert (shop.state(run_id), shop.run(run_id)["examples"]) == ("queued", 70)
    assert shop.queue.sent == [run_id]


def test_a_child_that_cannot_be_started_fails_its_run_alone(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = shop.begun(), shop.begun()
    shop.freeze(second)
    shop.chores.end(f"prepare {second}")
    del shop.chores.running[f"prepare {first}"]

    def refuses(self: ChoresFake, name: str, *_: object, **__: object) -> None:
        raise LaunchFailed(f"{name} cannot be started", hint="free some memory")

    monkeypatch.setattr(ChoresFake, "start", refuses)
    shop.step()
    assert (shop.state(first), shop.run(first)["hint"]) == ("failed", "free some memory")
    assert (shop.state(second), shop.queue.sent) == ("queued", [second])


def test_a_trainer_that_fails_ends_its_run_with_its_words(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.tells(run_id, RunOutcome("failed", reason="plugin x: loss became nan", hint="lower the rate", cpu_s=2.0))
    run = shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("failed", "plugin x: loss became nan", "lower the rate")
    assert (run["cpu_s"], shop.ended) == (3.0, [(run_id, RunState.FAILED)])
    assert shop.store.connection.execute("SELECT count(*) FROM models").fetchone() == (0,)
    assert shop.store.connection.execute("SELECT count(*) FROM champions").fetchone() == (0,)


def test_a_result_that_cannot_be_judged_fails_the_run(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.problem = ArtifactInvalid("weights.pkl is a pickle", hint="save safetensors")
    shop.measured(run_id)
    run = shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("failed", "weights.pkl is a pickle", "save safetensors")


def test_a_mistake_after_the_end_of_a_run_is_not_taken_for_its_failure(shop: Workshop) -> None:
    run_id = trained(shop)

    def scored(run: str, *_: object) -> None:
        shop.runs.move(run, RunState.DONE)
        raise TrainingFailed("too late")

    shop.training._scored = scored
    shop.measure(run_id)
    with pytest.raises(TrainingFailed, match="too late"):
        shop.training.step()
    assert (shop.state(run_id), shop.ended) == ("done", [])


def test_an_outcome_that_cannot_be_read_fails_the_run_by_the_name_of_its_file(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.places(run_id).outcome.write_text("{")
    shop.step()
    assert shop.state(run_id) == "failed"
    assert "outcome.json cannot be read" in shop.run(run_id)["reason"]


def test_damaged_data_fails_the_run_by_the_name_of_its_file(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.freeze(run_id)
    (shop.places(run_id).data / "manifest.json").write_text("{}")
    shop.chores.end(f"prepare {run_id}")
    shop.step()
    assert shop.state(run_id) == "failed"
    assert "manifest.json cannot be read" in shop.run(run_id)["reason"]


def test_while_the_queue_is_away_runs_wait_and_are_evaluated(shop: Workshop) -> None:
    waiting, measuring = shop.begun(), trained(shop)
    shop.queue.is_away = True
    shop.freeze(waiting)
    shop.chores.end(f"prepare {waiting}")
    shop.measured(measuring)
    assert (shop.state(waiting), shop.queue.sent.count(waiting), shop.ended) == ("queued", 0, [])
    assert shop.scored == [measuring]
    shop.queue.is_away = False
    shop.step()
    assert waiting in shop.queue.sent


def test_progress_that_comes_late_changes_nothing(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.training.progress(run_id, 9, 10, {"loss": 9.0})
    assert (shop.state(run_id), shop.run(run_id)["metrics"]) == ("evaluating", {"loss": 0.25})
    with pytest.raises(NotFound):
        shop.training.progress("20200101-000000-nobody", 1, 2, {})
    with pytest.raises(NotFound):
        shop.training.trained("20200101-000000-nobody", RunOutcome("trained"))


def test_what_a_worker_gives_up_is_failed_unless_it_has_ended(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.training.fail_open(run_id, "it ended two workers", "see the log")
    run = shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("failed", "it ended two workers", "see the log")
    shop.training.fail_open(run_id, "again", "")
    measuring = trained(shop)
    shop.training.fail_open(measuring, "too late", "")
    assert (shop.run(run_id)["reason"], shop.state(measuring)) == ("it ended two workers", "evaluating")
    with pytest.raises(NotFound):
        shop.training.fail_open("20200101-000000-nobody", "", "")


# Stop and resume.


def test_a_run_that_waits_is_stopped_at_once_and_waits_again_when_it_is_resumed(shop: Workshop) -> None:
    run_id = shop.wanted()
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.run(run_id)["hint"]) == ("stopped", f"go on: `ragd runs resume {run_id}`")
    shop.training.resume(run_id)
    assert (shop.state(run_id), shop.chores.running, shop.queue.stopped) == ("waiting", {}, [])
    shop.training.begin(shop.request(run_id), shop.preparation())
    shop.prepared(run_id)
    assert shop.queue.sent == [run_id]


def test_the_child_of_a_stopped_run_is_ended_and_says_nothing_of_the_run(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.ended) == ("stopped", [(run_id, RunState.STOPPED)])
    shop.step()
    assert (shop.state(run_id), shop.chores.running) == ("stopped", {})
    assert shop.run(run_id)["cpu_s"] == 0.5


def test_a_run_without_data_is_begun_anew_when_it_is_resumed(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.chores.end(f"prepare {run_id}", status=14, reason="too few pairs")
    shop.step()
    shop.training.resume(run_id)
    assert (shop.state(run_id), shop.run(run_id)["reason"], shop.chores.running) == ("waiting", "", {})


@pytest.mark.parametrize("is_heard", [True, False], ids=["ended before", "ended after"])
def test_a_run_that_is_resumed_before_its_child_is_gone_is_evaluated_anew(shop: Workshop, is_heard: bool) -> None:
    run_id = trained(shop)
    shop.training.stop(run_id)
    assert shop.state(run_id) == "stopped"
    if is_heard:
        shop.step()
    shop.training.resume(run_id)
    shop.step()
    assert shop.state(run_id) == "evaluating"
    assert list(shop.chores.running) == [f"evaluate {run_id}"]
    shop.measured(run_id)
    assert shop.scored == [run_id]


def test_a_queued_run_is_stopped_at_once_and_its_worker_hears_of_it(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.queue.stopped) == ("stopped", [run_id])
    assert shop.places(run_id).stop.exists()
    shop.tells(run_id, shop.writes(run_id, RunOutcome("stopped", reason="stopped before it began", cpu_s=0.25)))
    assert (shop.state(run_id), shop.run(run_id)["reason"]) == ("stopped", "stopped when asked")
    assert shop.rows.spend.total("train").cpu_s == 0.25
    shop.training.resume(run_id)
    assert (shop.state(run_id), shop.queue.sent) == ("queued", [run_id, run_id])
    assert not shop.places(run_id).stop.exists()
    assert not shop.places(run_id).outcome.exists()


def test_a_running_run_stops_with_a_checkpoint_and_goes_on_from_it(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.queue.stopped, shop.ended) == ("running", [run_id], [])
    write_attempts(shop.places(run_id), Attempts(count=2, barren=1, mark=3, cpu_s=1.0))
    shop.tells(run_id, shop.writes(run_id, RunOutcome("stopped", reason="asked to stop", hint="resume it")))
    run = shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("stopped", "asked to stop", "resume it")
    shop.training.resume(run_id)
    assert (shop.state(run_id), shop.queue.sent) == ("queued", [run_id, run_id])
    assert read_attempts(shop.places(run_id)) == Attempts(count=2, barren=0, mark=3, cpu_s=1.0)
    assert shop.chores.started == [f"prepare {run_id}"]  # its data is what it was
    shop.trains(run_id, 4)
    shop.tells(run_id, shop.result(run_id))
    shop.measured(run_id)
    assert shop.scored == [run_id]


def test_a_wish_to_stop_survives_a_queue_that_is_away_and_a_restart(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.queue.is_away = True
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.queue.stopped) == ("running", [])
    shop.restart()
    shop.queue.is_away = False
    shop.step()
    assert shop.queue.stopped == [run_id]


def test_a_worker_that_pauses_a_run_is_not_taken_for_a_wish_to_stop(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.places(run_id).stop.write_bytes(b"pause\n")
    shop.step()
    assert shop.queue.stopped == []


def test_a_failed_run_is_resumed_where_it_was(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.trains(run_id)
    shop.tells(run_id, shop.writes(run_id, RunOutcome("failed", reason="out of memory")))
    shop.training.resume(run_id)
    assert (shop.state(run_id), shop.run(run_id)["reason"], shop.queue.sent) == ("queued", "", [run_id, run_id])
    shop.tells(run_id, shop.result(run_id))
    shop.chores.end(f"evaluate {run_id}", status=1, reason="no held-out queries")
    shop.step()
    assert shop.state(run_id) == "failed"
    shop.training.resume(run_id)
    assert (shop.state(run_id), list(shop.chores.running)) == ("evaluating", [f"evaluate {run_id}"])
    assert shop.queue.sent == [run_id, run_id]


def test_scores_that_cannot_be_read_are_measured_again_when_the_run_is_resumed(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.places(run_id).scores.write_text("{")
    shop.problem = TrainingFailed("scores.json cannot be read")
    shop.chores.end(f"evaluate {run_id}")
    shop.step()
    assert shop.state(run_id) == "failed"
    shop.problem = None
    shop.training.resume(run_id)
    assert (shop.state(run_id), list(shop.chores.running)) == ("evaluating", [f"evaluate {run_id}"])


def test_scores_that_are_in_order_are_judged_again_without_measuring(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.problem = TrainingFailed("no room")
    shop.measured(run_id)
    shop.problem = None
    shop.training.resume(run_id)
    assert (shop.scored, shop.state(run_id)) == ([run_id], "done")
    assert shop.chores.started.count(f"evaluate {run_id}") == 1


def test_a_result_that_came_after_the_stop_is_measured_when_the_run_is_resumed(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.training.stop(run_id)
    shop.result(run_id, cpu_s=6.0)
    shop.queue.done(run_id)  # its word was lost
    shop.training.resume(run_id)
    assert (shop.state(run_id), list(shop.chores.running)) == ("evaluating", [f"evaluate {run_id}"])
    assert (shop.run(run_id)["peak_memory_mb"], shop.rows.spend.total("train").cpu_s) == (120.0, 6.0)


def test_a_run_whose_files_were_given_up_begins_anew_and_is_measured_anew(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.problem = TrainingFailed("no room")
    shop.measured(run_id)
    shop.problem = None
    places = shop.places(run_id)
    for folder in (places.data, places.work):
        shutil.rmtree(folder)
    places.outcome.unlink()
    shop.training.resume(run_id)
    assert shop.state(run_id) == "waiting"
    shop.training.begin(shop.request(run_id), shop.preparation())
    shop.prepared(run_id)
    shop.tells(run_id, shop.result(run_id))
    assert (shop.state(run_id), list(shop.chores.running), shop.scored) == ("evaluating", [f"evaluate {run_id}"], [])


def test_a_resumed_run_may_use_what_is_allowed_now(shop: Workshop) -> None:
    run_id = shop.begun()
    shop.prepared(run_id)
    shop.tells(run_id, shop.writes(run_id, RunOutcome("failed", reason="out of memory")))
    shop.training.resume(run_id, Resources(memory_mb=9000))
    request = read_request(shop.places(run_id))
    assert (request.resources.memory_mb, request.seed, shop.state(run_id)) == (9000, 7, "queued")


@pytest.mark.parametrize("state", ["waiting", "queued", "running", "evaluating", "done"])
def test_only_what_was_stopped_or_failed_is_resumed(shop: Workshop, state: str) -> None:
    run_id = shop.wanted() if state == "waiting" else shop.begun()
    if state not in ("waiting", "queued"):
        shop.prepared(run_id)
        shop.trains(run_id)
    if state in ("evaluating", "done"):
        shop.tells(run_id, shop.result(run_id))
    if state == "done":
        shop.measured(run_id)
    assert shop.state(run_id) == state
    before = shop.run(run_id)
    with pytest.raises(BadRequest, match=f"is {state}: there is nothing to resume"):
        shop.training.resume(run_id)
    assert shop.run(run_id) == before


def test_a_run_that_has_ended_is_not_stopped(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.measured(run_id)
    shop.training.stop(run_id)
    assert (shop.state(run_id), shop.queue.stopped, shop.ended) == ("done", [], [])
    with pytest.raises(NotFound):
        shop.training.stop("20200101-000000-nobody")


def test_the_folders_of_forgotten_runs_go_and_others_stay(shop: Workshop) -> None:
    first, second = shop.begun(), shop.begun()
    shop.training.forget([first, "20200101-000000-nobody"])
    assert not shop.places(first).folder.exists()
    assert shop.places(second).folder.is_dir()


def test_old_runs_lose_what_is_large_and_keep_what_tells_about_them(shop: Workshop) -> None:
    runs = []
    for number in range(WHOLE_RUNS + 2):
        run_id = shop.begun()
        shop.prepared(run_id)
        shop.tells(run_id, shop.result(run_id))
        shop.measured(run_id)
        runs.append(run_id)
        assert shop.state(run_id) == "done", number
    shop.training.thin(1024)
    for run_id in runs[:2]:
        left = {path.name for path in shop.places(run_id).folder.iterdir()}
        assert left >= {"request.json", "scores.json"}
        assert not left & {"data", "work", "map", "outcome.json"}
    assert all(shop.places(run_id).data.is_dir() and shop.places(run_id).work.is_dir() for run_id in runs[2:])


def test_an_old_run_that_failed_begins_anew_when_it_is_resumed(shop: Workshop) -> None:
    run_id = trained(shop)
    shop.problem = TrainingFailed("no room")
    shop.measured(run_id)
    assert shop.state(run_id) == "failed"
    for _ in range(WHOLE_RUNS):
        shop.runs.move(shop.wanted(), RunState.FAILED)
    shop.training.thin(1024)
    shop.training.resume(run_id)
    assert shop.state(run_id) == "waiting"
    assert not shop.places(run_id).scores.exists()
