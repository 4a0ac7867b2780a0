"""The whole way of a model over a real app; stood in for are the queue, children, plugins and counts of examples."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ragd.catalog.decisions import Decisions
from ragd.catalog.runs import Runs
from ragd.catalog.spend import Spend
from ragd.config.live import LiveConfig
from ragd.config.schema import Budget, Config, TrainerSettings
from ragd.domain.deciding import Observed, Reason
from ragd.domain.errors import PluginRefused
from ragd.domain.index import EmbeddingSpace
from ragd.domain.learning import Data, Needs, Role
from ragd.domain.plugins import Event, PluginFacts, TrainerFacts
from ragd.domain.training import PluginSource, RunOutcome
from ragd.flow.candidates import Candidates, Corpus
from ragd.flow.improve import Improve, Tables
from ragd.flow.judging import Judging
from ragd.flow.observation import Observation
from ragd.flow.requests import Requests
from ragd.flow.training import Training
from tests.unit.flow.house import WIDTH, House
from tests.unit.flow.workshop import ChoresFake, RunFolders, TrainQueueFake

ADAPTER = TrainerFacts("query_adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 50), 10.0, "query_adapter")
LORA = TrainerFacts("encoder_lora", Role.ENCODER, Needs(Data.PAIRS, 50), 900.0, "encoder_lora")
FIT = TrainerFacts("coarse_quantizer", Role.INDEX, Needs(Data.VECTORS, 10), 0.1, "coarse_quantizer")
WRITER = TrainerFacts("generator_lora", Role.GENERATOR, Needs(Data.PROMPTS, 10), 300.0, "generator_lora")
NUDGE = TrainerFacts("nudge", Role.QUERY_ADAPTER, Needs(Data.PAIRS, 20), 1.0, "nudge")
SOON: Mapping[str, Any] = {"warmup_chunks": 0, "cooldown_s": 0.0}


class PluginsFake:
    """The plugins of a test: bundled ones each with one trainer, as the roster tells them; only used ones have code."""

    def __init__(self, *trainers: TrainerFacts) -> None:
        self.facts = tuple(PluginFacts(each.plugin, "bundled", trainers=(each,)) for each in trainers)

    def block(self, plugin: str, problem: str) -> None:
        self.facts = tuple(replace(one, problem=problem) if one.name == plugin else one for one in self.facts)

    def remove(self, plugin: str) -> None:
        self.facts = tuple(one for one in self.facts if one.name != plugin)

    def source(self, plugin: str) -> PluginSource:
        for one in self.facts:
            if one.name == plugin and not one.problem:
                return PluginSource(one.name, one.source, one.path, one.sha256)
        raise PluginRefused(f"there is no plugin {plugin}", hint="see `ragd plugins list`")


class Works(RunFolders):
    """A daemon's model side whose children and workers are a test; `restart` is a kill."""

    width = WIDTH

    def __init__(
        self,
        state: Path,
        *trainers: TrainerFacts,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        budget: Mapping[str, Any] | None = None,
        **learn: Any,
    ) -> None:
        state.mkdir(parents=True, exist_ok=True)
        self.house = House(state, **learn)
        self.space = self.house.app.shelf.configured.fingerprint
        self.folder = state / "runs"
        self.queue = TrainQueueFake()
        self.plugins = PluginsFake(*(trainers or (ADAPTER,)))
        self.given = {name: {**SOON, **table} for name, table in (settings or {ADAPTER.name: {}}).items()}
        self.budget = Budget(**(budget or {}))
        self.examples = {Data.VECTORS: 100, Data.TEXTS: 100, Data.PAIRS: 100, Data.PROMPTS: 100}
        self.centroid_cosine: float | None = None
        self.said: Reason | None = None
        self.events: list[Event] = []
        self._open()

    @property
    def config(self) -> Config:
        trainers = {name: TrainerSettings.model_validate(table) for name, table in self.given.items()}
        return self.house.app.config.model_copy(update={"trainers": trainers, "budget": self.budget})

    def _open(self) -> None:
        app, store, clock = self.house.app, self.house.app.tables.store, self.house.clock
        self.chores = ChoresFake()
        rows = app.reader.learning
        self.tables = Tables(Runs(store, clock), Spend(store, clock), Decisions(store), rows)
        self.observation = Observation(
            app.reader, app.generations, app.journal, self.house.state / "observed", clock=clock
        )
        live = LiveConfig(self.config)
        self.candidates = Candidates(
            live,
            self.plugins,
            rows,
            corpus=self.corpus,
            available=lambda needs: self.examples[needs.data],
            policy=self._policy,
            clock=clock,
        )
        self.requests = Requests(
            live,
            self.plugins,
            app.generations,
            app.routes,
            app.reader.registry,
            app.shelf,
            models=app.places.models,
            model_folder=lambda name: self.house.state / "configured" / name,
        )
        judging = Judging(
            self.tables.runs,
            rows.runs,
            app.tables.models,
            lambda: live.now.gate,
            runs_folder=self.folder,
            models_folder=app.places.models,
            base=self.space,
            space_of=self._space_of,
            won=lambda judged: self.improve.won(judged),
            judged=lambda judged: self.improve.judged(judged),
        )
        self.training = Training(
            self.tables.runs,
            rows.runs,
            self.tables.spend,
            self.folder,
            self.queue,
            self.chores,
            scored=judging.scored,
            ended=lambda run_id, state: self.improve.ended(run_id, state),
        )
        self.improve = Improve(
            live,
            self.tables,
            self.candidates,
            self.requests,
            self.training,
            app.promotions,
            self.observation,
            chores=self.chores.step,
            tell=self.events.append,
            corpus=self.corpus,
            prune=lambda _keep: ([], 0),
            clock=clock,
        )

    def restart(self) -> None:
        """A kill: children die, and what is in memory is lost."""
        self.house.restart()
        self._open()
        self.improve.start()

    def close(self) -> None:
        self.house.app.close()

    def corpus(self) -> Corpus:
        overview = self.house.app.reader.overview
        live_chunks, changes = overview.change_counts()
        return Corpus(live_chunks, overview.waiting()[1], changes, self.centroid_cosine)

    def _policy(self, name: str, observed: Observed) -> Reason | None:
        return self.said

    def _space_of(self, folder: Path) -> EmbeddingSpace:
        raise AssertionError(f"no encoder is kept in these tests: {folder}")

    # What others do.

    def write(self, count: int, name: str = "notes") -> None:
        """So many new chunks, searchable by meaning."""
        self.house.write(f"{name}.txt", *(f"{name} tells of thing number {n}" for n in range(count)))
        self.house.work()

    def turn(self, after_s: float = 6.0) -> None:
        """A tick after a while: long enough to decide again."""
        self.house.now += after_s
        self.improve.step()

    def trained(self, run_id: str) -> None:
        """Data is made, a worker trains, and tells its result."""
        self.freeze(run_id)
        self.chores.end(f"prepare {run_id}")
        self.turn(0.1)
        self.training.progress(run_id, 5, 10, {"loss": 0.5})
        outcome = self.result(run_id)
        self.queue.done(run_id)
        self.training.trained(run_id, outcome)

    def finished(self, run_id: str, gain: float = 0.2, queries: Sequence[str] | None = None) -> None:
        """The rest of a run, to the gate's word on it; what passed is opened and goes live."""
        self.trained(run_id)
        self.measure(run_id, gain, *([queries] if queries is not None else []))
        self.chores.end(f"evaluate {run_id}")
        self.turn(0.1)
        for thread in threading.enumerate():
            if thread.name == "open-model":
                thread.join(30)
        self.turn(0.1)

    def failed(self, run_id: str, reason: str = "no room") -> None:
        """A run ends before it trained."""
        self.chores.end(f"prepare {run_id}", status=1, reason=reason)
        self.turn(0.1)

    def broken(self, run_id: str) -> None:
        """A run gets its data, and its trainer fails."""
        self.freeze(run_id)
        self.chores.end(f"prepare {run_id}")
        self.turn(0.1)
        self.queue.done(run_id)
        self.training.trained(run_id, self.writes(run_id, RunOutcome("failed", reason="out of memory")))

    # What is seen.

    @property
    def now(self) -> float:
        return self.house.now

    def runs(self) -> list[dict[str, Any]]:
        """Every run, oldest first."""
        return self.tables.rows.runs.newest()[::-1]

    def states(self) -> list[tuple[str, str]]:
        return [(run["trainer"], run["state"]) for run in self.runs()]

    def run(self, run_id: str) -> dict[str, Any]:
        return self.tables.rows.runs.named(run_id)

    def heard(self) -> list[str]:
        return [str(event.kind) for event in self.events]

    def reason(self, trainer: str, condition: str) -> Reason:
        decision = self.candidates.one(trainer).decision
        return next(reason for reason in decision.reasons if reason.condition == condition)
