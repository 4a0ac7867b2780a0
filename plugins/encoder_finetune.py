"""Trains every weight of the serving encoder, with the loss that its labels call for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ragd.hooks.api import Artifact, Data, Needs, Pair, Role, Run, Trainer, hookimpl, read_options

from ._encoder_folder import open_model, save_model, size_bytes, weights_of
from ._pair_batches import PairBatches
from ._pair_losses import Loss, contrastive, scores, taught, triplets
from ._torch_loop import Pace, fit, prepare

_LOSSES = ("auto", "mnrl", "cached_mnrl", "triplet", "cosine", "margin_mse", "kl")
_CACHED_TEXTS = 16  # held at once by cached_mnrl unless told otherwise


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """What `[trainers.encoder_finetune.options]` may hold.

    `loss` is `auto` or one of mnrl, cached_mnrl, triplet, cosine, margin_mse, kl. With `auto`: `teacher` set →
    margin_mse; scores that are fractions or tell bad answers from good ones → cosine; otherwise mnrl, with the pairs'
    negatives. `teacher` is the folder of an encoder or a cross-encoder. `margin` is for triplet, `temperature` for
    mnrl; kl has its own. `frozen_layers` of the transformer, from the bottom, and its embeddings are left as they are.
    """

    loss: str = "auto"
    teacher: str = ""
    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 32
    mini_batch: int = 0
    accumulate: int = 1
    negatives: int = 1
    learning_rate: float = 2e-5
    temperature: float = 0.05
    kl_temperature: float = 0.1
    margin: float = 0.2
    weight_decay: float = 0.01
    matryoshka: str = ""
    frozen_layers: int = 0

    def __post_init__(self) -> None:
        if self.loss not in _LOSSES:
            raise ValueError(f"loss is {self.loss!r}: one of {', '.join(_LOSSES)}")
        if self.loss in ("margin_mse", "kl") and not self.teacher:
            raise ValueError(f"teacher must name a model folder for the loss {self.loss}")
        if min(self.batch_size, self.accumulate) < 1 or min(self.negatives, self.mini_batch, self.frozen_layers) < 0:
            raise ValueError(
                "batch_size and accumulate are at least 1; negatives, mini_batch, frozen_layers at least 0"
            )
        if min(self.temperature, self.kl_temperature, self.learning_rate) <= 0 or max(self.epochs, self.steps) <= 0:
            raise ValueError("temperature, kl_temperature, learning_rate and epochs (or steps) are above 0")


class EncoderFinetune:
    """Full fine-tuning; the dearest trainer of encoders, for when LoRA did not suffice and there is much data."""

    name = "encoder_finetune"
    role = Role.ENCODER
    needs = Needs(Data.PAIRS, least=1000)
    cost_s = 800.0

    def train(self, run: Run) -> Artifact:
        """Trains and saves the encoder. Raises TrainingFailed, ModelUnavailable or TooFewExamples."""
        options = read_options(run.settings, FinetuneOptions)
        prepare(run)
        model = open_model(run)
        _freeze(model, options.frozen_layers)
        kind = chosen_loss(options, run.data.pairs)
        loss, an_epoch = _loss(run, model, kind, options)
        weights, trainable = weights_of(model)
        steps = options.steps or max(1, round(options.epochs * an_epoch / options.accumulate))
        pace = Pace(steps, options.learning_rate, options.accumulate, weight_decay=options.weight_decay)
        fitted = fit(run, model, loss, pace)
        folder = save_model(model, run.folder / "artifact", run.model)
        facts: dict[str, float | int | str] = {
            "loss": kind,
            "weights": weights,
            "trainable_weights": trainable,
            "steps": fitted.steps,
            "first_loss": fitted.first_loss,
            "last_loss": fitted.last_loss,
            "size_bytes": size_bytes(folder),
        }
        return Artifact(folder, facts)


def chosen_loss(options: FinetuneOptions, pairs: Sequence[Pair]) -> str:
    """The loss by name; with `auto` the one that the labels call for.

    Grades of relevance (1, 2, 3) say that a chunk answers, so they are pairs. Fractions, and scores at or below zero,
    say how near two texts are.
    """
    if options.loss != "auto":
        return options.loss
    if options.teacher:
        return "margin_mse"
    given = [pair.score for pair in pairs if pair.score is not None]
    are_degrees = any(score <= 0 or score != int(score) for score in given)
    if are_degrees and 2 * len(given) > len(pairs):
        return "cosine"
    return "cached_mnrl" if options.mini_batch else "mnrl"


def _loss(run: Run, model: Any, kind: str, options: FinetuneOptions) -> tuple[Loss, int]:
    """The loss of a batch by its number, and how many batches an epoch has."""
    if kind == "cosine":
        return scores(model, run, size=options.batch_size, seed=run.seed)
    batches = PairBatches(run.data, size=options.batch_size, negatives=options.negatives, seed=run.seed)
    if kind == "triplet":
        return triplets(model, batches, margin=options.margin), batches.an_epoch
    if kind in ("margin_mse", "kl"):
        loss = taught(run, model, batches, options.teacher, kind=kind, temperature=options.kl_temperature)
        return loss, batches.an_epoch
    cached = (options.mini_batch or _CACHED_TEXTS) if kind == "cached_mnrl" else 0
    loss = contrastive(
        model, batches, temperature=options.temperature, mini_batch=cached, matryoshka=options.matryoshka
    )
    return loss, batches.an_epoch


def _freeze(model: Any, layers: int) -> None:
    """Leaves the embeddings and the lowest `layers` as they are."""
    if not layers:
        return
    fixed = [f".{i}." for i in range(layers)]
    for name, weight in model.named_parameters():
        is_low = ".layer" in name and any(part in name for part in fixed)
        if is_low or ".embeddings." in name:
            weight.requires_grad_(False)


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer of whole encoders."""
    return [EncoderFinetune()]
