"""What a trainer is given while it runs: the Run of one attempt, over the folder that the daemon prepared."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from ragd.domain.errors import ModelUnavailable, TrainingFailed
from ragd.domain.index import Vectors
from ragd.domain.learning import Resources, Role
from ragd.domain.ports import Encoder
from ragd.domain.training import RunPlaces, RunRequest
from ragd.learn.records import Step, step_line
from ragd.learn.snapshot import FrozenSnapshot

_EVERY_LINE: Final = 10_000  # lines that are all kept; of a run with more steps ten a second are
_LATER_S: Final = 0.1
_LOOK_S: Final = 0.05


class TrainerRun:
    """A `domain.learning.Run`. `report` is `progress.jsonl`, opened to append before the process was confined.

    Snapshot and encoder are opened when they are first asked for. `loss` is the last one reported,
    `is_told_to_stop` whether the trainer has seen that it should.
    """

    def __init__(
        self,
        request: RunRequest,
        places: RunPlaces,
        report: TextIO,
        *,
        open_data: Callable[[], FrozenSnapshot],
        open_encoder: Callable[[], Encoder],
        is_signalled: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._request, self._places, self._report = request, places, report
        self._open_data, self._open_encoder = open_data, open_encoder
        self._is_signalled, self._clock = is_signalled, clock
        self._data: FrozenSnapshot | None = None
        self._encoder: Encoder | None = None
        self._lines, self._line_at = 0, 0.0
        self._looked_at = -math.inf
        self.loss: float | None = None
        self.is_told_to_stop = False

    @property
    def id(self) -> str:
        return self._request.id

    @property
    def folder(self) -> Path:
        return self._places.work

    @property
    def checkpoints(self) -> Path:
        self._places.checkpoints.mkdir(parents=True, exist_ok=True)
        return self._places.checkpoints

    @property
    def data(self) -> FrozenSnapshot:
        if self._data is None:
            self._data = self._open_data()
        return self._data

    @property
    def model(self) -> Path:
        folder = self._request.model_folder
        if folder and Path(folder).is_dir():
            return Path(folder)
        key = "learn.generator" if self._request.role is Role.GENERATOR else "embed.model"
        what = (
            f"the model folder {folder} does not exist" if folder else f"no local model serves as {self._request.role}"
        )
        raise ModelUnavailable(what, hint=f"name a folder that holds one with {key}")

    @property
    def settings(self) -> Mapping[str, Any]:
        return self._request.settings

    @property
    def resources(self) -> Resources:
        return self._request.resources

    @property
    def seed(self) -> int:
        return self._request.seed

    @property
    def is_stopping(self) -> bool:
        if self.is_told_to_stop or self._is_signalled():
            self.is_told_to_stop = True
            return True
        now = self._clock()
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self.is_told_to_stop = self._places.stop.exists()
        return self.is_told_to_stop

    def progress(self, done: int, total: int, **metrics: float) -> None:
        numbers = {name: _finite(name, value, done, total) for name, value in metrics.items()}
        self.loss = numbers.get("loss", self.loss)
        now = self._clock()
        if self._lines >= _EVERY_LINE and now - self._line_at < _LATER_S and done < total:
            return
        self._lines, self._line_at = self._lines + 1, now
        self._report.write(step_line(Step(now, int(done), int(total), numbers)))
        self._report.flush()

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        known = self.data.query_vectors
        rows = [known[text] if text in known else self._opened().encode_query(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.data.vectors.shape[1]), dtype=np.float32)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        return self._opened().encode(texts)

    def close(self) -> None:
        """Closes the encoder, if one was opened; safe to call twice."""
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()

    def _opened(self) -> Encoder:
        if self._encoder is None:
            self._encoder = self._open_encoder()
        return self._encoder


def _finite(name: str, value: float, done: int, total: int) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise TrainingFailed(
            f"{name} became {number} at step {done} of {total}",
            hint="lower the learning rate, or look for empty or broken examples in the data",
        )
    return number
