"""Adapters for generators: every method trains, is saved without pickles, serves, and ends alike when it was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from plugins._generator import Batches
from plugins.generator_lora import LEARNED_PROMPTS, RATES, GeneratorLora
from ragd.domain.errors import RagdError, TooFewExamples, TrainingFailed
from ragd.domain.learning import Artifact, Prompt, Role
from ragd.embed.generator import load_generator
from ragd.learn.artifact import inspect
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.tiny import tiny_generator

TRAINER = GeneratorLora()


class Killed(BaseException):
    """Stands for kill -9: nothing in the trainer may catch it."""


def run_in(
    folder: Path, model: Path, *, killed_after: int = 0, stop_after: int | None = None, **settings: Any
) -> FakeRun:
    plain = {"rank": 4, "epochs": 1, "batch_size": 16, "max_tokens": 96, "virtual_tokens": 4, "learning_rate": 0.01}
    run = fake_run(
        folder,
        role=Role.GENERATOR,
        needs=TRAINER.needs,
        subjects=5,
        settings={**plain, **settings},
        model=model,
        stop_after=stop_after,
    )
    if killed_after:
        report = run.progress

        def dies(done: int, total: int, **metrics: float) -> None:
            report(done, total, **metrics)
            if done == killed_after:
                raise Killed

        run.progress = dies  # type: ignore[method-assign]
    return run


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generator(tmp_path_factory.mktemp("generator") / "model")


def loss_with(artifact: Path, run: FakeRun) -> float:
    generator = load_generator(artifact)
    losses = generator.loss(list(run.data.prompts))
    generator.close()
    return sum(losses) / len(losses)


@pytest.mark.slow
@pytest.mark.parametrize("method", RATES)
def test_every_method_learns_and_is_served(method: str, base: Path, tmp_path: Path) -> None:
    targets = "k_proj,v_proj,down_proj" if method == "ia3" else ""
    learned: dict[str, Any] = {"learning_rate": 0.1, "epochs": 3} if method in LEARNED_PROMPTS else {}
    run = run_in(tmp_path / "run", base, method=method, targets=targets, **learned)
    artifact = TRAINER.train(run)
    files = inspect(artifact.folder, run.folder, Role.GENERATOR)
    assert files.keys() >= ({"model.safetensors"} if method == "full" else {"adapter_model.safetensors", "base.json"})
    assert loss_with(artifact.folder, run) < loss_with(base, run)
    facts = artifact.facts
    assert (facts["method"], facts["examples"], facts["dropped_answers"]) == (method, len(run.data.prompts), 0)
    assert 0 < int(facts["trainable_weights"]) <= int(facts["weights"])
    assert (facts["trainable_weights"] == facts["weights"]) == (method == "full")
    assert json.loads((artifact.folder / "report.json").read_text("utf-8")) == facts


@pytest.mark.slow
@pytest.mark.parametrize("method", ["lora", "adalora"])
def test_a_killed_run_ends_as_one_that_was_not(method: str, base: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"method": method, "epochs": 3, "dropout": 0.1, "checkpoint_s": 0.0, "accumulate": 2}
    whole = TRAINER.train(run_in(tmp_path / "whole", base, **settings))
    for killed_after in (2, 5):
        with pytest.raises(Killed):
            TRAINER.train(run_in(tmp_path / "cut", base, killed_after=killed_after, **settings))
    again = run_in(tmp_path / "cut", base, **settings)
    resumed = TRAINER.train(again)
    assert again.reports[0].done == 5  # the step that was under way when it was killed
    assert resumed.facts["last_loss"] == pytest.approx(whole.facts["last_loss"], abs=1e-6)
    assert loss_with(resumed.folder, again) == pytest.approx(loss_with(whole.folder, again), abs=1e-6)


def test_a_stopped_run_leaves_a_checkpoint_and_no_pickle(base: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, stop_after=1)
    with pytest.raises(TrainingFailed, match="stopped after 1 of"):
        TRAINER.train(run)
    assert {path.suffix for path in run.checkpoints.iterdir()} == {".safetensors", ".json"}


@pytest.mark.slow
def test_an_adapter_that_serves_is_trained_on(base: Path, tmp_path: Path) -> None:
    first = TRAINER.train(run_in(tmp_path / "first", base))
    on = TRAINER.train(run_in(tmp_path / "on", first.folder))
    anew = TRAINER.train(run_in(tmp_path / "anew", first.folder, method="dora", is_continued=False))
    assert [a.facts["started_from"] for a in (first, on, anew)] == ["base", "adapter", "base"]
    assert float(on.facts["first_loss"]) < float(first.facts["first_loss"])
    assert anew.facts["first_loss"] == pytest.approx(first.facts["first_loss"], abs=1e-3)
    assert {bases(a) for a in (first, on, anew)} == {str(base)}


def bases(artifact: Artifact) -> str:
    return str(json.loads((artifact.folder / "base.json").read_text("utf-8"))["base"])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "lra"}, "known: lora, rslora"),
        ({"epochs": 0}, "at least 1"),
        ({"ranks": 4}, "unknown option ranks"),
        ({"targets": "no_such_layer"}, "lora cannot be put on this model"),
        ({"max_tokens": 3}, "none of 60 answers fits into 3 tokens"),
    ],
)
def test_what_cannot_be_trained_is_told(settings: dict[str, Any], told: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(RagdError, match=told) as raised:
        TRAINER.train(run_in(tmp_path / "run", base, **settings))
    assert raised.value.hint


def test_batches_hold_every_row_once_an_epoch_and_weigh_tokens_alike(base: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    prompts = [Prompt(f"number {i}?", "x" * (i + 1)) for i in range(10)] + [Prompt("far too long?", "y" * 99)]
    batches = Batches(prompts, tokenizer, window=40, size=2, accumulate=2, seed=5)
    assert (len(batches.rows), batches.dropped, batches.steps_an_epoch) == (10, 1, 3)
    epoch = [row for number in range(6) for row in batches.rows_of(number)]
    assert len(epoch) == 12  # the last step is filled up
    assert {row.ids for row in epoch} == {row.ids for row in batches.rows}
    assert [row.ids for row in batches.rows_of(0)] != [row.ids for row in batches.rows_of(6)]
    assert batches.share(2) + batches.share(3) == pytest.approx(2.0)
    learned = [sum(row.learned for row in batches.rows_of(number)) for number in (2, 3)]
    assert batches.share(2) / batches.share(3) == pytest.approx(learned[0] / learned[1])
    tensors = batches.tensors(0, "cpu")
    assert (tensors["labels"] != -100).sum() == sum(row.learned for row in batches.rows_of(0))
    assert ((tensors["attention_mask"] == 0) & (tensors["labels"] != -100)).sum() == 0
    with pytest.raises(TooFewExamples):
        Batches(prompts[-1:], tokenizer, window=40, size=2, accumulate=1, seed=0)
