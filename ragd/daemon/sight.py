"""What an operator sees of the daemon besides its parts' own words: age, rates, room, and whether it gets on."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from ragd.app import App
from ragd.config.events import get_log
from ragd.daemon.heartbeat import Heartbeat
from ragd.daemon.host_facts import catalog_size_bytes, disk_facts, process_facts
from ragd.daemon.meters import Meters
from ragd.daemon.metrics import StatusCollector
from ragd.daemon.readiness import Phase, Readiness, readiness
from ragd.daemon.supervisor import Supervisor
from ragd.domain.clock import is_due
from ragd.domain.errors import BrokerUnavailable
from ragd.index.snapshot import newest_manifest
from ragd.jobs.ages import oldest_jobs
from ragd.jobs.broker import Broker

_LOG = get_log("ragd.daemon")
_SAMPLE_EVERY_S: Final = 3600.0
_SAMPLE_AFTER_S: Final = 60.0
_DAY_S: Final = 86400.0
_OPEN: Final = "application/openmetrics-text"


class Sight:
    """Counts and facts of one daemon. `step` is the main thread's, the rest any thread's."""

    def __init__(
        self,
        app: App,
        broker: Broker,
        supervisor: Supervisor,
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._broker, self._supervisor = app, broker, supervisor
        self._heartbeat, self._phase = heartbeat, Phase.STARTING
        self._clock = clock
        self._started_at = clock()
        self._sampled_at = self._started_at + _SAMPLE_AFTER_S - _SAMPLE_EVERY_S
        self._recall: dict[int, float] = {}  # replaced whole
        self._sampling: threading.Thread | None = None
        self.registry = CollectorRegistry()
        self.meters = Meters(self.registry)

    def began(self) -> None:
        """The main thread takes up its work."""
        self._phase = Phase.SERVING

    def ended(self) -> None:
        """The main thread has left its work for good."""
        self._phase = Phase.STOPPING

    @property
    def is_alive(self) -> bool:
        """True while the main thread gets on."""
        return self._heartbeat.is_beating

    def step(self) -> None:
        """Samples ann_recall of the inexact indexes once an hour, in a thread of its own."""
        is_sampling = self._sampling is not None and self._sampling.is_alive()
        if is_sampling or not is_due(self._clock(), self._sampled_at, _SAMPLE_EVERY_S):
            return
        self._sampled_at = self._clock()
        if any(live.index.facts().kind == "ivf" for live in self._app.generations.all):
            self._sampling = threading.Thread(target=self._sample, name="ann-recall", daemon=True)
            self._sampling.start()
        else:
            self._recall = {}

    def decided(self, facts: Mapping[str, Any]) -> Readiness:
        """What the `reasons` and the proof in these facts mean together with how the main thread is."""
        proof = facts.get("proof")
        is_wrong = proof is not None and not proof["is_equal"]
        return readiness(self._phase, complaints=facts["reasons"], is_stuck=not self.is_alive, is_proven_wrong=is_wrong)

    def unreadable(self, why: str) -> Readiness:
        """What it means that the status cannot be had."""
        return readiness(self._phase, complaints=(), is_stuck=not self.is_alive, unreadable=why)

    def facts(self, *, is_redis_up: bool) -> dict[str, Any]:
        """What the status tells besides: rates, ages, spending, and what the machine says.

        A Redis that was not reached just now is not waited for once more.
        """
        now, spend = self._clock(), self._app.reader.learning.spend
        since = self._app.reader.overview.waiting_since()
        state, children = self._app.config.state, self._supervisor.status()
        kinds = sorted({child.kind for child in children})
        return {
            **self.meters.recent(),
            "told_at": now,
            "started_at": self._started_at,
            "loop_s": self._heartbeat.silent_s,
            "oldest_change_s": 0.0 if since is None else max(0.0, now - since),
            "queue_ages_s": self._queue_ages() if is_redis_up else {},
            "workers_wanted": dict(Counter(child.kind for child in children if child.kind != "redis")),
            "deaths": {kind: sum(one.deaths for one in children if one.kind == kind) for kind in kinds},
            "spend": {
                "total": {what: asdict(cost) for what, cost in spend.by_what().items()},
                "day": {what: asdict(cost) for what, cost in spend.by_what(now - _DAY_S).items()},
            },
            "process": process_facts(),
            "disk": {**disk_facts(state), "catalog_bytes": catalog_size_bytes(state)},
        }

    def index_facts(self, generation: int, sequence: int) -> dict[str, Any]:
        """Of one generation at this change sequence: its newest snapshot, and the last sample of ann_recall."""
        newest = newest_manifest(self._app.places.generation(generation))
        return {
            "snapshot_age_s": None if newest is None else max(0.0, self._clock() - newest.created_at),
            "snapshot_behind": sequence if newest is None else max(0, sequence - newest.sequence),
            "ann_recall": self._recall.get(generation),
        }

    def _queue_ages(self) -> dict[str, float]:
        try:
            return oldest_jobs(self._broker)
        except BrokerUnavailable:
            return {}  # that it is away is told as a reason

    def _sample(self) -> None:
        try:
            self._recall = {
                live.id: live.index.ann_recall(seed=int(self._clock()))
                for live in self._app.generations.all
                if live.index.facts().kind == "ivf"
            }
        except Exception:  # noqa: BLE001 - an edge: a figure that cannot be had must not end the daemon
            _LOG.exception("ann_recall_broke")


class _Told(CollectorRegistry):
    """What a registry holds, without the moments at which its series began: nobody asks for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class SightDoor:
    """The daemon as `/metrics`, `/healthz` and `/readyz` see it; `status` is the whole answer of `/v1/status`."""

    def __init__(self, sight: Sight, status: Callable[[], Mapping[str, Any]]) -> None:
        self._sight, self._status = sight, status
        sight.registry.register(StatusCollector(status))

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Every metric as OpenMetrics where this Accept header names it, else as text; and its content type."""
        # The library's own reading of a stranger's header trips over versions that are none.
        named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
        encoder, content_type = choose_encoder(f"{_OPEN}; version=1.0.0" if _OPEN in named else "text/plain")
        return encoder(_Told(self._sight.registry)), content_type

    def is_alive(self) -> bool:
        """True while the main thread gets on; asks nobody else."""
        return self._sight.is_alive

    def readiness(self) -> tuple[str, tuple[str, ...]]:
        """The state and its reasons; a status that cannot be had is a failure."""
        try:
            facts = self._status()
        except Exception as error:  # noqa: BLE001 - an edge: whatever keeps the status from being told is a failure
            _LOG.warning("status_broke", error=f"{type(error).__name__}: {error}")
            told = self._sight.unreadable(str(error))
            return told.state, told.reasons
        state = str(facts["state"])
        return "ready" if state == "indexing" else state, tuple(facts["reasons"])
