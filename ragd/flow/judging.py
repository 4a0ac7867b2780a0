"""What becomes of a measured run: the gate judges it, the registry keeps it, and what won goes live."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.catalog.models import Models, NewModel
from ragd.catalog.runs import RunRows, Runs
from ragd.config.events import get_log
from ragd.config.schema import Gate
from ragd.disk.atomic import write_atomic
from ragd.domain.deciding import RunState, Verdict
from ragd.domain.errors import RagdError
from ragd.domain.index import EmbeddingSpace
from ragd.domain.learning import Role
from ragd.domain.training import RunOutcome, RunPlaces
from ragd.flow.standing import champion_encoder
from ragd.learn.artifacts import Offer, Stored, accept
from ragd.learn.gate import GateReport, attempts_on_like, judge
from ragd.learn.report import page
from ragd.learn.scores import Scores, read_scores
from ragd.learn.snapshot import read_manifest

_LOG = get_log("ragd.learn")
_EARLIER = 200  # runs of a role that are looked through for attempts on like data


@dataclass(frozen=True, slots=True)
class Judged:
    """A run's end: its model, and what the gate said."""

    run_id: str
    model_id: int
    role: Role
    report: GateReport


class Judging:
    """Lives in the daemon's main thread. `space_of` tells the space of an encoder's folder without loading it.

    `settings` gives those that hold now. `base` is the fingerprint of the configured encoder, from which every encoder
    descends.
    """

    def __init__(
        self,
        runs: Runs,
        rows: RunRows,
        models: Models,
        settings: Callable[[], Gate],
        *,
        runs_folder: Path,
        models_folder: Path,
        base: str,
        space_of: Callable[[Path], EmbeddingSpace],
        won: Callable[[Judged], None],
        judged: Callable[[Judged], None],
    ) -> None:
        self._runs, self._rows, self._models = runs, rows, models
        self._settings = settings
        self._runs_folder, self._models_folder = runs_folder, models_folder
        self._base = base
        self._space_of = space_of
        self._won, self._judged = won, judged

    def scored(self, run_id: str, places: RunPlaces, outcome: RunOutcome) -> None:
        """Judges a run's scores, keeps its model, ends the run, and promotes what won.

        Called again after a crash, it takes the model that it kept before. Raises ArtifactInvalid, TrainingFailed or
        DiskFull; nothing of the run is kept then.
        """
        run = self._rows.named(run_id)
        role = Role(run["role"])
        scores = read_scores(places.scores)
        report = judge(scores, self._settings(), self._attempts(run_id, role, scores))
        text = page(report, scores, {**_lineage(run, outcome), "parent": self._parent_label(role)})
        write_atomic(places.report, text.encode())
        summary = {**scores.summary(), "gate": report.as_json()}
        known = self._models.of_run(run_id)
        model_id = known if known is not None else self._kept(run, role, places, outcome)
        self._models.judged(model_id, passed=report.verdict is Verdict.PASSED, scores=summary, report=text)
        self._runs.judged(run_id, report.verdict.value, model_id)
        self._runs.move(run_id, RunState.DONE, reason=report.sentence)
        _LOG.info("run_judged", run=run_id, verdict=report.verdict, sentence=report.sentence)
        judged = Judged(run_id, model_id, role, report)
        self._judged(judged)
        if report.verdict is Verdict.PASSED:
            try:
                self._won(judged)
            except RagdError as error:
                _LOG.error("promotion_failed", run=run_id, reason=error)

    def _attempts(self, run_id: str, role: Role, scores: Scores) -> int:
        """Earlier evaluations of this role that asked mostly the same held-out queries."""
        earlier = []
        for run in self._rows.newest(limit=_EARLIER):
            path = RunPlaces(self._runs_folder / run["id"]).scores
            if run["id"] != run_id and run["role"] == role and run["verdict"] and path.is_file():
                try:
                    earlier.append(read_scores(path).queries)
                except RagdError:
                    continue
        return attempts_on_like(scores.queries, earlier)

    def _kept(self, run: Mapping[str, Any], role: Role, places: RunPlaces, outcome: RunOutcome) -> int:
        version = self._models.next_version(run["trainer"])
        prepared = read_manifest(places.data).facts
        artefact = places.folder / outcome.artifact
        beside = {"map": places.folder / "map"} if (places.folder / "map").is_dir() else {}
        offer = Offer(
            folder=artefact,
            within=places.folder,
            role=role,
            name=run["trainer"],
            files=outcome.files,
            dimension=int(prepared["dimension"]),
            beside=beside,
            card={"run": run["id"], "facts": dict(outcome.facts), "space": prepared["fingerprint"]},
        )
        stored = accept(offer, self._models_folder, version)
        new = NewModel(
            role=role,
            name=run["trainer"],
            version=version,
            folder=stored.folder,
            files=stored.files,
            sha256=stored.sha256,
            size_bytes=stored.size_bytes,
            space=self._space(role, stored, str(prepared["fingerprint"])),
            base=self._base,
            parent=self._parent(role),
            run_id=run["id"],
            facts={**outcome.facts, "train_s": outcome.train_s, "peak_memory_mb": outcome.peak_memory_mb},
        )
        return self._models.add(new)

    def _parent(self, role: Role) -> int | None:
        """The encoder that served, for all that stands on it; a generator descends from a generator."""
        is_generator = role is Role.GENERATOR
        champion = self._models.champion(role) if is_generator else champion_encoder(self._models, self._base)
        return champion.model_id if champion is not None else None

    def _parent_label(self, role: Role) -> str:
        parent = self._parent(role)
        return self._models.model(parent).label if parent is not None else "what is configured"

    def _space(self, role: Role, stored: Stored, prepared: str) -> str:
        if role is Role.ENCODER:
            return self._space_of(self._models_folder / stored.folder).fingerprint
        return "" if role is Role.GENERATOR else prepared


def _lineage(run: Mapping[str, Any], outcome: RunOutcome) -> dict[str, str]:
    held = [reason["text"] for reason in run["reasons"] if reason["holds"]]
    return {
        "trainer": run["trainer"],
        "run": run["id"],
        "trigger": "; ".join(held) if run["cause"] == "trigger" else run["cause"],
        "data": f"{run['examples']:,} examples, {run['data_sha256'][:16]}",
        "seed": str(run["seed"]),
        "cost": f"{run['cpu_s']:.1f} s of CPU, {run['gpu_s']:.1f} s of GPU; training took {outcome.train_s:.1f} s",
    }
