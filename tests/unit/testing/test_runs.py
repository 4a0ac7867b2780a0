"""The stand-in for a run keeps a run's promises, and complains where a real one would forgive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ragd.domain.errors import ModelUnavailable, TrainingFailed
from ragd.domain.learning import Data, Needs, Role, Run
from ragd.testing.corpus import corpus
from ragd.testing.runs import Killed, fake_run
from ragd.testing.served import reciprocal_rank


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_it_is_a_run(folder: Path) -> None:
    run: Run = fake_run(folder, role=Role.GENERATOR)
    assert isinstance(run, Run)


def test_every_pair_is_answered_by_a_chunk_of_the_snapshot(folder: Path) -> None:
    data = fake_run(folder).data
    assert data.vectors.shape == (len(data.chunks), 64)
    assert data.vectors.dtype == np.float16
    assert np.allclose(np.linalg.norm(data.vectors.astype(np.float32), axis=1), 1.0, atol=1e-2)
    for pair in (*data.pairs, *data.validation_pairs):
        (row,) = data.rows(pair.positives)
        assert data.chunks[row].id == pair.positives[0]
    asked = {pair.query for pair in data.pairs}
    assert asked.isdisjoint(pair.query for pair in data.validation_pairs)
    with pytest.raises(KeyError):
        data.rows([1])


def test_it_asks_for_learning(folder: Path) -> None:
    assert reciprocal_rank(fake_run(folder)) < 0.3


def test_it_holds_what_is_needed_and_enough_of_it(folder: Path) -> None:
    many = fake_run(folder, needs=Needs(Data.PAIRS, least=500)).data
    assert len(many.pairs) >= 500
    assert (len(many.prompts), len(many.validation_pairs) > 0) == (0, True)
    texts = fake_run(folder, needs=Needs(Data.TEXTS)).data
    assert (len(texts.pairs), len(texts.prompts), len(texts.chunks)) == (0, 0, 288)


def test_equal_arguments_give_equal_data_and_too_many_subjects_are_refused() -> None:
    assert corpus(3) == corpus(3)
    with pytest.raises(ValueError, match="there are 1 to 192"):
        corpus(193)


def test_what_is_given_cannot_be_changed(folder: Path) -> None:
    run = fake_run(folder, settings={"rank": 4})
    with pytest.raises(ValueError, match="read-only"):
        run.data.vectors[0, 0] = 1
    with pytest.raises(TypeError):
        run.settings["rank"] = 5  # type: ignore[index]
    with pytest.raises(AssertionError, match="settings hold words"):
        fake_run(folder, settings={"ranks": [1, 2]})


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([(1, 0)], "progress: 1 of 0"),
        ([(3, 2)], "progress: 3 of 2"),
        ([(2, 3), (1, 3)], "progress: 1 of 3 after 2 of 3"),
        ([(1, 3), (2, 4)], "progress: 2 of 4 after 1 of 3"),
        ([(0.5, 1)], "whole numbers"),
    ],
)
def test_progress_counts_up_to_a_total_that_stands_still(
    folder: Path, steps: list[tuple[int, int]], complaint: str
) -> None:
    run = fake_run(folder)
    for done, total in steps[:-1]:
        run.progress(done, total)
    with pytest.raises(AssertionError, match=complaint):
        run.progress(*steps[-1])


def test_a_loss_that_is_no_number_ends_the_run(folder: Path) -> None:
    run = fake_run(folder)
    run.progress(1, 3, loss=0.5)
    with pytest.raises(TrainingFailed, match="loss is nan at step 2"):
        run.progress(2, 3, loss=float("nan"))
    with pytest.raises(AssertionError, match="loss is a str"):
        run.progress(2, 3, loss="0.5")  # type: ignore[arg-type]
    assert run.loss == 0.5


def test_who_was_asked_to_stop_may_not_go_on_for_ever(folder: Path) -> None:
    run = fake_run(folder, stop_after=2)
    for step in range(22):
        assert run.is_stopping == (step >= 2)
        run.progress(step + 1, 100)
    with pytest.raises(AssertionError, match="20 steps after it was asked to stop"):
        run.progress(23, 100)


def test_who_is_killed_finds_its_checkpoints_again(folder: Path) -> None:
    run = fake_run(folder, kill_after=1)
    (run.checkpoints / "one").write_text("1")
    with pytest.raises(Killed):
        run.progress(1, 2)
    assert (fake_run(folder).checkpoints / "one").read_text() == "1"


def test_texts_come_as_a_list(folder: Path) -> None:
    run = fake_run(folder)
    assert run.encode_queries(["a", "b"]).shape == (2, 64)
    assert run.encoded == 2
    with pytest.raises(AssertionError, match="give a list or tuple"):
        run.encode_documents("a")


def test_a_role_without_a_model_has_none(folder: Path) -> None:
    with pytest.raises(ModelUnavailable, match="no local model"):
        _ = fake_run(folder).model


@pytest.mark.slow
def test_encoder_and_generator_runs_have_tiny_models_that_load(folder: Path) -> None:
    run = fake_run(folder, role=Role.ENCODER)
    assert (run.model / "model.safetensors").is_file()
    assert run.encode_documents(["a"]).shape == (1, run.data.vectors.shape[1])
    from ragd.domain.learning import Prompt
    from ragd.embed.generator import load_generator

    model = fake_run(folder.with_name("other"), role=Role.GENERATOR).model
    generator = load_generator(model)
    (loss,) = generator.loss([Prompt("how tall?", "7 metres")])
    assert 4.0 < loss < 8.0
    generator.close()
