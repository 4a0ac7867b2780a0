"""How the daemon fares: what its parts say of themselves, and the reasons why it is degraded."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ragd.app import App
from ragd.daemon.broker_watch import BrokerWatch
from ragd.daemon.handlers import IndexJobs
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.model_side import ModelSide
from ragd.daemon.plans import Plans
from ragd.daemon.reloading import Reloading
from ragd.daemon.supervisor import Supervisor
from ragd.daemon.upkeep import Upkeep
from ragd.daemon.watching import Watching
from ragd.domain.deciding import RunState
from ragd.domain.documents import display_path
from ragd.domain.errors import BrokerUnavailable
from ragd.domain.search import Filters
from ragd.jobs.broker import Broker
from ragd.jobs.queue import Queues
from ragd.jobs.roll import workers
from ragd.watch.progress import RootProgress
from ragd.watch.roots import RootState

_ASIDE_ASKED = 50


@dataclass(frozen=True, slots=True)
class Health:
    """Asks every part; may be called from any thread."""

    app: App
    broker: Broker
    broker_watch: BrokerWatch
    queues: Queues
    watcher: Watching
    reloading: Reloading
    supervisor: Supervisor
    upkeep: Upkeep
    jobs: IndexJobs
    plans: Plans
    is_redis_ours: bool
    model_side: ModelSide
    heartbeat: Heartbeat
    missing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """`queues`, `workers`, `watch`, `redis`, `progress` and `reasons` of the status."""
        roots = self.watcher.progress()
        reasons = [*self.missing, *self._root_reasons(roots), *self.upkeep.reasons, *self.model_side.reasons]
        if self.jobs.encoder_problem:
            reasons.append(f"nothing is embedded: {self.jobs.encoder_problem}")
        reasons += self._aside_reasons()
        if self.reloading.problem:
            reasons.append(self.reloading.problem)
        if not self.heartbeat.is_beating:
            reasons.append(f"the committing thread has not moved for {self.heartbeat.silent_s:.0f} s (restart ragd)")
        redis, queues, crew = self._broker_facts(reasons)
        for child in self.supervisor.status():
            if child.state == "waiting" and child.deaths:
                reasons.append(f"the {child.kind} process ended ({child.last_end}) and is started again")
        documents, chunks = self.app.dispatch.in_flight
        return {
            "reasons": list(dict.fromkeys(reasons)),
            "queues": queues,
            "workers": crew,
            "watch": [_root_json(root) for root in roots],
            "redis": redis,
            "progress": {
                "scanning": self.is_scanning(),
                "files_seen": sum(root.files for root in roots),
                "files_in_flight": documents,
                "chunks_in_flight": chunks,
            },
        }

    def _aside_reasons(self) -> list[str]:
        """Texts that the serving encoder does not take: how many, of which file, and why."""
        aside = self.app.dispatch.set_aside(self.app.generations.serving.id)
        rows = self.app.reader.hit_rows(sorted(aside)[:_ASIDE_ASKED], Filters()) if aside else []
        if not rows:
            return []
        row, count = rows[0], len({row.chunk_id for row in rows})
        what = "a text is" if count == 1 else f"{count} texts are"
        return [
            f"{what} found by words only, since no vector can be had ({row.root}/{row.path}: {aside[row.chunk_id]}); "
            "it is tried again each hour (edit or exclude the file, or choose another encoder)"
        ]

    def is_scanning(self) -> bool:
        """True while a root's files are not all known yet, or what was found is not told."""
        roots = self.watcher.progress()
        return (
            any(_is_unknown(root) for root in roots)
            or self.plans.are_waiting
            or bool(self.watcher.untold)
            or self.upkeep.is_clearing
        )

    def _broker_facts(self, reasons: list[str]) -> tuple[dict[str, Any], dict[str, int], list[dict[str, Any]]]:
        kind = "embedded" if self.is_redis_ours else "configured"
        try:
            facts = self.broker.check()
            everyone = workers(self.broker)
            crew = [asdict(worker) for worker in everyone if worker.queue != "index"]
            lengths = self.queues.lengths()
        except BrokerUnavailable as error:
            reasons.append(f"{error} ({error.hint})")
            return {"kind": kind, "url": self.broker.shown_url}, {}, []
        # It may answer questions and yet take no jobs.
        reasons += [said for said in (facts.problem, self.broker_watch.problem) if said]
        for worker in everyone:
            if worker.problem:
                reasons.append(worker.problem if worker.queue == "index" else f"{worker.name}: {worker.problem}")
        starting = {child.kind for child in self.supervisor.status() if child.state == "running"}
        needed = ["extract", "embed"]
        if any(run["state"] == RunState.QUEUED for run in self.app.reader.learning.runs.open()):
            needed.append("train")
        for kind_of_worker in needed:
            if kind_of_worker not in starting and not any(worker["queue"] == kind_of_worker for worker in crew):
                reasons.append(f"no {kind_of_worker} worker is running")
        return {"kind": kind, **asdict(facts)}, lengths, crew

    def _root_reasons(self, roots: tuple[RootProgress, ...]) -> list[str]:
        said = []
        for root in roots:
            shown = display_path(root.path)
            if root.facts.reason:
                said.append(f"{root.facts.reason} ({root.facts.hint})" if root.facts.hint else root.facts.reason)
            if root.held is not None:
                said.append(f"{shown}: {root.held.reason} ({root.held.hint})")
            if root.facts.state is RootState.OK and not root.hearing.is_watching and root.hearing.why:
                said.append(f"{shown} is only scanned: {root.hearing.why} ({root.hearing.remedy})")
        return said


def platform_lacks(platform: str) -> tuple[str, ...]:
    """What this platform (as sys.platform) has not, in words for the status; nothing on Linux."""
    if platform == "linux":
        return ()
    return (f"{platform} has no parent-death signal: children of a killed daemon live on until the next start",)


def _is_unknown(root: RootProgress) -> bool:
    """True while a root was not looked at yet, or its first scan or a later one is under way."""
    if root.facts.state is RootState.OK:
        return root.is_scanning or not root.scans
    return not root.facts.reason


def _root_json(root: RootProgress) -> dict[str, Any]:
    return {
        "folder": display_path(root.path),
        "state": root.facts.state.value,
        "hearing": str(root.hearing),
        "remedy": root.hearing.remedy or root.facts.hint,
        "is_watching": root.hearing.is_watching,
        "is_scanning": root.is_scanning,
        "files": root.files,
        "folders": root.folders,
        "waiting": root.waiting,
        "scans": root.scans,
        "last_scan_at": root.last_scan_at,
        "last_scan_s": root.last_scan_s,
        "held": asdict(root.held) if root.held is not None else None,
    }
