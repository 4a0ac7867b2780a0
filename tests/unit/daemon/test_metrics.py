"""The status as Prometheus metrics: every name in the table is told, nothing else is, and no figure is made up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ragd.daemon.meters import Meters
from ragd.daemon.metric_names import METRICS
from ragd.daemon.metrics import StatusCollector, families
from ragd.domain.errors import StateCorrupt

GENERATION = {
    "id": 3,
    "model": "minilm",
    "kind": "ivf",
    "serving": True,
    "chunks": 120_000,
    "lacking": 7,
    "size_bytes": 92_000_000,
    "dimension": 384,
    "snapshot_age_s": 12.5,
    "snapshot_behind": 9,
    "ann_recall": 0.985,
}
FACTS: dict[str, Any] = {
    "state": "degraded",
    "reasons": ["a folder is missing", "no train worker is running"],
    "version": "1.2",
    "started_at": 1000.0,
    "loop_s": 0.1,
    "oldest_change_s": 4.0,
    "documents": {"pending": 1, "text": 2, "searchable": 3, "failed": 4},
    "chunks": {"total": 120_007, "with_vectors": 120_000},
    "progress": {"files_in_flight": 5, "chunks_in_flight": 6},
    "watch": [
        {"state": "ok", "is_watching": True, "held": None},
        {"state": "ok", "is_watching": False, "held": None},
        {"state": "missing", "is_watching": False, "held": {"count": 9}},
    ],
    "queues": {"extract": 2, "embed": 0},
    "queue_ages_s": {"extract": 1.5, "embed": 0.0},
    "workers": [{"queue": "embed", "is_busy": True}, {"queue": "embed", "is_busy": False}],
    "workers_wanted": {"extract": 1, "embed": 2},
    "deaths": {"embed": 1, "redis": 0},
    "redis": {"kind": "embedded", "version": "7.2", "memory_bytes": 2048, "ping_ms": 0.4},
    "generations": [GENERATION],
    "proof": {"at": 900.0, "is_equal": True, "wrong": 0},
    "told_at": 1000.0,
    "model": {"model": "minilm", "encoder": "onnx", "adapter": None, "stage": "serving"},
    "spend": {"total": {"train": {"cpu_s": 12.0, "gpu_s": 3.0}}},
    "process": {"memory_bytes": 2e8, "open_fds": 40, "threads": 12, "cpu_s": 9.5},
    "disk": {"free_bytes": 1e9, "size_bytes": 2e9, "catalog_bytes": 5e6},
}


def told(facts: Mapping[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families(facts)
        for sample in family.samples
    }


def test_every_metric_of_the_table_is_told_and_no_other() -> None:
    registry = CollectorRegistry()
    Meters(registry)
    registry.register(StatusCollector(lambda: FACTS))
    text = generate_latest(registry).decode()
    found = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in text_string_to_metric_families(text)
    }
    found = {name for name in found if not name.endswith("_created")}
    assert found == set(METRICS)
    with_samples = {sample.name for family in families(FACTS) for sample in family.samples}
    assert with_samples == {name for name, metric in METRICS.items() if not _is_metered(name)}


def _is_metered(name: str) -> bool:
    registry = CollectorRegistry()
    Meters(registry)
    kept = {family.name for family in registry.collect()} | {f"{family.name}_total" for family in registry.collect()}
    return name in kept or name == "ragd_scrape_seconds"


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
def test_names_and_meanings_follow_the_conventions(metric: Any) -> None:
    assert re.fullmatch(r"ragd_[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert not re.search(r"_(ms|millis|kb|mb|minutes|hours|percent)(_|$)", metric.name)
    assert metric.meaning.endswith(".")
    assert all(re.fullmatch(r"[a-z]+", label) for label in metric.labels)


def test_figures_are_those_of_the_status() -> None:
    samples = told(FACTS)
    assert samples["ragd_state", (("state", "degraded"),)] == 1
    assert samples["ragd_state", (("state", "ready"),)] == 0
    assert samples["ragd_documents", (("state", "failed"),)] == 4
    assert samples["ragd_chunks_without_vector", ()] == 7
    assert samples["ragd_workers", (("queue", "embed"),)] == 2
    assert samples["ragd_workers", (("queue", "extract"),)] == 0
    assert samples["ragd_workers_busy", (("queue", "embed"),)] == 1
    assert samples["ragd_redis_ping_seconds", ()] == pytest.approx(0.0004)
    assert samples["ragd_roots", (("state", "missing"),)] == 1
    assert samples["ragd_roots_scanned_only", ()] == samples["ragd_deletions_held", ()] == 1
    assert samples["ragd_spend_gpu_seconds_total", (("what", "train"),)] == 3.0
    labels = (("generation", "3"), ("kind", "ivf"), ("model", "minilm"), ("serving", "true"))
    assert samples["ragd_index_info", labels] == 1


def test_what_is_not_known_is_left_out_and_not_told_as_nothing() -> None:
    away = FACTS | {"redis": {"kind": "embedded", "url": "unix:"}, "queues": {}, "queue_ages_s": {}, "workers": []}
    names = {name for name, _ in told(away)}
    assert told(away)["ragd_redis_up", ()] == 0
    assert names.isdisjoint({"ragd_workers", "ragd_queue_jobs", "ragd_queue_oldest_seconds", "ragd_redis_ping_seconds"})
    exact = FACTS | {"generations": [GENERATION | {"ann_recall": None, "snapshot_age_s": None}], "proof": None}
    names = {name for name, _ in told(exact)}
    assert names.isdisjoint({"ragd_index_ann_recall", "ragd_snapshot_age_seconds"})
    assert not any(name.startswith("ragd_proof") for name in names)


def test_a_catalog_that_cannot_be_read_is_told_as_failed() -> None:
    def broken() -> dict[str, Any]:
        raise StateCorrupt("catalog.db is damaged")

    registry = CollectorRegistry()
    registry.register(StatusCollector(broken))
    text = generate_latest(registry).decode()
    assert 'ragd_state{state="failed"} 1.0' in text
    assert "ragd_reasons 1.0" in text
    assert "\nragd_chunks " not in text


def test_a_model_named_by_bytes_that_are_no_text_does_not_end_a_scrape() -> None:
    registry = CollectorRegistry()
    registry.register(StatusCollector(lambda: FACTS | {"model": FACTS["model"] | {"model": 'm\udcff"\n'}}))
    assert b'model="m\\\\udcff\\"\\n"' in generate_latest(registry)
