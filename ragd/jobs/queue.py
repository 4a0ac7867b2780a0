"""Puts work into Redis for the workers, and their answers for the daemon: the Outbox over rq's queues."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast
from uuid import uuid4

from ragd.domain.changes import Observation
from ragd.domain.training import RunOutcome
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractResult
from ragd.jobs.broker import IN_PREFIX, OUT_PREFIX, QUEUE_NAMES, STOP_PREFIX, Broker
from ragd.jobs.lane import FRESH, new_job, open_queue
from ragd.jobs.payload import encode, encode_vectors

BODY_TTL_S: Final = 24 * 3600
_TICK: Final = f"{FRESH}tick"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What was seen below one root, for the daemon to reconcile."""

    root_id: int
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """What became of a batch's files, or of a part of them; `extracted_at` in Unix seconds."""

    batch_id: str
    results: tuple[ExtractResult, ...]
    extracted_at: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A batch that a worker gave up (`reason`, `hint`), or that cost several workers their lives (`is_lost`)."""

    queue: str
    batch_id: str
    reason: str
    hint: str
    is_lost: bool


@dataclass(frozen=True, slots=True)
class TrainJob:
    """A run for a train worker; `folder` is where it lies on the daemon's machine."""

    run_id: str
    folder: str


@dataclass(frozen=True, slots=True)
class RunProgress:
    """How far a run is: `done` of `total` at Unix seconds `at`, with the trainer's numbers; `attempt` counts from 1."""

    run_id: str
    attempt: int
    at: float
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunEnded:
    """How a run ended. With `is_remote` its files wait in Redis: see `jobs.transfer.RunFiles.receive`."""

    run_id: str
    outcome: RunOutcome
    is_remote: bool = False


@dataclass(frozen=True, slots=True)
class RunWantsFiles:
    """A worker on another machine asks for a run's files; `lacks` names the model folders it does not have."""

    run_id: str
    lacks: tuple[str, ...] = ()


class Queues:
    """The four queues of one broker. Every call is one round trip and raises BrokerUnavailable when it fails.

    A job carries a name and its batch's id; what it works on lies beside it under `ragd:in:` (for
    workers) or `ragd:out:` (for the daemon) and its job id, and goes with it.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._queues = {name: open_queue(broker, name) for name in QUEUE_NAMES}

    def extract(self, batch: ExtractBatch) -> None:
        """Queues a batch for an extract worker; fresh ones go ahead of a backfill."""
        self._put("extract", "extract", batch.id, _job_id(batch), encode(batch))

    def embed(self, batch: EmbedBatch) -> None:
        """Queues a batch for an embed worker; fresh ones go ahead of a backfill."""
        self._put("embed", "embed", batch.id, _job_id(batch), encode(batch))

    def plan(self, root_id: int, observations: Sequence[Observation], *, is_fresh: bool = False) -> None:
        """Queues what was seen below a root for the daemon."""
        request = PlanRequest(root_id, tuple(observations))
        self._answer("plan", f"{FRESH if is_fresh else 'bulk-'}root-{root_id}", encode(request))

    def commit_text(self, batch_id: str, results: Sequence[ExtractResult]) -> None:
        """Queues what became of files; a batch may be answered in several parts."""
        self._answer("commit_text", batch_id, encode(TextAnswer(batch_id, tuple(results), time.time())))

    def commit_vectors(self, result: EmbedResult) -> None:
        """Queues vectors of a batch or of a part of it."""
        self._answer("commit_vectors", result.batch_id, encode_vectors(result))

    def trouble(self, trouble: Trouble) -> None:
        """Queues the news that a batch was given up."""
        self._answer("trouble", trouble.batch_id, encode(trouble))

    def train(self, run_id: str, folder: str) -> bool:
        """Queues a run for a train worker and forgets an earlier wish to stop it; nothing while Redis knows the run.

        Returns True when this call queued it.
        """
        if self.is_alive(run_id):
            return False
        with self._broker.reached() as client:
            client.unlink(f"{STOP_PREFIX}{run_id}", f"rq:job:{run_id}")  # a failed job of the same run
        self._put("train", "train", run_id, run_id, encode(TrainJob(run_id, folder)))
        return True

    def stop_run(self, run_id: str) -> None:
        """Asks whoever works on the run, or takes it up, to stop it with a checkpoint."""
        with self._broker.reached() as client:
            client.set(f"{STOP_PREFIX}{run_id}", b"1", ex=BODY_TTL_S)

    def is_stopped(self, run_id: str) -> bool:
        """True when the run was asked to stop."""
        with self._broker.reached() as client:
            return bool(client.exists(f"{STOP_PREFIX}{run_id}"))

    def run_progress(self, progress: RunProgress) -> None:
        """Queues how far a run is, ahead of a backfill's results: somebody may be looking."""
        self._answer("run_progress", f"{FRESH}{progress.run_id}", encode(progress))

    def run_ended(self, ended: RunEnded) -> None:
        """Queues how a run ended."""
        self._answer("run_ended", f"{FRESH}{ended.run_id}", encode(ended))

    def run_wants_files(self, wanted: RunWantsFiles) -> None:
        """Queues the wish of a worker on another machine for a run's files."""
        self._answer("run_wants_files", f"{FRESH}{wanted.run_id}", encode(wanted))

    def tick(self) -> bool:
        """Queues one turn of the daemon's periodic work, ahead of a backfill's results; nothing while one waits.

        One that is being done does not count as waiting: whoever calls gets a turn that begins after the
        call. Returns True when this call queued it.
        """
        with self._broker.reached() as client:
            first = cast("list[bytes]", client.lrange(self._queues["index"].key, 0, 15))
        if not any(job_id.startswith(_TICK.encode()) for job_id in first):
            self._put("index", "tick", _TICK, f"{_TICK}-{uuid4().hex[:12]}", b"")
            return True
        return False

    def is_alive(self, batch_id: str) -> bool:
        """True while Redis knows the batch: it waits, is worked on, or its answer waits for the daemon."""
        with self._broker.reached() as client, client.pipeline(transaction=False) as pipe:
            pipe.hget(f"rq:job:{batch_id}", "status")
            pipe.lrange(self._queues["index"].key, 0, -1)
            status, answers = cast("tuple[bytes | None, list[bytes]]", tuple(pipe.execute()))
        named = (batch_id.encode(), f"{FRESH}{batch_id}".encode())
        return status not in (None, b"failed") or any(answer.startswith(named) for answer in answers)

    def lengths(self) -> dict[str, int]:
        """How many jobs wait in each queue, by its name (those at work are not counted)."""
        with self._broker.reached() as client, client.pipeline(transaction=False) as pipe:
            for name in QUEUE_NAMES:
                pipe.llen(self._queues[name].key)
            return dict(zip(QUEUE_NAMES, cast("list[int]", pipe.execute()), strict=True))

    def fresh_waits(self, queue: str) -> bool:
        """True when the next job of this queue is a fresh one."""
        with self._broker.reached() as client:
            first = client.lindex(self._queues[queue].key, 0)
        return isinstance(first, bytes) and first.startswith(FRESH.encode())

    def _answer(self, task: str, batch_id: str, body: bytes) -> None:
        self._put("index", task, batch_id, f"{batch_id}-{uuid4().hex[:12]}", body)

    def _put(self, queue_name: str, task: str, batch_id: str, job_id: str, body: bytes) -> None:
        queue = self._queues[queue_name]
        with self._broker.reached() as client, client.pipeline() as pipe:
            job = new_job(self._broker, queue_name, task, batch_id, job_id)
            queue.enqueue_job(job, pipeline=pipe, at_front=job_id.startswith(FRESH))
            if body:
                # A run may wait for its turn, or train, for days; batches are sent again when theirs are gone.
                pipe.set(body_key(queue_name, job_id), body, ex=None if queue_name == "train" else BODY_TTL_S)
            pipe.execute()


def _job_id(batch: ExtractBatch | EmbedBatch) -> str:
    """A batch's job has the batch's id; its first letters say whether it is fresh."""
    if batch.id.startswith(FRESH) != batch.fresh:
        raise ValueError(f"the id of a batch begins with {FRESH!r} exactly when it is fresh: {batch.id}")
    return batch.id


def body_key(queue_name: str, job_id: str) -> str:
    """Where a job's body lies: what workers are given, or what the daemon is answered."""
    return f"{OUT_PREFIX if queue_name == 'index' else IN_PREFIX}{job_id}"
