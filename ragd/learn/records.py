"""The small files in a run's folder that ragd itself writes: request, outcome, attempts and progress, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ragd.disk.atomic import write_atomic
from ragd.domain.errors import TrainingFailed
from ragd.domain.index import EncoderSpec
from ragd.domain.learning import Resources, Role
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest

_MOST_BYTES: Final = 16 << 20
_ATTEMPTS: Final = "attempts.json"


@dataclass(frozen=True, slots=True)
class Attempts:
    """How often a run was started, and what that cost: `barren` counts the latest starts without any progress.

    `mark` is the furthest step ever reported; seconds and the peak (MiB) are sums and maximum over the attempts, as
    of `noted_at` (Unix seconds).
    """

    count: int = 0
    barren: int = 0
    mark: int = 0
    train_s: float = 0.0
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    peak_memory_mb: float = 0.0
    noted_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """One report of a trainer: `done` of `total` at Unix seconds `at`, with its numbers."""

    at: float
    done: int
    total: int
    metrics: Mapping[str, float] = field(default_factory=dict)


def write_request(places: RunPlaces, request: RunRequest) -> None:
    """Durably writes the request into the run's folder, which is made with its `work` folder where it is missing."""
    places.work.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(places.request, _json(asdict(request)))


def read_request(places: RunPlaces) -> RunRequest:
    """The request that `write_request` wrote. Raises TrainingFailed when it is missing or not in order."""
    raw = _read(places.request)
    try:
        given = dict(raw)
        given["role"] = Role(raw["role"])
        given["plugin"] = PluginSource(**raw["plugin"])
        given["resources"] = Resources(**raw["resources"])
        given["encoder"] = EncoderSpec(**raw["encoder"])
        return RunRequest(**given)
    except (KeyError, TypeError, ValueError, RecursionError, OverflowError) as error:
        raise _unreadable(places.request, error) from error


def write_outcome(places: RunPlaces, outcome: RunOutcome) -> None:
    """Durably writes how the run ended; nothing is written into the folder by the run after it."""
    write_atomic(places.outcome, _json(asdict(outcome)))


def read_outcome(places: RunPlaces) -> RunOutcome | None:
    """How the run ended, None while it has not. Raises TrainingFailed when the file is not in order."""
    if not places.outcome.is_file():
        return None
    try:
        return RunOutcome(**_read(places.outcome))
    except TypeError as error:
        raise _unreadable(places.outcome, error) from error


def read_attempts(places: RunPlaces) -> Attempts:
    """The run's earlier attempts; none when nothing is known of them."""
    try:
        return Attempts(**_read(places.folder / _ATTEMPTS))
    except (TrainingFailed, TypeError):
        return Attempts()


def write_attempts(places: RunPlaces, attempts: Attempts) -> None:
    """Durably notes the attempts, for the case that the next word of this run is its death."""
    write_atomic(places.folder / _ATTEMPTS, _json(asdict(attempts)))


def reopen(places: RunPlaces) -> None:
    """Makes an ended or stopped run ready to be queued again: it goes on from its checkpoints."""
    places.outcome.unlink(missing_ok=True)
    places.stop.unlink(missing_ok=True)
    if (places.folder / _ATTEMPTS).exists():
        write_attempts(places, replace(read_attempts(places), barren=0))


def step_line(step: Step) -> str:
    """A step as a line of `progress.jsonl`."""
    return json.dumps(asdict(step), allow_nan=False, separators=(",", ":")) + "\n"


class Follower:
    """Reads `progress.jsonl` while it grows; lines that are not whole yet, or not in order, are left out."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._rest = b""

    def news(self) -> list[Step]:
        """The steps reported since the last call, oldest first."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(_MOST_BYTES)
        except FileNotFoundError:
            return []
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [step for line in lines if (step := _step(line)) is not None]

    def last(self) -> Step | None:
        """The newest step that was not told before, None when there is none."""
        return next(reversed(self.news()), None)


def _step(line: bytes) -> Step | None:
    try:
        raw = json.loads(line)
        metrics = {str(name): float(value) for name, value in raw["metrics"].items()}
        return Step(float(raw["at"]), int(raw["done"]), int(raw["total"]), metrics)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, default=dict).encode() + b"\n"


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise _unreadable(path, ValueError("too large"))
        raw = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError, OverflowError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(raw, dict):
        raise _unreadable(path, ValueError("not an object"))
    return raw


def _unreadable(path: Path, error: Exception) -> TrainingFailed:
    return TrainingFailed(
        f"{path} cannot be read: {error}", hint="start the run anew with `ragd train`; its folder is damaged"
    )
