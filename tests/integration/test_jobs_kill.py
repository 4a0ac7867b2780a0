"""Real processes, killed: no job may be lost, and none may hold up the others."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from ragd.daemon.supervisor import Patience, Supervisor
from ragd.domain.work import ExtractBatch
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import EmbeddedRedis
from ragd.jobs.hold import Hold, Task
from ragd.jobs.queue import Queues
from ragd.jobs.reclaim import Reclaimer
from ragd.jobs.roll import workers

WORKER = Path(__file__).with_name("jobs_worker.py")


def until(claim: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Waits until the claim holds, and fails when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.005)


@dataclass
class Site:
    """A private Redis, a supervisor over one worker process, and the folder through which the worker is steered."""

    folder: Path
    server: EmbeddedRedis
    broker: Broker
    queues: Queues
    supervisor: Supervisor
    answers: list[Task] = field(default_factory=list)

    @property
    def begun(self) -> list[str]:
        path = self.folder / "begun"
        return path.read_text().splitlines() if path.exists() else []

    def has_begun(self, attempts: list[str]) -> bool:
        return self.begun == attempts

    @property
    def worker_pid(self) -> int:
        pid = self.supervisor.status()[1].pid
        assert pid is not None
        return pid

    def step_until(self, claim: Callable[[], bool]) -> None:
        def stepped() -> bool:
            self.supervisor.step()
            return claim()

        until(stepped)

    def take_answers(self) -> bool:
        index = Hold(self.broker.connection, "index", "daemon")
        while (taken := index.take(None)) is not None:
            index.finish(taken.task)
            self.answers.append(taken.task)
        return bool(self.answers)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    server = EmbeddedRedis(tmp_path / "b")
    server.start()
    broker = Broker(server.url)
    queues = Queues(broker)

    def command(kind: str) -> Sequence[str]:
        return (sys.executable, str(WORKER), kind, server.url, str(tmp_path))

    reclaimer = Reclaimer(broker, queues)
    patience = Patience(first_s=0.01, most_s=0.1)
    supervisor = Supervisor({"extract": 1}, command, reclaimer, server=server, patience=patience)
    yield Site(tmp_path, server, broker, queues, supervisor)
    supervisor.stop(budget_s=0)
    broker.close()
    server.stop()


def batch(name: str) -> ExtractBatch:
    return ExtractBatch(f"bulk-{name}", b"/root", (), False)


def test_the_job_of_a_killed_worker_is_done_by_the_next_one(site: Site) -> None:
    site.queues.extract(batch("a"))
    site.step_until(lambda: site.begun == ["bulk-a 1"])
    os.kill(site.worker_pid, signal.SIGKILL)
    killed_at = time.monotonic()
    (site.folder / "go").touch()
    site.step_until(site.take_answers)
    assert site.begun == ["bulk-a 1", "bulk-a 2"]
    assert [(task.name, task.batch_id) for task in site.answers] == [("commit_text", "bulk-a")]
    assert time.monotonic() - killed_at < 10
    until(lambda: not site.queues.is_alive("bulk-a"))
    assert len(workers(site.broker)) == 1


def test_a_batch_that_kills_every_worker_is_named_after_two(site: Site) -> None:
    site.queues.extract(batch("bad"))
    for begun in (["bulk-bad 1"], ["bulk-bad 1", "bulk-bad 2"]):
        site.step_until(partial(site.has_begun, begun))
        os.kill(site.worker_pid, signal.SIGKILL)
    site.step_until(site.take_answers)
    assert [(task.name, task.batch_id) for task in site.answers] == [("trouble", "bulk-bad")]
    assert site.begun == ["bulk-bad 1", "bulk-bad 2"]


def test_a_worker_goes_on_when_redis_was_killed_and_came_back(site: Site) -> None:
    site.step_until(lambda: len(workers(site.broker)) == 1)
    pid = site.worker_pid
    assert site.server.pid is not None
    os.kill(site.server.pid, signal.SIGKILL)
    until(lambda: not site.server.is_running())
    site.step_until(site.server.is_running)
    site.queues.extract(batch("a"))
    (site.folder / "go").touch()
    site.step_until(site.take_answers)
    assert site.worker_pid == pid
    assert site.begun == ["bulk-a 1"]


def test_a_job_that_ends_while_redis_is_away_is_answered_all_the_same(site: Site) -> None:
    site.broker.connection.config_set("appendfsync", "always")
    site.queues.extract(batch("a"))
    site.step_until(lambda: site.begun == ["bulk-a 1"])
    assert site.server.pid is not None
    os.kill(site.server.pid, signal.SIGKILL)
    until(lambda: not site.server.is_running())
    (site.folder / "go").touch()
    time.sleep(0.1)  # the worker now meets a Redis that is away
    site.step_until(site.server.is_running)
    site.step_until(site.take_answers)
    assert {task.batch_id for task in site.answers} == {"bulk-a"}


def test_a_stopped_worker_finishes_the_job_at_work(site: Site) -> None:
    site.queues.extract(batch("a"))
    site.queues.extract(batch("b"))
    site.step_until(lambda: site.begun == ["bulk-a 1"])
    os.kill(site.worker_pid, signal.SIGTERM)
    (site.folder / "go").touch()
    site.supervisor.stop(budget_s=10)
    assert site.supervisor.status()[1].last_end == "exit status 0"
    assert site.take_answers()
    assert [task.batch_id for task in site.answers] == ["bulk-a"]
    assert site.queues.lengths()["extract"] == 1
    assert workers(site.broker) == ()
