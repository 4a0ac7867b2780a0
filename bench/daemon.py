"""A real daemon for benchmarks: started as a user would, asked over its socket, measured from outside."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

from ragd.cli.client import Client
from ragd.domain.errors import RagdError

_POLL_S = 0.01
_MARKS = {
    "extract": ("worker", "extract"),
    "embed": ("worker", "embed"),
    "train": ("worker", "train"),
    "redis": ("redis",),
    "sandbox": ("ragd.plan.sandbox_child",),
}


class Running:
    """One daemon process and a client of it."""

    def __init__(self, process: subprocess.Popen[bytes], client: Client) -> None:
        self.process = process
        self.client = client

    def status(self) -> dict[str, Any]:
        """What `/v1/status` says."""
        return self.client.status()

    def wait_indexed(self, documents: int, timeout_s: float = 3600.0, poll_s: float = 0.25) -> dict[str, Any]:
        """The status once this many documents are searchable by meaning or failed, and nothing waits."""
        return self.wait_until(lambda status: _is_indexed(status, documents), timeout_s, poll_s)

    def wait_until(
        self, holds: Callable[[dict[str, Any]], bool], timeout_s: float = 60.0, poll_s: float = _POLL_S
    ) -> dict[str, Any]:
        """The first status for which `holds`. Raises TimeoutError with the last one."""
        deadline = time.monotonic() + timeout_s
        while True:
            status = self.status()
            if holds(status):
                return status
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout_s:g} s: {status}")
            time.sleep(poll_s)

    def wait_receipt(self, path: str, after: int, timeout_s: float = 60.0) -> dict[str, Any]:
        """The newest receipt of a path with an id above `after`, once it is done."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self.client.receipts(path=path, limit=1)["receipts"]
            if found and found[0]["id"] > after and found[0]["outcome"] != "pending":
                receipt: dict[str, Any] = found[0]
                return receipt
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} after {timeout_s:g} s: {found}")
            time.sleep(_POLL_S)

    def newest_receipt(self) -> int:
        """The id of the newest receipt, 0 before the first."""
        found = self.client.receipts(limit=1)["receipts"]
        return int(found[0]["id"]) if found else 0

    def worker_pids(self, queue: str) -> list[int]:
        """Process ids of the live workers of a queue."""
        return [worker["pid"] for worker in self.status()["workers"] if worker["queue"] == queue]

    def children(self) -> dict[str, list[psutil.Process]]:
        """The processes below the daemon by what they do: `extract`, `embed`, `train`, `redis`, `sandbox`, `other`."""
        found: dict[str, list[psutil.Process]] = {name: [] for name in (*_MARKS, "other")}
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                    found[_what(child.cmdline())].append(child)
        return found


@contextmanager
def running(
    folders: Sequence[Path], state: Path, *options: str, environment: dict[str, str] | None = None
) -> Iterator[Running]:
    """A daemon on these folders; stopped in order at the end. `options` go to `ragd run`."""
    started = launch(folders, state, *options, environment=environment)
    process, client = started.process, started.client
    try:
        await_answer(process, client)
        yield started
    finally:
        client.close()
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.wait(60)


def launch(
    folders: Sequence[Path],
    state: Path,
    *options: str,
    environment: dict[str, str] | None = None,
    errors: IO[bytes] | None = None,
    prefix: Sequence[str] = (),
) -> Running:
    """Starts a daemon and returns at once; whoever calls ends it. `errors` takes its log, `prefix` is put before it."""
    ragd = [sys.executable, "-m", "ragd", "--state", str(state), "run", *map(str, folders), "--quiet", *options]
    command = [*prefix, *ragd]
    env = {**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})}
    return Running(subprocess.Popen(command, env=env, stderr=errors), Client(state / "ragd.sock"))


def await_answer(process: subprocess.Popen[bytes], client: Client, timeout_s: float = 180.0) -> None:
    """Returns when the daemon answers. Raises what the last question raised when it ended or takes too long."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            client.status()
            return
        except RagdError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _is_indexed(status: dict[str, Any], documents: int) -> bool:
    counts = status["documents"]
    return (
        counts["searchable"] + counts["failed"] >= documents
        and not counts["pending"]
        and not counts["text"]
        and not status["progress"]["scanning"]
    )


def _what(command: list[str]) -> str:
    for name, marks in _MARKS.items():
        if all(any(mark in part for part in command) for mark in marks):
            return name
    return "other"
