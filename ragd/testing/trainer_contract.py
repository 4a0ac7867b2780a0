"""The contract of trainers, clause by clause, each tried by runs over a small corpus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ragd.domain.errors import PluginRefused
from ragd.domain.learning import Artifact, Trainer
from ragd.hooks.offers import check_offer
from ragd.testing.clauses import Outcome, fenced, must, tried, working_in
from ragd.testing.runs import FakeRun, Killed, fake_run
from ragd.testing.served import open_artifact

_LOSS_TOLERANCE = 0.05
_TENSOR_TOLERANCE = 1e-3


def trainer_outcomes(trainer: Trainer, folder: Path, *, settings: Mapping[str, Any] | None = None) -> Iterator[Outcome]:
    """The clauses of a trainer's contract one after another, until one fails that the others rest on."""
    bench = _Bench(trainer, folder, settings or {})
    offered = tried("offers what a trainer must", lambda: check_offer("ragd_trainers", trainer))
    yield offered
    if offered.problem:
        return
    yield (trained := tried("trains and returns an Artifact", bench.train))
    yield Outcome(
        "writes in its run folder only",
        f"writes outside its run folder: {bench.offences[0]}" if bench.offences else "",
        "write below run.folder; it is the current folder too",
    )
    if trained.problem:
        return
    yield tried("reports its progress", bench.check_progress)
    yield tried("makes what its role serves, without pickles", bench.check_artifact)
    yield tried("gives the same for the same seed", bench.check_seed)
    yield tried("stops when asked", bench.check_stop)
    yield tried("goes on after it was killed, to the same end", bench.check_resume)


class _Bench:
    """Runs of one trainer: a whole one, whose artefact is kept, and others that are compared with it."""

    def __init__(self, trainer: Trainer, folder: Path, settings: Mapping[str, Any]) -> None:
        self._trainer = trainer
        self._folder = folder
        self._settings = settings
        self._first: tuple[FakeRun, Artifact] | None = None
        self.offences: list[str] = []

    def train(self) -> None:
        """The first run, in a fence."""
        run = self._run("first")
        with fenced(run.folder) as fence:
            self.offences = fence.offences
            artifact = self._trained(run)
        self._first = (run, artifact)

    def check_progress(self) -> None:
        run, _ = self._whole()
        must(run.reports, "call run.progress(done, total, loss=...) at least once")
        last = run.reports[-1]
        must(last.done == last.total, f"the last report says {last.done} of {last.total}")

    def check_artifact(self) -> None:
        run, artifact = self._whole()
        open_artifact(artifact, self._trainer.role, run)

    def check_seed(self) -> None:
        run = self._run("second")
        self._compare(run, self._trained(run), "the second run")

    def check_stop(self) -> None:
        run = self._run("stopped", stop_after=1)
        with working_in(run.folder):
            try:
                self._trainer.train(run)
            except AssertionError:
                raise
            except Exception:  # noqa: BLE001 - how it ends is its own affair when it was asked to
                must(run.is_stopping, "it ended without a reason")

    def check_resume(self) -> None:
        whole, _ = self._whole()
        kill_after = max(1, len(whole.reports) // 2)
        killed = self._run("killed", kill_after=kill_after)
        with working_in(killed.folder):
            try:
                self._trainer.train(killed)
            except Killed:
                pass
            else:
                raise AssertionError("it caught what killed it: let every BaseException pass")
        again = self._run("killed")
        self._compare(again, self._trained(again), "the run that was killed and went on")

    def _run(self, name: str, *, stop_after: int | None = None, kill_after: int | None = None) -> FakeRun:
        models = self._whole()[0] if self._first is not None else None
        return fake_run(
            self._folder / name,
            role=self._trainer.role,
            needs=self._trainer.needs,
            settings=self._settings,
            model=models.local_model if models is not None else None,
            seed=7,
            stop_after=stop_after,
            kill_after=kill_after,
        )

    def _trained(self, run: FakeRun) -> Artifact:
        with working_in(run.folder):
            artifact: Any = self._trainer.train(run)
        if not isinstance(artifact, Artifact):
            raise PluginRefused(
                f"train returned {type(artifact).__name__}, not an Artifact", hint="return Artifact(folder)"
            )
        return artifact

    def _whole(self) -> tuple[FakeRun, Artifact]:
        if self._first is None:
            raise RuntimeError("nothing was trained yet")
        return self._first

    def _compare(self, run: FakeRun, artifact: Artifact, what: str) -> None:
        whole, kept = self._whole()
        before, after = whole.loss, run.loss
        if before is not None and after is not None:
            limit = _LOSS_TOLERANCE * max(abs(before), 0.01)
            must(abs(before - after) <= limit, f"{what} ended with a loss of {after:.4g} instead of {before:.4g}")
            return
        others = _tensors(artifact.folder)
        for name, tensor in _tensors(kept.folder).items():
            other = others.get(name, np.empty(0))
            is_like = other.shape == tensor.shape and np.allclose(tensor, other, atol=_TENSOR_TOLERANCE)
            must(is_like, f"{what} made another {name}")


def _tensors(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return {
        f"{file.name}:{name}": tensor
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }
