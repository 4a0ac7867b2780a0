"""Compression of generators: what is saved is measured, served, and near to what it was made from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from plugins._pruning import pruned, zeroed
from plugins.generator_compress import GeneratorCompress
from plugins.generator_lora import GeneratorLora
from ragd.domain.errors import RagdError, TrainingFailed
from ragd.domain.learning import Role
from ragd.embed.generator import load_generator
from ragd.learn.artifact import inspect
from ragd.testing.runs import FakeRun, fake_run
from ragd.testing.tiny import tiny_generator

TRAINER = GeneratorCompress()


def run_in(folder: Path, model: Path, **settings: Any) -> FakeRun:
    plain = {"batch_size": 16, "max_tokens": 96, "speed_tokens": 4}
    return fake_run(
        folder, role=Role.GENERATOR, needs=TRAINER.needs, subjects=5, settings={**plain, **settings}, model=model
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generator(tmp_path_factory.mktemp("generator") / "model", dimension=64, layers=4)


@pytest.mark.slow
@pytest.mark.parametrize("activations", [False, True])
def test_int8_takes_less_and_answers_alike(activations: bool, base: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, activations=activations)
    artifact = TRAINER.train(run)
    inspect(artifact.folder, run.folder, Role.GENERATOR)
    whole, small = load_generator(base), load_generator(artifact.folder)
    assert small.facts.memory_bytes < 0.6 * whole.facts.memory_bytes
    assert small.facts.file_bytes < 0.6 * whole.facts.file_bytes
    prompts = list(run.data.prompts)
    assert small.loss(prompts) == pytest.approx(whole.loss(prompts), abs=0.05)
    assert small.answer(prompts[0].prompt, 8) is not None
    facts = artifact.facts
    assert facts["aim"] == "smaller"
    assert 0.4 < float(facts["saved_share"]) < 0.9
    assert int(facts["bytes_after"]) < int(facts["bytes_before"])
    assert min(float(facts[f"tokens_a_second_{when}"]) for when in ("before", "after")) > 0


@pytest.mark.slow
def test_an_adapter_is_worked_in_before_it_is_quantized(base: Path, tmp_path: Path) -> None:
    settings = {"rank": 4, "epochs": 3, "max_tokens": 96, "learning_rate": 0.01}
    adapter_run = fake_run(
        tmp_path / "adapter", role=Role.GENERATOR, needs=TRAINER.needs, subjects=5, settings=settings, model=base
    )
    adapter = GeneratorLora().train(adapter_run).folder
    run = run_in(tmp_path / "run", adapter)
    artifact = TRAINER.train(run)
    prompts = list(run.data.prompts)
    served, small, plain = (sum(load_generator(f).loss(prompts)) for f in (adapter, artifact.folder, base))
    assert abs(small - served) < 0.05 * abs(plain - served)
    assert not (run.folder / "merged").exists()
    with pytest.raises(TrainingFailed, match="is quantized"):
        TRAINER.train(run_in(tmp_path / "again", artifact.folder))


@pytest.mark.slow
@pytest.mark.parametrize("method", ["layers", "heads", "ffn"])
def test_pruning_gives_a_smaller_model_that_is_served(method: str, base: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, method=method, share=0.5, learning_rate=0.003)
    artifact = TRAINER.train(run)
    inspect(artifact.folder, run.folder, Role.GENERATOR)
    whole, small = load_generator(base), load_generator(artifact.folder)
    assert small.facts.weights < whole.facts.weights
    assert small.facts.file_bytes < whole.facts.file_bytes
    prompts = list(run.data.prompts)
    assert sum(small.loss(prompts)) < sum(whole.loss(prompts))  # healed, and then some: it had learned nothing
    report = json.loads((artifact.folder / "report.json").read_text("utf-8"))
    assert report == artifact.facts
    assert report["saved_share"] > 0.05


@pytest.mark.slow
def test_single_zeros_save_nothing_and_the_report_says_so(base: Path, tmp_path: Path) -> None:
    run = run_in(tmp_path / "run", base, method="unstructured", share=0.5)
    with pytest.raises(TrainingFailed, match="unstructured pruning of 50% saves nothing: "):
        TRAINER.train(run)
    report = json.loads((run.folder / "report.json").read_text("utf-8"))
    assert report["saved_share"] == 0
    assert report["training_loss_after"] != report["training_loss_before"]


@pytest.mark.slow
def test_without_torchao_it_is_said_what_to_install(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "torchao"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchao", None)
    with pytest.raises(TrainingFailed, match="torchao") as raised:
        TRAINER.train(run_in(tmp_path / "run", base))
    assert "ragd[quantize]" in raised.value.hint


@pytest.mark.slow
def test_pruning_takes_what_does_nothing(base: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(str(base))
    batch = {"input_ids": torch.arange(10, 50).reshape(2, 20), "attention_mask": torch.ones(2, 20, dtype=torch.long)}
    layers = model.model.layers
    with torch.no_grad():
        for layer in (layers[1], layers[2]):
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        before = model(**batch).logits
        shallow = pruned(model, "layers", 0.5, [batch])
        assert shallow.config.num_hidden_layers == 2
        assert torch.equal(shallow(**batch).logits, before)
        for layer in layers:
            layer.mlp.down_proj.weight[:, ::2] = 0.0
            layer.self_attn.o_proj.weight[:, : layer.self_attn.head_dim] = 0.0
        before = model(**batch).logits
        for kind in ("ffn", "heads"):
            assert torch.allclose(pruned(model, kind, 0.5, [batch])(**batch).logits, before, atol=1e-5)
        zeroed(model, 0.5)
        assert float((layers[0].mlp.up_proj.weight == 0).float().mean()) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"method": "int4"}, "known: int8"),
        ({"method": "layers", "share": 1.0}, "between 0 and 1"),
        ({"method": "layers", "share": 0.01}, "leaves nothing to take away"),
        ({"method": "heads", "share": 0.01}, "leaves nothing to take away"),
    ],
)
def test_what_cannot_be_compressed_is_told(settings: dict[str, Any], told: str, base: Path, tmp_path: Path) -> None:
    with pytest.raises(RagdError, match=told) as raised:
        TRAINER.train(run_in(tmp_path / "run", base, **settings))
    assert raised.value.hint


@pytest.mark.slow
def test_a_learned_prompt_cannot_be_worked_in_and_it_is_said(base: Path, tmp_path: Path) -> None:
    settings = {"method": "prompt", "virtual_tokens": 4, "steps": 1, "max_tokens": 96}
    adapter_run = fake_run(
        tmp_path / "adapter", role=Role.GENERATOR, needs=TRAINER.needs, subjects=5, settings=settings, model=base
    )
    adapter = GeneratorLora().train(adapter_run).folder
    with pytest.raises(TrainingFailed, match="PROMPT_TUNING") as raised:
        TRAINER.train(run_in(tmp_path / "run", adapter))
    assert "LoRA" in raised.value.hint
