"""What the daemon's main thread does with the jobs of queue `index`."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from ragd.config.events import get_log
from ragd.daemon.plans import Plans
from ragd.domain.changes import Observation
from ragd.domain.errors import NotFound, PayloadInvalid, TrainingFailed
from ragd.domain.training import RunPlaces
from ragd.domain.work import EmbedResult, ExtractResult
from ragd.flow.dispatch import Dispatch
from ragd.flow.ingest import Ingest
from ragd.flow.training import Training
from ragd.jobs.queue import RunEnded, RunProgress, RunWantsFiles, Trouble
from ragd.jobs.transfer import RunFiles

_LOG = get_log("ragd.daemon")


class IndexJobs:
    """Hands each answer to the flow; a jobs.tasks.Commits. `encoder_problem` says why nothing is embedded.

    Only what a batch of this daemon asked for counts: numbers of documents and chunks mean nothing in another catalog,
    or in this one put back from a copy, and a worker may err.
    """

    def __init__(
        self,
        ingest: Ingest,
        dispatch: Dispatch,
        plans: Plans,
        tick: Callable[[], None],
        training: Training,
        run_files: RunFiles,
        roots: Container[int],
    ) -> None:
        self._ingest = ingest
        self._dispatch = dispatch
        self._plans = plans
        self._tick = tick
        self._training = training
        self._run_files = run_files
        self._roots = roots
        self.encoder_problem = ""

    def plan(self, root_id: int, observations: Sequence[Observation]) -> None:
        """Paths were seen below a root; one that is no longer configured is on its way out."""
        if root_id in self._roots:
            self._ingest.observe(root_id, observations)
        self._plans.done()

    def commit_text(self, batch_id: str, results: Sequence[ExtractResult], extracted_at: float) -> None:
        """Files were read."""
        asked = self._dispatch.asked_text(batch_id, results)
        if len(asked) < len(results):
            _LOG.info("answer_ignored", batch=batch_id, files=len(results) - len(asked))
        if asked:
            self._ingest.commit_text(asked, extracted_at)

    def commit_vectors(self, result: EmbedResult) -> None:
        """Chunks were embedded. Raises PayloadInvalid for vectors of another space: the batch is sent again."""
        asked = self._dispatch.asked_vectors(result)
        if asked is None or len(asked.chunk_ids) < len(result.chunk_ids):
            ignored = len(result.chunk_ids) - (len(asked.chunk_ids) if asked is not None else 0)
            _LOG.info("answer_ignored", batch=result.batch_id, chunks=ignored)
        if asked is not None:
            self._ingest.commit_vectors(asked)
            self.encoder_problem = ""

    def trouble(self, trouble: Trouble) -> None:
        """A batch was given up: an encoder that fails is left alone for a while, a file that kills is isolated."""
        if trouble.queue == "train":
            self._run_given_up(trouble)
        elif trouble.queue == "embed" and not trouble.is_lost:
            pause_s = self._dispatch.embed_failed(trouble.batch_id, trouble.reason)
            if pause_s is None:
                _LOG.info("answer_ignored", batch=trouble.batch_id, reason=trouble.reason)
            elif pause_s:
                self.encoder_problem = f"{trouble.reason} ({trouble.hint})" if trouble.hint else trouble.reason
                _LOG.warning("embedding_waits", seconds=pause_s, reason=trouble.reason)
            else:
                self.encoder_problem = ""  # others pass: it is one text that fails
                _LOG.warning("chunk_set_aside", batch=trouble.batch_id, reason=trouble.reason)
        else:
            self._dispatch.lost(trouble.batch_id, trouble.reason)
            self._dispatch.step()

    def _run_given_up(self, trouble: Trouble) -> None:
        try:
            self._training.fail_open(trouble.batch_id, trouble.reason, trouble.hint)
        except NotFound as error:
            _LOG.info("strange_run", reason=error)

    def run_progress(self, progress: RunProgress) -> None:
        """A run got on."""
        try:
            self._training.progress(progress.run_id, progress.done, progress.total, progress.metrics)
        except NotFound as error:
            _LOG.info("strange_run", reason=error)

    def run_ended(self, ended: RunEnded) -> None:
        """A run trained, stopped or failed; what a worker elsewhere made is fetched first."""
        try:
            places = self._training.known(ended.run_id)
            if ended.is_remote:
                self._received(ended.run_id, places)
            self._training.trained(ended.run_id, ended.outcome)
        except NotFound as error:
            _LOG.info("strange_run", reason=error)
        except PayloadInvalid as error:
            self._training.fail_open(ended.run_id, f"what came back of it cannot be used: {error}", error.hint)

    def run_wants_files(self, wanted: RunWantsFiles) -> None:
        """A worker elsewhere lacks a run's files; a run whose files cannot be sent fails."""
        try:
            places = self._training.known(wanted.run_id)
        except NotFound as error:
            _LOG.info("strange_run", reason=error)
            return
        try:
            sent_bytes = self._run_files.send(places, wanted.lacks)
        except (PayloadInvalid, TrainingFailed) as error:
            self._training.fail_open(wanted.run_id, f"it cannot be sent to its worker: {error}", error.hint)
            self._run_files.refuse(wanted.run_id)
            return
        _LOG.info("run_sent", run=wanted.run_id, bytes=sent_bytes)

    def tick(self) -> None:
        """Time for periodic work."""
        self._tick()

    def _received(self, run_id: str, places: RunPlaces) -> None:
        try:
            self._run_files.receive(run_id, places)
        except PayloadInvalid:
            if not places.outcome.is_file():  # it was told before, when there was no room to note it
                raise
