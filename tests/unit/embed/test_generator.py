"""Generators are opened from local safetensors only, say what answers cost, and answer greedily."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragd.domain.errors import ArtifactInvalid, BadRequest, ModelUnavailable, RagdError
from ragd.domain.learning import Prompt
from ragd.embed.generator import Generator, load_generator
from ragd.testing.tiny import tiny_generator

pytestmark = pytest.mark.slow  # a tiny transformer on torch, whose import alone takes seconds

PROMPTS = [Prompt("how tall is it?", "7 metres"), Prompt("谁画的？", "王"), Prompt("x" * 900, "long"), Prompt("", "y")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_generator(tmp_path_factory.mktemp("generator") / "model", max_tokens=128)


@pytest.fixture(scope="module")
def generator(base: Path) -> Iterator[Generator]:
    opened = load_generator(base)
    yield opened
    opened.close()


@pytest.fixture
def adapter(base: Path, tmp_path: Path) -> Path:
    """A LoRA whose weights are not all zero, on the base."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    from ragd.embed.generator import quiet

    torch.manual_seed(3)
    with quiet():
        model = peft.get_peft_model(
            AutoModelForCausalLM.from_pretrained(str(base)),
            peft.LoraConfig(r=2, init_lora_weights=False, target_modules=["q_proj"], task_type="CAUSAL_LM"),
        )
        model.save_pretrained(str(tmp_path / "adapter"))
    (tmp_path / "adapter" / "base.json").write_text(json.dumps({"base": str(base)}), "utf-8")
    return tmp_path / "adapter"


def test_the_loss_is_the_mean_over_the_answer_and_its_end(base: Path, generator: Generator) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    asked, answer = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("how tall is it?", "7 metres"))
    ids = [tokenizer.bos_token_id, *asked, *answer, tokenizer.eos_token_id]
    with torch.no_grad():
        scores = AutoModelForCausalLM.from_pretrained(str(base))(torch.tensor([ids])).logits[0].log_softmax(-1)
    expected = [-float(scores[i - 1, ids[i]]) for i in range(1 + len(asked), len(ids))]
    assert generator.loss(PROMPTS[:1]) == [pytest.approx(sum(expected) / len(expected), abs=1e-5)]


def test_a_loss_does_not_depend_on_what_else_is_asked(generator: Generator) -> None:
    together = generator.loss(PROMPTS)
    assert together == pytest.approx([generator.loss([prompt])[0] for prompt in PROMPTS], abs=1e-5)
    assert generator.loss(PROMPTS[::-1]) == pytest.approx(together[::-1], abs=1e-5)
    assert generator.loss([]) == []


def test_an_answer_that_does_not_fit_is_told_before_it_is_asked(generator: Generator) -> None:
    long = Prompt("how?", "y" * 128)
    assert [generator.fits(prompt) for prompt in (PROMPTS[0], long, Prompt("how?", ""))] == [True, False, False]
    with pytest.raises(BadRequest, match="answer 2 is empty or longer than the 128 tokens"):
        generator.loss([PROMPTS[0], long])


def test_answers_are_greedy_and_end_in_time(generator: Generator) -> None:
    said = generator.answer("how tall is it?", 6)
    assert said == generator.answer("how tall is it?", 6)
    assert len(said) <= 6
    assert isinstance(generator.answer("x" * 900, 5_000), str)


def test_facts_count_weights_and_bytes(base: Path, generator: Generator) -> None:
    facts = generator.facts
    assert facts.memory_bytes == pytest.approx(4 * facts.weights, rel=0.01)
    assert facts.file_bytes == (base / "model.safetensors").stat().st_size
    assert (facts.window, facts.base) == (128, "")


def test_an_adapter_is_opened_on_its_base(adapter: Path, base: Path, generator: Generator) -> None:
    opened = load_generator(adapter)
    assert opened.facts.base == str(base)
    assert opened.facts.weights > generator.facts.weights
    own = (adapter / "adapter_model.safetensors").stat().st_size
    assert opened.facts.file_bytes == generator.facts.file_bytes + own
    assert opened.loss(PROMPTS) != pytest.approx(generator.loss(PROMPTS), abs=1e-3)


def test_a_closed_generator_says_so(base: Path) -> None:
    opened = load_generator(base)
    opened.close()
    opened.close()
    with pytest.raises(ModelUnavailable, match="closed"):
        opened.loss(PROMPTS)


def test_what_is_missing_or_pickled_is_named(base: Path, adapter: Path, tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(base, tmp_path / name))

    empty, pickled, bare, broken, unknown = (copy(name) for name in ("empty", "pickled", "bare", "broken", "unknown"))
    (empty / "config.json").unlink()
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    (bare / "model.safetensors").unlink()
    (broken / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0 no header at all")
    (unknown / "config.json").write_text('{"model_type": "made-up", "auto_map": {"AutoConfig": "x.Y"}}', "utf-8")
    cases: list[tuple[Path, type[RagdError], str]] = [
        (tmp_path / "nowhere", ModelUnavailable, "config.json is missing"),
        (empty, ModelUnavailable, "config.json is missing"),
        (pickled, ArtifactInvalid, "only what could be pickles: pytorch_model.bin"),
        (bare, ArtifactInvalid, "no weights in safetensors"),
        (broken, ArtifactInvalid, "broken weights"),
        (unknown, ModelUnavailable, "cannot be loaded"),
    ]
    for folder, kind, told in cases:
        with pytest.raises(kind, match=told) as raised:
            load_generator(folder)
        assert raised.value.hint
        assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "base.json is missing"),
        ("[]", "names no base"),
        ('{"base": ""}', "names no base"),
        ('{"base": "."}', "is itself an adapter"),
        ('{"base": "nowhere"}', "config.json is missing"),
    ],
)
def test_an_adapter_without_a_base_is_refused(content: str | None, told: str, adapter: Path) -> None:
    (adapter / "base.json").unlink()
    if content is not None:
        (adapter / "base.json").write_text(content, "utf-8")
    with pytest.raises(RagdError, match=told):
        load_generator(adapter)


def test_an_adapter_in_a_pickle_is_not_opened(adapter: Path) -> None:
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    with pytest.raises(ArtifactInvalid, match=r"no adapter_model\.safetensors"):
        load_generator(adapter)
