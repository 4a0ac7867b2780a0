"""The files of a run: written whole, read strictly, followed while they grow."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragd.domain.errors import TrainingFailed
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Resources, Role
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest
from ragd.learn.records import (
    Attempts,
    Follower,
    Step,
    read_attempts,
    read_outcome,
    read_request,
    reopen,
    step_line,
    write_attempts,
    write_outcome,
    write_request,
)

REQUEST = RunRequest(
    "r1",
    "query_adapter",
    Role.QUERY_ADAPTER,
    PluginSource("query_adapter", "bundled"),
    7,
    Resources(threads=2),
    EncoderSpec(kind="onnx"),
    "/models",
    settings={"rank": 8, "name": "ä"},
)


@pytest.fixture
def places(tmp_path: Path) -> RunPlaces:
    return RunPlaces(tmp_path / "r1")


def test_a_request_comes_back_as_it_was(places: RunPlaces) -> None:
    write_request(places, REQUEST)
    assert read_request(places) == REQUEST
    assert places.work.is_dir()


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"id": "r1"}'])
def test_a_damaged_request_is_named(damage: str, places: RunPlaces) -> None:
    write_request(places, REQUEST)
    places.request.write_text(damage)
    with pytest.raises(TrainingFailed, match=r"request\.json cannot be read"):
        read_request(places)


def test_a_request_with_an_unknown_field_is_refused(places: RunPlaces) -> None:
    write_request(places, REQUEST)
    places.request.write_text(places.request.read_text().replace('"threads"', '"wires"'))
    with pytest.raises(TrainingFailed, match="wires"):
        read_request(places)


def test_an_outcome_is_there_or_not(places: RunPlaces) -> None:
    write_request(places, REQUEST)
    assert read_outcome(places) is None
    outcome = RunOutcome("trained", "work/out", {"a.json": "0" * 64}, {"rank": 8}, loss=0.5, train_s=1.5)
    write_outcome(places, outcome)
    assert read_outcome(places) == outcome
    places.outcome.write_text('{"mood": "fine"}')
    with pytest.raises(TrainingFailed, match=r"outcome\.json cannot be read"):
        read_outcome(places)


def test_a_reopened_run_has_no_end_and_a_clean_slate(places: RunPlaces) -> None:
    write_request(places, REQUEST)
    write_outcome(places, RunOutcome("stopped"))
    places.stop.touch()
    write_attempts(places, Attempts(count=6, barren=5, mark=40, train_s=9.0))
    reopen(places)
    assert read_outcome(places) is None
    assert not places.stop.exists()
    assert read_attempts(places) == Attempts(count=6, barren=0, mark=40, train_s=9.0)


def test_a_run_without_attempts_has_none(places: RunPlaces) -> None:
    assert read_attempts(places) == Attempts()


def test_progress_is_followed_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "progress.jsonl"
    follower = Follower(path)
    assert follower.news() == []
    first, second = Step(1.0, 1, 3, {"loss": 0.5}), Step(2.0, 2, 3, {"loss": 0.25})
    line = step_line(second)
    path.write_text(step_line(first) + "no JSON\n" + line[:10])
    assert follower.news() == [first]
    with path.open("a") as file:
        file.write(line[10:])
    assert follower.news() == [second]
    assert follower.last() is None
