"""Teaches a generator what a better one says: token by token where both share a tokenizer, else by its texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.hooks.api import (
    Artifact,
    Data,
    ModelUnavailable,
    Needs,
    Prompt,
    Role,
    Run,
    Trainer,
    TrainingFailed,
    hookimpl,
    read_options,
)

from . import generator_lora
from ._generator import (
    Batches,
    Opened,
    finish,
    merged,
    open_model,
    refuse_quantized,
    window_of,
)
from ._teacher import EndpointTeacher, LocalTeacher, taught
from ._torch_loop import Pace, fit, prepare, quiet

_PROBE = "How tall is the tower? 塔有多高？ 3.5 m\n"


@dataclass(frozen=True, slots=True)
class Options:
    """`teacher` is a model folder or the address of an endpoint, where `teacher_model` is its model's name.

    `student` is the folder of a smaller model, all of whose weights are trained; "" is the generator that serves,
    under a LoRA of `rank`. `by` is `tokens` (KL), `texts`, or "" for what is possible. In KL `temperature` softens
    both sides, and `alpha` is its weight against the given answers. `answer_tokens` is the longest text of the
    teacher, `parallel` and `timeout_s` are for an endpoint. `steps` above 0 replaces `epochs`.
    """

    teacher: str = ""
    teacher_model: str = ""
    student: str = ""
    by: str = ""
    rank: int = 16
    temperature: float = 2.0
    alpha: float = 0.7
    answer_tokens: int = 256
    parallel: int = 4
    timeout_s: float = 60.0
    epochs: int = 3
    steps: int = 0
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 0.0
    warmup: float = 0.1
    max_tokens: int = 512
    checkpoint_s: float = 20.0

    def __post_init__(self) -> None:
        if not self.teacher:
            raise ValueError("teacher is empty: name a model folder or an endpoint's address (or set learn.teacher)")
        if self.is_remote and not self.teacher_model:
            raise ValueError("teacher_model is empty: name the endpoint's model")
        if self.by not in ("", "tokens", "texts") or (self.is_remote and self.by == "tokens"):
            raise ValueError("by is `tokens` (for a teacher in a folder), `texts`, or empty")
        if self.temperature <= 0 or not 0 <= self.alpha <= 1:
            raise ValueError("temperature is above 0, and alpha from 0 to 1")
        counts = (self.rank, self.answer_tokens, self.parallel, self.epochs, self.batch_size, self.accumulate)
        if min(*counts, self.max_tokens) < 1:
            raise ValueError("rank, parallel, epochs, batch_size, accumulate and all token counts are at least 1")

    @property
    def is_remote(self) -> bool:
        """Whether the teacher is an endpoint."""
        return "://" in self.teacher


class GeneratorDistill:
    """KL on the answers' tokens (Hinton et al. 2015, arXiv 1503.02531), or training on the teacher's own texts
    (Kim and Rush 2016, arXiv 1606.07947)."""

    name = "generator_distill"
    role = Role.GENERATOR
    needs = Needs(Data.PROMPTS, least=32)
    cost_s = 1200.0
    options = Options

    def train(self, run: Run) -> Artifact:
        """Trains and returns an adapter on the serving generator, or the smaller model."""
        options = read_options(run.settings, Options)
        device = prepare(run)
        with quiet():
            student = _student(run, options, device)
            teacher = None if options.is_remote else _local(options.teacher, device)
            is_shared = teacher is not None and same_tokens(teacher.tokenizer, student.tokenizer)
            by = options.by or ("tokens" if is_shared else "texts")
            if by == "tokens" and not is_shared:
                raise TrainingFailed(
                    "teacher and student have different tokenizers", hint="set the option by to texts, or leave it out"
                )
            prompts = run.data.prompts if by == "tokens" else _texts(run, teacher, options)
            batches = Batches(
                prompts,
                student.tokenizer,
                window=window_of(student, options.max_tokens),
                size=options.batch_size,
                accumulate=options.accumulate,
                seed=run.seed,
            )
            guide = teacher.model if teacher is not None and by == "tokens" else None
            return _trained(run, student, guide, batches, options, device)


def same_tokens(one: Any, other: Any) -> bool:
    """Whether two tokenizers give every text the same ids, as far as their vocabularies and a probe tell."""
    ends = [(t.bos_token_id, t.eos_token_id, t(_PROBE, add_special_tokens=False)["input_ids"]) for t in (one, other)]
    return ends[0] == ends[1] and one.get_vocab() == other.get_vocab()


def distillation(student: Any, teacher: Any, batch: dict[str, Any], *, temperature: float, alpha: float) -> Any:
    """The mean over learned tokens of alpha T² KL(teacher ‖ student) + (1 - alpha) times the usual loss; a tensor.

    Where one vocabulary is padded further than the other, the ids that both have are compared.
    """
    import torch

    inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
    said = student(**batch)
    with torch.no_grad():
        wanted = teacher(**inputs).logits
    is_learned = batch["labels"][:, 1:] != -100
    both = min(said.logits.shape[-1], wanted.shape[-1])
    log_student = torch.log_softmax(said.logits[:, :-1, :both][is_learned].float() / temperature, dim=-1)
    log_teacher = torch.log_softmax(wanted[:, :-1, :both][is_learned].float() / temperature, dim=-1)
    divergence = torch.nn.functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
    return alpha * temperature**2 * divergence + (1 - alpha) * said.loss


def _trained(run: Run, student: Opened, guide: Any, batches: Batches, options: Options, device: str) -> Artifact:
    method = "full" if options.student else "lora"
    steps = options.steps or batches.steps_an_epoch * options.epochs
    learner = generator_lora.Options(method=method, rank=options.rank)
    model, started_from = generator_lora.adapted(student, learner, run.seed, steps)
    rate = options.learning_rate or generator_lora.RATES[method]
    pace = Pace(steps, rate, options.accumulate, options.warmup, checkpoint_s=options.checkpoint_s)
    fitted = fit(run, model, _loss(model, guide, batches, options, device), pace)
    facts: dict[str, float | int | str] = {
        "by": "texts" if guide is None else "tokens",
        "method": method,
        "started_from": started_from,
        "first_loss": fitted.first_loss,
        "last_loss": fitted.last_loss,
        **({"aim": "smaller"} if options.student else {}),
    }
    return finish(run, student, model, batches, is_full=bool(options.student), facts=facts)


def _loss(model: Any, guide: Any, batches: Batches, options: Options, device: str) -> Callable[[int], Any]:
    def of_text(number: int) -> Any:
        return model(**batches.tensors(number, device)).loss * batches.share(number)

    def of_tokens(number: int) -> Any:
        batch = batches.tensors(number, device)
        loss = distillation(model, guide, batch, temperature=options.temperature, alpha=options.alpha)
        return loss * batches.share(number)

    return of_text if guide is None else of_tokens


def _student(run: Run, options: Options, device: str) -> Opened:
    folder = Path(options.student) if options.student else run.model
    if not folder.is_dir():
        raise ModelUnavailable(f"the student {folder} is no folder", hint="name a model folder with the option student")
    opened = open_model(folder, device, is_frozen=not options.student)
    refuse_quantized(opened)
    return opened


def _local(folder: str, device: str) -> Opened:
    if not Path(folder).is_dir():
        raise ModelUnavailable(
            f"the teacher {folder} is no folder", hint="name a model folder, or an address that begins with http"
        )
    opened = open_model(Path(folder), device, is_frozen=True)
    model = merged(opened).eval().requires_grad_(requires_grad=False)
    return Opened(model, opened.tokenizer, opened.base, None, opened.window)


def _texts(run: Run, teacher: Opened | None, options: Options) -> list[Prompt]:
    """The prompts with what the teacher says to them."""
    if teacher is not None:
        return taught(run, LocalTeacher(teacher, options.answer_tokens), run.data.prompts, at_once=1)
    endpoint = EndpointTeacher(
        run,
        options.teacher,
        options.teacher_model,
        most_tokens=options.answer_tokens,
        parallel=options.parallel,
        timeout_s=options.timeout_s,
    )
    try:
        return taught(run, endpoint, run.data.prompts, at_once=options.parallel * 4)
    finally:
        endpoint.close()


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer that distils generators."""
    return [GeneratorDistill()]
