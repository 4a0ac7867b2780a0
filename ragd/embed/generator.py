"""Serves a generation model: what it costs to say given answers, and what it answers by itself."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.domain.errors import ArtifactInvalid, BadRequest, ModelUnavailable
from ragd.domain.learning import Prompt
from ragd.hooks.prompts import TokenRow, prompt_ids, prompt_row

# Tokens of a batch: their scores take this many times the vocabulary's size, in floats.
SLICE_TOKENS = 2_048
DEFAULT_WINDOW = 2_048
ADAPTER = "adapter_config.json"
BASE = "base.json"
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".h5")
_NOISY = ("torchao", "torch.utils._pytree", "transformers", "peft")


@dataclass(frozen=True, slots=True)
class GeneratorFacts:
    """A generator in numbers: weights, bytes in memory (weights and buffers), bytes of weights on disk (those of its
    base included), its window in tokens, and the folder of the model that an adapter sits on ("" for a full model)."""

    weights: int
    memory_bytes: int
    file_bytes: int
    window: int
    base: str


class Generator:
    """A causal language model of transformers, perhaps under a peft adapter; threads take turns.

    Opened by `load_generator`. Floating point is as saved on a GPU and float32 on a CPU.
    """

    def __init__(self, folder: Path, model: Any, tokenizer: Any, base: Path | None) -> None:
        self._lock = threading.Lock()
        self._tokenizer = tokenizer
        self._model: Any = model.eval()
        self.facts = GeneratorFacts(
            weights=sum(weight.numel() for weight in model.parameters()),
            memory_bytes=sum(_bytes(tensor) for tensor in (*model.parameters(), *model.buffers())),
            file_bytes=sum(p.stat().st_size for part in (folder, base) if part for p in part.glob("*.safetensors")),
            window=_window(model),
            base=str(base) if base else "",
        )

    def fits(self, prompt: Prompt) -> bool:
        """Whether the answer is not empty and goes into the window whole."""
        return self._row(prompt) is not None

    def loss(self, prompts: Sequence[Prompt]) -> list[float]:
        """The mean negative log-likelihood of each answer's tokens and its end, in nats, in the order given.

        Prompts are cut to the window from their beginning. Raises BadRequest for an answer that does not fit.
        """
        found_rows = [self._row(prompt) for prompt in prompts]
        if None in found_rows:
            place, window = found_rows.index(None) + 1, self.facts.window
            raise BadRequest(
                f"answer {place} is empty or longer than the {window} tokens of the model",
                hint="ask `fits` first, and leave it out",
            )
        rows = [row for row in found_rows if row is not None]
        found = [0.0] * len(rows)
        for batch in _slices(rows):
            for place, value in zip(batch, self._losses([rows[i] for i in batch]), strict=True):
                found[place] = value
        return found

    def answer(self, prompt: str, max_tokens: int) -> str:
        """What the model says next, at most `max_tokens` tokens, always the likeliest one (greedy)."""
        said: str = self._tokenizer.decode(self._said(prompt, max_tokens, 0), skip_special_tokens=True)
        return said.strip()

    def speed(self, prompt: str, tokens: int) -> float:
        """Tokens a second, by the clock, when so many are said in answer to a prompt, its reading included."""
        begun = time.perf_counter()
        return len(self._said(prompt, tokens, tokens)) / (time.perf_counter() - begun)

    def close(self) -> None:
        """Drops the model; safe to call twice."""
        with self._lock:
            self._model = None

    def _said(self, prompt: str, most: int, least: int) -> list[int]:
        import torch

        most = max(1, min(most, self.facts.window - 1))
        ids = prompt_ids(self._tokenizer, prompt, self.facts.window - most)
        if not ids:
            raise BadRequest("an empty prompt cannot be answered", hint="ask something")
        with self._lock, torch.inference_mode(), quiet():
            model = self._opened()
            given = torch.tensor([ids], device=model.device)
            found = model.generate(
                input_ids=given,
                attention_mask=torch.ones_like(given),
                max_new_tokens=most,
                min_new_tokens=least,
                do_sample=False,
                num_beams=1,
                pad_token_id=_pad_id(self._tokenizer),
            )
        return [int(token) for token in found[0][len(ids) :]]

    def _row(self, prompt: Prompt) -> TokenRow | None:
        return prompt_row(self._tokenizer, prompt, self.facts.window)

    def _opened(self) -> Any:
        if self._model is None:
            raise ModelUnavailable("the generator is closed", hint="open it again")
        return self._model

    def _losses(self, rows: Sequence[TokenRow]) -> list[float]:
        import torch

        with self._lock, torch.inference_mode(), quiet():
            model = self._opened()
            ids, labels, mask = (torch.tensor(part, device=model.device) for part in _padded(rows, self._tokenizer))
            scores = model(input_ids=ids, attention_mask=mask).logits[:, -ids.shape[1] :]
            # The score at a place is that of the next token.
            each = torch.nn.functional.cross_entropy(
                scores[:, :-1].float().transpose(1, 2), labels[:, 1:], reduction="none", ignore_index=-100
            )
        return [float(total) / row.learned for total, row in zip(each.sum(dim=1), rows, strict=True)]


def load_generator(folder: Path, *, device: str = "cpu", threads: int = 1) -> Generator:
    """Opens a generation model: a full one, or an adapter with `base.json` that names the model under it.

    Only local files are read, only safetensors, and no code from the folder is run. `threads` is torch's setting for
    the whole process. Raises ModelUnavailable when the model or its base is missing or cannot be loaded,
    ArtifactInvalid when what is there is incomplete, pickled, or an adapter of an adapter.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    is_adapter = (folder / ADAPTER).is_file()
    base = base_of(folder) if is_adapter else None
    check_folder(base or folder)
    if is_adapter and not (folder / "adapter_model.safetensors").is_file():
        raise ArtifactInvalid(f"{folder} has no adapter_model.safetensors", hint="save the adapter again with peft")
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise ModelUnavailable("there is no GPU that torch can use", hint="set learn.device to cpu")
    torch.set_num_threads(threads)
    with quiet(), _named(folder):
        tokenizer, model = _open(base or folder, device)
        if is_adapter:
            import peft

            model = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False, local_files_only=True)
        return Generator(folder, model.to(device), tokenizer, base)


def base_of(adapter: Path) -> Path:
    """The folder of the model that an adapter sits on, by its `base.json`; relative names begin at the adapter."""
    try:
        base = json.loads((adapter / BASE).read_text("utf-8"))["base"]
    except FileNotFoundError:
        raise ArtifactInvalid(
            f"{adapter / BASE} is missing", hint='an adapter needs a base.json: {"base": "<folder of its model>"}'
        ) from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtifactInvalid(f"{adapter / BASE} names no base: {error}", hint="save the adapter again") from error
    if not isinstance(base, str) or not base:
        raise ArtifactInvalid(f"{adapter / BASE} names no base", hint="save the adapter again")
    found = adapter / base
    if (found / ADAPTER).is_file():
        raise ArtifactInvalid(f"the base {found} is itself an adapter", hint="train adapters on a full model")
    return found


def check_folder(folder: Path) -> None:
    """Whether a folder holds a full model in safetensors. Raises ModelUnavailable or ArtifactInvalid with what is not.

    Pickles that lie beside safetensors are left unread.
    """
    if not (folder / "config.json").is_file():
        raise ModelUnavailable(
            f"{folder} is no generation model: config.json is missing",
            hint="point to a whole model folder, as transformers saves it",
        )
    if any(folder.glob("*.safetensors")):
        return
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    found = f", only what could be pickles: {', '.join(pickled)}" if pickled else ""
    raise ArtifactInvalid(f"{folder} has no weights in safetensors{found}", hint="save the model as safetensors")


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps what the libraries say to themselves (deprecations, progress bars, missing kernels) out of the log."""
    loggers = [logging.getLogger(name) for name in _NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import transformers

            transformers.utils.logging.disable_progress_bar()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _named(folder: Path) -> Iterator[None]:
    """Turns what the libraries raise for a folder that cannot be loaded into ModelUnavailable, which names it."""
    try:
        yield
    except ImportError as error:
        raise ModelUnavailable(
            f"{folder} needs a package that is not installed: {_line(error)}",
            hint="for int8 models install ragd[quantize]",
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise ModelUnavailable(
            f"{folder} cannot be loaded: {_line(error)}", hint="save the model again as safetensors with its tokenizer"
        ) from error
    except Exception as error:
        if type(error).__module__.startswith("safetensors"):  # its one error is a plain Exception
            raise ArtifactInvalid(f"{folder} holds broken weights: {_line(error)}", hint="save it again") from error
        raise


def _open(folder: Path, device: str) -> tuple[Any, Any]:
    import torch
    import transformers

    kinds = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **kinds)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        str(folder), use_safetensors=True, dtype=torch.float32 if device == "cpu" else "auto", **kinds
    )
    return tokenizer, model


def _window(model: Any) -> int:
    """Tokens that the model takes, without those that a learned prompt stands for."""
    config = model.config
    stated = [int(getattr(config, name, None) or 0) for name in ("max_position_embeddings", "n_positions")]
    adapters = getattr(model, "peft_config", {}).values()
    return max(
        1, (max(stated) or DEFAULT_WINDOW) - sum(int(getattr(a, "num_virtual_tokens", 0) or 0) for a in adapters)
    )


def _bytes(tensor: Any) -> int:
    """Bytes of a tensor; a quantized one is made of several."""
    names = getattr(tensor, "tensor_data_names", None)
    if not names:
        return int(tensor.numel() * tensor.element_size())
    names = [*names, *getattr(tensor, "optional_tensor_data_names", ())]
    parts = [part for name in names if (part := getattr(tensor, name, None)) is not None]
    return sum(int(part.numel() * part.element_size()) for part in parts)


def _slices(rows: Sequence[TokenRow]) -> Iterator[list[int]]:
    """Places of rows by length, so many at a time that they hold at most SLICE_TOKENS with padding, or one."""
    batch: list[int] = []
    for place in sorted(range(len(rows)), key=lambda i: len(rows[i].ids)):
        if batch and (len(batch) + 1) * len(rows[place].ids) > SLICE_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _padded(rows: Sequence[TokenRow], tokenizer: Any) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Ids, labels and mask of the same width, filled on the right."""
    width = max(len(row.ids) for row in rows)
    blanks = [width - len(row.ids) for row in rows]
    ids = [[*row.ids, *[_pad_id(tokenizer)] * n] for row, n in zip(rows, blanks, strict=True)]
    labels = [[*row.labels, *[-100] * n] for row, n in zip(rows, blanks, strict=True)]
    return ids, labels, [[1] * len(row.ids) + [0] * n for row, n in zip(rows, blanks, strict=True)]


def _pad_id(tokenizer: Any) -> int:
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def _line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
