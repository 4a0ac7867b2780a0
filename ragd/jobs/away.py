"""A train worker far from the daemon's disk: fetches the files of a run through Redis and sends back what it made."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from ragd.domain.errors import BrokerUnavailable, PayloadInvalid
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces, RunRequest
from ragd.flow.leftovers import strange
from ragd.jobs.broker import Broker
from ragd.jobs.queue import Queues, RunWantsFiles
from ragd.jobs.transfer import MODEL_FOLDERS, folder_files, forget, is_safe, is_there, pull, push
from ragd.jobs.trusted import trusted_here
from ragd.learn.records import read_request, write_request

_PATIENCE_S: Final = 120.0
_LOOK_S: Final = 0.05
_KEPT_S: Final = 24 * 3600.0


class Away:
    """Runs of a daemon whose folder is not here; copies of them are kept, so that a killed worker's go on.

    `runs` is where a daemon of this state folder has its own, which are never touched: the copies lie in `away` beside
    it. `models` is this machine's folder of artefacts, `plugins` its folder of trusted plugin files.
    """

    def __init__(self, broker: Broker, queues: Queues, runs: Path, models: Path, plugins: Path | None) -> None:
        self._broker, self._queues = broker, queues
        self._runs, self._models, self._plugins = runs, models, plugins
        self._copies = runs.with_name("away")

    def fetch(self, run_id: str, is_stopping: Callable[[], bool]) -> RunPlaces | None:
        """The run's folder on this machine, with the request rewritten to its paths; None when the worker is to stop.

        Raises PayloadInvalid for what does not arrive whole, BrokerUnavailable when the daemon does not send it.
        """
        if not is_safe(run_id) or "/" in run_id:
            raise PayloadInvalid(f"{run_id!r} is not the id of a run")
        places = RunPlaces(self._copies / run_id)
        self._forget_old(run_id)
        if places.request.is_file():
            return places
        arriving = RunPlaces(self._copies / f".{run_id}.part")
        shutil.rmtree(arriving.folder, ignore_errors=True)
        if not self._asked(run_id, (), arriving, is_stopping):
            return None
        request = read_request(arriving)
        lacks = tuple(name for name in MODEL_FOLDERS if _is_lacking(named(request)[name]))
        if lacks and not self._asked(run_id, lacks, arriving, is_stopping):
            return None
        # The request lies there only when everything does: a worker that is killed meanwhile begins anew.
        arriving.request.unlink()
        shutil.rmtree(places.folder, ignore_errors=True)
        os.rename(arriving.folder, places.folder)
        write_request(places, self._moved(request, places, lacks))
        return places

    def trusted(self, source: PluginSource) -> PluginSource:
        """A plugin that Redis names, as this machine trusts it. Raises PluginRefused."""
        return trusted_here(source, self._plugins, self._models.parent)

    def vouch(self, places: RunPlaces) -> None:
        """A folder that Redis names says which plugin file runs: outside this worker's own state that must be trusted.

        Raises PluginRefused, and TrainingFailed for a damaged request.
        """
        if not places.folder.resolve().is_relative_to(self._runs.resolve()):
            self.trusted(read_request(places).plugin)

    def give_back(self, run_id: str, places: RunPlaces, outcome: RunOutcome) -> int:
        """Sends the log and the artefact, or the checkpoints where there is none; returns how many bytes."""
        made = places.folder / outcome.artifact if outcome.artifact else places.checkpoints
        inside = made.relative_to(places.folder).as_posix()
        files = folder_files(made, f"{inside}/") if made.is_dir() else {}
        told = {path.name: path for path in (places.log, places.progress, places.outcome) if path.is_file()}
        return push(self._broker, f"{run_id}:back", {**files, **told})

    def tidy(self, places: RunPlaces, outcome: RunOutcome) -> None:
        """Removes the run's folder; a trained one stays for a day, in case the daemon's answer got lost."""
        if outcome.state != "trained":
            shutil.rmtree(places.folder, ignore_errors=True)

    def _asked(self, run_id: str, lacks: tuple[str, ...], arriving: RunPlaces, is_stopping: Callable[[], bool]) -> bool:
        key = f"{run_id}:out"
        forget(self._broker, key)
        self._queues.run_wants_files(RunWantsFiles(run_id, lacks))
        deadline = time.monotonic() + _PATIENCE_S
        while not is_there(self._broker, key):
            if is_stopping():
                return False
            if time.monotonic() > deadline:
                raise BrokerUnavailable(
                    f"the daemon did not send the files of run {run_id} in {_PATIENCE_S:g} s",
                    hint="see whether the daemon runs; this worker asks again",
                )
            time.sleep(_LOOK_S)
        pull(self._broker, key, arriving.folder)
        return True

    def _moved(self, request: RunRequest, places: RunPlaces, lacks: tuple[str, ...]) -> RunRequest:
        """The request with this machine's paths."""
        here = {name: str(places.folder / "models" / name) for name in lacks}
        return replace(
            request,
            models=str(self._models),
            model_folder=here.get("model_folder", request.model_folder),
            adapter=here.get("adapter", request.adapter),
            encoder=replace(request.encoder, model=here.get("encoder", request.encoder.model)),
            plugin=self.trusted(request.plugin),
        )

    def _forget_old(self, run_id: str) -> None:
        for folder in strange(self._copies, {run_id}, unchanged_since=time.time() - _KEPT_S):
            shutil.rmtree(folder, ignore_errors=True)


def named(request: RunRequest) -> dict[str, str]:
    """The model folders that a request names, by the name they travel under."""
    return {"model_folder": request.model_folder, "adapter": request.adapter, "encoder": request.encoder.model}


def _is_lacking(folder: str) -> bool:
    return os.path.isabs(folder) and not os.path.isdir(folder)
