"""How long the oldest job of each queue has waited, from a real Redis."""

from __future__ import annotations

import time

from ragd.domain.work import EmbedBatch
from ragd.jobs.ages import oldest_jobs
from ragd.jobs.broker import Broker
from ragd.jobs.queue import Queues


def batch(name: str, *, fresh: bool = False) -> EmbedBatch:
    return EmbedBatch(name, 1, "f" * 16, (1,), ("text",), fresh)


def test_the_oldest_job_counts_also_behind_fresh_ones(broker: Broker, queues: Queues) -> None:
    assert oldest_jobs(broker) == {"extract": 0.0, "embed": 0.0, "index": 0.0, "train": 0.0}
    begun = time.time()
    queues.embed(batch("bulk-1"))
    queues.embed(batch("bulk-2"))
    queues.embed(batch("fresh-3", fresh=True))
    broker.connection.hset("rq:job:bulk-1", "created_at", "2026-01-01T00:00:00.000000Z")
    ages = oldest_jobs(broker, lambda: 1767225600.0 + 90.0)
    assert ages == {"extract": 0.0, "embed": 90.0, "index": 0.0, "train": 0.0}
    broker.connection.delete("rq:job:bulk-1")
    assert 0.0 <= oldest_jobs(broker)["embed"] <= time.time() - begun


def test_whatever_else_redis_holds_there_is_no_age(broker: Broker, queues: Queues) -> None:
    for number, value in enumerate((b"", b"yesterday", b"\xff\xfe", b"9999-99-99T00:00:00Z")):
        queues.embed(batch(f"bulk-{number}"))
        broker.connection.hset(f"rq:job:bulk-{number}", "created_at", value)
    assert oldest_jobs(broker)["embed"] == 0.0
