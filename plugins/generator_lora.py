"""Adapts the generator with few weights: LoRA and its kin, sparse and learned-prompt methods, or all weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ragd.hooks.api import Artifact, Data, Needs, Role, Run, Trainer, hookimpl, read_options

from ._generator import (
    Batches,
    Opened,
    finish,
    open_model,
    refuse_quantized,
    refused,
    window_of,
)
from ._torch_loop import Fitted, Pace, fit, prepare, quiet

# The learning rate that each method is commonly trained at.
RATES = {
    "lora": 2e-4,
    "rslora": 1e-4,
    "dora": 2e-4,
    "adalora": 1e-3,
    "ia3": 5e-3,
    "shira": 1e-3,
    "prefix": 1e-2,
    "prompt": 1e-2,
    "ptuning": 1e-3,
    "full": 2e-5,
}
LEARNED_PROMPTS = ("prefix", "prompt", "ptuning")
_FEED_FORWARD = ("down_proj", "fc2", "wo", "dense_4h_to_h", "c_proj", "fc_out", "w2")
_FAMILY = {"lora": "LORA", "rslora": "LORA", "dora": "LORA", "ia3": "IA3", "prefix": "PREFIX_TUNING"}


@dataclass(frozen=True, slots=True)
class Options:
    """`method` is one of RATES. `targets` names the layers to adapt, by commas; "" leaves it to the method.

    `rank` is of the low-rank and sparse methods, `alpha` scales (0: twice the rank), `virtual_tokens` is how many
    tokens a learned prompt has. `steps` above 0 replaces `epochs`. `learning_rate` 0 is the method's own.
    `max_tokens` is the longest row. With `is_continued` an adapter that serves and is of the same kind is trained on,
    not begun anew.
    """

    method: str = "lora"
    targets: str = ""
    rank: int = 16
    alpha: int = 0
    dropout: float = 0.0
    virtual_tokens: int = 20
    is_continued: bool = True
    epochs: int = 3
    steps: int = 0
    batch_size: int = 8
    accumulate: int = 1
    learning_rate: float = 0.0
    warmup: float = 0.1
    max_tokens: int = 512
    checkpoint_s: float = 20.0

    def __post_init__(self) -> None:
        if self.method not in RATES:
            raise ValueError(f"method is {self.method!r}; known: {', '.join(RATES)}")
        counts = (self.rank, self.virtual_tokens, self.epochs, self.batch_size, self.accumulate, self.max_tokens)
        if min(counts) < 1:
            raise ValueError("rank, virtual_tokens, epochs, batch_size, accumulate and max_tokens are at least 1")

    @property
    def learned_tokens(self) -> int:
        """Places of the window that a learned prompt takes."""
        return self.virtual_tokens if self.method in LEARNED_PROMPTS else 0


class GeneratorLora:
    """Trains an adapter by peft on prompts with answers; only the answer's tokens are learned."""

    name = "generator_lora"
    role = Role.GENERATOR
    needs = Needs(Data.PROMPTS, least=32)
    cost_s = 600.0
    options = Options

    def train(self, run: Run) -> Artifact:
        """Trains and returns the adapter, or with method `full` the model."""
        options = read_options(run.settings, Options)
        device = prepare(run)
        with quiet():
            opened = open_model(run.model, device, is_frozen=options.method != "full")
            refuse_quantized(opened)
            batches = Batches(
                run.data.prompts,
                opened.tokenizer,
                window=window_of(opened, options.max_tokens, options.learned_tokens),
                size=options.batch_size,
                accumulate=options.accumulate,
                seed=run.seed,
            )
            steps = options.steps or batches.steps_an_epoch * options.epochs
            model, started_from = adapted(opened, options, run.seed, steps)
            fitted = _fitted(run, model, batches, options, steps, device)
            facts: dict[str, float | int | str] = {
                "method": options.method,
                "started_from": started_from,
                "first_loss": fitted.first_loss,
                "last_loss": fitted.last_loss,
            }
            return finish(run, opened, model, batches, is_full=options.method == "full", facts=facts)


def _fitted(run: Run, model: Any, batches: Batches, options: Options, steps: int, device: str) -> Fitted:
    rate = options.learning_rate or RATES[options.method]
    pace = Pace(steps, rate, options.accumulate, options.warmup, checkpoint_s=options.checkpoint_s)

    def loss_of(number: int) -> Any:
        return model(**batches.tensors(number, device)).loss * batches.share(number)

    if options.method != "adalora":
        return fit(run, model, loss_of, pace)
    ranks = Ranks(model)
    return fit(run, model, loss_of, pace, after_step=ranks, kept=ranks.kept)


def adapted(opened: Opened, options: Options, seed: int, steps: int) -> tuple[Any, str]:
    """The model with what is to be trained on it, and what that starts from: `base` or `adapter`.

    Raises TrainingFailed for targets that the model does not have, or a method that does not know the model.
    """
    import peft
    import torch

    if options.method == "full":
        return opened.model, "base"
    served = peft.PeftConfig.from_pretrained(str(opened.adapter)) if opened.adapter else None
    with refused(f"{options.method} cannot be put on this model", "name its layers with the option targets"):
        config = _configuration(opened, options, seed, steps)
        if served is not None and options.is_continued and served.peft_type == _FAMILY.get(options.method):
            model = peft.PeftModel.from_pretrained(
                opened.model, str(opened.adapter), is_trainable=True, local_files_only=True
            )
            return model, "adapter"
        torch.manual_seed(seed)
        return peft.get_peft_model(opened.model, config), "base"


def _configuration(opened: Opened, options: Options, seed: int, steps: int) -> Any:
    import peft

    names = [name.strip() for name in options.targets.split(",") if name.strip()]
    alpha = options.alpha or 2 * options.rank
    low_rank: dict[str, Any] = {
        "lora_alpha": alpha,
        "lora_dropout": options.dropout,
        "target_modules": names or "all-linear",
    }
    prompt: dict[str, Any] = {"num_virtual_tokens": options.virtual_tokens}
    feed_forward = [name for name in names if name in _FEED_FORWARD]
    kinds: dict[str, Callable[..., Any]] = {
        "lora": lambda **given: peft.LoraConfig(r=options.rank, **low_rank, **given),
        "rslora": lambda **given: peft.LoraConfig(r=options.rank, use_rslora=True, **low_rank, **given),
        "dora": lambda **given: peft.LoraConfig(r=options.rank, use_dora=True, **low_rank, **given),
        "adalora": lambda **given: peft.AdaLoraConfig(**_budget(options.rank, steps), **low_rank, **given),
        "ia3": lambda **given: peft.IA3Config(
            target_modules=names or None, feedforward_modules=feed_forward if names else None, **given
        ),
        "shira": lambda **given: peft.ShiraConfig(
            r=options.rank, target_modules=names or None, random_seed=seed, **given
        ),
        "prefix": lambda **given: peft.PrefixTuningConfig(**prompt, **given),
        "prompt": lambda **given: peft.PromptTuningConfig(**prompt, **given),
        "ptuning": lambda **given: peft.PromptEncoderConfig(
            **prompt, encoder_hidden_size=opened.model.config.hidden_size, **given
        ),
    }
    return kinds[options.method](task_type="CAUSAL_LM", base_model_name_or_path=str(opened.base))


def _budget(rank: int, steps: int) -> dict[str, int]:
    """AdaLoRA's schedule: half as many ranks again at first, given up between a tenth and four fifths of the steps."""
    return {
        "init_r": rank + max(1, rank // 2),
        "target_r": rank,
        "tinit": steps // 10,
        "tfinal": steps // 5,
        "deltaT": max(1, steps // 20),
        "total_step": steps,
    }


class Ranks:
    """AdaLoRA's accounts of which ranks matter, kept in tensors so that a resumed run has them; called after a step.

    Its averages and its pattern live in dictionaries that peft makes anew; `kept` holds their values by name.
    """

    def __init__(self, model: Any) -> None:
        import torch

        self._model = model.base_model
        self._config = model.peft_config[self._model.trainable_adapter_name]
        named = {name: weight for name, weight in self._model.model.named_parameters() if ".lora_" in name}
        self.kept: dict[str, Any] = {"ranks_are_chosen": torch.zeros(1)}
        for name, weight in named.items():
            self.kept[f"mean.{name}"] = torch.zeros_like(weight, requires_grad=False)
            self.kept[f"spread.{name}"] = torch.zeros_like(weight, requires_grad=False)
            if ".lora_E" in name:
                self.kept[f"pattern.{name}"] = torch.ones(weight.shape[0])

    def __call__(self, step: int) -> None:
        """Takes account of the gradients of `step`, counted from 0, and gives up what the budget no longer holds."""
        import torch

        allocator = self._model.rankallocator
        is_first_here = not allocator.ipt
        for kind, averages in (("mean", allocator.exp_avg_ipt), ("spread", allocator.exp_avg_unc)):
            for name, value in self._of(kind):
                if is_first_here:
                    averages[name] = value.clone()
                    allocator.ipt[name] = torch.zeros_like(value)
        if self.kept["ranks_are_chosen"].item():
            self._config.rank_pattern = {name: value.bool().tolist() for name, value in self._of("pattern")}
        self._model.update_and_allocate(step)
        for kind, averages in (("mean", allocator.exp_avg_ipt), ("spread", allocator.exp_avg_unc)):
            for name, value in self._of(kind):
                value.copy_(averages.get(name, value))
        if self._config.rank_pattern:
            self.kept["ranks_are_chosen"].fill_(1.0)
            for name, value in self._of("pattern"):
                value.copy_(torch.tensor(self._config.rank_pattern[name], dtype=value.dtype))

    def _of(self, kind: str) -> list[tuple[str, Any]]:
        return [(n.removeprefix(f"{kind}."), v) for n, v in self.kept.items() if n.startswith(f"{kind}.")]


@hookimpl
def ragd_trainers() -> list[Trainer]:
    """The trainer of adapters for generators."""
    return [GeneratorLora()]
