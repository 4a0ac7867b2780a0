"""Trains a smaller encoder to give the vectors of the serving one: fewer layers, or no layers at all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ragd.hooks.api import (
    Artifact,
    Data,
    Needs,
    Role,
    Run,
    Trainer,
    TrainingFailed,
    hookimpl,
    read_options,
    save_serving,
)

from ._encoder_folder import encode, open_model, save_model, size_bytes, transformer_of, weights_of
from ._encoder_pruning import every_layer, keep_layers
from ._imitation import examples, imitation, likeness
from ._torch_loop import Pace, fit, prepare, quiet

_STUDENTS = ("layers", "static")
_LOSSES = ("cosine", "similarity")
_JUDGED_TEXTS = 64
# What a static student says it takes, though it takes any length; the serving side wants a number.
_STATIC_TOKENS = 512
_COMMON_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class DistillOptions:
    """What `[trainers.encoder_distill.options]` may hold.

    `student` is `layers` (every `keep_every`-th layer of the serving encoder, the last among them) or `static` (one
    vector a token and no layers: hundreds of times faster, and less exact). `loss` is `cosine` to the serving encoder's
    vectors, or their `similarity` among each other. At most `texts` chunks are learned from, and `sentences` cut out of
    them. `learning_rate` 0 takes what suits the student.
    """

    student: str = "layers"
    keep_every: int = 2
    loss: str = "cosine"
    texts: int = 20_000
    sentences: int = 1_000
    epochs: float = 1.0
    steps: int = 0
    batch_size: int = 16
    accumulate: int = 1
    learning_rate: float = 0.0

    def __post_init__(self) -> None:
        if self.student not in _STUDENTS or self.loss not in _LOSSES:
            raise ValueError(f"student is one of {', '.join(_STUDENTS)}, and loss one of {', '.join(_LOSSES)}")
        if min(self.batch_size, self.accumulate, self.texts) < 1 or self.keep_every < 2 or self.sentences < 0:
            raise ValueError("batch_size, accumulate and texts are at least 1, keep_every at least 2")
        if self.learning_rate < 0 or max(self.epochs, self.steps) <= 0:
            raise ValueError("learning_rate is at least 0, and epochs or steps are above 0")

    @property
    def rate(self) -> float:
        """The learning rate; token vectors, of which a batch moves only a few, want a far higher one."""
        return self.learning_rate or (1e-2 if self.student == "static" else 1e-4)


class EncoderDistill:
    """Embedding distillation on the corpus's own texts, whose targets are stored already.

    Reimers and Gurevych 2020, arXiv 2004.09813.
    """

    name = "encoder_distill"
    role = Role.ENCODER
    needs = Needs(Data.TEXTS, least=200)
    cost_s = 120.0

    def train(self, run: Run) -> Artifact:
        """Trains and saves the student. Raises TrainingFailed, ModelUnavailable or TooFewExamples."""
        options = read_options(run.settings, DistillOptions)
        prepare(run)
        model = open_model(run)
        before, bytes_before = weights_of(model)[0], size_bytes(run.model)
        if options.student == "static":
            model = static_student(run, model)
        else:
            transformer = transformer_of(model)
            keep_layers(transformer, every_layer(transformer, options.keep_every))
        texts, targets = examples(run, most=options.texts, sentences=options.sentences)
        loss, an_epoch = imitation(model, texts, targets, size=options.batch_size, seed=run.seed, kind=options.loss)
        steps = options.steps or max(1, round(options.epochs * an_epoch / options.accumulate))
        fitted = fit(run, model, loss, Pace(steps, options.rate, options.accumulate, weight_decay=0.0))
        folder = _saved(run, model, is_static=options.student == "static")
        facts: dict[str, float | int | str] = {
            "aim": "smaller",
            "student": options.student,
            "weights_before": before,
            "weights": weights_of(model)[0],
            "trainable_weights": weights_of(model)[1],
            "cosine_to_teacher": likeness(model, texts[-_JUDGED_TEXTS:], targets[-_JUDGED_TEXTS:], encode),
            "steps": fitted.steps,
            "first_loss": fitted.first_loss,
            "last_loss": fitted.last_loss,
            "bytes_before": bytes_before,
            "size_bytes": size_bytes(folder),
        }
        return Artifact(folder, facts)


def static_student(run: Run, teacher: Any) -> Any:
    """A model with one vector a token, which begins as the teacher's own token vectors, without their mean.

    A linear layer behind the mean of the tokens gives every text, also one without a known token, a direction.
    Raises TrainingFailed when the teacher's tokens have another dimension than its texts.
    """
    import torch

    with quiet():
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Dense, Normalize
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
        from tokenizers import Tokenizer
    transformer = transformer_of(teacher)
    vectors = transformer.get_input_embeddings().weight.detach().float().cpu()
    if vectors.shape[1] != teacher.get_embedding_dimension():
        raise TrainingFailed(
            f"token vectors have dimension {vectors.shape[1]}, texts {teacher.get_embedding_dimension()}",
            hint="use the student layers",
        )
    file = next(iter(sorted(run.model.glob("**/tokenizer.json"))), None)
    if file is None:
        raise TrainingFailed(f"{run.model} holds no tokenizer.json", hint="use the student layers")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_truncation()
    module = StaticEmbedding(tokenizer, embedding_weights=(vectors - vectors.mean(dim=0)).contiguous())
    dimension = vectors.shape[1]
    common = torch.from_numpy(np.asarray(run.data.vectors[:_JUDGED_TEXTS], dtype=np.float32)).mean(dim=0)
    linear = Dense(
        dimension,
        dimension,
        activation_function=torch.nn.Identity(),
        init_weight=torch.eye(dimension),
        init_bias=_COMMON_SHARE * common,
    )
    return SentenceTransformer(
        modules=[module, linear, Normalize()], prompts=dict(teacher.prompts), device=run.resources.device
    )


def _saved(run: Run, model: Any, *, is_static: bool) -> Path:
    """The student's folder; a static one says what the serving side asks of a folder, and runs on torch."""
    if not is_static:
        return save_model(model, run.folder / "artifact", run.model)
    folder = save_model(model, run.folder / "artifact")
    dimension = model.get_embedding_dimension()
    (folder / "config.json").write_text(json.dumps({"hidden_size": dimension}) + "\n", "utf-8")
    limit = {"max_seq_length": _STATIC_TOKENS, "do_lower_case": False}
    (folder / "sentence_bert_config.json").write_text(json.dumps(limit) + "\n", "utf-8")
    save_serving(folder, kind="sbert")
    return folder


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer of smaller encoders."""
    return [EncoderDistill()]
