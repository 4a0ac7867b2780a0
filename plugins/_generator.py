"""What the trainers of generators share: models from folders, prompts as batches, artefacts that the daemon serves."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.hooks.api import Artifact, ModelUnavailable, Prompt, Run, TokenRow, TooFewExamples, TrainingFailed, prompt_row

ADAPTER = "adapter_config.json"
_DEFAULT_WINDOW = 2048


@dataclass(frozen=True, slots=True)
class Opened:
    """A model with its tokenizer; `base` is its folder, `adapter` the folder of the adapter that serves on it."""

    model: Any
    tokenizer: Any
    base: Path
    adapter: Path | None
    window: int


def open_model(folder: Path, device: str, *, is_frozen: bool = False) -> Opened:
    """The full model in `folder`, or the one under the adapter in it, on the device.

    It computes in float32, but on a GPU in bfloat16 where it is frozen. Raises ModelUnavailable when it cannot be
    loaded from local safetensors.
    """
    import torch
    import transformers

    adapter = folder if (folder / ADAPTER).is_file() else None
    base = _base_of(folder) if adapter else folder
    kinds = {"local_files_only": True, "trust_remote_code": False}
    try:
        dtype = torch.bfloat16 if is_frozen and device == "cuda" else torch.float32
        model = transformers.AutoModelForCausalLM.from_pretrained(str(base), use_safetensors=True, dtype=dtype, **kinds)
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(base), **kinds)
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        raise ModelUnavailable(
            f"{base} cannot be loaded: {first_line(error)}",
            hint="point to a whole folder as transformers saves it, with safetensors and a tokenizer",
        ) from error
    model.config.use_cache = False
    window = getattr(model.config, "max_position_embeddings", None) or getattr(model.config, "n_positions", None)
    return Opened(model.to(device), tokenizer, base.resolve(), adapter, int(window or _DEFAULT_WINDOW))


def refuse_quantized(opened: Opened) -> None:
    """Raises TrainingFailed for a model whose weights are whole numbers, and so cannot be trained."""
    if getattr(opened.model.config, "quantization_config", None):
        raise TrainingFailed(
            f"the model in {opened.base} is quantized and cannot be trained",
            hint="roll back to the model before it, or set learn.generator to it",
        )


def merged(opened: Opened) -> Any:
    """The model with the adapter that serves on it worked into its weights.

    Raises TrainingFailed for a kind of adapter that cannot be: learned prompts and prefixes.
    """
    if opened.adapter is None:
        return opened.model
    import peft

    model = peft.PeftModel.from_pretrained(opened.model, str(opened.adapter), local_files_only=True)
    if not hasattr(model.base_model, "merge_and_unload"):
        raise TrainingFailed(
            f"the adapter that serves ({model.active_peft_config.peft_type.value}) cannot be worked into its model",
            hint="train a LoRA first, or roll back to the model under the adapter",
        )
    return model.merge_and_unload()


class Batches:
    """Prompts with answers as batches by number, without end: shuffled anew each epoch, equal for equal arguments.

    A step is `accumulate` batches of `size`. `dropped` counts answers that are empty or longer than the window.
    Raises TooFewExamples when none is left.
    """

    def __init__(
        self, prompts: Sequence[Prompt], tokenizer: Any, *, window: int, size: int, accumulate: int, seed: int
    ) -> None:
        found = [prompt_row(tokenizer, prompt, window) for prompt in prompts]
        self.rows: list[TokenRow] = [row for row in found if row is not None]
        self.dropped = len(found) - len(self.rows)
        if not self.rows:
            raise TooFewExamples(
                f"none of {len(found)} answers fits into {window} tokens", hint="raise the option max_tokens"
            )
        self._size, self._accumulate, self._seed = min(size, len(self.rows)), accumulate, seed
        self.pad = next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)
        self.steps_an_epoch = math.ceil(len(self.rows) / (self._size * accumulate))

    def rows_of(self, number: int) -> list[TokenRow]:
        """The rows of one batch; the last step of an epoch is filled up from the epoch's beginning."""
        import numpy as np

        step, within = divmod(number, self._accumulate)
        epoch, step = divmod(step, self.steps_an_epoch)
        order = np.random.default_rng((self._seed, epoch)).permutation(len(self.rows))
        start = (step * self._accumulate + within) * self._size
        return [self.rows[order[i % len(order)]] for i in range(start, start + self._size)]

    def share(self, number: int) -> float:
        """What a batch's mean loss counts in the mean over its step, so that each learned token counts the same."""
        first = number - number % self._accumulate
        tokens = [sum(row.learned for row in self.rows_of(n)) for n in range(first, first + self._accumulate)]
        return float(tokens[number - first] * self._accumulate / sum(tokens))

    def tensors(self, number: int, device: str) -> dict[str, Any]:
        """Ids, mask and labels of one batch, each of shape (size, longest row), filled on the right."""
        import torch

        rows = self.rows_of(number)
        width = max(len(row.ids) for row in rows)
        blanks = [width - len(row.ids) for row in rows]
        parts = {
            "input_ids": [[*row.ids, *[self.pad] * n] for row, n in zip(rows, blanks, strict=True)],
            "attention_mask": [[1] * len(row.ids) + [0] * n for row, n in zip(rows, blanks, strict=True)],
            "labels": [[*row.labels, *[-100] * n] for row, n in zip(rows, blanks, strict=True)],
        }
        return {name: torch.tensor(part, device=device) for name, part in parts.items()}


def window_of(opened: Opened, wanted: int, learned_tokens: int = 0) -> int:
    """Tokens of a training row: as many as wanted, but not more than the model takes beside learned prompt tokens."""
    return max(1, min(wanted, opened.window - learned_tokens))


def finish(
    run: Run, opened: Opened, model: Any, batches: Batches, *, is_full: bool, facts: Mapping[str, float | int | str]
) -> Artifact:
    """Writes what was trained as the artefact of the run: the model with its tokenizer, or an adapter with the name
    of the model it sits on; its counts are added to `facts`."""
    folder = run.folder / "artifact"
    weights = list(model.parameters())
    told: dict[str, float | int | str] = {
        "trainable_weights": sum(weight.numel() for weight in weights if weight.requires_grad),
        "weights": sum(weight.numel() for weight in weights),
        "examples": len(batches.rows),
        "dropped_answers": batches.dropped,
        **facts,
    }
    if is_full:
        save_model(model, opened.tokenizer, folder)
    else:
        model.save_pretrained(str(folder))
        (folder / "README.md").unlink(missing_ok=True)  # a form to fill in, which nobody will
        write_json(folder / "base.json", {"base": str(opened.base)})
    told["size_bytes"] = size_of(folder)
    write_json(folder / "report.json", told)
    return Artifact(folder, told)


def save_model(model: Any, tokenizer: Any, folder: Path) -> None:
    """Writes a whole model as safetensors with its configuration and tokenizer."""
    model.config.use_cache = True
    model.save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file that people can read too."""
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", "utf-8")


def size_of(folder: Path) -> int:
    """Bytes of the weights in a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


@contextlib.contextmanager
def refused(what: str, hint: str) -> Iterator[None]:
    """Turns what a library says of settings that it does not take into TrainingFailed."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise TrainingFailed(f"{what}: {first_line(error)}", hint=hint) from error


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its kind."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__


def _base_of(adapter: Path) -> Path:
    try:
        base = str(json.loads((adapter / "base.json").read_text("utf-8"))["base"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"the adapter in {adapter} does not say which model it sits on: {first_line(error)}",
            hint='it needs a base.json: {"base": "<folder of its model>"}',
        ) from error
    return adapter / base
