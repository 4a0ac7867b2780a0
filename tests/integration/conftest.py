"""A state folder with its command line and its daemon: real processes and the real model, in a temporary folder."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ragd.cli.client import Client
from ragd.domain.errors import BrokerUnavailable, RagdError
from ragd.jobs.broker import Broker
from ragd.jobs.embedded import find_server

PASSWORD = "p%40ss%20word"


class Place:
    """One state folder. Everything said on its command line and by its daemon is kept free of tracebacks."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.state.mkdir(mode=0o700)
        (self.state / "models").symlink_to(models)
        self.log = folder / "daemon.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RAGD_", "XDG_"))}
        self.environment = {**inherited, "HOME": str(folder), "RAGD_EMBED__THREADS": "1", "RAGD_WORKERS__NICE": "0"}
        self.prefix: list[str] = []
        """What stands in front of the daemon's command line."""
        self.client = Client(self.state / "ragd.sock")
        self.process: subprocess.Popen[bytes] | None = None

    def ragd(self, *arguments: str, exit_code: int | None = 0) -> str:
        """What a command printed, stdout and stderr together. Any exit code will do when it is None."""
        done = subprocess.run(
            [sys.executable, "-m", "ragd", *arguments],
            env={**self.environment, "RAGD_STATE": str(self.state)},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="backslashreplace",
            timeout=120,
        )
        assert "Traceback" not in done.stdout, done.stdout
        assert exit_code is None or done.returncode == exit_code, done.stdout
        return done.stdout

    def refused(self, exit_code: int, *arguments: str) -> str:
        """What a command that must fail said: `error:` and a hint, which are checked, in at most a few lines."""
        said = self.ragd(*arguments, exit_code=exit_code)
        lines = said.splitlines()
        assert sum(line.startswith("error: ") for line in lines) == 1, said
        assert lines[-1].startswith("  hint: "), said
        return said

    def start(self, *arguments: str) -> None:
        """Starts `ragd run` and returns when it answers."""
        command = [*self.prefix, sys.executable, "-m", "ragd", "run", "--quiet", *arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**self.environment, "RAGD_STATE": str(self.state)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self.until(self.answers)

    def stop(self, *, by: int = signal.SIGTERM) -> int:
        """Ends the daemon and returns its exit code."""
        assert self.process is not None
        self.client.close()
        self.process.send_signal(by)
        return self.process.wait(60)

    def close(self) -> None:
        """Leaves no process behind."""
        if self.process is not None and self.process.poll() is None:
            self.stop()
        self.client.close()
        if self.log.exists():
            assert "Traceback" not in self.log.read_text(errors="replace"), self.log.read_text(errors="replace")

    def answers(self) -> bool:
        """Whether the daemon answers; fails when it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text(errors="replace")
        try:
            return bool(self.client.status())
        except RagdError:
            return False

    def until(self, claim: Callable[[], object], timeout_s: float = 90.0) -> None:
        """Waits until the claim holds, and fails with the daemon's status when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not claim():
            if time.monotonic() > deadline:
                raise AssertionError(f"it did not come to pass: {self.ragd('status', exit_code=None)}")
            time.sleep(0.02)

    def until_indexed(self, documents: int) -> dict[str, Any]:
        """The status once this many documents are searchable or failed and nothing waits."""

        def is_done() -> bool:
            status = self.client.status()
            counts = status["documents"]
            known = counts["searchable"] + counts["failed"]
            return known == documents and not (counts["pending"] or counts["text"] or status["progress"]["scanning"])

        self.until(is_done)
        return self.client.status()

    def found(self, query: str, **conditions: object) -> list[dict[str, Any]]:
        """Hits over the socket, after every change made so far."""
        answer = self.client.search(q=query, after="latest", timeout_s=60, **conditions)
        hits: list[dict[str, Any]] = answer["hits"]
        return hits

    def paths(self, query: str, **conditions: object) -> list[str]:
        """The paths of the hits, each once, best first."""
        return list(dict.fromkeys(hit["path"] for hit in self.found(query, **conditions)))

    def finds(self, paths: list[str], query: str, **conditions: object) -> None:
        """Waits until exactly these paths are found: the news of a change takes a moment to arrive."""
        self.until(lambda: self.paths(query, **conditions) == paths)

    def receipt(self, path: str) -> dict[str, Any]:
        """The newest receipt of a path, once it is done."""
        found: list[dict[str, Any]] = []

        def is_done() -> bool:
            found[:] = self.client.receipts(path=path, limit=1)["receipts"]
            return bool(found) and found[0]["outcome"] != "pending"

        self.until(is_done)
        return found[0]

    def encoded_chars(self) -> float:
        """Characters that the encoder was given since the state folder began."""
        return float(self.client.status()["model"]["encoded_chars"])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Iterator[Callable[[], Place]]:
    """Makes places, and closes them at the end of the module."""
    made: list[Place] = []

    def make() -> Place:
        made.append(Place(tmp_path_factory.mktemp("ragd"), models))
        return made[-1]

    yield make
    for place in made:
        place.close()


@contextmanager
def redis_on_tcp(folder: Path) -> Iterator[str]:
    """A Redis with a password on a free port of this machine; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--bind", "127.0.0.1", "--requirepass", "p@ss word", "--save", ""]
    with (folder / "redis.log").open("wb") as log:
        server = subprocess.Popen([find_server(), *options, "--dir", str(folder)], stdout=log, stderr=log)
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    broker = Broker(url)
    try:
        for _ in range(500):
            with suppress(BrokerUnavailable):
                broker.check()
                break
            time.sleep(0.02)
        yield url
    finally:
        broker.close()
        server.terminate()
        server.wait(20)
