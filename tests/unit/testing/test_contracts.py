"""The contracts hold for what is in order, and say what is wrong with what is not."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragd.domain.deciding import Observed, Reason
from ragd.domain.documents import ReadText
from ragd.domain.errors import ReadFailed
from ragd.domain.learning import Artifact, Data, Needs, Role, Run
from ragd.hooks.artifacts import save_tensors, save_transform
from ragd.testing import check_policy, check_reader, check_tracker, check_trainer

Act = Callable[[Run, Any], Artifact]


class Adapter:
    """A trainer of few steps with checkpoints, which may be told to do something else at one place."""

    name, role, needs, cost_s = "adapter", Role.QUERY_ADAPTER, Needs(Data.PAIRS, least=10), 1.0

    def __init__(self, **bad: Callable[..., Any]) -> None:
        self.bad = bad

    def train(self, run: Run) -> Artifact:
        if "begin" in self.bad:
            self.bad["begin"](run)
        saved = run.checkpoints / "state.npy"
        weight = np.load(saved) if saved.exists() else np.zeros((64, 64), np.float32)
        for step in range(int(weight[0, 0] * 1000 + 0.5), 10):
            if run.is_stopping and "deaf" not in self.bad:
                break
            weight = weight + np.float32(0.001)
            np.save(saved, weight)
            if "silent" not in self.bad:
                run.progress(step + 1, 10)
        made = save_transform(run.folder / "made", "residual", weight=weight)
        return self.bad["end"](run, made) if "end" in self.bad else made


def test_a_trainer_that_keeps_its_promises_passes(tmp_path: Path) -> None:
    check_trainer(Adapter(), tmp_path)


def outside(run: Run) -> None:
    (run.folder.parent / "outside").write_text("x")


def random_end(run: Run, made: Artifact) -> Artifact:
    save_tensors(made.folder / "transform.safetensors", weight=np.random.default_rng().normal(size=(64, 64)))
    return made


def pickled(run: Run, made: Artifact) -> Artifact:
    (made.folder / "state.pt").write_bytes(b"PK\x03\x04 and so on")
    return made


def wrong_shape(run: Run, made: Artifact) -> Artifact:
    return save_transform(made.folder, "residual", weight=np.zeros((3, 3)))


def forgets(run: Run, made: Artifact) -> Artifact:
    if not (run.folder / "again").exists():
        return made
    return save_transform(made.folder, "residual", weight=np.ones((64, 64)))


def fails_again(run: Run) -> None:
    if any(run.checkpoints.iterdir()):
        raise FileExistsError("the checkpoint is there already")


def never(run: Run) -> None:
    raise RuntimeError("no such luck")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"begin": never}, "trains and returns an Artifact: RuntimeError: no such luck"),
        ({"begin": outside}, "writes in its run folder only: writes outside its run folder: .*outside"),
        ({"end": lambda run, made: made.folder}, "train returned PosixPath, not an Artifact"),
        ({"end": lambda run, made: Artifact(run.folder.parent)}, "the artefact .* is not a folder of its own"),
        ({"end": random_end}, "gives the same for the same seed: the second run made another .*weight"),
        ({"end": pickled}, "makes what its role serves.*: state.pt in the artefact is a pickle"),
        ({"end": wrong_shape}, "makes what its role serves"),
        ({"silent": never}, "reports its progress: call run.progress"),
        ({"begin": fails_again}, "goes on after it was killed.*FileExistsError"),
    ],
)
def test_what_a_trainer_does_wrong_is_named(
    tmp_path: Path, bad: Mapping[str, Callable[..., Any]], complaint: str
) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_trainer(Adapter(**bad), tmp_path)


def test_a_trainer_that_does_not_stop_is_named(tmp_path: Path) -> None:
    class Deaf(Adapter):
        def train(self, run: Run) -> Artifact:
            for step in range(100):
                run.progress(step + 1, 100)
            return save_transform(run.folder / "made", "residual", weight=np.zeros((64, 64)))

    with pytest.raises(AssertionError, match="stops when asked: went on for 20 steps"):
        check_trainer(Deaf(), tmp_path)


def test_a_trainer_that_catches_what_kills_it_is_named(tmp_path: Path) -> None:
    class Clinging(Adapter):
        def train(self, run: Run) -> Artifact:
            try:
                run.progress(1, 1)
            except BaseException:  # noqa: BLE001 - that is what is wrong
                return Artifact(run.folder / "none")
            return save_transform(run.folder / "made", "residual", weight=np.zeros((64, 64)))

    with pytest.raises(AssertionError, match="it caught what killed it"):
        check_trainer(Clinging(), tmp_path)


def test_writes_are_free_again_after_a_check(tmp_path: Path) -> None:
    check_trainer(Adapter(), tmp_path / "runs")
    (tmp_path / "elsewhere").write_text("x")


class Lines:
    name, version, suffixes = "lines", "1", frozenset({".ln"})

    def read(self, data: bytes, suffix: str) -> ReadText:
        if b"\0" in data:
            raise ReadFailed("binary", hint="exclude it")
        return ReadText(text=data.decode("utf-8", "replace"))


def test_a_reader_that_keeps_its_promises_passes_and_others_are_named() -> None:
    check_reader(Lines(), {".ln": b"one\ntwo"})
    with pytest.raises(AssertionError, match=r"reads a \.ln file: it found no text"):
        check_reader(Lines(), {".ln": b" \n"})

    class Fragile(Lines):
        def read(self, data: bytes, suffix: str) -> ReadText:
            return ReadText(text=data.decode("ascii"))

    with pytest.raises(AssertionError, match="refuses what it cannot read with a reason: UnicodeDecodeError"):
        check_reader(Fragile(), {".ln": b"one"})


class Calm:
    name = "calm"

    def decide(self, observed: Observed) -> Reason:
        return Reason(self.name, observed.changed_chunks > 10, f"{observed.changed_chunks} changed")


def test_a_policy_that_keeps_its_promises_passes_and_others_are_named() -> None:
    check_policy(Calm())

    class Moody(Calm):
        def decide(self, observed: Observed) -> Reason:
            return Reason(self.name, False, f"at {time.monotonic_ns()}")

    with pytest.raises(AssertionError, match="the second time it decided otherwise"):
        check_policy(Moody())

    class Strict(Calm):
        def decide(self, observed: Observed) -> Reason:
            return Reason(self.name, observed.bad_share > 0.5, "bad")  # type: ignore[operator]

    with pytest.raises(AssertionError, match="TypeError"):
        check_policy(Strict())


def test_a_tracker_that_raises_is_named(tmp_path: Path) -> None:
    class Away:
        name = "away"

        def started(self, run_id: str, facts: Mapping[str, Any]) -> None: ...
        def logged(self, run_id: str, step: int, metrics: Mapping[str, float]) -> None: ...
        def ended(self, run_id: str, state: str, facts: Mapping[str, Any]) -> None:
            raise ConnectionError("nobody there")

    with pytest.raises(AssertionError, match="hears of runs: ConnectionError: nobody there"):
        check_tracker(Away(), tmp_path)
