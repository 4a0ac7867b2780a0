"""What an observer remembers, as arrays and as one file, so that a daemon that starts again goes on watching."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import StateCorrupt
from ragd.learn.observe import Lens, Memory, Observer

Arrays = dict[str, npt.NDArray[Any]]
_GROUPS = ("reference", "older", "latest")
_COUNTS = ("windows", "sampled", "beyond")


def state(observer: Observer) -> Arrays:
    """All that the observer knows: windows as float16, numbers as one JSON text in bytes (`facts`)."""
    memory, lens = observer.memory, observer.lens
    arrays: Arrays = {"pending": memory.pending}
    for group in _GROUPS:
        windows = getattr(memory, group)
        empty = np.empty((0, lens.size, observer.dimension), np.float16)
        arrays[group] = np.stack(windows) if windows else empty
    facts = {
        "kind": observer.kind,
        "space": observer.space,
        "seed": observer.seed,
        "lens": [lens.size, lens.warmup, lens.most],
        "cost_s": memory.cost_s,
        **{name: getattr(memory, name) for name in _COUNTS},
    }
    arrays["facts"] = np.frombuffer(json.dumps(facts, sort_keys=True).encode(), np.uint8)
    return arrays


def restored(arrays: Mapping[str, npt.NDArray[Any]]) -> Observer:
    """The observer that `state` described. Raises ValueError when something is missing or of a wrong shape."""
    try:
        facts: dict[str, Any] = json.loads(arrays["facts"].tobytes())
        lens = Lens(*(int(number) for number in facts["lens"]))
        pending = _half(arrays["pending"], 2)
        groups = {group: list(_half(arrays[group], 3)) for group in _GROUPS}
        windows, sampled, beyond = (int(facts[name]) for name in _COUNTS)
        reference, older, latest = (groups[name] for name in _GROUPS)
        memory = Memory(pending, reference, older, latest, windows, sampled, beyond, float(facts["cost_s"]))
        observer = Observer(
            str(facts["kind"]),
            str(facts["space"]),
            int(pending.shape[1]),
            lens=lens,
            seed=int(facts["seed"]),
            memory=memory,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"not what an observer remembers: {error!r}") from error
    whole = (lens.size, pending.shape[1])
    if any(window.shape != whole for windows in groups.values() for window in windows):
        raise ValueError("not what an observer remembers: windows of another shape")
    return observer


def remember(observer: Observer, path: Path) -> None:
    """Writes what the observer knows to `path` (safetensors) in one step. Raises DiskFull."""
    write_atomic(path, save(state(observer)), mode=0o600)


def recalled(path: Path, kind: str, space: str, dimension: int, *, lens: Lens | None = None) -> Observer:
    """The observer that was remembered at `path`; a new one where there is none, or of another space or lens.

    Raises StateCorrupt when the file is damaged.
    """
    fresh = Observer(kind, space, dimension, lens=lens)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return fresh
    try:
        observer = restored(load(data))
    except (SafetensorError, ValueError) as error:
        raise StateCorrupt(
            f"{path}: {error}", hint="remove the file: the observer then warms up again, and nothing else is lost"
        ) from error
    same = (observer.kind, observer.space, observer.dimension, observer.lens)
    return observer if same == (kind, space, dimension, fresh.lens) else fresh


def _half(array: npt.NDArray[Any], dimensions: int) -> npt.NDArray[np.float16]:
    if array.dtype != np.float16 or array.ndim != dimensions:
        raise ValueError(f"not what an observer remembers: {array.dtype} of shape {array.shape}")
    return array.copy()
