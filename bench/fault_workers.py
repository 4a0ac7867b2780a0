"""What can happen to the workers: killed in a job, hung, out of memory, and answering what nobody asked for."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import psutil

from bench.fault import Outcome, Scenario
from bench.fault_site import NotSo, Site, site
from bench.stopped import stopped_thread
from ragd.domain.work import EmbedBatch, EmbedResult, ExtractBatch, ExtractResult
from ragd.jobs.broker import HELD_PREFIX, Broker
from ragd.jobs.hold import Hold
from ragd.jobs.payload import decode
from ragd.jobs.queue import Queues, Trouble
from ragd.jobs.roll import beats

_FILES: Final = 60


def killed(scratch: Path) -> Outcome:
    """Kill -9 of each worker, and of the child that reads, in the middle of a job, twice each."""
    with site(scratch) as one:
        for kind in ("extract", "embed", "sandbox") * 2:
            worker = _stopped_at_work(one, "extract" if kind == "sandbox" else kind)
            os.kill(one.child(kind), signal.SIGKILL)
            if kind == "sandbox":
                os.kill(worker, signal.SIGCONT)
            one.searches()
        return one.outcome(time.monotonic(), "six times replaced, jobs taken back")


def hung_reader(scratch: Path) -> Outcome:
    """The extract worker hangs in a job (SIGSTOP)."""
    return _hung(scratch, "extract")


def hung_encoder(scratch: Path) -> Outcome:
    """The embed worker hangs in a job (SIGSTOP)."""
    return _hung(scratch, "embed")


def stuck_reader(scratch: Path) -> Outcome:
    """The extract worker's job hangs; its other threads, and so its heartbeat, live."""
    return _stuck(scratch, "extract")


def stuck_encoder(scratch: Path) -> Outcome:
    """The embed worker's job hangs, as in a deadlock of the encoder; its heartbeat lives."""
    return _stuck(scratch, "embed")


def large_file(scratch: Path) -> Outcome:
    """A file whose reading needs more than `read.memory_mb` stands alone in `ragd failed`; everything else is read."""
    with site(scratch, environment={"RAGD_READ__MEMORY_MB": "128", "RAGD_READ__MAX_CHARS": "400000000"}) as one:
        (one.folder / "large.json").write_text(json.dumps([{"a": [n, [n]]} for n in range(1_500_000)]))
        one.edit()
        begun = time.monotonic()
        reason = _failure(one, "large.json")
        if "memory_mb" not in reason:
            raise NotSo(f"large.json failed for another reason: {reason}")
        taken_s = one.until(lambda: set(one.wrong()) == {"large.json"}, "everything else is served")
        (one.folder / "large.json").unlink()
        found = one.outcome(begun, f"said: {reason}")
        return Outcome(found.survived, found.lost, taken_s, found.note)


def no_memory(scratch: Path) -> Outcome:
    """The embed worker gets no memory any more (its address space is limited from outside), then does again."""
    with site(scratch, files=0) as one:
        one.until(lambda: any(w["queue"] == "embed" for w in one.status()["workers"]), "the embed worker is there")
        time.sleep(1.0)  # it has begun to wait for work
        pid = one.child("embed")
        resource.prlimit(pid, resource.RLIMIT_AS, (psutil.Process(pid).memory_info().vms, resource.RLIM_INFINITY))
        for _ in range(_FILES):
            one.write(paragraphs=40)
        said = one.until_said("embed", "memory")
        one.until(lambda: one.daemon.client.search(q="heron", mode="words")["hits"], "words are found")
        begun = time.monotonic()
        with suppress(ProcessLookupError):  # it may have ended of it, and been replaced by one without the limit
            resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        return one.outcome(begun, f"said: {said[:90]}")


def rubbish(scratch: Path) -> Outcome:
    """In the workers' place stands one that answers with other files, other chunks, wrong shapes, no numbers, noise."""
    one = Site(scratch, environment={"RAGD_WORKERS__EXTRACT": "0", "RAGD_WORKERS__EMBED": "0"})
    try:
        one.launch()
        with _impostor(one, "extract") as answered:
            one.until(lambda: answered() >= 4, "the impostor was given files", 30.0)
        with _workers(one, "extract"), _impostor(one, "embed") as embedded:
            one.until(lambda: embedded() >= 6, "the impostor was given texts", 60.0)
        begun = time.monotonic()
        with _workers(one, "extract", "embed"):
            found = one.outcome(begun, f"{answered() + embedded()} strange answers refused, their jobs done again")
            one.searches()
            return found
    finally:
        one.close()


def _hung(scratch: Path, kind: str) -> Outcome:
    with site(scratch) as one:
        pid = _stopped_at_work(one, kind)
        begun = time.monotonic()
        one.searches()
        _until_gone(one, pid)
        noticed_s = time.monotonic() - begun
        return one.outcome(begun, f"noticed and replaced after {noticed_s:.0f} s")


def _stuck(scratch: Path, kind: str) -> Outcome:
    with site(scratch, environment={"RAGD_WORKERS__STUCK_S": "30", "RAGD_READ__TIMEOUT_S": "5"}) as one:
        for _ in range(10):
            pid = _stopped_at_work(one, kind)
            with stopped_thread(pid):  # its main thread; the others go on with the process
                os.kill(pid, signal.SIGCONT)
                if not _beats(one, kind, pid):
                    continue  # it was stopped with Python's lock in its hands, which is the fault of `_hung`
                begun = time.monotonic()
                one.searches()
                _until_gone(one, pid)
            if "event=work_stuck" not in one.log.read_text(errors="replace"):
                raise NotSo(f"the {kind} worker was replaced for another reason: {one.last_lines()}")
            return one.outcome(begun, "ended itself and was replaced")
        raise NotSo(f"the {kind} worker was never met in code that is not Python's")


def _until_gone(one: Site, pid: int) -> None:
    """Waits until a worker is none of the daemon's children any more."""
    one.until(lambda: pid not in (*one.children("extract"), *one.children("embed")), "the worker is replaced", 200.0)


def _beats(one: Site, kind: str, pid: int) -> bool:
    """Whether a worker still gives signs of life, one each five seconds."""
    broker = Broker(_redis(one))
    try:
        first, patience = beats(broker).get((kind, pid)), time.monotonic() + 6.0
        while time.monotonic() < patience:
            if beats(broker).get((kind, pid)) != first:
                return True
            time.sleep(0.1)
        return False
    finally:
        broker.close()


def _stopped_at_work(one: Site, kind: str) -> int:
    """Gives a worker work and stops it (SIGSTOP) while it has a job in its hands; its process id. Raises NotSo."""
    pid = one.child(kind)
    deadline = time.monotonic() + 60.0
    broker = Broker(_redis(one))
    try:
        while time.monotonic() < deadline:
            for _ in range(3):
                one.write(paragraphs=20)
            patience = time.monotonic() + 2.0
            while time.monotonic() < patience:
                held = [key for key in broker.connection.keys(f"{HELD_PREFIX}{kind}-*") if broker.connection.llen(key)]
                if held:
                    os.kill(pid, signal.SIGSTOP)
                    if any(broker.connection.llen(key) for key in held):
                        return pid
                    os.kill(pid, signal.SIGCONT)
        raise NotSo(f"the {kind} worker was never met at work")
    finally:
        broker.close()


def _failure(one: Site, path: str) -> str:
    """Why a document failed, as soon as it did."""
    found: list[str] = []

    def has_failed() -> bool:
        listed = one.daemon.client.documents(state="failed", path=path)["documents"]
        found[:] = [f"{each['reason']} ({each['hint']})" for each in listed]
        return bool(found)

    one.until(has_failed, f"{path} has failed")
    return found[0]


@contextmanager
def _workers(one: Site, *kinds: str) -> Iterator[None]:
    """Workers that somebody started by hand, for a daemon that starts none."""
    environment = {**os.environ, **one.environment, "RAGD_STATE": str(one.state), "RAGD_REDIS__URL": _redis(one)}
    started = []
    with one.log.open("ab") as log:
        for kind in kinds:
            command = [sys.executable, "-m", "ragd", "worker", kind]
            started.append(subprocess.Popen(command, env=environment, stderr=log))
    try:
        yield
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(20)


@contextmanager
def _impostor(one: Site, queue: str) -> Iterator[Callable[[], int]]:
    """Takes jobs as a worker does, in a thread, and answers each in another wrong way; gives how many so far."""
    one.until((one.state / "broker" / "redis.sock").exists, "the private Redis runs")
    broker = Broker(_redis(one))
    hold, queues = Hold(broker.connect(), queue, f"{queue}-impostor-1-x"), Queues(broker)
    answer = _answer_text if queue == "extract" else _answer_vectors
    ended = threading.Event()
    counts = [0]

    def work() -> None:
        while not ended.is_set():
            taken = hold.take(0.2)
            if taken is not None:
                answer(queues, taken.task.body, counts[0])
                hold.finish(taken.task)
                counts[0] += 1

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: counts[0]
    finally:
        ended.set()
        thread.join()
        broker.close()


def _redis(one: Site) -> str:
    return f"unix://{one.state / 'broker' / 'redis.sock'}?db=0"


def _answer_text(queues: Queues, body: bytes, turn: int) -> None:
    batch = decode(ExtractBatch, body)
    results = [ExtractResult(item.document_id + 1000, item.version, None, "not yours") for item in batch.items]
    match turn % 3:
        case 0:
            queues.commit_text(batch.id, results)
        case 1:
            _noise(queues, "commit_text", batch.id)
        case 2:
            queues.commit_text("bulk-nobody", [ExtractResult(1, 1, None, "no text in it")])


def _answer_vectors(queues: Queues, body: bytes, turn: int) -> None:
    batch = decode(EmbedBatch, body)
    count = len(batch.chunk_ids)
    right = EmbedResult(batch.id, batch.generation, batch.chunk_ids, np.ones((count, 32), np.float16), 0.1, count)
    match turn % 5:
        case 0:
            queues.commit_vectors(EmbedResult(batch.id, 1, batch.chunk_ids, np.ones((count, 7), np.float16), 0.1, 1))
        case 1:
            _noise(queues, "commit_vectors", batch.id)
        case 2:
            others = tuple(chunk_id + 1000 for chunk_id in batch.chunk_ids)
            queues.commit_vectors(EmbedResult(batch.id, batch.generation, others, right.vectors, 0.1, 1))
        case 3:
            nothing = np.full((count, 32), np.nan, np.float16)
            queues.commit_vectors(EmbedResult(batch.id, batch.generation, batch.chunk_ids, nothing, 0.1, 1))
        case 4:
            queues.trouble(Trouble("embed", "bulk-nobody", "\x1b[31m" + "x" * 3000, "", is_lost=True))


def _noise(queues: Queues, task: str, batch_id: str) -> None:
    cast(Any, queues)._answer(task, batch_id, os.urandom(512))


SCENARIOS: Final = (
    Scenario("worker-killed", "each worker and the reading child is killed in a job, twice", killed),
    Scenario("worker-hung-extract", "the extract worker hangs in a job (SIGSTOP)", hung_reader),
    Scenario("worker-hung-embed", "the embed worker hangs in a job (SIGSTOP)", hung_encoder),
    Scenario("worker-stuck-extract", "the extract worker's job hangs while its heartbeat lives (ptrace)", stuck_reader),
    Scenario("worker-stuck-embed", "the embed worker's job hangs while its heartbeat lives (ptrace)", stuck_encoder),
    Scenario("worker-large-file", "a file needs more memory than read.memory_mb", large_file),
    Scenario("worker-no-memory", "the embed worker gets no memory any more (RLIMIT_AS)", no_memory),
    Scenario("worker-rubbish", "a worker answers what nobody asked for, and noise", rubbish),
)
