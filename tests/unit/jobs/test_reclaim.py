from __future__ import annotations

import os
from typing import cast

from ragd.domain.work import ExtractBatch
from ragd.jobs.broker import Broker
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode
from ragd.jobs.pulse import WORKERS_KEY, Pulse
from ragd.jobs.queue import Queues, Trouble, body_key
from ragd.jobs.reclaim import Reclaimer
from ragd.jobs.roll import silent_workers, worker_name, workers


def batch(name: str, *, fresh: bool = False) -> ExtractBatch:
    return ExtractBatch(f"{'fresh' if fresh else 'bulk'}-{name}", b"/root", (), fresh)


def at_work(broker: Broker, name: str, jobs: int = 1) -> Hold:
    """A worker that has registered and taken jobs, and will never be heard of again."""
    facts = {"queues": "extract", "pid": "1", "hostname": "h", "state": "busy"}
    Pulse(broker.connect(), f"rq:worker:{name}", "extract", lambda: facts, ttl_s=30).beat()
    hold = Hold(broker.connection, "extract", name)
    for _ in range(jobs):
        assert hold.take(None) is not None
    return hold


def waiting(broker: Broker, queue: str = "extract") -> list[bytes]:
    return cast("list[bytes]", broker.connection.lrange(f"rq:queue:{queue}", 0, -1))


def test_what_a_dead_worker_held_goes_to_the_front_in_its_old_order(broker: Broker, queues: Queues) -> None:
    for name in "123":
        queues.extract(batch(name))
    at_work(broker, "w", jobs=2)
    queues.extract(batch("4", fresh=True))
    assert Reclaimer(broker, queues).worker_died("extract", "w") == 2
    assert waiting(broker) == [b"fresh-4", b"bulk-1", b"bulk-2", b"bulk-3"]
    assert workers(broker) == ()
    assert Reclaimer(broker, queues).worker_died("extract", "w") == 0


def test_a_batch_that_ends_two_workers_comes_to_the_daemon_as_lost(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("bad"))
    reclaimer = Reclaimer(broker, queues)
    for name in ("first", "second"):
        at_work(broker, name)
        reclaimer.worker_died("extract", name)
    assert waiting(broker) == []
    (job_id,) = waiting(broker, "index")
    body = cast("bytes", broker.connection.get(body_key("index", job_id.decode())))
    assert decode(Trouble, body) == Trouble("extract", "bulk-bad", "the batch ended 2 workers", "", True)
    assert broker.connection.hget("rq:job:bulk-bad", "status") == b"failed"


def test_a_process_is_known_by_its_number(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("a"))
    at_work(broker, worker_name("extract", 12) + "x")
    reclaimer = Reclaimer(broker, queues)
    assert reclaimer.process_died("extract", 1) == 0
    assert reclaimer.process_died("extract", 12) == 1
    assert waiting(broker) == [b"bulk-a"]


def test_a_worker_whose_heart_stopped_is_reclaimed_wherever_it_was(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("a"))
    at_work(broker, "far")
    now = [100.0]
    reclaimer = Reclaimer(broker, queues, silent_s=6.0, clock=lambda: now[0])
    assert reclaimer.step() == 0
    broker.connection.delete("rq:worker:far")  # as when its time to live runs out
    assert reclaimer.step() == 0
    now[0] += 6.0
    assert reclaimer.step() == 1
    assert silent_workers(broker) == ()
    assert broker.connection.smembers(WORKERS_KEY) == set()


def test_signs_of_life_that_expired_all_at_once_cost_no_worker_its_job(broker: Broker, queues: Queues) -> None:
    now = [100.0]
    reclaimer = Reclaimer(broker, queues, silent_s=6.0, clock=lambda: now[0])
    queues.extract(batch("slow"))
    at_work(broker, "alive")
    for _ in range(3):
        broker.connection.delete("rq:worker:alive")  # the clock was set forward
        assert reclaimer.step() == 0
        now[0] += 5.0
        at_work(broker, "alive", jobs=0)  # the next beat
        assert reclaimer.step() == 0
        now[0] += 5.0
    assert waiting(broker) == waiting(broker, "index") == []


def test_a_worker_that_comes_back_late_ends_nothing_twice(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("a"))
    late = at_work(broker, "late")
    Reclaimer(broker, queues).worker_died("extract", "late")
    late.give_back("bulk-a", counts=False)
    late.release()
    assert waiting(broker) == [b"bulk-a"]


def test_signs_of_life_are_known_by_queue_and_process(broker: Broker, queues: Queues) -> None:
    told = iter((b"one", b"two"))
    name = worker_name("extract", 12) + "x"
    facts = {"queues": "extract"}
    pulse = Pulse(
        broker.connect(),
        f"rq:worker:{name}",
        "extract",
        lambda: facts | {"last_heartbeat": next(told).decode()},
        ttl_s=30,
    )
    reclaimer = Reclaimer(broker, queues)
    seen = []
    for _ in range(2):
        pulse.beat()
        seen.append(dict(reclaimer.beats()))
    broker.connection.delete(f"rq:worker:{name}")
    assert [*seen, reclaimer.beats()] == [{("extract", 12): beat} for beat in (b"one", b"two", b"")]


def test_what_others_wrote_into_the_register_is_passed_over(broker: Broker, queues: Queues) -> None:
    at_work(broker, worker_name("extract", 12) + "x", jobs=0)
    broker.connection.sadd(WORKERS_KEY, b"\xff\xfe", "rq:worker:list", "rq:worker:odd")
    broker.connection.sadd(f"{WORKERS_KEY}:extract", b"\xff\xfe", "rq:worker:extract-h-1-z")
    broker.connection.rpush("rq:worker:list", "x")
    broker.connection.hset("rq:worker:odd", mapping={"queues": "extract", "pid": "many"})
    assert [worker.pid for worker in workers(broker)] == [1]
    assert Reclaimer(broker, queues, silent_s=0.0).step() == 0
    assert [name for _, name in silent_workers(broker)] == []
    assert [pid for _, pid in Reclaimer(broker, queues).beats()] == [12]


def test_registering_tells_who_works_where(broker: Broker, queues: Queues) -> None:
    queues.extract(batch("a"))
    at_work(broker, f"extract-h-{os.getpid()}-1")
    (facts,) = workers(broker)
    assert (facts.queue, facts.host, facts.pid, facts.is_busy, facts.problem) == ("extract", "h", 1, True, "")


def test_a_run_may_end_many_workers_because_it_goes_on_where_it_was(broker: Broker, queues: Queues) -> None:
    queues.train("r1", "/runs/r1")
    for number in range(5):
        assert Hold(broker.connection, "train", f"w{number}").take(None) is not None
        assert Reclaimer(broker, queues).worker_died("train", f"w{number}") == 1
    assert queues.lengths()["train"] == 1
    assert queues.lengths()["index"] == 0


def test_daemons_of_before_are_struck_off_so_that_the_roll_does_not_grow(broker: Broker, queues: Queues) -> None:
    facts = {"queues": "index", "pid": "1", "hostname": "h", "state": "busy"}
    for name in ("one", "two", "now"):
        Pulse(broker.connect(), f"rq:worker:{name}", "index", lambda: facts, ttl_s=30).beat()
    broker.connection.delete("rq:worker:one", "rq:worker:two")
    assert Reclaimer(broker, queues, silent_s=0.0).step() == 0
    assert broker.connection.smembers(WORKERS_KEY) == {b"rq:worker:now"}
    assert broker.connection.smembers(f"{WORKERS_KEY}:index") == {b"rq:worker:now"}
