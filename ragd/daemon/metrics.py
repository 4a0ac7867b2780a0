"""Turns the facts of the status into Prometheus metrics: pure, from plain values, at the moment of a scrape."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ragd.config.events import get_log
from ragd.daemon.metric_names import METRICS

_LOG = get_log("ragd.daemon")
Facts = Mapping[str, Any]
Samples = Iterable[tuple[Sequence[object], float | None]]
STATES = ("ready", "indexing", "degraded", "failed")


class StatusCollector(Collector):
    """Asks for the status at each scrape. A catalog that cannot be read still leaves the state to be told."""

    def __init__(self, status: Callable[[], Facts]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Every metric that the status has a figure for."""
        begun = time.perf_counter()
        try:
            facts: Facts = self._status()
        except Exception as error:  # noqa: BLE001 - an edge: whatever keeps the status from being told is a failure
            _LOG.warning("status_broke", error=f"{type(error).__name__}: {error}")
            facts = {"state": "failed", "reasons": [str(error)]}
        yield from families(facts)
        yield _family("ragd_scrape_seconds", [((), time.perf_counter() - begun)])

    def describe(self) -> Iterator[Metric]:
        """Nothing: a registry that is made must not ask for the status."""
        return iter(())


def families(facts: Facts) -> list[Metric]:
    """The metrics of a status; a fact that is not there gives no sample."""
    parts = (_daemon, _documents, _work, _redis, _indexes, _proof, _machine)
    return [_family(name, samples) for part in parts for name, samples in part(facts).items()]


def _daemon(facts: Facts) -> dict[str, Samples]:
    model = facts.get("model") or {}
    named = [(tuple(model.get(key) or "" for key in METRICS["ragd_model_info"].labels), 1.0)] if model else []
    return {
        "ragd_info": [((facts["version"],), 1.0)] if "version" in facts else [],
        "ragd_start_time_seconds": _one(facts.get("started_at")),
        "ragd_state": [((state,), float(state == facts["state"])) for state in STATES],
        "ragd_reasons": _one(len(facts["reasons"])),
        "ragd_loop_seconds": _one(facts.get("loop_s")),
        "ragd_model_info": named,
    }


def _documents(facts: Facts) -> dict[str, Samples]:
    chunks, progress, roots = facts.get("chunks") or {}, facts.get("progress") or {}, facts.get("watch", ())
    states = Counter(str(root.get("state", "")) for root in roots)
    scanned_only = sum(root.get("state") == "ok" and not root.get("is_watching", True) for root in roots)
    lacking = chunks["total"] - chunks["with_vectors"] if chunks else None
    return {
        "ragd_oldest_change_seconds": _one(facts.get("oldest_change_s")),
        "ragd_documents": [((state,), number) for state, number in (facts.get("documents") or {}).items()],
        "ragd_chunks": _one(chunks.get("total")),
        "ragd_chunks_without_vector": _one(lacking),
        "ragd_files_in_flight": _one(progress.get("files_in_flight")),
        "ragd_chunks_in_flight": _one(progress.get("chunks_in_flight")),
        "ragd_roots": [((state,), number) for state, number in sorted({"ok": 0, **states}.items())],
        "ragd_roots_scanned_only": _one(scanned_only),
        "ragd_deletions_held": _one(sum(root.get("held") is not None for root in roots)),
    }


def _work(facts: Facts) -> dict[str, Samples]:
    workers, wanted = facts.get("workers", ()), facts.get("workers_wanted") or {}
    kinds = sorted({*wanted, *(worker["queue"] for worker in workers)})
    alive = Counter(worker["queue"] for worker in workers)
    busy = Counter(worker["queue"] for worker in workers if worker["is_busy"])
    is_known = bool((facts.get("redis") or {}).get("version"))
    spent = (facts.get("spend") or {}).get("total") or {}
    return {
        "ragd_queue_jobs": [((queue,), number) for queue, number in (facts.get("queues") or {}).items()],
        "ragd_queue_oldest_seconds": [((queue,), age) for queue, age in (facts.get("queue_ages_s") or {}).items()],
        "ragd_workers": [((kind,), alive[kind]) for kind in kinds] if is_known else [],
        "ragd_workers_busy": [((kind,), busy[kind]) for kind in kinds] if is_known else [],
        "ragd_workers_wanted": [((kind,), number) for kind, number in wanted.items()],
        "ragd_child_deaths_total": [((kind,), deaths) for kind, deaths in (facts.get("deaths") or {}).items()],
        "ragd_spend_cpu_seconds_total": [((what,), cost["cpu_s"]) for what, cost in spent.items()],
        "ragd_spend_gpu_seconds_total": [((what,), cost["gpu_s"]) for what, cost in spent.items()],
    }


def _redis(facts: Facts) -> dict[str, Samples]:
    redis = facts.get("redis")
    if redis is None:
        return {}
    is_up, ping_ms = bool(redis.get("version")), redis.get("ping_ms")
    return {
        "ragd_redis_up": _one(is_up),
        "ragd_redis_info": [((redis["kind"], redis.get("version", "")), 1.0)] if redis.get("kind") else [],
        "ragd_redis_memory_bytes": _one(redis.get("memory_bytes")),
        "ragd_redis_ping_seconds": _one(None if ping_ms is None else ping_ms / 1000),
    }


def _indexes(facts: Facts) -> dict[str, Samples]:
    known = facts.get("generations", ())

    def each(key: str) -> Samples:
        return [((one["id"],), one.get(key)) for one in known]

    return {
        "ragd_index_info": [
            ((one["id"], one["kind"], one["model"], str(one["serving"]).lower()), 1.0) for one in known
        ],
        "ragd_index_chunks": each("chunks"),
        "ragd_index_lacking_chunks": each("lacking"),
        "ragd_index_size_bytes": each("size_bytes"),
        "ragd_index_dimension": each("dimension"),
        "ragd_index_ann_recall": each("ann_recall"),
        "ragd_snapshot_age_seconds": each("snapshot_age_s"),
        "ragd_snapshot_behind": each("snapshot_behind"),
    }


def _proof(facts: Facts) -> dict[str, Samples]:
    proof = facts.get("proof") or {}
    return {
        "ragd_proof_age_seconds": _one(max(0.0, facts["told_at"] - proof["at"]) if proof else None),
        "ragd_proof_equal": _one(proof.get("is_equal")),
        "ragd_proof_wrong_rows": _one(proof.get("wrong")),
    }


def _machine(facts: Facts) -> dict[str, Samples]:
    process, disk = facts.get("process") or {}, facts.get("disk") or {}
    return {
        "ragd_process_memory_bytes": _one(process.get("memory_bytes")),
        "ragd_process_open_fds": _one(process.get("open_fds")),
        "ragd_process_threads": _one(process.get("threads")),
        "ragd_process_cpu_seconds_total": _one(process.get("cpu_s")),
        "ragd_disk_free_bytes": _one(disk.get("free_bytes")),
        "ragd_disk_size_bytes": _one(disk.get("size_bytes")),
        "ragd_catalog_size_bytes": _one(disk.get("catalog_bytes")),
    }


def _one(value: float | None) -> Samples:
    return [((), value)]


def _family(name: str, samples: Samples) -> Metric:
    metric = METRICS[name]
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(name, metric.meaning, labels=metric.labels)
    for labels, value in samples:
        if value is not None:
            family.add_metric([_told(label) for label in labels], float(value))
    return family


def _told(label: object) -> str:
    """A path may hold bytes that are no UTF-8."""
    return str(label).encode("utf-8", "backslashreplace").decode()
