"""Puts work into Redis for the workers, and their answers for the daemon: the Outbox over rq's queues."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast
from uuid import uuid4

from ragd.domain.changes import Observation
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractResult
from ragd.jobs.broker import IN_PREFIX, OUT_PREFIX, QUEUE_NAMES, Broker
from ragd.jobs.lane import FRESH, new_job, open_queue
from ragd.jobs.payload import encode, encode_vectors

BODY_TTL_S: Final = 24 * 3600
_TICK_ID: Final = f"{FRESH}tick"


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What was seen below one root, for the daemon to reconcile."""

    root_id: int
    observations: tuple[Observation, ...]


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """What became of a batch's files, or of a part of them."""

    batch_id: str
    results: tuple[ExtractResult, ...]


@dataclass(frozen=True, slots=True)
class EmbedFailure:
    """Chunks that a worker could not embed, why, and what to do."""

    batch_id: str
    generation: int
    chunk_ids: tuple[int, ...]
    reason: str
    hint: str


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
        self._put("extract", "extract", batch.id, encode(batch), is_fresh=batch.fresh)

    def embed(self, batch: EmbedBatch) -> None:
        """Queues a batch for an embed worker; fresh ones go ahead of a backfill."""
        self._put("embed", "embed", batch.id, encode(batch), is_fresh=batch.fresh)

    def resume(self, batch: EmbedBatch) -> None:
        """Queues what is left of an interrupted backfill: behind the fresh jobs, ahead of other backfills."""
        self._put("embed", "embed", batch.id, encode(batch), is_fresh=False, is_ahead=True)

    def plan(self, root_id: int, observations: Sequence[Observation], *, is_fresh: bool = False) -> None:
        """Queues what was seen below a root for the daemon."""
        request = PlanRequest(root_id, tuple(observations))
        self._put("index", "plan", f"root-{root_id}", encode(request), is_fresh=is_fresh)

    def commit_text(self, batch_id: str, results: Sequence[ExtractResult], *, is_fresh: bool) -> None:
        """Queues what became of files; a batch may be answered in several parts."""
        answer = TextAnswer(batch_id, tuple(results))
        self._put("index", "commit_text", batch_id, encode(answer), is_fresh=is_fresh)

    def commit_vectors(self, result: EmbedResult, *, is_fresh: bool) -> None:
        """Queues vectors of a batch or of a part of it."""
        self._put("index", "commit_vectors", result.batch_id, encode_vectors(result), is_fresh=is_fresh)

    def embed_failed(self, failure: EmbedFailure) -> None:
        """Queues the news that chunks could not be embedded."""
        self._put("index", "embed_failed", failure.batch_id, encode(failure), is_fresh=False)

    def tick(self) -> None:
        """Queues one turn of the daemon's periodic work, ahead of a backfill's results; nothing while one waits."""
        with self._broker.reached() as client:
            is_there = client.exists(f"rq:job:{_TICK_ID}")
        if not is_there:
            self._put("index", "tick", "tick", b"", is_fresh=True, job_id=_TICK_ID)

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

    def _put(
        self,
        queue_name: str,
        task: str,
        batch_id: str,
        body: bytes,
        *,
        is_fresh: bool,
        is_ahead: bool = False,
        job_id: str = "",
    ) -> None:
        queue = self._queues[queue_name]
        job_id = job_id or f"{FRESH if is_fresh else 'fill-'}{uuid4().hex}"
        with self._broker.reached() as client, client.pipeline() as pipe:
            job = new_job(self._broker, queue_name, task, batch_id, job_id)
            queue.enqueue_job(job, pipeline=pipe, at_front=is_fresh or is_ahead)
            if body:
                pipe.set(body_key(queue_name, job_id), body, ex=BODY_TTL_S)
            pipe.execute()


def body_key(queue_name: str, job_id: str) -> str:
    """Where a job's body lies: what workers are given, or what the daemon is answered."""
    return f"{OUT_PREFIX if queue_name == 'index' else IN_PREFIX}{job_id}"
