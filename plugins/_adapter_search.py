"""Finds the query adapter that ranks validation queries best: a few settings, early stopping, then all the data."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ragd.hooks.api import Run, TrainingFailed

from ._infonce import Adam, Setting, gradients, initial, order, turned
from ._ranking_task import Floats, Pool, Task, ndcg

_SHARES = (0.5, 0.75, 1.0)  # of a found change that may do better than the whole
_CHECKPOINT_S = 2.0
_SURE = 1.645  # standard errors


@dataclass(frozen=True, slots=True)
class Found:
    """The adapter: weights, the share of their change that serves, and how it was found.

    `before` and `after` are mean nDCG@10 on validation queries. `weights` is empty when nothing beat doing nothing.
    """

    weights: Mapping[str, Floats]
    share: float
    setting: Setting
    epochs: int
    before: float
    after: float
    loss: float
    seconds: float


class Search:
    """Trains each setting for at most `epochs`, keeps the best state on validation, then refits on everything.

    Saves itself into the run's checkpoints every two seconds and when the run is to stop, and goes on from there:
    every random choice depends on the seed and on where it is made, so a run that was cut off ends as one that was
    not.
    """

    def __init__(
        self,
        run: Run,
        pool: Pool,
        task: Task,
        validation: Task,
        settings: tuple[Setting, ...],
        *,
        epochs: int,
        refit: bool,
    ) -> None:
        self._run, self._pool, self._task, self._validation = run, pool, task, validation
        self._settings, self._epochs = settings, epochs
        self._whole = task.joined(validation) if refit and len(validation) else None
        self._an_epoch = [-(-len(task) // (one.batch_size * one.accumulate)) for one in settings]
        self._total = sum(self._an_epoch) * epochs
        if self._whole is not None:
            self._total += max(-(-len(self._whole) // (one.batch_size * one.accumulate)) for one in settings) * epochs
        self._base = ndcg(pool, validation.queries, validation) if len(validation) else np.zeros(0, np.float32)
        self._state: dict[str, Any] = {"phase": 0, "step": 0, "best": None, "loss": 0.0, "seconds": 0.0}
        self._arrays: dict[str, Floats] = {}
        self._weights: dict[str, Floats] = {}
        self._key = json.loads(
            json.dumps({"seed": run.seed, "settings": [asdict(one) for one in settings], "epochs": epochs})
        )
        self._started = self._saved = time.monotonic()

    def found(self) -> Found:
        """Searches to the end. Raises TrainingFailed when the run is to stop, or for a loss that is no number."""
        self._restore()
        for phase in range(int(self._state["phase"]), len(self._settings)):
            self._phase(phase, self._task, self._epochs, is_judged=True)
        best = self._state["best"]
        if best is None or not self._is_worth_it(best):
            return self._ended({}, 0.0, best)
        weights = {
            name.removeprefix("best."): array for name, array in self._arrays.items() if name.startswith("best.")
        }
        if self._whole is not None:
            self._phase(len(self._settings), self._whole, int(best["epochs"]), is_judged=False)
            weights = self._weights
        return self._ended(weights, float(best["share"]), best)

    def _ended(self, weights: Mapping[str, Floats], share: float, best: Any) -> Found:
        self._run.progress(self._total, self._total, loss=float(self._state["loss"]))
        before = float(self._base.mean()) if len(self._base) else 0.0
        setting = self._settings[int(best["setting"])] if best else self._settings[0]
        return Found(
            weights,
            share,
            setting,
            int(best["epochs"]) if best else self._epochs,
            before,
            float(best["score"]) if best and weights else before,
            float(self._state["loss"]),
            float(self._state["seconds"]) + time.monotonic() - self._started,
        )

    def _phase(self, phase: int, task: Task, epochs: int, *, is_judged: bool) -> None:
        """One setting from its start, or from where a checkpoint left it, to its end."""
        chosen = phase if is_judged else int(self._state["best"]["setting"])
        setting = self._settings[chosen]
        if int(self._state["phase"]) != phase or not self._weights:
            self._state |= {"phase": phase, "step": 0}
            self._weights = initial(setting, task.queries.shape[1], self._run.seed)
        optimizer = Adam(self._weights)
        optimizer.moments |= {name: self._arrays.pop(name) for name in optimizer.moments if name in self._arrays}
        size = setting.batch_size * setting.accumulate
        an_epoch = -(-len(task) // size)
        # Refitting follows the same fall of the learning rate that the search followed, as far as it went.
        planned = self._epochs * an_epoch
        for step in range(int(self._state["step"]), epochs * an_epoch):
            if self._run.is_stopping:
                self._save(optimizer)
                raise TrainingFailed("stopped when asked", hint="resume the run to go on")
            epoch, batch = divmod(step, an_epoch)
            self._step(setting, task, (phase, epoch, batch), optimizer, step + 1, planned)
            self._state["step"] = step + 1
            if is_judged and batch == an_epoch - 1 and (epoch % 2 or epoch == epochs - 1):
                self._judge(chosen, epoch + 1)
            done = sum(self._an_epoch[:phase]) * self._epochs + step + 1
            self._run.progress(min(done, self._total), self._total, loss=float(self._state["loss"]))
            if time.monotonic() - self._saved > _CHECKPOINT_S:
                self._save(optimizer)
        self._state |= {"phase": phase + 1, "step": 0}
        if is_judged:
            self._weights = {}

    def _step(
        self, setting: Setting, task: Task, at: tuple[int, int, int], optimizer: Adam, number: int, planned: int
    ) -> None:
        seed = [self._run.seed, *at]
        members = order(len(task), setting.batch_size * setting.accumulate, seed[:-1])[at[2]]
        draw = np.random.default_rng(seed)
        total = 0.0
        summed: dict[str, Floats] = {}
        parts = [members[i : i + setting.batch_size] for i in range(0, len(members), setting.batch_size)]
        for part in parts:
            loss, found = gradients(self._weights, task, part, self._pool, setting, draw)
            total += loss / len(parts)
            for name, array in found.items():
                summed[name] = summed.get(name, np.zeros_like(array)) + array / np.float32(len(parts))
        rate = setting.learning_rate * (1 - (number - 1) / planned)
        self._weights = optimizer.step(self._weights, summed, number, rate, setting.weight_decay)
        self._state["loss"] = total

    def _judge(self, setting: int, epochs: int) -> None:
        """Notes the state when it, or a share of it, is the best on validation so far."""
        if not len(self._validation):
            return
        for share in _SHARES:
            scores = ndcg(self._pool, turned(self._weights, self._validation.queries, share), self._validation)
            best = self._state["best"]
            if best is None or float(scores.mean()) > best["score"]:
                gain = scores - self._base
                error = float(gain.std() / np.sqrt(len(gain)))
                self._state["best"] = {
                    "setting": setting,
                    "epochs": epochs,
                    "share": share,
                    "score": float(scores.mean()),
                    "gain": float(gain.mean()),
                    "error": error,
                }
                for name in [name for name in self._arrays if name.startswith("best.")]:
                    del self._arrays[name]
                self._arrays |= {f"best.{name}": array.copy() for name, array in self._weights.items()}

    def _is_worth_it(self, best: Mapping[str, float]) -> bool:
        """Whether validation gained more than chance gives one time in twenty: the best of many is partly luck."""
        return best["gain"] > max(_SURE * best["error"], 0.0)

    def _save(self, optimizer: Adam) -> None:
        from safetensors.numpy import save_file

        folder = self._run.checkpoints
        folder.mkdir(parents=True, exist_ok=True)
        best = {name: array for name, array in self._arrays.items() if name.startswith("best.")}
        tensors = {**{f"now.{name}": array for name, array in self._weights.items()}, **optimizer.moments, **best}
        file = f"search-{self._state['phase']}-{self._state['step']}.safetensors"
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, folder / "search.part")
        (folder / "search.part").replace(folder / file)
        now = time.monotonic()
        self._state["seconds"] = float(self._state["seconds"]) + now - self._started
        self._started = self._saved = now
        (folder / "state.part").write_text(json.dumps({**self._state, "key": self._key, "file": file}), "utf-8")
        (folder / "state.part").replace(folder / "state.json")
        for old in folder.glob("search-*.safetensors"):
            if old.name != file:
                old.unlink()

    def _restore(self) -> None:
        from safetensors.numpy import load_file

        folder = self._run.checkpoints
        try:
            state = json.loads((folder / "state.json").read_text("utf-8"))
            if state.pop("key") != self._key:
                return
            tensors = load_file(folder / str(state.pop("file")))
        except (OSError, ValueError, KeyError):
            return
        self._state = state
        self._weights = {name.removeprefix("now."): a for name, a in tensors.items() if name.startswith("now.")}
        self._arrays = {name: a for name, a in tensors.items() if not name.startswith("now.")}
