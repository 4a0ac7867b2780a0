"""The jobs of queue `index`, by name: what the daemon's main thread does with what others send it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ragd.daemon.plans import Plans
from ragd.flow.dispatch import Dispatch
from ragd.flow.ingest import Ingest
from ragd.jobs.hold import Task
from ragd.jobs.payload import decode, decode_vectors
from ragd.jobs.queue import PlanRequest, TextAnswer, Trouble

_LOG = logging.getLogger("ragd.daemon")


class IndexJobs:
    """Decodes each job's body and hands it to the flow."""

    def __init__(self, ingest: Ingest, dispatch: Dispatch, plans: Plans, tick: Callable[[], None]) -> None:
        self._ingest = ingest
        self._dispatch = dispatch
        self._plans = plans
        self._tick = tick
        self.encoder_problem = ""

    def table(self) -> Mapping[str, Callable[[Task], None]]:
        """The handlers by job name."""
        return {
            "plan": self._plan,
            "commit_text": self._commit_text,
            "commit_vectors": self._commit_vectors,
            "trouble": self._trouble,
            "tick": lambda _task: self._tick(),
        }

    def _plan(self, task: Task) -> None:
        request = decode(PlanRequest, task.body)
        self._ingest.observe(request.root_id, request.observations)
        self._plans.done()

    def _commit_text(self, task: Task) -> None:
        answer = decode(TextAnswer, task.body)
        self._ingest.commit_text(answer.results, answer.extracted_at)

    def _commit_vectors(self, task: Task) -> None:
        self._ingest.commit_vectors(decode_vectors(task.body))
        self.encoder_problem = ""

    def _trouble(self, task: Task) -> None:
        trouble = decode(Trouble, task.body)
        if trouble.queue == "embed" and not trouble.is_lost:
            pause_s = self._dispatch.embed_failed(trouble.batch_id)
            self.encoder_problem = f"{trouble.reason} ({trouble.hint})" if trouble.hint else trouble.reason
            _LOG.warning("embedding_waits seconds=%g reason=%s", pause_s, trouble.reason)
        else:
            self._dispatch.lost(trouble.batch_id)
            self._dispatch.step()
