"""What the daemon does with the jobs of its own queue."""

from __future__ import annotations

from typing import cast

import numpy as np

from ragd.daemon.handlers import IndexJobs
from ragd.daemon.plans import Plans
from ragd.domain.work import EmbedResult
from ragd.flow.dispatch import Dispatch
from ragd.flow.ingest import Ingest
from ragd.flow.training import Training
from ragd.jobs.queue import Trouble
from ragd.jobs.transfer import RunFiles


class Flow:
    """Remembers what it is told; knows one batch."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def knows(self, batch_id: str) -> bool:
        return batch_id == "bulk-mine"

    def commit_text(self, results: object, extracted_at: float) -> None:
        self.told.append("text")

    def commit_vectors(self, result: EmbedResult) -> None:
        self.told.append("vectors")

    def embed_failed(self, batch_id: str) -> float:
        self.told.append("failed")
        return 1.0

    def lost(self, batch_id: str) -> None:
        self.told.append("lost")

    def step(self) -> None:
        self.told.append("step")


def jobs(flow: Flow) -> IndexJobs:
    training, files = cast(Training, flow), cast(RunFiles, flow)
    return IndexJobs(cast(Ingest, flow), cast(Dispatch, flow), Plans(), lambda: None, training, files)


def result(batch_id: str) -> EmbedResult:
    return EmbedResult(batch_id, 1, (1,), np.zeros((1, 4), np.float16), 0.0, 1)


def test_answers_to_batches_that_are_awaited_are_committed() -> None:
    flow = Flow()
    jobs(flow).commit_text("bulk-mine", (), 1.0)
    jobs(flow).commit_vectors(result("bulk-mine"))
    assert flow.told == ["text", "vectors"]


def test_answers_of_another_daemon_or_of_before_a_restart_are_ignored() -> None:
    flow = Flow()
    jobs(flow).commit_text("bulk-of-another", (), 1.0)
    jobs(flow).commit_vectors(result("bulk-of-another"))
    assert flow.told == []


def test_an_encoder_that_fails_is_left_alone_and_its_reason_shown_until_it_works() -> None:
    flow = Flow()
    index = jobs(flow)
    index.trouble(Trouble("embed", "bulk-mine", "no answer", "check the endpoint", is_lost=False))
    assert (flow.told, index.encoder_problem) == (["failed"], "no answer (check the endpoint)")
    index.commit_vectors(result("bulk-mine"))
    assert index.encoder_problem == ""


def test_a_batch_that_killed_workers_goes_out_again() -> None:
    flow = Flow()
    jobs(flow).trouble(Trouble("extract", "bulk-mine", "the batch ended 2 workers", "", is_lost=True))
    assert flow.told == ["lost", "step"]
