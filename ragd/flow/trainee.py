"""The process in which a plugin's code trains: `python -m ragd.flow.trainee RUNFOLDER PIPE PARENT`.

Started by `ragd.flow.train`, which limits and watches it, judges what it made, and writes the outcome. It tells how
it ends by JSON lines through PIPE, a file descriptor; what the plugin prints goes to the run's log.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final, TextIO

import numpy as np

from ragd.domain.errors import ArtifactInvalid, DiskFull, PluginRefused, RagdError, TooFewExamples
from ragd.domain.learning import Artifact, Data, Snapshot, Trainer
from ragd.domain.ports import Encoder
from ragd.domain.training import RunOutcome, RunPlaces, RunRequest
from ragd.embed.encoder import open_encoder
from ragd.flow.attempt import stand_back
from ragd.hooks import contain, manager
from ragd.learn.records import read_request
from ragd.learn.run import TrainerRun
from ragd.learn.snapshot import read_preparation, read_snapshot

API_KEY_VARIABLE: Final = "RAGD_EMBED__API_KEY"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def main(arguments: Sequence[str]) -> int:
    """Trains once and tells how it went; returns the exit status 0 also when the plugin failed."""
    folder, pipe, parent = arguments
    stand_back()
    places = RunPlaces(Path(folder))
    request = read_request(places)
    with os.fdopen(int(pipe), "w", encoding="utf-8") as told, places.progress.open("a", encoding="utf-8") as report:
        _confine(request, places, int(parent))
        outcome = _trained(request, places, told, report)
        sys.stdout.flush()
        sys.stderr.flush()
        _tell(told, "ended", asdict(outcome))
    # Threads that a plugin left behind must not keep a finished run from ending.
    os._exit(0)


def _trained(request: RunRequest, places: RunPlaces, told: TextIO, report: TextIO) -> RunOutcome:
    signalled = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: signalled.set())
    run = TrainerRun(
        request,
        places,
        report,
        open_data=lambda: read_snapshot(places.data),
        open_encoder=lambda: _open_encoder(request),
        is_signalled=signalled.is_set,
    )
    examples = 0
    try:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        trainer = _trainer(request)
        examples = _examples(run.data, trainer)
        random.seed(request.seed)
        np.random.seed(request.seed % 2**32)
        _tell(told, "begun", {"examples": examples})
        artifact = trainer.train(run)
        if run.is_told_to_stop:
            return _stopped(run, examples)
        return replace(_described(artifact, places), examples=examples, loss=run.loss)
    except BaseException as error:  # noqa: BLE001 - an edge: whatever a plugin raises becomes the reason of its run
        traceback.print_exc()
        if run.is_told_to_stop and isinstance(error, Exception) and not isinstance(error, MemoryError):
            return _stopped(run, examples)
        return replace(failure(error, request), examples=examples, loss=run.loss)
    finally:
        run.close()


def _confine(request: RunRequest, places: RunPlaces, parent: int) -> None:
    """Writes go into `work` only; of the state folder only this run and the models can be read."""
    state = places.folder.parent.parent
    hidden = [state] if (state / "catalog.db").exists() else []
    if places.preparation.is_file():
        # The files of pairs hold held-out queries too: what the trainer may learn from is in its snapshot.
        preparation = read_preparation(places)
        hidden += [Path(path) for path in (*preparation.pairs, *preparation.prompts)]
    named = (request.models, request.model_folder, request.adapter, request.encoder.model, request.plugin.path)
    held = contain.confine(
        places.work,
        request.resources,
        readable=[places.folder, *(Path(path) for path in named if os.path.isabs(path))],
        hidden=hidden,
        network=wants_network(request),
        parent=parent,
    )
    if not held.landlock and sys.platform == "linux":
        sys.stderr.write("no Landlock here: programs that this run starts could write elsewhere\n")


def wants_network(request: RunRequest) -> bool:
    """Whether the run may use the network: only when an encoder or teacher at an address was configured."""
    addresses = [value for value in request.settings.values() if isinstance(value, str) and "://" in value]
    return request.encoder.kind == "openai" or bool(addresses)


def failure(error: BaseException, request: RunRequest) -> RunOutcome:
    """An error of the plugin as the outcome of its run: one line that names the plugin, and what to do."""
    who, key = f"plugin {request.plugin.name}", f"trainers.{request.trainer}.memory_mb"
    limit = request.resources
    text = " ".join(str(error).split())[:1000]
    if isinstance(error, RagdError):
        return RunOutcome("failed", error=error.code, reason=f"{who}: {text}", hint=error.hint)
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(w in text.lower() for w in _NO_MEMORY)
    ):
        reason = f"{who}: out of memory: needed more than {limit.memory_mb} MiB"
        return RunOutcome("failed", error="training_failed", reason=reason, hint=f"raise {key} or learn.memory_mb")
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        reason = f"{who}: no room to write {error.filename or 'its files'}: {os.strerror(error.errno)}"
        hint = f"free some space on that disk, or raise learn.disk_mb (now {limit.disk_mb} MiB)"
        return RunOutcome("failed", error=DiskFull("").code, reason=reason, hint=hint)
    if isinstance(error, contain.Trespass):
        reason = f"{who}: it {text}"
        return RunOutcome("failed", error="training_failed", reason=reason, hint="write below run.folder only")
    if isinstance(error, PermissionError) and error.filename:
        reason = f"{who}: was refused {error.filename}: a trainer may write inside its run folder only"
        return RunOutcome("failed", error="training_failed", reason=reason, hint="write below run.folder")
    if isinstance(error, ModuleNotFoundError) and error.name:
        reason = f"{who}: the package {error.name.partition('.')[0]} is not installed here"
        hint = "install it into the environment of the train workers, then `ragd runs resume " + request.id + "`"
        return RunOutcome("failed", error="training_failed", reason=reason, hint=hint)
    if isinstance(error, SystemExit | KeyboardInterrupt):
        text = f"it ended its process ({type(error).__name__} {error})"
    else:
        text = f"{type(error).__name__}: {text}"
    return RunOutcome("failed", reason=f"{who}: {text}", hint=f"see the traceback with `ragd runs log {request.id}`")


def _trainer(request: RunRequest) -> Trainer:
    plugins = manager.load_one(request.plugin)
    for trainer in plugins.trainers():
        if trainer.name == request.trainer:
            return trainer
    raise PluginRefused(
        f"the plugin {request.plugin.name} offers no trainer {request.trainer}", hint="see `ragd plugins list`"
    )


def _examples(data: Snapshot, trainer: Trainer) -> int:
    needs = trainer.needs
    found = {
        Data.PAIRS: data.pairs,
        Data.PROMPTS: data.prompts,
        Data.TEXTS: data.chunks,
        Data.VECTORS: data.chunks,
    }[needs.data]
    if len(found) < needs.least:
        raise TooFewExamples(
            f"{trainer.name} needs {needs.least:,} {needs.data} and was given {len(found):,}",
            hint="list more of them with learn.pairs or learn.prompts, or wait until there are more",
        )
    return len(found)


def _open_encoder(request: RunRequest) -> Encoder:
    spec = replace(request.encoder, threads=request.resources.threads)
    return open_encoder(spec, Path(request.models), api_key=os.environ.get(API_KEY_VARIABLE, ""))


def _described(artifact: Any, places: RunPlaces) -> RunOutcome:
    if not isinstance(artifact, Artifact):
        raise ArtifactInvalid(
            f"`train` returned {type(artifact).__name__}, not an Artifact", hint="return Artifact(folder=...)"
        )
    folder = Path(artifact.folder)
    if not folder.resolve().is_relative_to(places.work.resolve()):
        raise ArtifactInvalid(f"the artefact {folder} is not inside the run's folder", hint="save it below run.folder")
    facts = {str(name): _plain(value) for name, value in artifact.facts.items()}
    return RunOutcome("trained", artifact=str(folder.resolve().relative_to(places.folder.resolve())), facts=facts)


def _plain(value: Any) -> float | int | str:
    if isinstance(value, bool | int | str):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)[:1000]
    return number if np.isfinite(number) else str(number)


def _stopped(run: TrainerRun, examples: int) -> RunOutcome:
    reason = "stopped when asked, with a checkpoint" if any(run.checkpoints.iterdir()) else "stopped when asked"
    return RunOutcome(
        "stopped", examples=examples, loss=run.loss, reason=reason, hint=f"go on: `ragd runs resume {run.id}`"
    )


def _tell(told: TextIO, event: str, facts: Mapping[str, Any]) -> None:
    told.write(json.dumps({"event": event, **facts}) + "\n")
    told.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
