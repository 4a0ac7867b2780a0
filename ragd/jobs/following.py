"""Follows one run from launch to outcome: tells how far it is, passes on a stop, starts it again when it dies."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from ragd.config.events import get_log
from ragd.domain.errors import LaunchFailed, RagdError
from ragd.domain.plugins import Launcher
from ragd.domain.training import RunOutcome, RunPlaces, RunRequest
from ragd.jobs.launchers import LOCAL
from ragd.jobs.queue import Queues, RunProgress
from ragd.jobs.tracking import Tracking
from ragd.learn.records import Follower, Step, read_attempts, read_outcome, reopen, write_outcome

PAUSE: Final = b"pause\n"
"""What a worker that is to end writes into a run's stop file: the run goes on when a worker takes it up again."""
_LOOK_S: Final = 0.1
_TELL_S: Final = 0.5
_ASK_S: Final = 1.0
_PAUSE_GRACE_S: Final = 7.0  # the daemon gives its workers ten
_MOST_VAIN: Final = 5
_LATE_S: Final = 30.0  # a disk that is shared may show a file late
_LOG = get_log("ragd.jobs")


class Following:
    """One run in the hands of a train worker; `is_stopping` says that the worker is to end."""

    def __init__(
        self,
        queues: Queues,
        places: RunPlaces,
        request: RunRequest,
        launcher: Launcher,
        tracking: Tracking,
        is_stopping: Callable[[], bool],
    ) -> None:
        self._queues, self._places, self._request = queues, places, request
        self._launcher, self._tracking, self._is_stopping = launcher, tracking, is_stopping
        self._steps = Follower(places.progress)
        self._told_at = self._asked_at = 0.0
        self._attempt = read_attempts(places).count

    def outcome(self) -> RunOutcome | None:
        """How the run ended; None when it was paused, with a checkpoint if it could, because the worker is to end."""
        self._clear_pause()
        self._steps.news()  # told by an earlier worker
        before = read_outcome(self._places)
        if before is not None:
            return before
        if self._queues.is_stopped(self._request.id) or self._places.stop.exists():
            return self._written(RunOutcome("stopped", reason="stopped before it began"))
        self._tracking.started({**_facts(self._request), "attempt": self._attempt + 1})
        outcome = self._launched()
        if outcome is not None:
            self._tell(is_last=True)
            facts = {name: value for name, value in asdict(outcome).items() if name not in ("files", "facts")}
            self._tracking.ended(outcome.state, {**facts, **outcome.facts})
        return outcome

    def _launched(self) -> RunOutcome | None:
        vain = 0
        while True:
            count = read_attempts(self._places).count
            self._attempt = count + 1
            status = self._followed()
            outcome = self._found()
            if self._is_paused():
                if outcome is None or outcome.state == "stopped":
                    reopen(self._places)
                    return None
                return outcome
            if outcome is not None:
                return outcome
            # Its own process died; started again it counts how often, unless it did not even get so far.
            vain = vain + 1 if read_attempts(self._places).count == count else 0
            _LOG.warning("run_died", run=self._request.id, status=status, vain=vain)
            if vain >= _MOST_VAIN:
                return self._written(self._unstartable(status))
            if self._places.stop.exists():
                return self._written(RunOutcome("stopped", reason="its process died while it was asked to stop"))
            time.sleep(min(0.1 * 2**vain, 5.0))

    def _followed(self) -> int:
        """Launches the run's process and waits for its end; returns its exit status."""
        command = [sys.executable, "-P", "-m", "ragd.flow.train", str(self._places.folder)]
        launched = self._launcher.launch(command, self._places.folder, self._request.resources)
        try:
            paused_at: float | None = None
            while (status := launched.poll()) is None:
                if self._launcher.name != LOCAL and self._places.outcome.exists():
                    return 0  # a cluster may tell much later that a job is over
                self._tell()
                self._pass_on_stop()
                if self._is_stopping():
                    paused_at = paused_at or self._pause()
                    if time.monotonic() - paused_at > _PAUSE_GRACE_S:
                        launched.stop()
                time.sleep(_LOOK_S)
            return status
        except BaseException:
            launched.stop()
            raise

    def _tell(self, *, is_last: bool = False) -> None:
        """Tells trackers every step, and the daemon the newest at most twice a second."""
        now = time.monotonic()
        if now - self._told_at < _TELL_S and not is_last:
            return
        self._told_at = now
        steps = self._steps.news()
        for step in steps:
            self._tracking.logged(step.done, step.metrics)
        if steps:
            self._send(steps[-1])

    def _send(self, step: Step) -> None:
        with suppress(RagdError):  # the next one tells more; the end is told for certain
            progress = RunProgress(self._request.id, self._attempt, step.at, step.done, step.total, step.metrics)
            self._queues.run_progress(progress)

    def _pass_on_stop(self) -> None:
        now = time.monotonic()
        if now - self._asked_at < _ASK_S:
            return
        self._asked_at = now
        with suppress(RagdError):
            if self._queues.is_stopped(self._request.id) and not self._places.stop.exists():
                self._places.stop.write_bytes(b"stop\n")

    def _pause(self) -> float:
        if not self._places.stop.exists():
            self._places.stop.write_bytes(PAUSE)
        return time.monotonic()

    def _is_paused(self) -> bool:
        with suppress(OSError):
            return self._places.stop.read_bytes() == PAUSE
        return False

    def _clear_pause(self) -> None:
        """A worker that was killed while it paused a run left its stop file, and perhaps an outcome that says so."""
        if self._is_paused():
            before = read_outcome(self._places)
            if before is None or before.state == "stopped":
                reopen(self._places)

    def _found(self) -> RunOutcome | None:
        deadline = time.monotonic() + (0.0 if self._launcher.name == LOCAL else _LATE_S)
        while (outcome := read_outcome(self._places)) is None and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        return outcome

    def _unstartable(self, status: int) -> RunOutcome:
        lines = self._places.log.read_text("utf-8", "replace").strip().splitlines() if self._places.log.exists() else []
        reason = f"its process ends at once (status {status}): {lines[-1][:500] if lines else 'it said nothing'}"
        hint = f"see `ragd runs log {self._request.id}`"
        return RunOutcome("failed", error=LaunchFailed("").code, reason=reason, hint=hint)

    def _written(self, outcome: RunOutcome) -> RunOutcome:
        write_outcome(self._places, outcome)
        return outcome


def _facts(request: RunRequest) -> dict[str, object]:
    """What trackers are told of a run: plain values, no paths."""
    return {
        "trainer": request.trainer,
        "role": str(request.role),
        "plugin": request.plugin.name,
        "seed": request.seed,
        "device": request.resources.device,
        "threads": request.resources.threads,
        **{f"option.{name}": value for name, value in request.settings.items()},
    }
