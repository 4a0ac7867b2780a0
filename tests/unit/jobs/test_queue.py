from __future__ import annotations

import pytest

from ragd.domain.errors import BrokerUnavailable
from ragd.domain.training import RunOutcome
from ragd.domain.work import EmbedBatch, ExtractBatch
from ragd.jobs.broker import IN_PREFIX, Broker
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode
from ragd.jobs.queue import Queues, RunEnded, RunProgress, TrainJob


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


def test_a_run_is_queued_once_and_forgets_an_earlier_wish_to_stop(broker: Broker, queues: Queues) -> None:
    queues.stop_run("r1")
    assert queues.is_stopped("r1")
    assert queues.train("r1", "/runs/r1")
    assert not queues.train("r1", "/runs/r1")
    assert not queues.is_stopped("r1")
    assert queues.lengths()["train"] == 1


def test_a_run_is_alive_until_its_end_was_taken(broker: Broker, queues: Queues) -> None:
    queues.train("r1", "/runs/r1")
    worker = Hold(broker.connection, "train", "w")
    taken = worker.take(None)
    assert taken is not None
    assert decode(TrainJob, taken.task.body) == TrainJob("r1", "/runs/r1")
    outcome = RunOutcome("trained", "work/out", {"a.json": "0" * 64}, {"rank": 8, "form": "residual"}, loss=0.5)
    queues.run_progress(RunProgress("r1", 1, 2.5, 3, 10, {"loss": 0.25}))
    queues.run_ended(RunEnded("r1", outcome))
    worker.finish(taken.task)
    assert queues.is_alive("r1")
    index = Hold(broker.connection, "index", "daemon")
    told = [index.take(None), index.take(None)]
    assert [each.task.name for each in told if each] == ["run_progress", "run_ended"]
    assert told[0] is not None
    assert decode(RunProgress, told[0].task.body).metrics == {"loss": 0.25}
    assert told[1] is not None
    assert decode(RunEnded, told[1].task.body) == RunEnded("r1", outcome)
    assert not queues.is_alive("r1")
    assert queues.train("r1", "/runs/r1")


def test_a_daemon_that_starts_anew_forgets_files_under_way(broker: Broker, queues: Queues) -> None:
    broker.connection.set("ragd:files:r1:out", b"x")
    queues.train("r1", "/runs/r1")
    broker.reset()
    assert not broker.connection.exists("ragd:files:r1:out")
    assert not queues.is_alive("r1")


def test_a_run_keeps_its_job_for_as_long_as_it_waits_and_trains(broker: Broker, queues: Queues) -> None:
    queues.extract(ExtractBatch("bulk-1", b"/", (), False))
    queues.train("r1", "/runs/r1")
    assert broker.connection.ttl(f"{IN_PREFIX}bulk-1") > 0
    assert broker.connection.ttl(f"{IN_PREFIX}r1") == -1
    worker = Hold(broker.connection, "train", "w")
    taken = worker.take(None)
    assert taken is not None
    worker.fail(taken.task, "it ended two workers")
    assert broker.connection.ttl(f"{IN_PREFIX}r1") > 0
