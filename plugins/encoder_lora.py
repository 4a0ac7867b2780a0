"""Adapts the serving encoder by low-rank weights beside its own (LoRA), which are merged in when it is saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, TrainingFailed, hookimpl, read_options

from ._encoder_folder import open_model, save_model, size_bytes, transformer_of, weights_of
from ._pair_batches import PairBatches
from ._pair_losses import contrastive
from ._torch_loop import Pace, fit, prepare, quiet

# How query and value projections are called, by family of models; others get LoRA on every linear layer.
_PROJECTIONS = (("query", "value"), ("q_proj", "v_proj"), ("q_lin", "v_lin"), ("q", "v"), ("Wqkv",))


@dataclass(frozen=True, slots=True)
class LoraOptions:
    """What `[trainers.encoder_lora.options]` may hold.

    `targets` names the layers, with commas, or `all-linear`; empty means query and value projections. `mini_batch`
    above 0 holds only that many texts in memory at once (cached loss), for large batches. `accumulate` adds up so many
    batches for one step. `steps` above 0 replaces `epochs`. `matryoshka` lists dimensions, with commas, in which the
    vectors must rank too.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.05
    targets: str = ""
    rslora: bool = False
    dora: bool = False
    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 32
    mini_batch: int = 0
    accumulate: int = 1
    negatives: int = 1
    learning_rate: float = 3e-4
    temperature: float = 0.05
    matryoshka: str = ""

    def __post_init__(self) -> None:
        if min(self.rank, self.batch_size, self.accumulate) < 1 or min(self.negatives, self.mini_batch) < 0:
            raise ValueError("rank, batch_size and accumulate are at least 1, negatives and mini_batch at least 0")
        if self.temperature <= 0 or self.learning_rate <= 0 or (self.epochs <= 0 and self.steps <= 0):
            raise ValueError("temperature, learning_rate and epochs (or steps) are above 0")


class EncoderLora:
    """LoRA by peft under multiple negatives ranking, with hard negatives; the result is a whole encoder folder.

    Hu et al. 2021, arXiv 2106.09685.
    """

    name = "encoder_lora"
    role = Role.ENCODER
    needs = Needs(Data.PAIRS, least=200)
    cost_s = 400.0

    def train(self, run: Run) -> Artifact:
        """Trains the low-rank weights and merges them. Raises TrainingFailed, ModelUnavailable or TooFewExamples."""
        options = read_options(run.settings, LoraOptions)
        prepare(run)
        model = open_model(run)
        adapted = add_lora(model, options)
        batches = PairBatches(run.data, size=options.batch_size, negatives=options.negatives, seed=run.seed)
        loss = contrastive(
            model,
            batches,
            temperature=options.temperature,
            mini_batch=options.mini_batch,
            matryoshka=options.matryoshka,
        )
        weights, trainable = weights_of(model)
        steps = options.steps or max(1, round(options.epochs * batches.an_epoch / options.accumulate))
        fitted = fit(run, model, loss, Pace(steps, options.learning_rate, options.accumulate))
        with quiet():
            adapted.merge_and_unload()
        folder = save_model(model, run.folder / "artifact", run.model)
        facts = {
            "weights": weights - trainable,
            "trainable_weights": trainable,
            "steps": fitted.steps,
            "first_loss": fitted.first_loss,
            "last_loss": fitted.last_loss,
            "size_bytes": size_bytes(folder),
        }
        return Artifact(folder, facts)


def add_lora(model: Any, options: LoraOptions) -> Any:
    """Puts low-rank weights into the model's transformer; returns peft's handle, which merges them.

    Raises TrainingFailed when no layer has one of the names in `options.targets`.
    """
    with quiet():
        from peft import LoraConfig, get_peft_model
    transformer = transformer_of(model)
    try:
        with quiet():
            return get_peft_model(
                transformer,
                LoraConfig(
                    r=options.rank,
                    lora_alpha=options.alpha,
                    lora_dropout=options.dropout,
                    target_modules=_targets(transformer, options.targets),
                    use_rslora=options.rslora,
                    use_dora=options.dora,
                ),
            )
    except ValueError as error:
        raise TrainingFailed(
            f"LoRA on {options.targets}: {' '.join(str(error).split())[:200]}",
            hint="name layers of this model in the option targets, or leave it empty",
        ) from error


def _targets(transformer: Any, wanted: str) -> str | list[str]:
    if wanted == "all-linear":
        return wanted
    if wanted:
        return [part.strip() for part in wanted.split(",") if part.strip()]
    there = {name.rsplit(".", 1)[-1] for name, _ in transformer.named_modules()}
    return next((list(names) for names in _PROJECTIONS if there.issuperset(names)), "all-linear")


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The LoRA trainer of encoders."""
    return [EncoderLora()]
