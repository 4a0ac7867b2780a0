"""The way of one run: its folder, its data, its worker, its evaluation and its end; every step can be done again.

A run's state is a row of the catalog; what was done of it lies in its folder. Whatever dies on the way, the next `step`
sees from the two what comes next: data that is there is not made again, an outcome that is there is taken as it is.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ragd.catalog.runs import OPEN, RunRows, Runs
from ragd.catalog.spend import Spend
from ragd.config.events import get_log
from ragd.domain.deciding import Cost, RunState
from ragd.domain.errors import BadRequest, BrokerUnavailable, NotFound, RagdError, TrainingFailed
from ragd.domain.learning import Resources
from ragd.domain.training import Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.flow.leftovers import strange, thin
from ragd.learn.records import read_outcome, read_request, reopen, write_request
from ragd.learn.scores import read_scores
from ragd.learn.snapshot import is_prepared, read_manifest, write_preparation

_LOG = get_log("ragd.learn")
WHOLE_RUNS = 5
_PREPARE_S = 1800.0
_EVALUATE_S = 7200.0
_PREPARE, _EVALUATE = "prepare", "evaluate"
_MODULES = {_PREPARE: "ragd.flow.prepare", _EVALUATE: "ragd.flow.evaluate"}
_STOP = b"stop\n"
_LIMITS_S = {_PREPARE: _PREPARE_S, _EVALUATE: _EVALUATE_S}


class TrainQueue(Protocol):
    """The queue `train`; every call may raise BrokerUnavailable."""

    def train(self, run_id: str, folder: str) -> bool:
        """Queues a run unless it is known already; returns whether it did."""
        ...

    def stop_run(self, run_id: str) -> None:
        """Asks whoever works on the run to stop it with a checkpoint."""
        ...


class Chores(Protocol):
    """Children of the daemon that prepare and evaluate."""

    def start(self, name: str, module: str, arguments: Sequence[str], output: Path, *, timeout_s: float) -> None: ...

    def is_running(self, name: str) -> bool: ...

    def stop(self, name: str) -> None: ...


@dataclass(frozen=True, slots=True)
class ChoreEnd:
    """How a chore ended: exit status (negative: a signal), its last line as JSON (or nothing), CPU seconds."""

    name: str
    status: int
    said: Mapping[str, Any]
    cpu_s: float


class Training:
    """Takes runs from their request to their scores; lives in the daemon's main thread.

    `scored` is called when a run's result was measured, `ended` when a run ended otherwise; both may be called again
    for the same run after a crash, until the run's row says that it is done.
    """

    def __init__(
        self,
        runs: Runs,
        rows: RunRows,
        spend: Spend,
        folder: Path,
        queue: TrainQueue,
        chores: Chores,
        *,
        scored: Callable[[str, RunPlaces, RunOutcome], None],
        ended: Callable[[str, RunState], None],
    ) -> None:
        self._runs, self._rows, self._spend = runs, rows, spend
        self._folder = folder
        self._queue, self._chores = queue, chores
        self._scored, self._ended = scored, ended
        self._given_up: set[str] = set()  # chores that were stopped: their end says nothing of their run

    def places(self, run_id: str) -> RunPlaces:
        """Where a run lies."""
        return RunPlaces(self._folder / run_id)

    def known(self, run_id: str) -> RunPlaces:
        """Where a run lies that somebody else names. Raises NotFound unless there is one of this very id."""
        if self._rows.named(run_id)["id"] != run_id:
            raise NotFound(f"there is no run {run_id}", hint="`ragd runs list` lists them")
        return self.places(run_id)

    def begin(self, request: RunRequest, preparation: Preparation) -> None:
        """Takes a waiting run up: its request is written down, then its data is made."""
        places = self.places(request.id)
        write_request(places, request)
        write_preparation(places, preparation)
        self._runs.move(request.id, RunState.QUEUED)
        self.step()

    def step(self) -> None:
        """Gives every run that is under way its next push; what is being done already is left alone."""
        for run_id in [str(run["id"]) for run in self._rows.open()]:
            try:
                self._push(run_id)
            except BrokerUnavailable:
                continue  # it waits for the queue; others may be evaluated meanwhile
            except RagdError as error:
                if self._rows.named(run_id)["state"] not in OPEN:
                    raise
                self.fail(run_id, str(error), error.hint)

    def chore_ended(self, end: ChoreEnd) -> None:
        """The data of a run is made, or its result measured, or neither."""
        kind, _, run_id = end.name.partition(" ")
        self._spend.charge("prepare" if kind == _PREPARE else "evaluate", Cost(end.cpu_s), run_id=run_id)
        is_given_up = end.name in self._given_up
        self._given_up.discard(end.name)
        if self._rows.named(run_id)["state"] not in (RunState.QUEUED, RunState.EVALUATING):
            return
        places = self.places(run_id)
        is_made = is_prepared(places) if kind == _PREPARE else places.scores.exists()
        if not is_given_up and (end.status != 0 or not is_made):
            reason = str(end.said.get("reason") or f"the process that was to {kind} ended with {end.status}")
            self.fail(run_id, reason, str(end.said.get("hint", "")))
            return
        self.step()

    def progress(self, run_id: str, done: int, total: int, metrics: Mapping[str, float], worker: str = "") -> None:
        """A worker reports a step."""
        run = self._rows.named(run_id)
        if run["state"] == RunState.QUEUED:
            self._runs.move(run_id, RunState.RUNNING, worker=worker)
        if run["state"] in (RunState.QUEUED, RunState.RUNNING):
            self._runs.progress(run_id, done, total, metrics)

    def trained(self, run_id: str, outcome: RunOutcome) -> None:
        """A run's process ended: its result is measured next, or the run is over. Told twice, it counts once.

        One that was stopped before its worker told of it is charged, and stays stopped.
        """
        run = self._rows.named(run_id)
        self._note_outcome(run_id, outcome)
        if run["state"] not in (RunState.QUEUED, RunState.RUNNING):
            return
        if run["state"] == RunState.QUEUED:
            self._runs.move(run_id, RunState.RUNNING)
        if outcome.state == "trained":
            self._runs.move(run_id, RunState.EVALUATING)
            self.step()
        elif outcome.state == "stopped":
            self._end(run_id, RunState.STOPPED, outcome.reason, outcome.hint)
        else:
            self.fail(run_id, outcome.reason, outcome.hint)

    def stop(self, run_id: str) -> None:
        """Asks a run to stop; one that has not begun to train ends at once."""
        state = RunState(self._rows.named(run_id)["state"])
        for name in [name for kind in _MODULES if self._chores.is_running(name := f"{kind} {run_id}")]:
            self._given_up.add(name)
            self._chores.stop(name)
        if state in (RunState.QUEUED, RunState.RUNNING):
            self.places(run_id).stop.write_bytes(_STOP)
        if state in (RunState.WAITING, RunState.QUEUED, RunState.EVALUATING):
            self._end(run_id, RunState.STOPPED, "stopped when asked", f"go on: `ragd runs resume {run_id}`")
        if state in (RunState.QUEUED, RunState.RUNNING):
            # A worker on this machine sees the file; one elsewhere hears of it when the queue is there again.
            with suppress(BrokerUnavailable):
                self._queue.stop_run(run_id)

    def resume(self, run_id: str, resources: Resources | None = None) -> None:
        """Takes a stopped or failed run up where it is; one without data waits for its turn as if it were new.

        `resources` take the place of those that it began with: too few of them may be why it failed.
        Raises BadRequest for one that is done or under way, TrainingFailed when its folder is damaged.
        """
        state, places = self._rows.named(run_id)["state"], self.places(run_id)
        if state not in (RunState.STOPPED, RunState.FAILED):
            raise BadRequest(f"the run {run_id} is {state}: there is nothing to resume", hint="see `ragd runs show`")
        outcome = read_outcome(places)
        if outcome is not None and outcome.state == "trained":
            self._note_outcome(run_id, outcome)
            _measured_or_not(places)
            self._runs.move(run_id, RunState.EVALUATING)
        else:
            if resources is not None and places.request.exists():
                write_request(places, replace(read_request(places), resources=resources))
            places.scores.unlink(missing_ok=True)  # of an earlier result
            reopen(places)
            self._runs.move(run_id, RunState.QUEUED if is_prepared(places) else RunState.WAITING)
        self.step()

    def fail(self, run_id: str, reason: str, hint: str) -> None:
        """Ends a run with the reason why; what serves is untouched."""
        _LOG.warning("run_failed", run=run_id, reason=reason)
        self._end(run_id, RunState.FAILED, reason, hint)

    def fail_open(self, run_id: str, reason: str, hint: str) -> None:
        """Ends a run that somebody else gave up, unless it has ended already. Raises NotFound."""
        if self._rows.named(run_id)["state"] in (RunState.QUEUED, RunState.RUNNING):
            self.fail(run_id, reason, hint)

    def forget(self, run_ids: Sequence[str]) -> None:
        """Removes the folders of runs that are no longer kept."""
        for run_id in run_ids:
            shutil.rmtree(self._folder / run_id, ignore_errors=True)

    def forget_strange(self, unchanged_since: float) -> None:
        """Removes the folders of runs that are not known, unless somebody wrote to them since this Unix time."""
        known = {run_id for run_id, _ in self._rows.ended(but=0)} | {str(run["id"]) for run in self._rows.open()}
        self.forget([place.name for place in strange(self._folder, known, unchanged_since=unchanged_since)])

    def thin(self, log_bytes: int) -> None:
        """Of runs but the newest that ended keeps what tells about them, with so much of the end of each log."""
        for run_id, state in self._rows.ended(but=WHOLE_RUNS):
            thin(self.places(run_id), is_done=state is RunState.DONE, log_bytes=log_bytes)

    def _end(self, run_id: str, state: RunState, reason: str, hint: str) -> None:
        self._runs.move(run_id, state, reason=reason, hint=hint)
        self._ended(run_id, state)

    def _push(self, run_id: str) -> None:
        run, places = self._rows.named(run_id), self.places(run_id)
        state = RunState(run["state"])
        if state is RunState.QUEUED and not is_prepared(places):
            self._do(_PREPARE, run_id)
        elif state in (RunState.QUEUED, RunState.RUNNING):
            if not run["data_sha256"]:
                self._note_data(run, places)
            outcome = read_outcome(places)
            if outcome is not None:
                self.trained(run_id, outcome)
            else:
                self._queue.train(run_id, str(places.folder))
                if places.stop.is_file() and places.stop.read_bytes() == _STOP:
                    self._queue.stop_run(run_id)
        elif state is RunState.EVALUATING:
            outcome = read_outcome(places)
            if outcome is not None and places.scores.exists():
                self._scored(run_id, places, outcome)
            else:
                self._do(_EVALUATE, run_id)

    def _note_data(self, run: Mapping[str, Any], places: RunPlaces) -> None:
        """What was frozen, from its own manifest: whoever made it may have died before it was heard."""
        manifest = read_manifest(places.data)
        self._runs.prepared(
            str(run["id"]),
            examples=int(manifest.facts["examples"]),
            sha256=manifest.data_sha256,
            report=manifest.facts.get("report", {}),
            changes=int(run["changes"]),
        )

    def _note_outcome(self, run_id: str, outcome: RunOutcome) -> None:
        """What the training took, in all its attempts; noted again, it counts once."""
        self._runs.outcome(run_id, outcome)
        self._spend.settle(run_id, "train", Cost(outcome.cpu_s, outcome.gpu_s))

    def _do(self, kind: str, run_id: str) -> None:
        folder = self.places(run_id).folder
        name = f"{kind} {run_id}"
        if not self._chores.is_running(name):
            self._chores.start(name, _MODULES[kind], [str(folder)], folder / f"{kind}.txt", timeout_s=_LIMITS_S[kind])


def _measured_or_not(places: RunPlaces) -> None:
    """Scores that cannot be read are measured again."""
    try:
        read_scores(places.scores)
    except TrainingFailed:
        places.scores.unlink(missing_ok=True)
