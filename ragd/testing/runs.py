"""A stand-in for the daemon's side of a run: small real data, and complaints where reality would forgive."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ragd.domain.errors import ModelUnavailable, TrainingFailed
from ragd.domain.index import EncoderSpec, Vectors
from ragd.domain.learning import Data, Needs, Resources, Role, Snapshot
from ragd.testing.corpus import ASPECTS, VALIDATION_EVERY, Corpus, MemorySnapshot, corpus, hashed_vectors
from ragd.testing.tiny import tiny_generator, tiny_model


class Killed(BaseException):
    """What ends a trainer in the middle of a step, as `kill -9` would; it must not be caught."""


Encode = Callable[[Sequence[str]], Vectors]
# Steps that a trainer may still take after it was asked to stop.
STEPS_AFTER_STOP = 20
_SCALARS = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class Report:
    """One call of `progress`."""

    done: int
    total: int
    metrics: Mapping[str, float]


class FakeRun:
    """A `Run` over a small corpus; `reports` keeps every progress, `encoded` counts texts, `stop` asks to stop.

    Stricter than a real run: progress must count up to a total that stands still, metrics must be finite numbers,
    vectors and settings cannot be changed, texts must come as a list or tuple, and a trainer that was asked to stop
    may not go on for more than 20 steps. What breaks a rule raises AssertionError, a loss that is no number
    TrainingFailed as in reality.
    """

    def __init__(
        self,
        folder: Path,
        data: Snapshot,
        encode: Encode,
        *,
        model: Path | None = None,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        resources: Resources | None = None,
        stop_after: int | None = None,
        kill_after: int | None = None,
    ) -> None:
        self._folder = folder
        self._data = data
        self._encode = encode
        self._model = model
        self._settings = MappingProxyType(_checked_settings(settings or {}))
        self._seed = seed
        self._resources = resources or Resources(timeout_s=60.0)
        self._stop_after = stop_after
        self._kill_after = kill_after
        self._is_stopping = False
        self._stopped_at = 0
        self.reports: list[Report] = []
        self.encoded = 0
        self.asked_to_stop = 0
        self.checkpoints.mkdir(parents=True, exist_ok=True)

    @property
    def id(self) -> str:
        return "fake-run"

    @property
    def folder(self) -> Path:
        return self._folder

    @property
    def checkpoints(self) -> Path:
        return self._folder / "checkpoints"

    @property
    def data(self) -> Snapshot:
        return self._data

    @property
    def model(self) -> Path:
        if self._model is None:
            raise ModelUnavailable("no local model serves in this role", hint="ask for `run.model` only where there is")
        return self._model

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._settings

    @property
    def resources(self) -> Resources:
        return self._resources

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def is_stopping(self) -> bool:
        self.asked_to_stop += 1
        return self._is_stopping

    @property
    def loss(self) -> float | None:
        """The last `loss` that was reported, None when there was none."""
        return next((report.metrics["loss"] for report in reversed(self.reports) if "loss" in report.metrics), None)

    @property
    def local_model(self) -> Path | None:
        """What `model` gives, None where it raises."""
        return self._model

    def stop(self) -> None:
        """Asks the trainer to stop, as `ragd runs stop` does."""
        if not self._is_stopping:
            self._is_stopping, self._stopped_at = True, len(self.reports)

    def progress(self, done: int, total: int, **metrics: float) -> None:
        """Keeps a report. Raises TrainingFailed for a metric that is not finite, AssertionError for nonsense."""
        _check_step(done, total, self.reports)
        for name, value in metrics.items():
            if isinstance(value, bool) or not isinstance(value, int | float | np.floating):
                raise AssertionError(f"progress: {name} is a {type(value).__name__}, not a plain number: use float(…)")
            if not math.isfinite(value):
                raise TrainingFailed(f"{name} is {value} at step {done}", hint="lower the learning rate")
        self.reports.append(Report(done, total, {name: float(value) for name, value in metrics.items()}))
        if self._kill_after is not None and len(self.reports) >= self._kill_after:
            raise Killed(f"after {len(self.reports)} reports")
        if self._stop_after is not None and len(self.reports) >= self._stop_after:
            self.stop()
        if self._is_stopping and len(self.reports) - self._stopped_at > STEPS_AFTER_STOP:
            raise AssertionError(f"went on for {STEPS_AFTER_STOP} steps after it was asked to stop")

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        return self._encoded(texts)

    def _encoded(self, texts: Sequence[str]) -> Vectors:
        if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
            raise AssertionError("encode: give a list or tuple of texts")
        self.encoded += len(texts)
        return self._encode(texts)


def fake_run(
    folder: Path,
    *,
    role: Role = Role.QUERY_ADAPTER,
    needs: Needs | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    resources: Resources | None = None,
    subjects: int = 24,
    dimension: int = 64,
    model: Path | None = None,
    stop_after: int | None = None,
    kill_after: int | None = None,
) -> FakeRun:
    """A run in `folder`, over a corpus of twelve chunks a subject (240 training pairs, 48 for validation).

    With `needs` it holds only what they ask for, and more subjects where they ask for more examples. Vectors are hashed
    words (dimension 64), but those of `model` for encoders; models are tiny ones in the neighbour
    `<name>.model` of `folder` unless given. `stop_after` asks to stop after so many reports, `kill_after` ends the
    trainer there by Killed. The same folder again is a resumed run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = corpus(max(subjects, _subjects_for(needs)))
    beside = folder.parent / f"{folder.name}.model"
    encode: Encode = lambda texts: hashed_vectors(texts, dimension)  # noqa: E731 - a Protocol's one implementation
    if role is Role.ENCODER:
        model = model or tiny_model(beside, dimension=max(32, dimension // 2))
        encode = _encoder_of(model)
    elif role is Role.GENERATOR:
        model = model or tiny_generator(beside)
    return FakeRun(
        folder,
        _snapshot(found, encode, needs),
        encode,
        model=model,
        settings=settings,
        seed=seed,
        resources=resources,
        stop_after=stop_after,
        kill_after=kill_after,
    )


def _snapshot(found: Corpus, encode: Encode, needs: Needs | None) -> MemorySnapshot:
    vectors = encode([chunk.text for chunk in found.chunks]).astype(np.float16)
    vectors.setflags(write=False)
    has_pairs = needs is None or needs.data is Data.PAIRS
    has_prompts = needs is None or needs.data is Data.PROMPTS
    return MemorySnapshot(
        found.chunks,
        vectors,
        found.pairs if has_pairs else (),
        found.validation_pairs if has_pairs else (),
        found.prompts if has_prompts else (),
    )


def _subjects_for(needs: Needs | None) -> int:
    """Subjects that give enough training pairs, of which every fifth subject has none."""
    if needs is None:
        return 1
    return math.ceil(needs.least / len(ASPECTS) * VALIDATION_EVERY / (VALIDATION_EVERY - 1)) + 1


def _encoder_of(model: Path) -> Encode:
    """Encodes by a sentence-transformers folder; imports torch when it is called."""
    from ragd.embed.encoder import open_encoder

    encoder = open_encoder(EncoderSpec(kind="sbert", model=str(model.absolute()), threads=1), model.parent)
    return encoder.encode


def _checked_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    wrong = [name for name, value in settings.items() if not isinstance(value, _SCALARS)]
    if wrong:
        raise AssertionError(f"settings hold words, numbers and truth values only: {', '.join(wrong)}")
    return dict(settings)


def _check_step(done: int, total: int, reports: Sequence[Report]) -> None:
    if isinstance(done, bool) or not isinstance(done, int) or not isinstance(total, int):
        raise AssertionError("progress: `done` and `total` are whole numbers")
    if not 0 <= done <= total or total < 1:
        raise AssertionError(f"progress: {done} of {total}")
    if reports and (done < reports[-1].done or total != reports[-1].total):
        last = reports[-1]
        raise AssertionError(f"progress: {done} of {total} after {last.done} of {last.total}")
