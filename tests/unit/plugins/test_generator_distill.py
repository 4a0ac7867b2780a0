"""Distillation of generators: by tokens from a local teacher, by texts from a folder or a real HTTP endpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plugins import _teacher
from plugins.generator_distill import GeneratorDistill
from plugins.generator_lora import GeneratorLora
from ragd.domain.errors import RagdError, TrainingFailed
from ragd.domain.learning import Prompt, Role
from ragd.embed.generator import load_generator
from ragd.learn.artifact import inspect
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.tiny import tiny_generator
from tests.unit.plugins.chat import KEY, ChatServer

TRAINER = GeneratorDistill()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ChatServer]:
    monkeypatch.setenv("RAGD_TEACHER_KEY", KEY)
    monkeypatch.setattr(_teacher, "FIRST_DELAY_S", 0.01)
    chat = ChatServer()
    yield chat
    chat.close()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generator(tmp_path_factory.mktemp("generator") / "model")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wider model that knows the answers a little."""
    folder = tmp_path_factory.mktemp("teacher")
    model = tiny_generator(folder / "model", dimension=48, layers=3, seed=1)
    settings = {"method": "full", "epochs": 6, "batch_size": 8, "max_tokens": 96, "learning_rate": 0.01}
    run = fake_run(folder / "run", role=Role.GENERATOR, needs=TRAINER.needs, subjects=5, settings=settings, model=model)
    return GeneratorLora().train(run).folder


def run_in(folder: Path, model: Path, **settings: Any) -> FakeRun:
    plain = {"rank": 4, "epochs": 2, "batch_size": 16, "max_tokens": 96, "learning_rate": 0.01, "answer_tokens": 8}
    return fake_run(
        folder, role=Role.GENERATOR, needs=TRAINER.needs, subjects=5, settings={**plain, **settings}, model=model
    )


def mean_loss(folder: Path, prompts: list[Prompt]) -> float:
    generator = load_generator(folder)
    losses = generator.loss(prompts)
    generator.close()
    return sum(losses) / len(losses)


@pytest.mark.slow
def test_a_student_comes_nearer_to_a_teacher_with_the_same_tokens(base: Path, teacher: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, teacher=str(teacher), alpha=1.0, epochs=4)
    artifact = TRAINER.train(run)
    assert (artifact.facts["by"], artifact.facts["method"]) == ("tokens", "lora")
    assert "aim" not in artifact.facts
    assert float(artifact.facts["last_loss"]) < 0.9 * float(artifact.facts["first_loss"])
    prompts = list(run.data.prompts)
    assert mean_loss(artifact.folder, prompts) < mean_loss(base, prompts)


@pytest.mark.slow
def test_a_smaller_folder_becomes_a_whole_model(base: Path, teacher: Path, tmp_path: Path) -> None:
    small = tiny_generator(tmp_path / "small", dimension=16, layers=1)
    run = run_in(tmp_path / "run", base, teacher=str(teacher), student=str(small))
    artifact = TRAINER.train(run)
    files = inspect(artifact.folder, run.folder, Role.GENERATOR)
    assert files.keys() >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert (artifact.facts["aim"], artifact.facts["method"], artifact.facts["by"]) == ("smaller", "full", "tokens")
    assert load_generator(artifact.folder).facts.weights == load_generator(small).facts.weights
    prompts = list(run.data.prompts)
    assert mean_loss(artifact.folder, prompts) < mean_loss(small, prompts)


@pytest.mark.slow
def test_another_tokenizer_is_taught_by_texts(base: Path, teacher: Path, tmp_path: Path) -> None:
    import shutil

    other = tmp_path / "other"
    shutil.copytree(teacher, other)
    tokens = json.loads((other / "tokenizer.json").read_text("utf-8"))
    vocabulary = tokens["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (other / "tokenizer.json").write_text(json.dumps(tokens), "utf-8")
    run = run_in(tmp_path / "run", base, teacher=str(other), epochs=1)
    artifact = TRAINER.train(run)
    assert artifact.facts["by"] == "texts"
    texts = [json.loads(line) for line in (run.folder / "teacher.jsonl").read_text("utf-8").splitlines()]
    assert len(texts) == len({prompt.prompt for prompt in run.data.prompts})
    with pytest.raises(TrainingFailed, match="different tokenizers"):
        TRAINER.train(run_in(tmp_path / "forced", base, teacher=str(other), by="tokens"))


def test_the_divergence_of_equal_models_is_zero_and_its_weight_is_alpha(base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from plugins.generator_distill import distillation

    one = AutoModelForCausalLM.from_pretrained(str(base))
    two = AutoModelForCausalLM.from_pretrained(str(tiny_generator(base.parent / "two", seed=7)))
    ids = torch.arange(10, 30).reshape(2, 10)
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids.clone()}
    batch["labels"][:, :6] = -100
    with torch.no_grad():
        assert float(distillation(one, one, batch, temperature=2.0, alpha=1.0)) == pytest.approx(0.0, abs=1e-5)
        usual = float(one(**batch).loss)
        apart = float(distillation(one, two, batch, temperature=1.0, alpha=1.0))
        mixed = float(distillation(one, two, batch, temperature=1.0, alpha=0.25))
        own, wanted = (m(input_ids=ids).logits[:, 5:9].double().log_softmax(-1) for m in (one, two))
    assert mixed == pytest.approx(0.25 * apart + 0.75 * usual, rel=1e-5)
    assert apart == pytest.approx(float((wanted.exp() * (wanted - own)).sum(-1).mean()), rel=1e-5)


@pytest.mark.slow
def test_an_endpoint_teaches_and_is_asked_once_for_each_prompt(
    server: ChatServer, base: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.script.extend([503, 429, 500])
    settings = {"teacher": server.url, "teacher_model": "wise", "alpha": 0.5}
    run = run_in(tmp_path / "run", base, **settings)
    artifact = TRAINER.train(run)
    prompts = {prompt.prompt for prompt in run.data.prompts}
    assert sorted(server.asked) == sorted(prompts)
    taught = [Prompt(prompt, f"aha {len(prompt)}") for prompt in sorted(prompts)]
    assert mean_loss(artifact.folder, taught) < mean_loss(base, taught)
    kept = run.folder / "teacher.jsonl"
    kept.write_text(kept.read_text("utf-8") + '{"prompt": "cut o', "utf-8")
    TRAINER.train(run_in(tmp_path / "run", base, **settings))
    assert len(server.asked) == len(prompts)
    written = [path for path in run.folder.rglob("*") if path.is_file()]
    assert not any(KEY.encode() in path.read_bytes() for path in written)
    assert KEY not in caplog.text


@pytest.mark.parametrize(
    ("status", "key", "told", "hint"),
    [
        (200, "wrong", "answered 401", "RAGD_TEACHER_KEY"),
        (404, KEY, "answered 404", "teacher_model"),
        (400, KEY, "answered 400", "too long"),
    ],
)
def test_a_refusal_ends_the_run_without_a_second_try(
    status: int,
    key: str,
    told: str,
    hint: str,
    server: ChatServer,
    base: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAGD_TEACHER_KEY", key)
    server.script.extend([status] * 100)
    settings = {"teacher": server.url, "teacher_model": "wise", "parallel": 1}
    with pytest.raises(TrainingFailed, match=told) as raised:
        TRAINER.train(run_in(tmp_path / "run", base, **settings))
    assert hint in raised.value.hint
    assert key not in str(raised.value)
    assert len(server.script) >= 95  # at most what was under way


@pytest.mark.slow
def test_an_endpoint_that_stays_broken_is_given_up(server: ChatServer, base: Path, tmp_path: Path) -> None:
    server.script.extend([503] * 1000)
    with pytest.raises(TrainingFailed, match="failed 6 times, the last time with: status 503"):
        TRAINER.train(run_in(tmp_path / "run", base, teacher=server.url, teacher_model="wise", parallel=1))


def test_a_stop_ends_the_wait_for_a_teacher(server: ChatServer, base: Path, tmp_path: Path) -> None:
    server.script.extend([503] * 1000)
    run = run_in(tmp_path / "run", base, teacher=server.url, teacher_model="wise", parallel=1)
    run.stop()
    with pytest.raises(TrainingFailed, match="stopped"):
        TRAINER.train(run)
    assert server.asked == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "teacher is empty"),
        ({"teacher": "http://127.0.0.1:9/v1"}, "teacher_model is empty"),
        ({"teacher": "/no/such/folder"}, "no folder"),
        ({"teacher": "http://127.0.0.1:9/v1", "teacher_model": "x", "by": "tokens"}, "`tokens`"),
        ({"teacher": "x", "temperature": 0.0}, "above 0"),
        ({"teacher": "x", "alpha": math.inf}, "alpha from 0 to 1"),
    ],
)
def test_what_is_not_said_well_is_told(settings: dict[str, Any], told: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(RagdError, match=told) as raised:
        TRAINER.train(run_in(tmp_path / "run", base, **settings))
    assert raised.value.hint
