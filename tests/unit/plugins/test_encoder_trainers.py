"""Encoders: what was learned shows where they serve, every loss runs, what is made smaller says by how much."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from plugins.encoder_compress import EncoderCompress
from plugins.encoder_distill import EncoderDistill
from plugins.encoder_finetune import EncoderFinetune
from plugins.encoder_lora import EncoderLora
from ragd.domain.errors import ModelUnavailable, TrainingFailed
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Role
from ragd.domain.ports import Encoder
from ragd.embed.encoder import open_encoder
from ragd.testing.corpus import MemorySnapshot
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.tiny import tiny_model

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("encoder") / "model", layers=4)


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One layer of random weights learns in seconds; four do not."""
    return tiny_model(tmp_path_factory.mktemp("shallow") / "model", layers=1, dimension=64)


def run_in(folder: Path, base: Path, *, stop_after: Any = None, **settings: Any) -> FakeRun:
    return fake_run(folder, role=Role.ENCODER, settings=settings, subjects=10, model=base, stop_after=stop_after)


def served(folder: Path, models: Path) -> Encoder:
    """The encoder as the daemon opens it."""
    told = json.loads((folder / "serve.json").read_text()) if (folder / "serve.json").is_file() else {}
    spec = EncoderSpec(told.get("kind", "onnx"), str(folder), told.get("precision", "fp32"), threads=1)
    return open_encoder(spec, models)


def ndcg_on_training(folder: Path, run: FakeRun, models: Path) -> float:
    """nDCG@10 of the training pairs, through the serving path."""
    encoder = served(folder, models)
    documents = encoder.encode([chunk.text for chunk in run.data.chunks])
    pairs = run.data.pairs[:60]
    scores = np.stack([encoder.encode_query(pair.query) for pair in pairs]) @ documents.T
    encoder.close()
    right = [int(run.data.rows(pair.positives)[0]) for pair in pairs]
    ranks = np.array([(row > row[place]).sum() for row, place in zip(scores, right, strict=True)])
    return float(np.where(ranks < 10, 1 / np.log2(2 + ranks), 0).mean())


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [
        (EncoderLora(), {"targets": "all-linear", "learning_rate": 0.003}),
        (EncoderFinetune(), {"learning_rate": 0.001}),
    ],
)
def test_training_ranks_what_was_asked_better_where_it_serves(
    trainer: Any, settings: dict[str, Any], shallow: Path, tmp_path: Path
) -> None:
    run = run_in(tmp_path / "run", shallow, steps=50, batch_size=24, temperature=0.1, **settings)
    artifact = trainer.train(run)
    losses = [report.metrics["loss"] for report in run.reports]
    assert np.mean(losses[-5:]) < 0.85 * np.mean(losses[:5])
    before, after = (ndcg_on_training(folder, run, tmp_path / "models") for folder in (shallow, artifact.folder))
    assert after > before + 0.1
    assert artifact.facts["trainable_weights"] <= artifact.facts["weights"]


def test_a_run_that_was_cut_off_ends_with_the_same_weights(base: Path, tmp_path: Path) -> None:
    settings = {"steps": 9, "dropout": 0.3, "accumulate": 2, "batch_size": 6}
    whole = EncoderLora().train(run_in(tmp_path / "whole", base, **settings))
    for stop_after in (2, 4):  # each attempt goes on from the one before
        with pytest.raises(TrainingFailed, match="stopped after"):
            EncoderLora().train(run_in(tmp_path / "cut", base, stop_after=stop_after, **settings))
    again = run_in(tmp_path / "cut", base, **settings)
    resumed = EncoderLora().train(again)
    assert again.reports[0].done == 7
    assert resumed.facts["last_loss"] == pytest.approx(whole.facts["last_loss"], rel=1e-6)
    assert resumed.facts["first_loss"] == pytest.approx(whole.facts["first_loss"], rel=1e-6)
    before, after = (load_file(one.folder / "model.safetensors") for one in (whole, resumed))
    assert all(np.allclose(before[name], after[name], atol=1e-6) for name in before)
    files = [path.name for path in tmp_path.rglob("checkpoints/*")]
    assert not [name for name in files if not name.endswith((".json", ".safetensors"))]


@pytest.mark.parametrize("loss", ["triplet", "cosine", "margin_mse", "kl", "cached_mnrl"])
def test_every_loss_lowers_itself(loss: str, shallow: Path, tmp_path: Path) -> None:
    teacher = str(tiny_model(tmp_path / "teacher", seed=5)) if loss in ("margin_mse", "kl") else ""
    settings = {"steps": 30, "learning_rate": 0.001, "batch_size": 16, "temperature": 0.1, "kl_temperature": 0.02}
    run = run_in(tmp_path / "run", shallow, loss=loss, teacher=teacher, **settings)
    ids = [chunk.id for chunk in run.data.chunks]
    labelled = tuple(
        replace(pair, negatives=(ids[(7 * i + 5) % len(ids)],), score=(i % 5) / 4)
        for i, pair in enumerate(run.data.pairs)
    )
    run._data = MemorySnapshot(tuple(run.data.chunks), run.data.vectors, labelled)
    artifact = EncoderFinetune().train(run)
    losses = [report.metrics["loss"] for report in run.reports]
    assert artifact.facts["loss"] == loss
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_a_cross_encoder_teaches_too(base: Path, tmp_path: Path) -> None:
    teacher = cross_encoder(tmp_path / "teacher")
    run = run_in(tmp_path / "run", base, teacher=str(teacher), steps=2, batch_size=4)
    ids = [chunk.id for chunk in run.data.chunks]
    pairs = tuple(replace(pair, negatives=(ids[-1 - i],)) for i, pair in enumerate(run.data.pairs[:20]))
    run._data = MemorySnapshot(tuple(run.data.chunks), run.data.vectors, pairs)
    assert EncoderFinetune().train(run).facts["loss"] == "margin_mse"


def cross_encoder(folder: Path) -> Path:
    """A tiny model that scores pairs of texts, saved by transformers."""
    from transformers import BertConfig, BertForSequenceClassification

    tiny_model(folder)
    config = BertConfig.from_pretrained(folder, num_labels=1)
    BertForSequenceClassification(config).save_pretrained(folder)
    for name in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / name).unlink()
    return folder


@pytest.mark.parametrize("settings", [{"student": "layers"}, {"student": "static"}])
def test_a_student_comes_near_its_teacher_and_is_smaller(settings: dict[str, Any], base: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, steps=30, sentences=20, learning_rate=0.01, **settings)
    artifact = EncoderDistill().train(run)
    assert float(artifact.facts["cosine_to_teacher"]) > 0.6
    assert float(artifact.facts["weights"]) < 0.8 * float(artifact.facts["weights_before"])
    texts = [chunk.text for chunk in run.data.chunks[:40]]
    teacher, student = (served(folder, tmp_path / "models").encode(texts) for folder in (base, artifact.folder))
    assert float((teacher * student).sum(axis=1).mean()) > 0.6


def test_every_second_layer_stays_the_last_among_them(base: Path, tmp_path: Path) -> None:
    artifact = EncoderDistill().train(run_in(tmp_path / "run", base, steps=1, learning_rate=1e-9))
    before, after = (load_file(folder / "model.safetensors") for folder in (base, artifact.folder))
    name = "encoder.layer.{}.output.dense.weight"
    assert np.allclose(before[name.format(3)], after[name.format(1)], atol=1e-6)
    assert name.format(2) not in after
    assert json.loads((artifact.folder / "config.json").read_text())["num_hidden_layers"] == 2


@pytest.mark.parametrize(
    ("method", "keep_weights"),
    [("int8", True), ("int8", False), ("layers", True), ("heads", True), ("channels", True), ("channels", False)],
)
def test_what_is_compressed_serves_and_says_what_it_saves(
    method: str, keep_weights: bool, base: Path, tmp_path: Path
) -> None:
    run = run_in(tmp_path / "run", base, method=method, share=0.5, recover=2, measured=4, keep_weights=keep_weights)
    artifact = EncoderCompress().train(run)
    facts = artifact.facts
    assert facts["aim"] == "smaller"
    assert float(facts["bytes_after"]) < float(facts["bytes_before"])
    assert (float(facts["weights"]) < float(facts["weights_before"])) == (method != "int8")
    assert float(facts["ms_per_text_after"]) > 0
    assert json.loads((artifact.folder / "savings.json").read_text()) == dict(facts)
    has_graph = (artifact.folder / "model.onnx").is_file()
    assert has_graph == (method == "heads" or not keep_weights)
    assert bool(list(artifact.folder.glob("*.safetensors"))) != has_graph
    texts = [chunk.text for chunk in run.data.chunks[:3]]
    assert served(artifact.folder, tmp_path / "models").encode(texts).shape == (3, 32)


def test_int8_gives_nearly_the_same_vectors(base: Path, tmp_path: Path) -> None:
    artifact = EncoderCompress().train(run_in(tmp_path / "run", base, measured=8))
    assert float(artifact.facts["cosine_to_before"]) > 0.99


def test_a_folder_that_only_serves_cannot_be_trained_on(base: Path, tmp_path: Path) -> None:
    graph = EncoderCompress().train(run_in(tmp_path / "run", base, measured=2, keep_weights=False)).folder
    run = run_in(tmp_path / "next", base)
    run._model = graph
    with pytest.raises(ModelUnavailable, match=r"no model\.safetensors"):
        EncoderLora().train(run)


def test_a_model_without_layers_has_nothing_for_low_rank_weights(base: Path, tmp_path: Path) -> None:
    static = EncoderDistill().train(run_in(tmp_path / "run", base, steps=1, student="static")).folder
    run = run_in(tmp_path / "next", base)
    run._model = static
    with pytest.raises(TrainingFailed, match="holds no transformer"):
        EncoderLora().train(run)


@pytest.mark.parametrize(
    ("trainer", "settings", "reason"),
    [
        (EncoderLora(), {"rnk": 8}, "unknown option rnk"),
        (EncoderLora(), {"targets": "nowhere"}, "LoRA on nowhere"),
        (EncoderLora(), {"matryoshka": "64"}, "goes beyond 1 to 32"),
        (EncoderLora(), {"matryoshka": "a,b"}, "option matryoshka"),
        (EncoderLora(), {"learning_rate": 1e30, "steps": 5}, "loss is"),
        (EncoderFinetune(), {"loss": "hinge"}, "loss is 'hinge'"),
        (EncoderFinetune(), {"loss": "kl"}, "teacher must name a model folder"),
        (EncoderFinetune(), {"teacher": "/nowhere"}, "negatives|not a model folder"),
        (EncoderDistill(), {"student": "tiny"}, "student is one of"),
        (EncoderCompress(), {"method": "zip"}, "method is 'zip'"),
        (EncoderCompress(), {"method": "channels", "share": 0.01}, "nothing to take away"),
    ],
)
def test_what_cannot_be_is_named(
    trainer: Any, settings: dict[str, Any], reason: str, base: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingFailed, match=reason):
        trainer.train(run_in(tmp_path / "run", base, **settings))
