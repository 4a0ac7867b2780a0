"""The daemon from start to stop: lock, Redis, model, index, workers, HTTP, watcher, then jobs until a signal."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from functools import partial

from ragd import app as construct
from ragd.config.events import get_log
from ragd.config.live import Change, Load
from ragd.config.logs import log_to_stderr
from ragd.config.places import Places
from ragd.config.schema import Config
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
from ragd.daemon.progress import Count, Progress, counted, log_level, ready_line
from ragd.daemon.reloading import Reloading
from ragd.daemon.sdnotify import Notifier
from ragd.daemon.sight import Sight
from ragd.daemon.supervisor import Supervisor
from ragd.daemon.upkeep import Upkeep
from ragd.daemon.watching import Watching
from ragd.daemon.workers import worker_command, worker_counts, worker_environment
from ragd.disk.lock import StateLock
from ragd.domain.errors import BrokerUnavailable
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.hold import Task
from ragd.jobs.loop import run_worker
from ragd.jobs.options import WorkerOptions
from ragd.jobs.queue import Queues
from ragd.jobs.reclaim import Reclaimer
from ragd.jobs.repair import put_away
from ragd.jobs.roll import workers
from ragd.jobs.settings import TrainSettings, WorkerModel, WorkerSettings, publish
from ragd.jobs.tasks import index_handlers
from ragd.jobs.transfer import RunFiles
from ragd.web.door import check_tokens, door_of

_LOG = get_log("ragd.daemon")
_START_S = 300.0  # nobody renews the claim on Redis until model and index are open
_HUNG_S, _LEAST_HUNG_S = 60.0, 6.0  # silence of the main thread, which is asked every two seconds


def run(config: Config, *, until_indexed: bool = False, progress: bool = True, load_again: Load | None = None) -> int:
    """Runs until SIGTERM or SIGINT, or until everything is searchable; returns the exit status.

    `load_again` gives the configuration of a reload, which SIGHUP asks for, or a person.
    Call it from the main thread. Raises ConfigInvalid, StateLocked, StateNewer, StateCorrupt, BrokerUnavailable,
    ModelUnavailable, ModelMismatch, PathInvalid or DiskFull when it cannot start.
    """
    check_tokens(door_of(config.http), config.state, time.time())
    form = log_to_stderr(log_level(config, says=progress), config.log.format)
    with ExitStack() as stack:
        lock = stack.enter_context(StateLock(config.state))
        # Words for a person stand between lines of logfmt; to programs that read lines the log tells the same.
        says = progress and (form == "logfmt" or sys.stderr.isatty())
        daemon = Daemon(config, stack, lock, load_again, says=says)
        return daemon.serve(until_indexed=until_indexed)


class Daemon:
    """The parts of one running daemon; `stack` takes what must be undone, last made first."""

    def __init__(
        self, config: Config, stack: ExitStack, lock: StateLock, load_again: Load | None, *, says: bool
    ) -> None:
        self.config = config
        self._says = says
        self._is_broken = False
        self._notifier = Notifier()
        self.heartbeat = Heartbeat(max(self._notifier.watchdog_s or _HUNG_S, _LEAST_HUNG_S))
        self._redis = None if config.redis.address else self._embedded(stack)
        self.broker = Broker(self._redis.url if self._redis is not None else config.redis.address)
        stack.callback(self.broker.close)
        self._state_id = hashlib.blake2b(os.fsencode(config.state.absolute()), digest_size=8).hexdigest()
        self.broker.check()
        put_away(self.broker)
        self.broker.claim(self._state_id, ttl_s=_START_S)
        stack.callback(self._release)
        self.broker.reset()
        self.queues = Queues(self.broker)
        is_new = config.embed.encoder == "onnx" and not any(Places(config.state).models.rglob("*.onnx"))
        self._say(f"opening the model{' (preparing it takes half a minute, once)' if is_new else ''} ...")
        model = construct.open_model(config)
        self._say("opening the index ...")
        self.app = construct.build(
            config,
            model,
            self.queues,
            recheck=self._recheck,
            progress=self._opening,
        )
        stack.callback(self.app.close)
        self.ending = Ending((lock.check_place, self.app.tables.store.check_place))
        self.app.promotions.announce = self._announce
        self.plans = Plans()
        self.watching = Watching(self.app, self.plans, self.queues, self.ending, self._broken)
        self.errands = Errands(self._queue_tick, self.heartbeat.beat)
        self.upkeep = Upkeep(self.app, is_alive=self.queues.is_alive, embed_workers=self._embed_workers)
        environment = self._environment()
        self.model_side = ModelSide(self.app, self.queues, self.errands, environment)
        stack.callback(self.model_side.close)
        self.jobs = IndexJobs(
            self.app.ingest,
            self.app.dispatch,
            self.plans,
            self._tick,
            self.model_side.training,
            RunFiles(self.broker),
            self.app.roots,
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
            self.watching.rescan,
            end_server=partial(self._redis.stop, timeout_s=0.5) if self._redis is not None else None,
        )
        self.sight = Sight(self.app, self.broker, self.supervisor, self.heartbeat)
        self.app.ingest.on_landed = self.sight.meters.landed
        self.reloading = Reloading(self.app.live, load_again, self._adopt, self._notifier)
        self.health = Health(
            self.app,
            self.broker,
            self.broker_watch,
            self.queues,
            self.watching,
            self.reloading,
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
            walks=self.watching,
            reload=self.reloading.reload,
            is_planned=self._is_planned,
        )
        server = http_server(self.app.live, backend)
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
        with ExitStack() as stack:
            stack.callback(self.ending.unless_given_up, self.upkeep.finish)
            self.model_side.start()
            server.start()
            stack.callback(server.stop)
            crew.start()
            stack.callback(crew.stop)
            self.watching.start()
            stack.callback(self.watching.stop)
            stack.callback(self._notifier.stopping)
            _LOG.info("started", pid=os.getpid(), state=self.config.state, index=self.app.restored)
            self.reloading.listen()
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

    def _broken(self) -> None:
        # To be started anew.
        self._is_broken = True
        os.kill(os.getpid(), signal.SIGTERM)

    def _recheck(self, root_id: int, path: bytes) -> None:
        self.watching.recheck(root_id, path)

    def _adopt(self, found: Change) -> None:
        """Goes by another configuration from here on."""
        config = found.config
        self.app.adopt(config)
        if found.touches("log"):
            log_to_stderr(log_level(config, says=self._says), config.log.format)
        if found.touches("collections", "watch", "read.max_file_mb"):
            self.upkeep.roots_changed()
            self.watching.replace()
        # How a worker logs, and what an extract worker may read, is in its environment. One that trains is left alone.
        anew = ("extract", "embed") if found.touches("log") else ("extract",) if found.touches("collections") else ()
        self.supervisor.follow(worker_counts(config), self._environment(), anew=anew)

    def _opening(self, done: int, total: int) -> None:
        self._notifier.starting(f"building the index: {done:,} of {total:,} chunks")

    def _tick(self) -> None:
        self.plans.tick_done()
        self.errands.run()
        self.reloading.step()
        self.upkeep.step()
        self.model_side.step()
        self.sight.step()

    def _is_planned(self) -> bool:
        is_heard = any(root.waiting for root in self.watching.progress()) or self.watching.untold
        return not (is_heard or self.plans.are_waiting)

    def _queue_tick(self) -> None:
        sent = self.plans.count
        if self.queues.tick():
            self.plans.tick_sent(sent)

    def _worker_settings(self) -> WorkerSettings:
        models = tuple(WorkerModel(live.spec, live.space) for live in self.app.generations.all)
        limits = construct.read_limits(self.app.config)
        learn, workers = self.app.config.learn, self.config.workers
        train = TrainSettings(learn.launcher, learn.trackers, self.model_side.sources())
        return WorkerSettings(limits, self.app.model.split, models, workers.nice, train, workers.stuck_s)

    def _announce(self) -> None:
        # Before work for a new model goes out; where Redis is away now, the crew makes up for it.
        try:
            publish(self.broker, self._worker_settings())
        except BrokerUnavailable as error:
            _LOG.warning("models_not_announced", reason=error)

    def _given_up(self, task: Task, error: Exception) -> None:
        # A batch that gets no answer is sent again; a plan that nobody can read is only in the folders.
        if task.name not in ("commit_text", "commit_vectors", "tick"):
            self.watching.rescan()

    def _environment(self) -> dict[str, str]:
        config = self.app.config
        return worker_environment(config, self.broker.url, log_level(config, says=self._says))

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
        return ready_line(count, self.app.roots.values(), self.config.state)

    def _say(self, text: str) -> None:
        if self._says and sys.stderr.isatty():
            with suppress(OSError):
                sys.stderr.write(text + "\n")
