"""The daemon from start to stop: lock, Redis, model, index, workers, HTTP, watcher, then jobs until a signal."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

from ragd import app as construct
from ragd.config.events import get_log
from ragd.config.logs import log_to_stderr
from ragd.config.places import Places
from ragd.config.schema import Config, default_state
from ragd.daemon.backend import DaemonBackend
from ragd.daemon.broker_watch import BrokerWatch
from ragd.daemon.crew import Crew
from ragd.daemon.door import http_server
from ragd.daemon.ending import FATAL, Ending
from ragd.daemon.errands import Errands
from ragd.daemon.handlers import IndexJobs
from ragd.daemon.health import Health, platform_lacks
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.model_side import ModelSide
from ragd.daemon.plans import Plans
from ragd.daemon.progress import Count, Progress, counted
from ragd.daemon.sdnotify import Notifier
from ragd.daemon.sight import Sight
from ragd.daemon.supervisor import Supervisor
from ragd.daemon.upkeep import Upkeep
from ragd.daemon.watched import watcher_of
from ragd.daemon.workers import worker_command, worker_counts, worker_environment
from ragd.disk.lock import StateLock
from ragd.domain.changes import Observation
from ragd.domain.documents import display_path
from ragd.domain.errors import BrokerUnavailable
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.hold import Task
from ragd.jobs.loop import WorkerOptions, run_worker
from ragd.jobs.queue import Queues
from ragd.jobs.reclaim import Reclaimer
from ragd.jobs.repair import put_away
from ragd.jobs.roll import workers
from ragd.jobs.settings import TrainSettings, WorkerModel, WorkerSettings, publish
from ragd.jobs.tasks import index_handlers
from ragd.jobs.transfer import RunFiles
from ragd.web.door import check_tokens, door_of

_LOG = get_log("ragd.daemon")
_PLANS_WAITING = 4
_PLAN_WAIT_S = 0.005
_HUNG_S, _LEAST_HUNG_S = 60.0, 6.0  # silence of the main thread, which is asked every two seconds


def run(config: Config, *, until_indexed: bool = False, progress: bool = True) -> int:
    """Runs until SIGTERM or SIGINT, or until everything is searchable; returns the exit status.

    Call it from the main thread. Raises ConfigInvalid, StateLocked, StateNewer, StateCorrupt, BrokerUnavailable,
    ModelUnavailable, ModelMismatch, PathInvalid or DiskFull when it cannot start.
    """
    check_tokens(door_of(config.http), config.state, time.time())
    is_watched_by_a_person = progress and sys.stderr.isatty()
    level = "warning" if is_watched_by_a_person and config.log.level == "info" else config.log.level
    form = log_to_stderr(level, config.log.format)
    with ExitStack() as stack:
        lock = stack.enter_context(StateLock(config.state))
        # Words for a person stand between lines of logfmt; to programs that read lines the log tells the same.
        says = is_watched_by_a_person or (progress and form == "logfmt")
        daemon = Daemon(config, stack, lock, level, says=says)
        return daemon.serve(until_indexed=until_indexed)


class Daemon:
    """The parts of one running daemon; `stack` takes what must be undone, last made first."""

    def __init__(self, config: Config, stack: ExitStack, lock: StateLock, log_level: str, *, says: bool) -> None:
        self.config = config
        self._says = says
        self._is_stopping = threading.Event()
        self._is_broken = False
        self._notifier = Notifier()
        self.heartbeat = Heartbeat(max(self._notifier.watchdog_s or _HUNG_S, _LEAST_HUNG_S))
        self._redis = None if config.redis.url else self._embedded(stack)
        self.broker = Broker(self._redis.url if self._redis is not None else config.redis.url)
        stack.callback(self.broker.close)
        self._state_id = hashlib.blake2b(os.fsencode(config.state.absolute()), digest_size=8).hexdigest()
        self.broker.check()
        put_away(self.broker)
        self.broker.claim(self._state_id)
        stack.callback(self._release)
        self.broker.reset()
        self.queues = Queues(self.broker)
        is_new = config.embed.encoder == "onnx" and not any(Places(config.state).models.rglob("*.onnx"))
        self._say(f"opening the model{' (preparing it takes half a minute, once)' if is_new else ''} ...")
        model = construct.open_model(config)
        self._say("opening the index ...")
        self.app = construct.build(config, model, self.queues, recheck=self._recheck, progress=self._opening)
        stack.callback(self.app.close)
        self.ending = Ending((lock.check_place, self.app.tables.store.check_place))
        self.app.promotions.announce = self._announce
        self.watcher = watcher_of(config, self.app, self._emit)
        self.errands = Errands(self._queue_tick, self.heartbeat.beat)
        self.upkeep = Upkeep(self.app, is_alive=self.queues.is_alive, embed_workers=self._embed_workers)
        self.plans = Plans()
        environment = worker_environment(config, self.broker.url, log_level)
        self.model_side = ModelSide(self.app, self.queues, self.errands, environment)
        stack.callback(self.model_side.close)
        self.jobs = IndexJobs(
            self.app.ingest,
            self.app.dispatch,
            self.plans,
            self._tick,
            self.model_side.training,
            RunFiles(self.broker),
        )
        self.supervisor = Supervisor(
            worker_counts(config),
            worker_command(),
            Reclaimer(self.broker, self.queues),
            server=self._redis,
            environment=environment,
        )
        self.broker_watch = BrokerWatch(
            self.broker,
            self._state_id,
            self._worker_settings,
            self.watcher.rescan,
            end_server=partial(self._redis.stop, timeout_s=0.5) if self._redis is not None else None,
        )
        self.sight = Sight(self.app, self.broker, self.supervisor, self.heartbeat, worker_counts(config))
        self.app.ingest.on_landed = self.sight.meters.landed
        self.health = Health(
            self.app,
            self.broker,
            self.broker_watch,
            self.queues,
            self.watcher,
            self.supervisor,
            self.upkeep,
            self.jobs,
            self.plans,
            self._redis is not None,
            self.model_side,
            self.heartbeat,
            (*platform_lacks(sys.platform), *model.lacks),
        )

    def serve(self, *, until_indexed: bool) -> int:
        """Starts every thread, takes jobs in this one until a signal, then stops all in order."""
        progress = Progress(self._ready_line) if self._says else None
        backend = DaemonBackend(
            self.app,
            self.errands,
            self.model_side.learning,
            self.sight,
            facts=self.health.facts,
            walks=self.watcher,
            is_planned=self._is_planned,
        )
        server = http_server(self.config, backend)
        crew = Crew(
            self.supervisor,
            self.broker_watch,
            self._queue_tick,
            self._notifier,
            self.heartbeat,
            ending=self.ending,
            count=lambda: counted(self.app.reader.overview, self.health.is_scanning()),
            progress=progress,
            until_indexed=until_indexed,
        )
        watching = threading.Thread(target=self._watch, name="watch", daemon=True)
        with ExitStack() as stack:
            stack.callback(self.ending.unless_given_up, self.upkeep.finish)
            self.model_side.start()
            server.start()
            stack.callback(server.stop)
            crew.start()
            stack.callback(crew.stop)
            watching.start()
            stack.callback(watching.join, 5.0)
            stack.callback(self.watcher.stop)
            stack.callback(self._is_stopping.set)
            stack.callback(self._notifier.stopping)
            _LOG.info("started", pid=os.getpid(), state=self.config.state, index=self.app.restored)
            self.heartbeat.beat()
            self._notifier.ready(f"indexing {len(self.app.roots)} folders")
            self.sight.began()
            handlers = self.heartbeat.through(index_handlers(self.jobs))
            run_worker(
                "index",
                self.broker,
                handlers,
                WorkerOptions(failed=self._given_up, fatal=FATAL, on_fatal=self.ending.give_up),
            )
            self.sight.ended()
            self._say("stopping ...")
        _LOG.info("stopped")
        self.ending.raise_reason()
        return 1 if self._is_broken else 0

    def _watch(self) -> None:
        try:
            with self.ending.watch():
                self.watcher.run()
        except Exception:  # noqa: BLE001
            # An edge: an index that no longer follows its folders must not look alive: end, and be started anew.
            self._is_broken = True
            _LOG.exception("watcher_broke")
            os.kill(os.getpid(), signal.SIGTERM)

    def _opening(self, done: int, total: int) -> None:
        self._notifier.starting(f"building the index: {done:,} of {total:,} chunks")

    def _tick(self) -> None:
        self.plans.tick_done()
        self.errands.run()
        self.upkeep.step()
        self.model_side.step()
        self.sight.step()

    def _is_planned(self) -> bool:
        is_heard = any(root.waiting for root in self.watcher.progress()) or self.watcher.untold
        return not (is_heard or self.plans.are_waiting)

    def _queue_tick(self) -> None:
        sent = self.plans.count
        if self.queues.tick():
            self.plans.tick_sent(sent)

    def _worker_settings(self) -> WorkerSettings:
        models = tuple(WorkerModel(live.spec, live.space) for live in self.app.generations.all)
        limits = construct.read_limits(self.config)
        learn = self.config.learn
        train = TrainSettings(learn.launcher, learn.trackers, self.model_side.sources())
        return WorkerSettings(limits, self.app.model.split, models, self.config.workers.nice, train)

    def _announce(self) -> None:
        # Before work for a new model goes out; where Redis is away now, the crew makes up for it.
        try:
            publish(self.broker, self._worker_settings())
        except BrokerUnavailable as error:
            _LOG.warning("models_not_announced", reason=error)

    def _emit(self, root_id: int, observations: Sequence[Observation]) -> None:
        # One lane for all plans keeps them in the order they were seen; the wait keeps a scan from running ahead.
        while self.plans.waiting >= _PLANS_WAITING and not self._is_stopping.wait(_PLAN_WAIT_S):
            pass
        self.plans.sent()
        self.queues.plan(root_id, observations, is_fresh=True)

    def _given_up(self, task: Task, error: Exception) -> None:
        # A batch that gets no answer is sent again; a plan that nobody can read is only in the folders.
        if task.name not in ("commit_text", "commit_vectors", "tick"):
            self.watcher.rescan()

    def _recheck(self, root_id: int, path: bytes) -> None:
        self.watcher.rescan(os.path.join(self.app.roots[root_id], os.path.dirname(path)))

    def _embedded(self, stack: ExitStack) -> EmbeddedRedis:
        redis = EmbeddedRedis(self.config.state / "broker", self.config.redis.server)
        redis.start()
        stack.callback(redis.stop)
        return redis

    def _release(self) -> None:
        try:
            self.broker.release(self._state_id)
        except BrokerUnavailable as error:
            _LOG.info("broker_not_released", reason=error)

    def _embed_workers(self) -> int:
        return sum(worker.queue == "embed" for worker in workers(self.broker))

    def _ready_line(self, count: Count) -> str:
        failed = f", {count.failed:,} could not be read (see: ragd failed)" if count.failed else ""
        folders = ", ".join(display_path(path) for path in self.app.roots.values())
        state = "" if self.config.state == default_state(os.environ) else f" --state {self.config.state}"
        return (
            f"all searchable: {count.files - count.failed:,} files, {count.chunks:,} chunks in {folders}{failed}. "
            f'Search with: ragd{state} search "your words"'
        )

    def _say(self, text: str) -> None:
        if self._says and sys.stderr.isatty():
            sys.stderr.write(text + "\n")
