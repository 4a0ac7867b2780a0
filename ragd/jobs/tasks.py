"""What the workers and the daemon do with the jobs of their queues: the fixed tables of handlers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from ragd.domain.changes import Observation
from ragd.domain.documents import display_path
from ragd.domain.errors import JobRefused, ModelMismatch, PayloadInvalid, RagdError
from ragd.domain.index import HalfVectors
from ragd.domain.ports import Encoder
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractItem, ExtractResult
from ragd.embed.batch import Encoded, encode_slices
from ragd.jobs.hold import Handler, Task
from ragd.jobs.payload import decode, decode_vectors, encode
from ragd.jobs.queue import PlanRequest, Queues, RunEnded, RunProgress, RunWantsFiles, TextAnswer, Trouble

_PART_FILES: Final = 16
_PART_CHUNKS: Final = 128
_PART_S: Final = 1.0
_VAIN_STARTS: Final = 8
_ASK_S: Final = 0.01  # how often a backfill looks whether a person waits: often enough, and cheap
_BACKFILL_S: Final = 5.0


class Extractor(Protocol):
    """Reads, hashes and splits one file; never raises for what is in it."""

    def extract(self, root: bytes, item: ExtractItem) -> ExtractResult: ...


class Commits(Protocol):
    """What the daemon's main thread does with what comes back; each may be called twice with the same answer."""

    def plan(self, root_id: int, observations: Sequence[Observation]) -> None:
        """Paths were seen below a root."""
        ...

    def commit_text(self, batch_id: str, results: Sequence[ExtractResult], extracted_at: float) -> None:
        """Files of a batch were read (a part of them, perhaps); `extracted_at` in Unix seconds."""
        ...

    def commit_vectors(self, result: EmbedResult) -> None:
        """Chunks of a batch were embedded (a part of them, perhaps)."""
        ...

    def trouble(self, trouble: Trouble) -> None:
        """A batch was given up by its worker, or cost several workers their lives."""
        ...

    def run_progress(self, progress: RunProgress) -> None:
        """A run got on; called at most twice a second for each."""
        ...

    def run_ended(self, ended: RunEnded) -> None:
        """A run trained, stopped or failed."""
        ...

    def run_wants_files(self, wanted: RunWantsFiles) -> None:
        """A worker on another machine lacks a run's files."""
        ...

    def tick(self) -> None:
        """Time for periodic work."""
        ...


def extract_handlers(
    queues: Queues,
    extractor: Extractor,
    *,
    roots: Collection[bytes] = (),
    is_stopping: Callable[[], bool] = lambda: False,
    on_step: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[str, Handler]:
    """The table of an `extract` worker: reads a batch's files and answers in parts while it goes on.

    With `roots`, a job that names another folder is refused: whoever reaches Redis must not have any file read.
    A part is sent after 16 files, 128 chunks or one second, so that words are searchable early and no commit takes
    long. A worker that is to stop hands back the files it has not read, and a backfill does when a fresh job waits.
    `on_step` is called before each file.
    """

    def extract(task: Task) -> bytes | None:
        batch = decode(ExtractBatch, task.body)
        if roots and batch.root not in roots:
            raise JobRefused(
                f"a job asks for files in {display_path(batch.root)}, which is none of this worker's folders",
                hint="start the worker with the daemon's configuration; if that is so, look who writes to Redis",
            )
        part: list[ExtractResult] = []
        sent_at = asked_at = clock()

        def should_yield() -> bool:
            nonlocal asked_at
            if batch.fresh or clock() - asked_at < _ASK_S:
                return is_stopping()
            asked_at = clock()
            return is_stopping() or queues.fresh_waits("extract")

        for at, item in enumerate(batch.items):
            on_step()
            if at and should_yield():
                if part:
                    queues.commit_text(batch.id, part)
                return encode(replace(batch, items=batch.items[at:]))
            part.append(extractor.extract(batch.root, item))
            chunks = sum(len(result.extraction.pieces) for result in part if result.extraction)
            if len(part) >= _PART_FILES or chunks >= _PART_CHUNKS or clock() - sent_at >= _PART_S:
                queues.commit_text(batch.id, part)
                part, sent_at = [], clock()
        if part:
            queues.commit_text(batch.id, part)
        return None

    return {"extract": extract}


def embed_handlers(
    queues: Queues,
    encoders: Callable[[str], Encoder],
    *,
    is_stopping: Callable[[], bool] = lambda: False,
    on_step: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Mapping[str, Handler]:
    """The table of an `embed` worker: turns a batch's texts into vectors, by the encoder of the batch's space.

    A backfill makes way at once when a fresh job waits, and between two slices when the worker is to stop and every
    five seconds, so that what is done is searchable: it is sent, the rest goes back. `encoders` gives the encoder of a
    fingerprint; a batch for which it raises ModelMismatch or ModelUnavailable is refused. `on_step` is called after
    each slice.
    """

    def should_end() -> bool:
        on_step()
        return is_stopping()

    return {"embed": _Embedding(queues, encoders, should_end, clock)}


class _Embedding:
    """The handler of an `embed` worker, with what it must remember of the batches before."""

    def __init__(
        self,
        queues: Queues,
        encoders: Callable[[str], Encoder],
        should_end: Callable[[], bool],
        clock: Callable[[], float],
    ) -> None:
        self._queues, self._encoders = queues, encoders
        self._should_end, self._clock = should_end, clock
        self._vain_starts = 0

    def __call__(self, task: Task) -> bytes | None:
        batch = decode(EmbedBatch, task.body)
        encoder = self._encoders(batch.fingerprint)
        encoded = self._encoded(encoder, batch)
        vectors: HalfVectors = encoded.vectors.astype(np.float16)
        if not np.isfinite(vectors).all():
            # Stored, they would be refused by the index at every start.
            raise ModelMismatch(
                f"the model {encoder.space.model} gave vectors that are not finite numbers",
                hint="check the model's files or its endpoint",
            )
        if encoded.done:
            chunk_ids = tuple(batch.chunk_ids[i] for i in encoded.done)
            self._queues.commit_vectors(
                EmbedResult(batch.id, batch.generation, chunk_ids, vectors, encoded.encode_s, encoded.encoded_chars)
            )
        return encode(_remainder(batch, encoded.left)) if encoded.left else None

    def _encoded(self, encoder: Encoder, batch: EmbedBatch) -> Encoded:
        if batch.fresh:
            return encode_slices(encoder, batch.texts, should_yield=self._should_end)
        deadline = self._clock() + _BACKFILL_S

        def should_yield() -> bool:
            return self._should_end() or self._clock() > deadline or self._fresh_waits()

        # However fast fresh jobs come, a backfill gets on: after some starts in vain, by one slice at least.
        should_halt = self._fresh_waits if self._vain_starts < _VAIN_STARTS else None
        encoded = encode_slices(encoder, batch.texts, should_yield=should_yield, should_halt=should_halt)
        self._vain_starts = 0 if encoded.done else self._vain_starts + 1
        return encoded

    def _fresh_waits(self) -> bool:
        return self._queues.fresh_waits("embed")


def index_handlers(commits: Commits) -> Mapping[str, Handler]:
    """The table of the daemon's own worker."""

    def plan(task: Task) -> None:
        request = decode(PlanRequest, task.body)
        commits.plan(request.root_id, request.observations)

    def commit_text(task: Task) -> None:
        answer = decode(TextAnswer, task.body)
        _check_texts(answer.results)
        commits.commit_text(answer.batch_id, answer.results, answer.extracted_at)

    def commit_vectors(task: Task) -> None:
        commits.commit_vectors(decode_vectors(task.body))

    def trouble(task: Task) -> None:
        commits.trouble(decode(Trouble, task.body))

    def run_progress(task: Task) -> None:
        commits.run_progress(decode(RunProgress, task.body))

    def run_ended(task: Task) -> None:
        commits.run_ended(decode(RunEnded, task.body))

    def run_wants_files(task: Task) -> None:
        commits.run_wants_files(decode(RunWantsFiles, task.body))

    def tick(task: Task) -> None:
        commits.tick()

    return {
        "plan": plan,
        "commit_text": commit_text,
        "commit_vectors": commit_vectors,
        "trouble": trouble,
        "run_progress": run_progress,
        "run_ended": run_ended,
        "run_wants_files": run_wants_files,
        "tick": tick,
    }


def _check_texts(results: Sequence[ExtractResult]) -> None:
    """Raises PayloadInvalid for a text that no catalog can hold: no reader of ours lets half a character through."""
    for result in results:
        if result.extraction is not None:
            pieces = result.extraction.pieces
            texts = [result.extraction.title, *(text for piece in pieces for text in (piece.text, piece.context))]
            try:
                "".join(texts).encode()
            except UnicodeEncodeError as error:
                raise PayloadInvalid(f"a text of document {result.document_id} holds half a character") from error


def tell_trouble(queues: Queues, queue: str) -> Callable[[Task, Exception], None]:
    """What a worker does with a task that it gives up: the daemon is told, and decides."""

    def tell(task: Task, error: Exception) -> None:
        hint = (
            error.hint if isinstance(error, RagdError) else "this is a bug in ragd; the worker's log has the traceback"
        )
        queues.trouble(Trouble(queue, task.batch_id, f"{error}"[:2000], hint, is_lost=False))

    return tell


def _remainder(batch: EmbedBatch, left: Sequence[int]) -> EmbedBatch:
    return replace(
        batch,
        chunk_ids=tuple(batch.chunk_ids[i] for i in left),
        texts=tuple(batch.texts[i] for i in left),
    )
