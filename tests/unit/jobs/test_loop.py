from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from rq.job import Job
from rq.queue import Queue
from rq.serializers import JSONSerializer

from ragd.domain.errors import BrokerUnavailable, DiskFull, JobRefused, ModelMismatch
from ragd.domain.work import ExtractBatch
from ragd.jobs import loop
from ragd.jobs.broker import Broker
from ragd.jobs.hold import Handler, Hold, Task
from ragd.jobs.lane import NamedJob, open_queue
from ragd.jobs.loop import run_worker
from ragd.jobs.options import Ending, WorkerOptions
from ragd.jobs.queue import Queues
from ragd.jobs.roll import WorkerFacts, workers


def batch(name: str, *, fresh: bool = False) -> ExtractBatch:
    return ExtractBatch(f"{'fresh' if fresh else 'bulk'}-{name}", b"/root", (), fresh)


def work(
    broker: Broker,
    handler: Handler,
    *,
    revision: bytes = b"",
    failed: Callable[[Task, Exception], None] | None = None,
) -> Ending:
    return run_worker("extract", broker, {"extract": handler}, WorkerOptions("", revision, failed, burst=True))


def test_a_job_is_run_once_and_leaves_nothing_behind(broker: Broker, queues: Queues) -> None:
    seen: list[Task] = []
    queues.extract(batch("a"))
    assert work(broker, seen.append) is Ending.EMPTY
    assert [(task.name, task.batch_id, task.attempt, task.is_fresh) for task in seen] == [
        ("extract", "bulk-a", 1, False)
    ]
    assert b"bulk-a" in seen[0].body
    assert set(broker.connection.keys("*")) <= {b"rq:queues"}


def test_fresh_jobs_go_first_and_keep_their_order_among_themselves(broker: Broker, queues: Queues) -> None:
    for name, fresh in (("1", False), ("2", False), ("3", True), ("4", True), ("5", False)):
        queues.extract(batch(name, fresh=fresh))
    seen: list[str] = []
    work(broker, lambda task: seen.append(task.batch_id))
    assert seen == ["fresh-3", "fresh-4", "bulk-1", "bulk-2", "bulk-5"]


def test_a_function_named_by_hand_is_refused_and_never_imported(broker: Broker, tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    Queue("extract", connection=broker.connection, serializer=JSONSerializer).enqueue(
        "os.system", f"touch {proof}", job_id="evil", on_failure=None
    )
    assert work(broker, lambda task: None) is Ending.EMPTY
    assert not proof.exists()
    assert broker.connection.hget("rq:job:evil", "status") == b"failed"
    assert b"JobRefused" in (broker.connection.hget("rq:job:evil", "reason") or b"")


def test_a_pickled_job_is_refused_and_never_loaded(broker: Broker, tmp_path: Path) -> None:
    Queue("extract", connection=broker.connection).enqueue(os.mkdir, str(tmp_path / "proof"), job_id="evil")
    work(broker, lambda task: None)
    assert not (tmp_path / "proof").exists()
    assert broker.connection.hget("rq:job:evil", "status") == b"failed"


def test_a_job_itself_never_resolves_a_name_a_callback_or_an_address(broker: Broker) -> None:
    rq_queue = Queue("extract", connection=broker.connection, serializer=JSONSerializer)
    rq_queue.enqueue("os.getpid", job_id="evil", meta={"a": 1})
    hostile = {"success_callback_name": "os.abort", "failure_callback_name": "os.abort", "webhooks": '[{"url": "x"}]'}
    for name, value in hostile.items():
        broker.connection.hset("rq:job:evil", name, value)
    job: Job = NamedJob.fetch("evil", connection=broker.connection, serializer=JSONSerializer)
    assert (job.success_callback, job.failure_callback, job.stopped_callback, job.webhooks) == (None, None, None, [])
    with pytest.raises(JobRefused, match=r"'os\.getpid', and names are never imported"):
        job.perform()


def test_a_job_that_cannot_be_done_is_given_up_and_told(broker: Broker, queues: Queues) -> None:
    told: list[tuple[str, str]] = []

    def refuse(task: Task) -> None:
        raise ModelMismatch("another model")

    queues.extract(batch("a"))
    work(broker, refuse, failed=lambda task, error: told.append((task.batch_id, str(error))))
    assert told == [("bulk-a", "another model")]
    assert broker.connection.zrange("rq:failed:extract", 0, -1) == [b"bulk-a"]
    for key in ("rq:failed:extract", "rq:job:bulk-a"):
        assert 3590 < broker.connection.ttl(key) <= 3600  # an hour, and nothing of it is left


def test_a_bug_is_tried_three_times_with_its_traceback(
    broker: Broker, queues: Queues, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[int] = []

    def break_down(task: Task) -> None:
        attempts.append(task.attempt)
        raise ZeroDivisionError("a bug")

    queues.extract(batch("a"))
    work(broker, break_down)
    assert attempts == [1, 2, 3]
    assert "ZeroDivisionError: a bug" in caplog.text
    assert broker.connection.hget("rq:job:bulk-a", "status") == b"failed"


def test_work_that_cannot_be_done_now_is_kept_and_said_once(
    broker: Broker, queues: Queues, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "_PAUSES_S", (0.001, 0.002))
    attempts: list[int] = []

    def fill_up(task: Task) -> None:
        attempts.append(task.attempt)
        if len(attempts) < 5:
            raise DiskFull("no room")

    queues.extract(batch("a"))
    caplog.set_level(logging.INFO, "ragd.jobs")
    work(broker, fill_up)
    assert attempts == [1] * 5
    assert caplog.text.count("work_waits") == 1
    assert caplog.text.count("work_goes_on") == 1


def test_what_is_left_of_a_job_goes_behind_the_fresh_ones(broker: Broker, queues: Queues) -> None:
    seen: list[tuple[str, bytes]] = []

    def halve(task: Task) -> bytes | None:
        seen.append((task.batch_id, task.body[:4]))
        if len(seen) == 1:
            queues.extract(batch("b", fresh=True))
            return b"rest"
        return None

    queues.extract(batch("a"))
    queues.extract(batch("c"))
    work(broker, halve)
    assert [name for name, _ in seen] == ["bulk-a", "fresh-b", "bulk-a", "bulk-c"]
    assert seen[2][1] == b"rest"


def test_other_settings_end_the_loop_and_put_the_job_back(broker: Broker, queues: Queues) -> None:
    broker.connection.set("ragd:settings:revision", "new")
    queues.extract(batch("a"))
    assert work(broker, lambda task: None, revision=b"old") is Ending.SETTINGS_CHANGED
    assert queues.lengths()["extract"] == 1
    assert broker.connection.hget("rq:job:bulk-a", "attempts") == b"0"


def test_a_worker_is_on_the_roll_while_it_works_and_not_after(broker: Broker, queues: Queues) -> None:
    seen: list[WorkerFacts] = []
    queues.extract(batch("a"))
    work(broker, lambda task: seen.extend(workers(broker)))
    assert [(facts.queue, facts.pid, facts.is_busy) for facts in seen] == [("extract", os.getpid(), True)]
    assert workers(broker) == ()


def test_the_signal_to_stop_lets_the_job_at_work_finish(broker: Broker, queues: Queues) -> None:
    done: list[str] = []

    def stop_meanwhile(task: Task) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        done.append(task.batch_id)

    queues.extract(batch("a"))
    queues.extract(batch("b"))
    before = signal.getsignal(signal.SIGTERM)
    ending = run_worker("extract", broker, {"extract": stop_meanwhile})
    assert (ending, done) == (Ending.STOPPED, ["bulk-a"])
    assert queues.lengths()["extract"] == 1
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_signal_to_stop_ends_an_idle_worker_at_once(broker: Broker) -> None:
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert run_worker("extract", broker, {}) is Ending.STOPPED


def test_a_redis_that_answers_and_cannot_write_is_asked_less_and_less_and_said_once(
    broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[float | None] = []

    def take(_hold: Hold, wait_s: float | None) -> None:
        asked.append(wait_s)
        raise redis.exceptions.ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    monkeypatch.setattr(Hold, "take", take)
    threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGTERM)).start()
    assert run_worker("extract", broker, {}) is Ending.STOPPED
    assert 2 <= len(asked) <= 5
    assert caplog.text.count("broker_away") == 1


def test_a_job_whose_handler_cannot_reach_redis_comes_back(broker: Broker, queues: Queues) -> None:
    def unreachable(task: Task) -> None:
        raise BrokerUnavailable("away")

    queues.extract(batch("a"))
    queues.extract(batch("b"))
    seen: list[str] = []

    def first_away(task: Task) -> None:
        seen.append(task.batch_id)
        if len(seen) == 1:
            unreachable(task)

    work(broker, first_away)
    assert seen == ["bulk-a", "bulk-a", "bulk-b"]


def test_a_job_whose_hash_is_gone_is_passed_over(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("a"))
    broker.connection.delete("rq:job:bulk-a")
    seen: list[str] = []
    work(broker, lambda task: seen.append(task.batch_id))
    assert seen == []
    assert broker.connection.keys("ragd:held:*") == []


def test_the_queue_is_json_only(broker: Broker) -> None:
    assert open_queue(broker, "extract").serializer is JSONSerializer
