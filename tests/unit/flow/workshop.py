"""A catalog with its learning tables, a strict queue, strict children, and runs whose folders are filled by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ragd.catalog.decisions import Decisions
from ragd.catalog.learning import Learning
from ragd.catalog.models import Models
from ragd.catalog.runs import OPEN, Runs
from ragd.catalog.spend import Spend
from ragd.catalog.store import Store
from ragd.domain.deciding import RunState
from ragd.domain.errors import BrokerUnavailable
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Data, Needs, Resources, Role
from ragd.domain.training import PluginSource, Preparation, RunOutcome, RunPlaces, RunRequest
from ragd.flow.training import ChoreEnd, Training
from ragd.hooks.artifacts import save_transform
from ragd.learn.records import read_request, write_outcome
from ragd.learn.scores import Scores, write_scores
from ragd.learn.snapshot import SnapshotParts, read_preparation, read_snapshot, write_snapshot

NOW = 1_760_000_000.0
WIDTH = 4
TRAINER = "query_adapter"
QUERIES = tuple(f"q{n}" for n in range(40))


class TrainQueueFake:
    """The queue `train`: it takes only what a worker could begin with, and knows a run until that is `done`."""

    def __init__(self) -> None:
        self.is_away = False
        self.known: dict[str, RunPlaces] = {}
        self.sent: list[str] = []
        self.stopped: list[str] = []

    def train(self, run_id: str, folder: str) -> bool:
        self._reach()
        places = RunPlaces(Path(folder))
        assert read_request(places).id == run_id
        read_preparation(places)
        read_snapshot(places.data)
        assert not places.outcome.exists(), "a run that has ended is not trained again"
        if run_id in self.known:
            return False
        self.known[run_id] = places
        self.sent.append(run_id)
        return True

    def stop_run(self, run_id: str) -> None:
        self._reach()
        self.stopped.append(run_id)

    def done(self, run_id: str) -> None:
        """The worker's part is over: Redis knows the run no more."""
        del self.known[run_id]

    def _reach(self) -> None:
        if self.is_away:
            raise BrokerUnavailable("no answer")


class ChoresFake:
    """Children that do nothing until a test ends them; a name is started once at a time, and needs its folder."""

    def __init__(self) -> None:
        self.running: dict[str, tuple[str, tuple[str, ...]]] = {}
        self.started: list[str] = []
        self._ends: list[ChoreEnd] = []

    def start(self, name: str, module: str, arguments: Sequence[str], output: Path, *, timeout_s: float) -> None:
        assert name not in self.running, f"{name} is running already"
        assert output.parent.is_dir()
        assert timeout_s > 0
        self.running[name] = (module, tuple(arguments))
        self.started.append(name)

    def is_running(self, name: str) -> bool:
        return name in self.running

    def stop(self, name: str) -> None:
        assert name in self.running
        self._ends.append(ChoreEnd(name, -9, {}, 0.5))

    def end(self, name: str, status: int = 0, cpu_s: float = 1.0, **said: Any) -> None:
        assert name in self.running
        self._ends.append(ChoreEnd(name, status, said, cpu_s))

    def step(self) -> list[ChoreEnd]:
        ends, self._ends = self._ends, []
        for end in ends:
            del self.running[end.name]
        return ends


class RunFolders:
    """Writes into the folders of runs what each process of a run leaves there, in a space of `width` dimensions."""

    width = WIDTH
    space = "f" * 16
    folder: Path

    def places(self, run_id: str) -> RunPlaces:
        return RunPlaces(self.folder / run_id)

    def freeze(self, run_id: str, examples: int = 100) -> None:
        """The data of a run is there, and nobody was told."""
        facts = {"examples": examples, "fingerprint": self.space, "dimension": self.width, "report": {"dropped": 3}}
        write_snapshot(self.places(run_id).data, SnapshotParts(), facts)

    def result(self, run_id: str, artifact: Path | None = None, **costs: float) -> RunOutcome:
        """The worker's process made an adapter, or what lies in `artifact`, and said so in the run's folder."""
        artefact = artifact or self.places(run_id).work / "artifact"
        if artifact is None:
            save_transform(artefact, "residual", weight=np.eye(self.width) * 0.25)
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(artefact.iterdir())}
        facts = {"trainable_weights": self.width**2}
        given: dict[str, Any] = {"examples": 100, "train_s": 3.0, "cpu_s": 4.0, "peak_memory_mb": 120.0, "loss": 0.25}
        return self.writes(run_id, RunOutcome("trained", f"work/{artefact.name}", files, facts, **{**given, **costs}))

    def writes(self, run_id: str, outcome: RunOutcome) -> RunOutcome:
        write_outcome(self.places(run_id), outcome)
        return outcome

    def measure(self, run_id: str, gain: float = 0.2, queries: Sequence[str] = QUERIES, **changes: Any) -> None:
        """The scores of a run lie in its folder, and nobody was told."""
        write_scores(self.places(run_id).scores, scores(gain, queries, **changes))


class Workshop(RunFolders):
    """The way of runs over a real catalog; each process's part is one call."""

    def __init__(self, state: Path) -> None:
        self.now = NOW
        self.store = Store(state)
        self.runs, self.spend = Runs(self.store, self.clock), Spend(self.store, self.clock)
        self.decisions, self.models = Decisions(self.store), Models(self.store, self.clock)
        self.rows = Learning.of(lambda: self.store.connection)
        self.folder = state / "runs"
        self.queue, self.chores = TrainQueueFake(), ChoresFake()
        self.scored: list[str] = []
        self.ended: list[tuple[str, RunState]] = []
        self.problem: Exception | None = None
        self.judge: Callable[[str, RunPlaces, RunOutcome], None] | None = None
        """What judges a measured run; a run is just done without."""
        self.training = self._training()

    def clock(self) -> float:
        self.now += 0.001
        return self.now

    def close(self) -> None:
        self.store.close()

    def restart(self) -> None:
        """A kill of the daemon: its children die with it, the queue and the catalog stay."""
        self.chores = ChoresFake()
        self.runs.requeue()
        self.training = self._training()

    def _training(self) -> Training:
        return Training(
            self.runs,
            self.rows.runs,
            self.spend,
            self.folder,
            self.queue,
            self.chores,
            scored=self._scored,
            ended=lambda run_id, state: self.ended.append((run_id, state)),
        )

    def _scored(self, run_id: str, places: RunPlaces, outcome: RunOutcome) -> None:
        assert outcome.state == "trained"
        assert places.scores.exists()
        if self.problem is not None:
            raise self.problem
        self.scored.append(run_id)
        if self.judge is not None:
            self.judge(run_id, places, outcome)
        else:
            self.runs.move(run_id, RunState.DONE)

    def step(self) -> None:
        """What the daemon does in a tick."""
        for end in self.chores.step():
            self.training.chore_ended(end)
        self.training.step()

    # What others do.

    def wanted(self) -> str:
        """A run that waits."""
        return self.runs.begin(TRAINER, Role.QUERY_ADAPTER, cause="hand", seed=7, changes=12)

    def begun(self) -> str:
        """A run whose data is being made."""
        run_id = self.wanted()
        self.training.begin(self.request(run_id), self.preparation())
        return run_id

    def preparation(self) -> Preparation:
        return Preparation("state", Needs(Data.PAIRS, 1))

    def request(self, run_id: str) -> RunRequest:
        plugin = PluginSource(TRAINER, "bundled")
        return RunRequest(run_id, TRAINER, Role.QUERY_ADAPTER, plugin, 7, Resources(), EncoderSpec(), "models")

    def prepared(self, run_id: str, examples: int = 100, cpu_s: float = 1.0) -> None:
        """The child that makes the data ends well."""
        self.freeze(run_id, examples)
        self.chores.end(f"prepare {run_id}", cpu_s=cpu_s)
        self.step()

    def trains(self, run_id: str, done: int = 1) -> None:
        """A worker took the run up and reports a step."""
        self.training.progress(run_id, done, 10, {"loss": 1 / done})

    def tells(self, run_id: str, outcome: RunOutcome) -> None:
        """The worker's last word arrives."""
        if run_id in self.queue.known:
            self.queue.done(run_id)
        self.training.trained(run_id, outcome)

    def measured(self, run_id: str, gain: float = 0.2, cpu_s: float = 2.0) -> None:
        """The child that evaluates ends well."""
        self.measure(run_id, gain)
        self.chores.end(f"evaluate {run_id}", cpu_s=cpu_s)
        self.step()

    # What is seen.

    def run(self, run_id: str) -> dict[str, Any]:
        return self.rows.runs.named(run_id)

    def state(self, run_id: str) -> str:
        return str(self.run(run_id)["state"])

    def is_over(self, run_id: str) -> bool:
        return self.state(run_id) not in OPEN


def scores(gain: float = 0.2, queries: Sequence[str] = QUERIES, **changes: Any) -> Scores:
    """Scores in which the challenger is better by `gain` on every query, give or take a little."""
    before = tuple(0.4 + 0.002 * (n % 7) for n in range(len(queries)))
    after = tuple(value + gain + 0.001 * (n % 3) for n, value in enumerate(before))
    given: Mapping[str, Any] = {
        "role": Role.QUERY_ADAPTER,
        "metric": "ndcg@10",
        "queries": tuple(queries),
        "champion": {"ndcg@10": before},
        "challenger": {"ndcg@10": after},
    }
    return Scores(**{**given, **changes})
