"""Makes the generator smaller: weights in 8 bits, or without what matters least; with a report of what that saves."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import Any

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, TrainingFailed, hookimpl, read_options

from ._generator import (
    Batches,
    Opened,
    finish,
    merged,
    open_model,
    refuse_quantized,
    save_model,
    window_of,
    write_json,
)
from ._pruning import KINDS, pruned, zeroed
from ._torch_loop import Pace, fit, prepare, quiet

LOOKED_AT = 8  # batches whose loss is measured, and by which pruning chooses


@dataclass(frozen=True, slots=True)
class Options:
    """`method` is `int8`, or what to prune: `layers`, `heads`, `ffn`, or single weights: `unstructured`.

    With `activations` int8 multiplies in 8 bits too: faster on long prompts, slower and coarser on short ones. `share`
    is how much pruning takes; after it all weights are trained for `epochs`. `speed_tokens` is how many tokens are
    spoken to measure the speed.
    """

    method: str = "int8"
    activations: bool = False
    share: float = 0.25
    epochs: int = 1
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 5e-5
    warmup: float = 0.1
    max_tokens: int = 512
    speed_tokens: int = 64
    checkpoint_s: float = 20.0

    def __post_init__(self) -> None:
        if self.method not in ("int8", *KINDS, "unstructured"):
            raise ValueError(f"method is {self.method!r}; known: int8, {', '.join(KINDS)}, unstructured")
        if not 0 < self.share < 1 or self.learning_rate <= 0 or self.epochs < 0:
            raise ValueError("share lies between 0 and 1, learning_rate above 0, epochs not below 0")
        if min(self.batch_size, self.accumulate, self.max_tokens, self.speed_tokens) < 1:
            raise ValueError("batch_size, accumulate, max_tokens and speed_tokens are at least 1")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a model takes and gives: bytes of its weights, tokens a second spoken and read, loss on training rows."""

    weight_bytes: int
    spoken_s: float
    read_s: float
    loss: float


class GeneratorCompress:
    """int8 by torchao, one scale a row of weights; or structured pruning, healed by training."""

    name = "generator_compress"
    role = Role.GENERATOR
    needs = Needs(Data.PROMPTS, least=8)
    cost_s = 300.0
    options = Options

    def train(self, run: Run) -> Artifact:
        """Returns the smaller model, with `aim` `smaller` among its facts."""
        options = read_options(run.settings, Options)
        device = prepare(run)
        with quiet():
            opened = open_model(run.model, device)
            refuse_quantized(opened)
            opened = Opened(merged(opened), opened.tokenizer, opened.base, opened.adapter, opened.window)
            opened.model.eval().requires_grad_(requires_grad=True)
            batches = Batches(
                run.data.prompts,
                opened.tokenizer,
                window=window_of(opened, options.max_tokens),
                size=options.batch_size,
                accumulate=options.accumulate,
                seed=run.seed,
            )
            before = measured(opened.model, batches, options.speed_tokens)
            if options.method == "int8":
                return _quantized(run, opened, batches, options, before)
            if options.method == "unstructured":
                raise _saves_nothing(run, opened, batches, options, before)
            return _pruned(run, opened, batches, options, before)


def measured(model: Any, batches: Batches, tokens: int) -> Measured:
    """Bytes, speed and loss of a model, by the first batches of the training rows."""
    import torch

    device = str(model.device)
    count = min(LOOKED_AT, batches.steps_an_epoch)
    with torch.inference_mode():
        start = time.perf_counter()
        seen = [batches.tensors(number, device) for number in range(count)]
        losses = [float(model(**batch).loss) for batch in seen]
        read_s = sum(batch["input_ids"].numel() for batch in seen) / (time.perf_counter() - start)
        ids = torch.tensor([batches.rows[0].ids[: max(1, batches.rows[0].asked)]], device=device)
        spoken_s = max(_spoken_s(model, ids, tokens, batches.pad) for _ in range(2))
    return Measured(_bytes(model), spoken_s, read_s, sum(losses) / len(losses))


def _spoken_s(model: Any, ids: Any, tokens: int, pad: int) -> float:
    import torch

    start = time.perf_counter()
    model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        use_cache=True,
        pad_token_id=pad,
    )
    return tokens / (time.perf_counter() - start)


def _quantized(run: Run, opened: Opened, batches: Batches, options: Options, before: Measured) -> Artifact:
    try:
        import torchao.quantization as ao
    except ImportError as error:
        raise TrainingFailed("int8 needs torchao, which is not installed", hint="install ragd[quantize]") from error
    import torch
    import transformers

    source = opened.base
    run.progress(1, 3, loss=before.loss)
    if opened.adapter is not None:
        source = run.folder / "merged"
        save_model(opened.model, opened.tokenizer, source)
    kind = ao.Int8DynamicActivationInt8WeightConfig if options.activations else ao.Int8WeightOnlyConfig
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(source),
        quantization_config=transformers.TorchAoConfig(kind()),
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        dtype=torch.float32 if run.resources.device == "cpu" else "auto",
    ).to(run.resources.device)
    if source != opened.base:
        shutil.rmtree(source)
    after = measured(model.eval(), batches, options.speed_tokens)
    run.progress(2, 3, loss=after.loss)
    facts = {**_facts(options, before, after), "trainable_weights": 0}
    artifact = finish(run, opened, model, batches, is_full=True, facts=facts)
    run.progress(3, 3, loss=after.loss)
    return artifact


def _pruned(run: Run, opened: Opened, batches: Batches, options: Options, before: Measured) -> Artifact:
    device = run.resources.device
    looked_at = [batches.tensors(number, device) for number in range(min(LOOKED_AT, batches.steps_an_epoch))]
    model = pruned(opened.model, options.method, options.share, looked_at)
    steps = batches.steps_an_epoch * options.epochs
    if steps:
        pace = Pace(steps, options.learning_rate, options.accumulate, options.warmup, checkpoint_s=options.checkpoint_s)
        fit(run, model, lambda n: model(**batches.tensors(n, device)).loss * batches.share(n), pace)
    after = measured(model.eval(), batches, options.speed_tokens)
    run.progress(max(steps, 1), max(steps, 1), loss=after.loss)
    return finish(run, opened, model, batches, is_full=True, facts=_facts(options, before, after))


def _saves_nothing(run: Run, opened: Opened, batches: Batches, options: Options, before: Measured) -> TrainingFailed:
    """Measures what zeros among the weights save, and says so: a file and a product of zeros cost what others do."""
    zeroed(opened.model, options.share)
    after = measured(opened.model, batches, options.speed_tokens)
    run.progress(1, 1, loss=after.loss)
    write_json(run.folder / "report.json", _facts(options, before, after))
    return TrainingFailed(
        f"unstructured pruning of {options.share:.0%} saves nothing: {before.weight_bytes} bytes before and"
        f" {after.weight_bytes} after, {before.spoken_s:.1f} tokens a second and {after.spoken_s:.1f}",
        hint="use the method int8, layers, heads or ffn",
    )


def _facts(options: Options, before: Measured, after: Measured) -> dict[str, float | int | str]:
    return {
        "aim": "smaller",
        "method": options.method,
        "bytes_before": before.weight_bytes,
        "bytes_after": after.weight_bytes,
        "saved_share": round(1 - after.weight_bytes / before.weight_bytes, 4),
        "tokens_a_second_before": round(before.spoken_s, 2),
        "tokens_a_second_after": round(after.spoken_s, 2),
        "read_a_second_before": round(before.read_s, 1),
        "read_a_second_after": round(after.read_s, 1),
        "training_loss_before": before.loss,
        "training_loss_after": after.loss,
    }


def _bytes(model: Any) -> int:
    """Bytes of the weights; a quantized one is made of several tensors."""
    total = 0
    for weight in model.parameters():
        names = [*getattr(weight, "tensor_data_names", ()), *getattr(weight, "optional_tensor_data_names", ())]
        parts = [getattr(weight, name, None) for name in names] or [weight]
        total += sum(part.numel() * part.element_size() for part in parts if part is not None)
    return total


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer that makes generators smaller."""
    return [GeneratorCompress()]
