"""What a train worker does with the jobs of its queue: one run at a time, here or for a daemon on another machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ragd.config.events import get_log
from ragd.domain.errors import BrokerUnavailable, DiskFull, PluginRefused, RagdError
from ragd.domain.plugins import Launcher, Tracker
from ragd.domain.training import PluginSource, RunOutcome, RunPlaces
from ragd.hooks import manager
from ragd.jobs.away import Away
from ragd.jobs.following import Following
from ragd.jobs.hold import Handler, Task
from ragd.jobs.launchers import LOCAL, LocalLauncher, choose
from ragd.jobs.payload import decode, encode
from ragd.jobs.queue import Queues, RunEnded, TrainJob
from ragd.jobs.settings import TrainSettings
from ragd.jobs.tracking import Tracking
from ragd.learn.records import read_request

_LOG = get_log("ragd.jobs")


@dataclass(frozen=True, slots=True)
class Site:
    """How a worker runs what it is given: its launcher, its trackers, and where runs lie whose folder is not here."""

    away: Away
    launcher: Launcher = field(default_factory=LocalLauncher)
    trackers: Sequence[Tracker] = ()


def open_site(settings: TrainSettings, away: Away) -> Site:
    """Where runs are started as the daemon says: a launcher that is not here fails the run, a tracker is left out."""
    if settings.launcher == LOCAL and not settings.trackers:
        return Site(away)
    plugins = manager.load(_trusted(settings.plugins, away) if settings.plugins else None)
    for problem in plugins.problems():
        _LOG.warning("plugin_not_used", plugin=problem.plugin, reason=problem.reason)
    trackers = {tracker.name: tracker for tracker in plugins.trackers()}
    for name in settings.trackers:
        if name not in trackers:
            _LOG.warning("tracker_missing", tracker=name)
    chosen = [trackers[name] for name in settings.trackers if name in trackers]
    return Site(away, choose(settings.launcher, plugins.launchers()), chosen)


def _trusted(sources: Sequence[PluginSource], away: Away) -> list[PluginSource]:
    found = []
    for source in sources:
        try:
            found.append(away.trusted(source))
        except PluginRefused as error:
            _LOG.warning("plugin_not_used", plugin=source.name, reason=error, hint=error.hint)
    return found


def train_handlers(
    queues: Queues, site: Site, *, is_stopping: Callable[[], bool] = lambda: False
) -> Mapping[str, Handler]:
    """The table of a `train` worker: one run at a time, from where it was left to its end.

    A worker that is to stop lets the run save a checkpoint and hands it back. Whatever is wrong with a run becomes
    its outcome; BrokerUnavailable and DiskFull keep it for later.
    """

    def train(task: Task) -> bytes | None:
        job = decode(TrainJob, task.body) if task.body else TrainJob(task.batch_id, "")
        here = RunPlaces(Path(job.folder))
        if job.folder and here.request.is_file():
            outcome = _outcome(queues, site, here, is_stopping)
            if outcome is None:
                return encode(job)
            queues.run_ended(RunEnded(job.run_id, outcome))
            return None
        return None if _away(queues, site, job.run_id, is_stopping) else encode(job)

    return {"train": train}


def _away(queues: Queues, site: Site, run_id: str, is_stopping: Callable[[], bool]) -> bool:
    """Runs what lies on another machine; False when it is to be handed back."""
    try:
        places = site.away.fetch(run_id, is_stopping)
    except (BrokerUnavailable, DiskFull):
        raise
    except RagdError as error:
        queues.run_ended(RunEnded(run_id, _failed(error)))
        return True
    outcome = _outcome(queues, site, places, is_stopping) if places is not None else None
    if places is None or outcome is None:
        return False
    site.away.give_back(run_id, places, outcome)
    queues.run_ended(RunEnded(run_id, outcome, is_remote=True))
    site.away.tidy(places, outcome)
    return True


def _outcome(queues: Queues, site: Site, places: RunPlaces, is_stopping: Callable[[], bool]) -> RunOutcome | None:
    try:
        site.away.vouch(places)
        request = read_request(places)
        tracking = Tracking(site.trackers, request.id)
        try:
            return Following(queues, places, request, site.launcher, tracking, is_stopping).outcome()
        finally:
            tracking.close()
    except (BrokerUnavailable, DiskFull):
        raise
    except RagdError as error:
        return _failed(error)


def _failed(error: RagdError) -> RunOutcome:
    return RunOutcome("failed", error=error.code, reason=str(error), hint=error.hint)
