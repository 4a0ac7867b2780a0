"""The model side of one daemon, put together: plugins, children, runs, judging and what a person may ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ragd.app import App
from ragd.catalog.decisions import Decisions
from ragd.catalog.history import forget_models
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.config.events import get_log
from ragd.daemon.chores import Chores
from ragd.daemon.ending import FATAL
from ragd.daemon.errands import Errands
from ragd.daemon.learning import DaemonLearning
from ragd.daemon.policies import PolicyAnswers
from ragd.domain.clock import is_due
from ragd.domain.deciding import Cost
from ragd.domain.errors import DiskFull, StateBusy, StateUnwritable
from ragd.domain.index import EmbeddingSpace
from ragd.domain.training import PluginSource
from ragd.embed.encoder import space_of, stored_spec
from ragd.embed.package import find_model
from ragd.flow.availability import Availability
from ragd.flow.available import Available
from ragd.flow.candidates import Candidates, Corpus
from ragd.flow.improve import Improve, Tables
from ragd.flow.judging import Judged, Judging
from ragd.flow.observation import Observation
from ragd.flow.purse import Purse
from ragd.flow.requests import Requests
from ragd.flow.spending import spending
from ragd.flow.training import Training, TrainQueue
from ragd.hooks.host import Hosts
from ragd.hooks.roster import Roster
from ragd.learn.artifacts import remove

_LOG = get_log("ragd.daemon")
_PURSE_S = 2.0
_SAID_S = 30.0
_DAY_S = 86400.0


class ModelSide:
    """Its parts, and one `step` a tick; the children end with it."""

    def __init__(
        self,
        app: App,
        queue: TrainQueue,
        errands: Errands,
        environment: dict[str, str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        config, store = app.config, app.tables.store
        self._app, self._clock = app, clock
        self._runs_folder = config.state / "runs"
        self.roster = Roster(config.plugins_folder, config.state, disabled=config.plugins.disabled)
        self.roster.step()
        self.hosts = Hosts(config.state / "hosts")
        self._chores = Chores(environment, nice=config.workers.nice)
        self.observation = Observation(app.reader, app.generations, app.journal, config.state / "observed", clock=clock)
        rows = app.reader.learning
        self._tables = Tables(Runs(store, clock), Spend(store, clock), Decisions(store), rows)
        requests = self._requests()
        self.availability = Availability(Available(requests.examples(), app.reader))
        judging = Judging(
            self._tables.runs,
            rows.runs,
            app.tables.models,
            lambda: app.config.gate,
            runs_folder=self._runs_folder,
            models_folder=app.places.models,
            base=app.shelf.configured.fingerprint,
            space_of=self._space_of,
            won=self._won,
            judged=self._judged,
        )
        self.training = Training(
            self._tables.runs,
            rows.runs,
            self._tables.spend,
            self._runs_folder,
            queue,
            self._chores,
            scored=judging.scored,
            ended=lambda run_id, state: self.improve.ended(run_id, state),
        )
        self.improve = Improve(
            app.live,
            self._tables,
            self._candidates(),
            requests,
            self.training,
            app.promotions,
            self.observation,
            chores=self._chores.step,
            tell=self.hosts.tell,
            corpus=self._corpus,
            prune=self._prune,
            clock=clock,
        )
        self.learning = DaemonLearning(
            self.improve,
            errands,
            rows,
            app.reader.registry,
            self._runs_folder,
            lambda: self.roster.facts,
            self._look,
            lambda trainers: spending(rows, app.config.budget, trainers, clock()),
            lambda query, chunk, good: app.journal.judge(query, chunk, is_good=good),
        )
        self._purse = Purse(app.live, rows)
        self._fill = (0.0, True)
        self._retained_at = 0.0
        self._broken = (-_SAID_S, "")
        app.dispatch.may_fill = self._may_fill
        app.ingest.on_encoded = self._encoded

    def start(self) -> None:
        """Begins to observe; what a restart cut off goes on."""
        self.improve.start()
        self.hosts.follow(self.roster.facts)
        if self._app.config.learn.enabled:
            self.observation.start()
            self.availability.start()

    def step(self) -> None:
        """A turn, in the main thread. A full or locked disk puts it off; all is still there for the next one."""
        try:
            self._look()
            self._app.journal.flush()
            self.improve.step()
            self._retain()
        except (DiskFull, StateBusy, StateUnwritable) as error:
            _LOG.warning("model_side_waits", reason=error)
        except FATAL:
            raise
        except Exception as error:  # noqa: BLE001 - an edge: a bug in training must not hold up what is indexed
            self._broken = (self._clock(), f"training does not get on: {type(error).__name__}: {error}")
            _LOG.exception("model_side_broke")

    def close(self) -> None:
        """Ends what was started; runs go on at the next start."""
        if self._app.config.learn.enabled:
            self.observation.stop()
            self.availability.stop()
        self._chores.close()
        self.hosts.close()
        self.roster.close()

    def sources(self) -> tuple[PluginSource, ...]:
        """Plugins whose launchers and trackers the configuration names: what train workers load."""
        learn = self._app.config.learn
        wanted = {learn.launcher, *learn.trackers}
        named = [each for each in self.roster.facts if wanted.intersection((*each.launchers, *each.trackers))]
        return tuple(self.roster.source(each.name) for each in named if not each.problem)

    @property
    def reasons(self) -> list[str]:
        """What is wrong: files of examples that cannot be read, plugins that misbehaved, a turn that broke just now."""
        broken = [] if is_due(self._clock(), self._broken[0], _SAID_S) else [self._broken[1]]
        plugins = [f"the plugin {each.plugin}: {each.reason}" for each in self.hosts.problems()]
        return [*self.availability.problems, *plugins, *broken]

    def _candidates(self) -> Candidates:
        return Candidates(
            self._app.live,
            self.roster,
            self._app.reader.learning,
            corpus=self._corpus,
            available=self.availability,
            policy=PolicyAnswers(self.hosts.ask_policy),
            clock=self._clock,
        )

    def _requests(self) -> Requests:
        app = self._app
        return Requests(
            app.live,
            self.roster,
            app.generations,
            app.routes,
            app.reader.registry,
            app.shelf,
            models=app.places.models.absolute(),
            model_folder=lambda name: find_model(name, app.places.models).folder,
        )

    def _corpus(self) -> Corpus:
        overview = self._app.reader.overview
        live_chunks, changes = overview.change_counts()
        return Corpus(live_chunks, overview.waiting()[1], changes, self._app.index.facts().centroid_cosine)

    def _space_of(self, folder: Path) -> EmbeddingSpace:
        return space_of(stored_spec(folder, self._app.model.spec), self._app.places.models)

    def _won(self, judged: Judged) -> None:
        self.improve.won(judged)

    def _judged(self, judged: Judged) -> None:
        self.improve.judged(judged)

    def _may_fill(self) -> bool:
        now = self._clock()
        if is_due(now, self._fill[0], _PURSE_S):
            self._fill = (now, self._purse.may_fill(now))
        return self._fill[1]

    def _encoded(self, generation: int, seconds: float, is_fill: bool) -> None:
        if is_fill:
            self._tables.spend.charge("backfill", Cost(seconds), generation=generation)

    def _look(self) -> bool:
        if self.roster.step():
            self.hosts.follow(self.roster.facts)
        return self.roster.is_looking

    def _prune(self, keep: int) -> tuple[list[str], int]:
        """Gives up models and removes their files; names and bytes."""
        freed, names = 0, []
        for model_id, folder in self._app.tables.models.prune(keep):
            place = self._app.places.models / folder
            if place.is_dir():
                freed += sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
                names.append(self._app.reader.registry.model(model_id).label)
                remove(self._app.places.models, folder)
        return names, freed

    def _retain(self) -> None:
        now = self._clock()
        limits = self._app.config.retain
        if not is_due(now, self._retained_at, limits.turn_s):
            return
        self._retained_at = now
        pruned, freed_bytes = self._prune(limits.models)
        if pruned:
            _LOG.info("models_pruned", models=",".join(pruned), bytes=freed_bytes)
        self.training.forget(self._tables.runs.trim(self._app.config.learn.keep_runs))
        self.training.forget_strange(now - max(1.0, limits.days) * _DAY_S)
        self.training.thin(limits.run_log_kb * 1024)
        self._tables.decisions.trim(limits.decisions, limits.windows)
        self._tables.spend.fold(now - limits.spend_days * _DAY_S)
        forget_models(self._app.tables.store, limits.promotions)
