from __future__ import annotations

import pytest

from ragd.domain.errors import BrokerUnavailable
from ragd.domain.work import EmbedBatch, ExtractBatch
from ragd.jobs.broker import Broker
from ragd.jobs.hold import Hold
from ragd.jobs.queue import Queues


def take(broker: Broker, queue: str) -> str:
    taken = Hold(broker.connection, queue, "w").take(None)
    assert taken is not None
    return taken.task.name


def test_the_lengths_count_what_waits(broker: Broker, queues: Queues) -> None:
    queues.extract(ExtractBatch("bulk-1", b"/", (), False))
    queues.embed(EmbedBatch("fresh-1", 1, "f", (), (), True))
    queues.plan(1, (), is_fresh=True)
    assert queues.lengths() == {"extract": 1, "embed": 1, "index": 1, "train": 0}


def test_one_tick_waits_at_a_time_and_one_at_work_does_not_count(broker: Broker, queues: Queues) -> None:
    queues.tick()
    queues.tick()
    assert queues.lengths()["index"] == 1
    assert take(broker, "index") == "tick"
    queues.tick()
    assert queues.lengths()["index"] == 1


def test_a_batch_is_alive_until_its_answer_was_taken(broker: Broker, queues: Queues) -> None:
    assert not queues.is_alive("bulk-1")
    queues.extract(ExtractBatch("bulk-1", b"/", (), False))
    assert queues.is_alive("bulk-1")
    worker = Hold(broker.connection, "extract", "w")
    taken = worker.take(None)
    assert taken is not None
    assert queues.is_alive("bulk-1")
    queues.commit_text("bulk-1", ())
    worker.finish(taken.task)
    assert queues.is_alive("bulk-1")
    assert take(broker, "index") == "commit_text"
    assert not queues.is_alive("bulk-1")


def test_only_the_head_of_the_queue_tells_whether_fresh_work_waits(queues: Queues) -> None:
    assert not queues.fresh_waits("embed")
    queues.embed(EmbedBatch("bulk-1", 1, "f", (), (), False))
    assert not queues.fresh_waits("embed")
    queues.embed(EmbedBatch("fresh-1", 1, "f", (), (), True))
    assert queues.fresh_waits("embed")


def test_an_id_that_contradicts_its_batch_is_a_bug(queues: Queues) -> None:
    with pytest.raises(ValueError, match="begins with 'fresh-' exactly when it is fresh: bulk-1"):
        queues.extract(ExtractBatch("bulk-1", b"/", (), True))


def test_a_redis_that_is_away_is_one_clear_error() -> None:
    queues = Queues(Broker("redis://127.0.0.1:1/0", timeout_s=1))
    with pytest.raises(BrokerUnavailable, match=r"redis://127\.0\.0\.1:1/0 cannot be used"):
        queues.extract(ExtractBatch("bulk-1", b"/", (), False))
