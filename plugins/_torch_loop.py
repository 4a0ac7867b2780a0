"""One training loop on torch for the bundled trainers: seeded, accumulated, clipped, stopped, resumed."""

from __future__ import annotations

import contextlib
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ragd.hooks.api import Run, TrainingFailed

_NOISY = ("torchao", "torch", "transformers", "sentence_transformers", "peft")
_SEED_STRIDE = 1_000_003


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast and how far: optimiser steps, each over `accumulate` batches, by AdamW.

    The learning rate rises over the first `warmup` share of the steps and falls to zero at the last. Gradients are
    clipped at the norm `clip`. A checkpoint is written every `checkpoint_s` seconds.
    """

    steps: int
    learning_rate: float
    accumulate: int = 1
    warmup: float = 0.1
    weight_decay: float = 0.01
    clip: float = 1.0
    checkpoint_s: float = 20.0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        rising = max(1, round(self.steps * self.warmup))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        return self.learning_rate * (self.steps - step) / max(1, self.steps - rising)


@dataclass(frozen=True, slots=True)
class Fitted:
    """How the loop ended: the loss of the first and of the last step, steps done, seconds of this attempt."""

    first_loss: float
    last_loss: float
    steps: int
    seconds: float


def prepare(run: Run) -> str:
    """Sets threads, seeds and silence for this process; returns the device.

    Raises TrainingFailed when the run is to compute on a GPU and there is none.
    """
    with quiet():
        import torch
        import transformers
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if run.resources.device == "cuda" and not torch.cuda.is_available():
        raise TrainingFailed("the run is to use a GPU, and this machine has none", hint="set learn.device to cpu")
    torch.set_num_threads(max(1, run.resources.threads))
    torch.manual_seed(run.seed)
    return run.resources.device


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Meanwhile neither warnings nor log lines of libraries below an error are shown."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def fit(
    run: Run,
    module: Any,
    loss_of: Callable[[int], Any],
    pace: Pace,
    *,
    after_step: Callable[[int], None] | None = None,
    kept: Mapping[str, Any] | None = None,
) -> Fitted:
    """Trains the parameters of `module` that ask for a gradient; goes on from the run's checkpoint, if there is one.

    `loss_of(number)` gives the loss (a tensor) of batch `number`, counted from 0 over the whole run; it must depend
    on nothing but that number, the weights and torch's random state, which is seeded anew for each batch: so a run
    that was cut off ends as one that was not. `after_step` is called with each step while its gradients are there;
    the tensors in `kept`, which it may change in place, are part of the checkpoint. On a GPU the loss is computed in
    bfloat16 where that is safe. Raises TrainingFailed when the run is asked to stop (a checkpoint is there then), for
    a loss that is no number, and when the device has too little memory.
    """
    import torch

    named = {name: weight for name, weight in module.named_parameters() if weight.requires_grad}
    if not named:
        raise TrainingFailed("nothing to train: no weight asks for a gradient", hint="choose other targets")
    optimizer = torch.optim.AdamW(_groups(named, pace.weight_decay), lr=pace.learning_rate)
    named |= kept or {}
    checkpoint = Checkpoint(run.checkpoints, {"seed": run.seed, "settings": dict(run.settings), "steps": pace.steps})
    done, first, last = checkpoint.restore(named, optimizer)
    start = saved = time.monotonic()
    module.train()
    for step in range(done, pace.steps):
        if run.is_stopping:
            checkpoint.save(named, optimizer, step, first, last)
            raise TrainingFailed(f"stopped after {step} of {pace.steps} steps", hint="resume the run to go on")
        with _memory_told():
            last = _gradients(run, loss_of, step, pace.accumulate)
        first = last if step == 0 else first
        run.progress(step + 1, pace.steps, loss=last)
        torch.nn.utils.clip_grad_norm_(module.parameters(), pace.clip)
        for group in optimizer.param_groups:
            group["lr"] = pace.rate(step)
        optimizer.step()
        if after_step is not None:
            after_step(step)
        optimizer.zero_grad(set_to_none=True)
        if time.monotonic() - saved >= pace.checkpoint_s:
            checkpoint.save(named, optimizer, step + 1, first, last)
            saved = time.monotonic()
    if done < pace.steps:
        checkpoint.save(named, optimizer, pace.steps, first, last)
    module.eval()
    return Fitted(first, last, pace.steps, time.monotonic() - start)


def _gradients(run: Run, loss_of: Callable[[int], Any], step: int, accumulate: int) -> float:
    """Adds up the gradients of one step's batches; returns their mean loss."""
    import torch

    total = 0.0
    for number in range(step * accumulate, (step + 1) * accumulate):
        torch.manual_seed(run.seed + _SEED_STRIDE * (number + 1))
        with torch.autocast(run.resources.device, dtype=torch.bfloat16, enabled=run.resources.device == "cuda"):
            loss = loss_of(number)
        (loss / accumulate).backward()
        total += float(loss.detach()) / accumulate
    return total


@contextlib.contextmanager
def _memory_told() -> Iterator[None]:
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise TrainingFailed(
            "out of memory", hint="lower the option batch_size and raise accumulate by as much"
        ) from error


def _groups(named: Mapping[str, Any], weight_decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases and norms, which have one dimension, do not."""
    matrices = [weight for weight in named.values() if weight.ndim > 1]
    others = [weight for weight in named.values() if weight.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


class Checkpoint:
    """Weights and optimiser state as safetensors, the step as JSON, in a folder that outlives a kill.

    The JSON file is replaced last and names the tensors' file, so that a kill while saving leaves the one before.
    `key` says what run it is of: a checkpoint with another key is not used.
    """

    def __init__(self, folder: Path, key: Mapping[str, Any]) -> None:
        self._folder = folder
        self._key = json.loads(json.dumps(key, default=str))

    def save(self, named: Mapping[str, Any], optimizer: Any, step: int, first: float, last: float) -> None:
        """Writes the state after `step` steps, and removes the one before."""
        from safetensors.torch import save_file

        tensors = {}
        for name, weight in named.items():
            tensors[f"weight.{name}"] = weight.detach().cpu().contiguous().clone()
            for part in ("exp_avg", "exp_avg_sq"):
                if weight in optimizer.state:
                    tensors[f"{part}.{name}"] = optimizer.state[weight][part].cpu().contiguous()
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"step-{step}.safetensors"
        save_file(tensors, file.with_suffix(".part"))
        file.with_suffix(".part").replace(file)
        state = {"key": self._key, "step": step, "first_loss": first, "last_loss": last, "file": file.name}
        (self._folder / "state.part").write_text(json.dumps(state), "utf-8")
        (self._folder / "state.part").replace(self._folder / "state.json")
        for old in self._folder.glob("step-*"):
            if old != file:
                old.unlink()

    def restore(self, named: Mapping[str, Any], optimizer: Any) -> tuple[int, float, float]:
        """Puts the saved state back; returns steps done, first and last loss, (0, nan, nan) when nothing fits."""
        import torch
        from safetensors.torch import load_file

        try:
            state = json.loads((self._folder / "state.json").read_text("utf-8"))
            tensors = load_file(self._folder / str(state["file"])) if state["key"] == self._key else {}
        except (OSError, ValueError, KeyError):
            return 0, float("nan"), float("nan")
        if {f"weight.{name}" for name in named} != {name for name in tensors if name.startswith("weight.")}:
            return 0, float("nan"), float("nan")
        with torch.no_grad():
            for name, weight in named.items():
                weight.copy_(tensors[f"weight.{name}"])
                if f"exp_avg.{name}" in tensors:
                    moments = {part: tensors[f"{part}.{name}"].to(weight.device) for part in ("exp_avg", "exp_avg_sq")}
                    optimizer.state[weight] = {"step": torch.tensor(float(state["step"])), **moments}
        return int(state["step"]), float(state["first_loss"]), float(state["last_loss"])
