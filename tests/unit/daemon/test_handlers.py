"""What the daemon does with the jobs of its own queue."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from ragd.daemon.handlers import IndexJobs
from ragd.daemon.plans import Plans
from ragd.domain.errors import DiskFull, PayloadInvalid
from ragd.domain.training import RunOutcome, RunPlaces
from ragd.domain.work import EmbedResult, ExtractResult
from ragd.flow.dispatch import Dispatch
from ragd.flow.ingest import Ingest
from ragd.flow.training import Training
from ragd.jobs.queue import RunEnded, RunProgress, RunWantsFiles, Trouble
from ragd.jobs.transfer import RunFiles
from ragd.learn.records import read_request
from tests.unit.flow.workshop import Workshop


class Flow:
    """Remembers what it is told; asked for one batch: document 1 in version 1, chunk 1."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def asked_text(self, batch_id: str, results: Sequence[ExtractResult]) -> tuple[ExtractResult, ...]:
        return tuple(one for one in results if batch_id == "bulk-mine" and (one.document_id, one.version) == (1, 1))

    def asked_vectors(self, result: EmbedResult) -> EmbedResult | None:
        return result if result.batch_id == "bulk-mine" else None

    def commit_text(self, results: Sequence[ExtractResult], extracted_at: float) -> None:
        self.told.append(f"text of {[one.document_id for one in results]}")

    def commit_vectors(self, result: EmbedResult) -> None:
        self.told.append("vectors")

    def embed_failed(self, batch_id: str, reason: str) -> float | None:
        self.told.append("failed")
        return {"bulk-mine": 1.0, "bulk-alone": 0.0}.get(batch_id)

    def lost(self, batch_id: str, reason: str) -> None:
        self.told.append("lost")

    def step(self) -> None:
        self.told.append("step")


READ = ExtractResult(1, 1, None, reason="no text")


def jobs(flow: Flow) -> IndexJobs:
    training, files = cast(Training, flow), cast(RunFiles, flow)
    return IndexJobs(cast(Ingest, flow), cast(Dispatch, flow), Plans(), lambda: None, training, files, {1})


def result(batch_id: str) -> EmbedResult:
    return EmbedResult(batch_id, 1, (1,), np.zeros((1, 4), np.float16), 0.0, 1)


def test_answers_to_batches_that_are_awaited_are_committed() -> None:
    flow = Flow()
    jobs(flow).commit_text("bulk-mine", (READ, replace(READ, document_id=2), replace(READ, version=2)), 1.0)
    jobs(flow).commit_vectors(result("bulk-mine"))
    assert flow.told == ["text of [1]", "vectors"]


def test_answers_of_another_daemon_or_of_before_a_restart_are_ignored() -> None:
    flow = Flow()
    jobs(flow).commit_text("bulk-of-another", (READ,), 1.0)
    jobs(flow).commit_vectors(result("bulk-of-another"))
    assert flow.told == []


def test_an_encoder_that_fails_is_left_alone_and_its_reason_shown_until_it_works() -> None:
    flow = Flow()
    index = jobs(flow)
    index.trouble(Trouble("embed", "bulk-mine", "no answer", "check the endpoint", is_lost=False))
    assert (flow.told, index.encoder_problem) == (["failed"], "no answer (check the endpoint)")
    index.commit_vectors(result("bulk-mine"))
    assert index.encoder_problem == ""


def test_an_encoder_that_fails_at_one_text_only_is_not_called_broken() -> None:
    index = jobs(Flow())
    index.trouble(Trouble("embed", "bulk-mine", "refused", "", is_lost=False))
    index.trouble(Trouble("embed", "bulk-alone", "refused", "", is_lost=False))
    assert index.encoder_problem == ""


def test_an_encoder_that_failed_for_nobody_is_not_shown() -> None:
    index = jobs(Flow())
    index.trouble(Trouble("embed", "bulk-of-another", "no answer", "check the endpoint", is_lost=False))
    assert index.encoder_problem == ""


def test_a_batch_that_killed_workers_goes_out_again() -> None:
    flow = Flow()
    jobs(flow).trouble(Trouble("extract", "bulk-mine", "the batch ended 2 workers", "", is_lost=True))
    assert flow.told == ["lost", "step"]


# Runs.

STRANGER = "20200101-000000-nobody"
FAILED = RunOutcome("failed", reason="loss became nan")


class RunFilesFake:
    """What waits in Redis of runs that trained elsewhere: it can be taken once."""

    def __init__(self, shop: Workshop) -> None:
        self.shop = shop
        self.waiting: set[str] = set()
        self.sent: list[tuple[str, tuple[str, ...]]] = []
        self.refused: list[str] = []
        self.too_much = False

    def send(self, places: RunPlaces, lacks: Collection[str] = ()) -> int:
        read_request(places)
        if self.too_much:
            raise PayloadInvalid("files are too much to send", hint="share the disk")
        self.sent.append((places.folder.name, tuple(lacks)))
        return 10

    def refuse(self, run_id: str) -> None:
        self.refused.append(run_id)

    def receive(self, run_id: str, places: RunPlaces) -> tuple[str, ...]:
        assert places == self.shop.places(run_id)
        if run_id not in self.waiting:
            raise PayloadInvalid(f"the files of {run_id} are not in Redis any more", hint="they are kept for an hour")
        self.waiting.remove(run_id)
        self.shop.result(run_id)
        return ("outcome.json",)


class Desk:
    """The handlers over a real catalog of runs."""

    def __init__(self, state: Path) -> None:
        self.shop = Workshop(state)
        self.files = RunFilesFake(self.shop)
        nobody = cast(Ingest, None), cast(Dispatch, None)
        self.jobs = IndexJobs(*nobody, Plans(), lambda: None, self.shop.training, cast(RunFiles, self.files), ())

    def running(self) -> str:
        run_id = self.shop.begun()
        self.shop.prepared(run_id)
        self.jobs.run_progress(RunProgress(run_id, 1, 5.0, 3, 10, {"loss": 0.5}))
        return run_id

    def ended(self, run_id: str, outcome: RunOutcome, *, is_remote: bool = False) -> None:
        self.shop.queue.known.pop(run_id, None)
        self.jobs.run_ended(RunEnded(run_id, outcome, is_remote))

    def made(self, run_id: str) -> RunOutcome:
        """What a worker elsewhere made: its files are in Redis, and it says how it ended."""
        self.files.waiting.add(run_id)
        elsewhere = self.shop.places(run_id)
        outcome = self.shop.result(run_id)
        elsewhere.outcome.unlink()
        return outcome


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.shop.close()


def test_the_steps_of_a_run_are_noted(desk: Desk) -> None:
    run = desk.shop.run(desk.running())
    assert (run["state"], run["done"], run["total"], run["metrics"]) == ("running", 3, 10, {"loss": 0.5})


def test_a_run_that_trained_here_is_measured_next(desk: Desk) -> None:
    run_id = desk.running()
    desk.ended(run_id, desk.shop.result(run_id))
    assert desk.shop.state(run_id) == "evaluating"


def test_what_a_worker_elsewhere_made_is_fetched_first(desk: Desk) -> None:
    run_id = desk.running()
    outcome = desk.made(run_id)
    desk.ended(run_id, outcome, is_remote=True)
    assert desk.shop.state(run_id) == "evaluating"
    assert desk.files.waiting == set()
    desk.ended(run_id, outcome, is_remote=True)
    assert desk.shop.state(run_id) == "evaluating"


def test_files_that_were_lost_on_the_way_fail_the_run(desk: Desk) -> None:
    run_id = desk.running()
    outcome = desk.made(run_id)
    desk.files.waiting.clear()
    desk.ended(run_id, outcome, is_remote=True)
    run = desk.shop.run(run_id)
    assert run["state"] == "failed"
    assert "what came back of it cannot be used: the files of" in run["reason"]
    assert run["hint"] == "they are kept for an hour"


def test_a_result_that_came_when_the_disk_was_full_counts_when_it_is_told_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = desk.running()
    outcome = desk.made(run_id)

    def has_no_room(*_: object) -> None:
        raise DiskFull("no room")

    with monkeypatch.context() as patched:
        patched.setattr(Training, "trained", has_no_room)
        with pytest.raises(DiskFull):
            desk.ended(run_id, outcome, is_remote=True)
    desk.ended(run_id, outcome, is_remote=True)
    assert desk.shop.state(run_id) == "evaluating"


def test_a_run_that_failed_in_its_worker_is_failed(desk: Desk) -> None:
    run_id = desk.running()
    desk.ended(run_id, FAILED)
    assert (desk.shop.state(run_id), desk.shop.run(run_id)["reason"]) == ("failed", "loss became nan")


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_run_that_was_given_up_is_failed_with_the_reason(desk: Desk, is_lost: bool) -> None:
    run_id = desk.running()
    desk.jobs.trouble(Trouble("train", run_id, "it ended 3 workers", "see their logs", is_lost=is_lost))
    run = desk.shop.run(run_id)
    assert (run["state"], run["reason"], run["hint"]) == ("failed", "it ended 3 workers", "see their logs")


def test_a_worker_gets_the_files_that_it_lacks(desk: Desk) -> None:
    run_id = desk.running()
    desk.jobs.run_wants_files(RunWantsFiles(run_id))
    desk.jobs.run_wants_files(RunWantsFiles(run_id, ("adapter",)))
    assert desk.files.sent == [(run_id, ()), (run_id, ("adapter",))]


def test_a_run_that_cannot_be_sent_fails_and_its_worker_waits_no_longer(desk: Desk) -> None:
    large, damaged = desk.running(), desk.running()
    desk.shop.places(damaged).request.unlink()
    desk.jobs.run_wants_files(RunWantsFiles(damaged))
    desk.files.too_much = True
    desk.jobs.run_wants_files(RunWantsFiles(large))
    assert [desk.shop.state(run_id) for run_id in (large, damaged)] == ["failed", "failed"]
    run = desk.shop.run(large)
    assert (run["reason"], run["hint"]) == (
        "it cannot be sent to its worker: files are too much to send",
        "share the disk",
    )
    assert "cannot be read" in desk.shop.run(damaged)["reason"]
    assert (desk.files.sent, desk.files.refused) == ([], [damaged, large])


@pytest.mark.parametrize("name", [STRANGER, "../../elsewhere", ""])
def test_runs_of_another_catalog_are_left_alone(desk: Desk, name: str) -> None:
    desk.running()
    before = desk.shop.rows.runs.newest()
    desk.jobs.run_progress(RunProgress(name, 1, 5.0, 3, 10))
    desk.ended(name, FAILED)
    desk.files.waiting.add(name)
    desk.ended(name, FAILED, is_remote=True)
    desk.jobs.run_wants_files(RunWantsFiles(name))
    desk.jobs.trouble(Trouble("train", name, "gone", "", is_lost=True))
    assert desk.shop.rows.runs.newest() == before
    assert (desk.files.waiting, desk.files.sent) == ({name}, [])


def test_the_beginning_of_an_id_is_no_id_here(desk: Desk) -> None:
    run_id = desk.running()
    desk.files.waiting.add(run_id[:-2])
    desk.ended(run_id[:-2], FAILED, is_remote=True)
    desk.jobs.run_wants_files(RunWantsFiles(run_id[:-2]))
    assert (desk.files.sent, desk.shop.state(run_id)) == ([], "running")
