"""A worker process for the tests: handlers that wait for a file, so that a test decides when it is killed."""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path

from ragd.domain.work import ExtractBatch
from ragd.jobs.broker import Broker
from ragd.jobs.hold import Task
from ragd.jobs.loop import run_worker
from ragd.jobs.options import WorkerOptions
from ragd.jobs.payload import decode
from ragd.jobs.queue import Queues
from ragd.jobs.tasks import tell_trouble


def main(kind: str, url: str, folder: str) -> None:
    """Answers a batch with no results once the file `go` is there; `begun` gets a line for each attempt."""
    broker = Broker(url)
    queues = Queues(broker)
    place = Path(folder)

    def extract(task: Task) -> None:
        batch = decode(ExtractBatch, task.body)
        with (place / "begun").open("a") as begun:
            begun.write(f"{batch.id} {task.attempt}\n")
        while not (place / "go").exists():
            time.sleep(0.005)
        queues.commit_text(batch.id, ())

    run_worker(kind, broker, {"extract": extract}, WorkerOptions(failed=tell_trouble(queues, kind)))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    main(*sys.argv[1:])
