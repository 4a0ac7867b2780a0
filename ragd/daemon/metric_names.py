"""Every metric of `/metrics` as a value: its name, kind, labels and meaning. Nothing is told under another name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["gauge", "counter", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `labels` in the order in which values are given."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()


_ALL = (
    Metric("ragd_info", "gauge", "Always 1; the version that runs.", ("version",)),
    Metric("ragd_start_time_seconds", "gauge", "When the daemon started, Unix seconds."),
    Metric(
        "ragd_state",
        "gauge",
        "1 for the state that holds: `ready`, `indexing`, `degraded` (it answers, and needs a look) or `failed`.",
        ("state",),
    ),
    Metric("ragd_reasons", "gauge", "How many reasons `ragd status` gives for being degraded or failed."),
    Metric("ragd_loop_seconds", "gauge", "How long ago the committing thread was heard of."),
    Metric("ragd_scrape_seconds", "gauge", "What gathering these figures took."),
    Metric(
        "ragd_freshness_seconds",
        "histogram",
        "From a change being seen to its being searchable by `words`, and by `meaning`; `lane` is `fresh` for edits, "
        "`bulk` for floods of files and first indexing.",
        ("step", "lane"),
    ),
    Metric("ragd_oldest_change_seconds", "gauge", "How long the oldest change has waited that is not searchable yet."),
    Metric(
        "ragd_documents",
        "gauge",
        "Documents: `pending` (to be read), `text` (found by words only yet), `searchable`, `failed`.",
        ("state",),
    ),
    Metric("ragd_chunks", "gauge", "Live chunks: texts that some document holds."),
    Metric("ragd_chunks_without_vector", "gauge", "Live chunks that are not found by meaning yet."),
    Metric("ragd_files_in_flight", "gauge", "Files that workers are reading."),
    Metric("ragd_chunks_in_flight", "gauge", "Chunks that workers are encoding."),
    Metric("ragd_roots", "gauge", "Watched folders by state: `ok`, or what is wrong.", ("state",)),
    Metric("ragd_roots_scanned_only", "gauge", "Watched folders that tell no events and are walked now and then."),
    Metric("ragd_deletions_held", "gauge", "Watched folders whose mass deletion waits for a person's word."),
    Metric("ragd_edited_chars_total", "counter", "Characters of the texts that changes brought in."),
    Metric(
        "ragd_encoded_chars_total",
        "counter",
        "Characters given to the encoder, for a `change` or to `fill` another model's space. Over "
        "`ragd_edited_chars_total`: what share of an edit is encoded again.",
        ("why",),
    ),
    Metric("ragd_encoded_chunks_total", "counter", "Chunks encoded, for a `change` or to `fill`.", ("why",)),
    Metric("ragd_encode_seconds_total", "counter", "Seconds of encoding, for a `change` or to `fill`.", ("why",)),
    Metric("ragd_queue_jobs", "gauge", "Jobs that wait in a queue.", ("queue",)),
    Metric("ragd_queue_oldest_seconds", "gauge", "How long the oldest job has waited in a queue.", ("queue",)),
    Metric("ragd_workers", "gauge", "Workers with a heartbeat, here and on other machines.", ("queue",)),
    Metric("ragd_workers_busy", "gauge", "Workers that have a job.", ("queue",)),
    Metric("ragd_workers_wanted", "gauge", "Workers that this daemon is to keep running.", ("queue",)),
    Metric(
        "ragd_child_deaths_total",
        "counter",
        "Children that ended by themselves and were started again: workers, and the private `redis`.",
        ("kind",),
    ),
    Metric("ragd_redis_up", "gauge", "1 while Redis answers."),
    Metric(
        "ragd_redis_info",
        "gauge",
        "Always 1; `embedded` (ragd's own) or `configured`, and its version.",
        ("kind", "version"),
    ),
    Metric("ragd_redis_memory_bytes", "gauge", "Memory that Redis uses."),
    Metric("ragd_redis_ping_seconds", "gauge", "The round trip to Redis."),
    Metric(
        "ragd_index_info",
        "gauge",
        "Always 1; an index by its generation: `exact` or `ivf`, whose vectors, and whether it serves.",
        ("generation", "kind", "model", "serving"),
    ),
    Metric("ragd_index_chunks", "gauge", "Vectors in an index.", ("generation",)),
    Metric("ragd_index_lacking_chunks", "gauge", "Live chunks that have no vector in it yet.", ("generation",)),
    Metric("ragd_index_size_bytes", "gauge", "Memory of an index.", ("generation",)),
    Metric("ragd_index_dimension", "gauge", "Length of its vectors.", ("generation",)),
    Metric(
        "ragd_index_ann_recall",
        "gauge",
        "Share of the true neighbours that an IVF index finds, sampled once an hour; absent for an exact one.",
        ("generation",),
    ),
    Metric("ragd_snapshot_age_seconds", "gauge", "Age of the newest snapshot of an index.", ("generation",)),
    Metric("ragd_snapshot_behind", "gauge", "Changes since the newest snapshot of an index.", ("generation",)),
    Metric("ragd_proof_age_seconds", "gauge", "Since index and catalog were last compared."),
    Metric("ragd_proof_equal", "gauge", "1 when they were equal, or were made equal, at the last comparison."),
    Metric("ragd_proof_wrong_rows", "gauge", "Rows that the last comparison found wrong."),
    Metric(
        "ragd_model_info",
        "gauge",
        "Always 1; the encoder that queries go through, its adapter, and its stage.",
        ("model", "encoder", "adapter", "stage"),
    ),
    Metric("ragd_search_seconds", "histogram", "What searches took, by mode.", ("mode",)),
    Metric("ragd_search_failures_total", "counter", "Searches that ended with an error, by its code.", ("code",)),
    Metric(
        "ragd_spend_cpu_seconds_total",
        "counter",
        "CPU seconds of paid work: `prepare`, `train`, `evaluate`, `backfill`, `observe`.",
        ("what",),
    ),
    Metric("ragd_spend_gpu_seconds_total", "counter", "GPU seconds of paid work.", ("what",)),
    Metric("ragd_process_memory_bytes", "gauge", "Resident memory of the daemon, without its children."),
    Metric("ragd_process_open_fds", "gauge", "Open files and sockets of the daemon."),
    Metric("ragd_process_threads", "gauge", "Threads of the daemon."),
    Metric("ragd_process_cpu_seconds_total", "counter", "CPU seconds of the daemon, without its children."),
    Metric("ragd_disk_free_bytes", "gauge", "Room left on the disk of the state folder."),
    Metric("ragd_disk_size_bytes", "gauge", "Size of the disk of the state folder."),
    Metric("ragd_catalog_size_bytes", "gauge", "Size of the catalog with its write-ahead log."),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""Every metric by its name."""
