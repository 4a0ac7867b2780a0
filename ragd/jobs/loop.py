"""Works through one queue in this process, with handlers from a fixed table."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import redis
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer
from rq.worker import SimpleWorker

from ragd.config.events import get_log
from ragd.domain.errors import (
    BrokerUnavailable,
    DiskFull,
    EncoderFailed,
    JobRefused,
    RagdError,
    StateBusy,
    StateUnwritable,
)
from ragd.jobs.broker import Broker
from ragd.jobs.hold import WORKER_TTL_S, Handler, Hold, Task
from ragd.jobs.lane import LanedQueue, NamedJob, open_queue
from ragd.jobs.memory import is_no_memory, while_memory_lasts
from ragd.jobs.options import Ending, WorkerOptions
from ragd.jobs.pulse import Pulse
from ragd.jobs.roll import worker_name

ATTEMPTS: Final = 3
_WAIT_S: Final = 5.0
_PAUSES_S: Final = (0.5, 30.0)  # between tries of work that cannot be done now: first, most
_RECONNECTS_S: Final = (0.05, 2.0)  # between tries to reach Redis: first, most
_NOT_NOW: Final = (EncoderFailed, DiskFull, StateBusy, StateUnwritable, BrokerUnavailable)
_LOG = get_log("ragd.jobs")


def run_worker(
    queue: str, broker: Broker, handlers: Mapping[str, Handler], options: WorkerOptions | None = None
) -> Ending:
    """Runs the jobs of one queue until SIGTERM or SIGINT, one at a time, in the calling (main) thread.

    The first signal lets the job at work finish, a second one a second later aborts it. Handlers may raise:
    EncoderFailed, DiskFull, StateBusy, StateUnwritable or BrokerUnavailable keep the job for later; another
    RagdError ends it at once; anything else is a bug, logged with its traceback and tried three times. When Redis is
    away the loop waits for it and says so once.
    """
    options = options or WorkerOptions()
    is_main = threading.current_thread() is threading.main_thread()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if is_main else {}
    worker = QueueWorker(queue, broker, handlers, options)
    worker.log.setLevel(logging.WARNING)  # rq's own lines tell nothing that ours do not
    try:
        with while_memory_lasts(is_disposable=options.is_disposable):
            worker.work(burst=options.burst)
    except StopRequested:
        worker.teardown()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return worker.ending


class QueueWorker(SimpleWorker):  # type: ignore[misc] # rq's classes are untyped here
    """rq's worker loop with a shorter way per job: three round trips instead of some twenty."""

    job_class = NamedJob
    queue_class = LanedQueue

    def __init__(self, queue: str, broker: Broker, handlers: Mapping[str, Handler], options: WorkerOptions) -> None:
        self._client = broker.connect(timeout_s=_WAIT_S + 10.0)
        super().__init__(
            [open_queue(broker, queue)],
            name=options.name or worker_name(queue, os.getpid()) + uuid4().hex[:8],
            connection=self._client,
            worker_ttl=WORKER_TTL_S,
            maintenance_interval=15,
            serializer=JSONSerializer,
            prepare_for_work=False,
        )
        self.hostname, self.pid = socket.gethostname(), os.getpid()
        self._handlers, self._options = handlers, options
        self._hold = Hold(self._client, queue, self.name)
        look = options.stride.end_if_stuck
        self._pulse = Pulse(broker.connect(), self.key, queue, self._facts, ttl_s=WORKER_TTL_S, look=look)
        self._pause_s, self._problem = 0.0, ""
        self.ending = Ending.STOPPED

    def bootstrap(self, *_: Any, **__: Any) -> None:
        """Registers, once Redis answers, and starts the heartbeat."""
        self.birth_date = datetime.now(UTC)
        self._install_signal_handlers()
        self._until_reached(self._pulse.beat)
        self._pulse.start()
        _LOG.info("worker_started", name=self.name)

    def teardown(self) -> None:
        """Puts back what is still held and leaves the registry."""
        self._state = "busy"  # a signal must not interrupt this
        try:
            self._hold.release()
        except redis.exceptions.RedisError as error:
            _LOG.info("jobs_left_held", name=self.name, reason=error)
        self._pulse.stop()
        self._client.close()
        _LOG.info("worker_stopped", name=self.name, reason=self.ending.value)

    def check_for_suspension(self, burst: bool) -> None:
        """Nothing to ask: ragd does not suspend workers through Redis."""

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Left to the pulse, which has its own thread and connection."""

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """False: the supervisor reclaims, and rq's clean-up would read jobs with its pickle default."""
        return False

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Task, LanedQueue] | None:
        """The next job, already marked as started; None in a burst when the queue is empty."""
        with while_memory_lasts(is_disposable=self._options.is_disposable):
            return self._next()

    def _next(self) -> tuple[Task, LanedQueue] | None:
        self._state, refusals = "idle", 0
        while True:
            self._options.stride.step()
            try:
                taken = self._hold.take(None if self._options.burst else _WAIT_S)
                self._check_revision(taken.revision if taken else None)
            except redis.exceptions.RedisError as error:
                self._until_reached(self._hold.release, error, refusals)
                refusals += 1  # one that answers and cannot write, since its disk is full, is not asked all the time
                continue
            refusals = 0
            if taken is not None:
                self._state = "busy"
                return taken.task, self.queues[0]
            if self._options.burst:
                self.ending = Ending.EMPTY
                return None

    def execute_job(self, job: Task, queue: LanedQueue) -> None:
        """Runs a task's handler and ends the job in Redis."""
        with while_memory_lasts(is_disposable=self._options.is_disposable):
            end = self._outcome(job)
            try:
                end()
            except redis.exceptions.RedisError as error:
                # Not ended, so still held: it goes back to the queue and is done again.
                self._until_reached(self._hold.release, error)
        self._state = "idle"
        self._options.stride.rest()
        if self._pause_s and not self._stop_requested:
            time.sleep(self._pause_s)

    def _outcome(self, task: Task) -> Callable[[], None]:
        try:
            handler = self._handlers.get(task.name)
            if handler is None:
                raise JobRefused(f"the job {task.job_id} asks for {task.name[:100]!r}, which this worker does not do")
            rest = handler(task)
        except _NOT_NOW as error:
            return self._put_off(task, error)
        except self._options.fatal as error:
            if self._options.on_fatal is not None:
                self._options.on_fatal(error)
            return lambda: self._hold.give_back(task.job_id, counts=False)
        except RagdError as error:
            _LOG.error("job_failed", task=task.name[:100], batch=task.batch_id, reason=error)
            return self._give_up(task, error)
        except Exception as error:
            if is_no_memory(error) and self._options.is_disposable:
                raise
            _LOG.exception("job_broke", task=task.name, batch=task.batch_id, attempt=task.attempt)
            if task.attempt < ATTEMPTS:
                return lambda: self._hold.give_back(task.job_id, counts=True)
            return self._give_up(task, error)
        if self._pause_s:
            _LOG.info("work_goes_on", name=self.name)
        self._pause_s, self._problem = 0.0, ""
        if rest:
            return lambda: self._hold.give_back(task.job_id, counts=False, rest=rest)
        return lambda: self._hold.finish(task)

    def _put_off(self, task: Task, error: RagdError) -> Callable[[], None]:
        if not self._pause_s:
            _LOG.warning("work_waits", task=task.name, reason=error, hint=error.hint)
        self._problem = str(error)
        self._pause_s = min(max(self._pause_s * 2, _PAUSES_S[0]), _PAUSES_S[1])
        return lambda: self._hold.give_back(task.job_id, counts=False)

    def _give_up(self, task: Task, error: Exception) -> Callable[[], None]:
        if self._options.failed is not None:
            try:
                self._options.failed(task, error)
            except _NOT_NOW as later:
                return self._put_off(task, later)
        return lambda: self._hold.fail(task, f"{type(error).__name__}: {error}")

    def _check_revision(self, revision: bytes | None) -> None:
        if not self._options.revision:
            return
        if (self._hold.waiting_revision() if revision is None else revision) != self._options.revision:
            self.ending = Ending.SETTINGS_CHANGED
            raise StopRequested

    def _until_reached(self, action: Callable[[], None], error: Exception | None = None, refusals: int = 0) -> None:
        self._state = "idle"  # a signal ends the waiting at once
        self._options.stride.rest()
        wait_s, most_s = _RECONNECTS_S
        wait_s = min(wait_s * 2 ** min(refusals, 10), most_s)
        is_said = False
        while True:
            if error is not None:
                if self._stop_requested:
                    raise StopRequested
                if not is_said and not refusals:
                    _LOG.warning("broker_away", name=self.name, reason=error)
                    is_said = True
                time.sleep(wait_s)
                wait_s = min(wait_s * 2, most_s)
            try:
                action()
            except redis.exceptions.RedisError as again:
                error = again
            else:
                break
        if is_said:
            _LOG.info("broker_back", name=self.name)

    def _shutdown(self) -> None:
        # Runs in a signal handler, perhaps amid a command: it must not touch the connection as rq's own does.
        self._stop_requested = True
        self._options.stopping.set()
        if self._state != "busy":
            raise StopRequested

    def handle_warm_shutdown_request(self) -> None:
        """Said by `worker_stopped` instead."""

    def _install_signal_handlers(self) -> None:
        if threading.current_thread() is threading.main_thread():
            super()._install_signal_handlers()

    def _facts(self) -> dict[str, str]:
        born = self.birth_date or datetime.now(UTC)
        return {
            "birth": born.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "last_heartbeat": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "queues": ",".join(self.queue_names()),
            "pid": str(self.pid),
            "hostname": self.hostname or "",
            "version": str(self.version),
            "python_version": sys.version,
            "state": str(self._state),
            "problem": self._problem,
        }
