"""What a trainer is given: reports that are numbers, a stop that is heard, a model or a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.domain.errors import ModelUnavailable, TrainingFailed
from ragd.domain.index import EmbeddingSpace, EncoderSpec, Vectors
from ragd.domain.learning import Pair, Resources, Role, Run
from ragd.domain.training import PluginSource, RunPlaces, RunRequest
from ragd.learn.run import TrainerRun
from ragd.learn.snapshot import FrozenSnapshot, SnapshotParts, read_snapshot, write_snapshot


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class LetterEncoder:
    """A text's vector points to its first letter."""

    space = EmbeddingSpace("f", 16, "letters", 256)

    def encode(self, texts: Sequence[str]) -> Vectors:
        return np.eye(16, dtype=np.float32)[[ord(text[0]) % 16 for text in texts]]

    def encode_query(self, text: str) -> Vectors:
        return np.asarray(self.encode([text])[0])

    def close(self) -> None:
        """Nothing to give back."""


ASKED = Pair("asked before", (1,))


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., tuple[TrainerRun, StringIO]]:
    def make(clock: Clock | None = None, **given: Any) -> tuple[TrainerRun, StringIO]:
        request = RunRequest(
            "r1", "t", given.pop("role", Role.ENCODER), PluginSource("p", "bundled"), 3, Resources(), EncoderSpec(), "",
            **given,
        )  # fmt: skip
        report = StringIO()

        def data() -> FrozenSnapshot:
            known = np.eye(1, 16, 5, dtype=np.float32)
            parts = SnapshotParts(vectors=np.eye(3, 16, dtype=np.float16), pairs=[ASKED], query_vectors=known)
            write_snapshot(tmp_path / "data", parts, {})
            return read_snapshot(tmp_path / "data")

        run = TrainerRun(
            request,
            RunPlaces(tmp_path),
            report,
            open_data=data,
            open_encoder=LetterEncoder,
            clock=clock or Clock(),
        )
        return run, report

    return make


def test_it_is_a_run(make: Any, tmp_path: Path) -> None:
    run, _ = make(settings={"rank": 2}, model_folder=str(tmp_path))
    held: Run = run
    assert held.resources == Resources()
    assert (run.id, run.seed, run.folder, run.settings) == ("r1", 3, tmp_path / "work", {"rank": 2})
    assert run.checkpoints.is_dir()


def test_progress_is_a_line_with_numbers(make: Any) -> None:
    run, report = make()
    run.progress(1, 2, loss=np.float32(0.5))
    run.progress(2, 2, speed=3)
    assert [json.loads(line) for line in report.getvalue().splitlines()] == [
        {"at": 1000.0, "done": 1, "total": 2, "metrics": {"loss": 0.5}},
        {"at": 1000.0, "done": 2, "total": 2, "metrics": {"speed": 3.0}},
    ]
    assert run.loss == 0.5


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_the_run(value: float, make: Any) -> None:
    run, report = make()
    run.progress(1, 3, loss=0.5)
    with pytest.raises(TrainingFailed, match=r"loss became .* at step 2 of 3"):
        run.progress(2, 3, loss=value)
    assert run.loss == 0.5
    assert len(report.getvalue().splitlines()) == 1


def test_a_run_of_many_steps_reports_ten_a_second(make: Any) -> None:
    clock = Clock()
    run, report = make(clock)
    for step in range(1, 20_001):
        clock.now += 0.01
        run.progress(step, 20_000, loss=1.0)
    lines = len(report.getvalue().splitlines())
    assert 10_900 < lines < 11_200
    assert json.loads(report.getvalue().splitlines()[-1])["done"] == 20_000


def test_the_stop_file_is_seen_and_the_trainer_counts_as_told(make: Any, tmp_path: Path) -> None:
    clock = Clock()
    run, _ = make(clock)
    assert not run.is_stopping
    (tmp_path / "stop").touch()
    assert not run.is_told_to_stop
    clock.now += 1
    assert run.is_stopping
    assert run.is_told_to_stop


def test_a_role_without_a_model_says_what_to_configure(make: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no local model serves as generator") as raised:
        _ = make(role=Role.GENERATOR)[0].model
    assert "learn.generator" in raised.value.hint
    with pytest.raises(ModelUnavailable, match="does not exist"):
        _ = make(model_folder=str(tmp_path / "gone"))[0].model
    assert make(model_folder=str(tmp_path))[0].model == tmp_path


def test_texts_are_encoded_by_the_serving_encoder(make: Any) -> None:
    run, _ = make()
    assert run.encode_documents(["a b", "c"]).shape == (2, 16)
    assert run.encode_queries(["a"]).shape == (1, 16)
    assert run.encode_queries([]).shape == (0, 16)
    run.close()


def test_a_query_of_the_snapshot_is_not_encoded_again(make: Any) -> None:
    run, _ = make()
    known, other = run.encode_queries([ASKED.query, "another"])
    assert np.array_equal(known, np.eye(1, 16, 5, dtype=np.float32)[0])
    assert not np.array_equal(other, known)
