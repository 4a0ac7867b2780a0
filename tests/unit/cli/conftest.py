"""A daemon's HTTP side without the daemon: the real server over a backend that remembers what it was asked."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from ragd.cli.main import build
from ragd.domain.errors import NotFound, RagdError, TimedOut
from ragd.domain.search import Query
from ragd.web.backend import LearningBackend
from ragd.web.routes import create_app
from ragd.web.server import Server
from ragd.web.sight import SightBackend

Run = Callable[..., Result]


class Backend:
    """Answers as a small, healthy daemon; `asked` keeps the questions, `fault` is raised instead when set."""

    learning: LearningBackend  # set by the tests of commands that ask it
    sight: SightBackend

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.fault: RagdError | None = None
        self.answers: dict[str, Any] = {}

    def _told(self, name: str, question: Any, answer: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((name, question))
        if self.fault is not None:
            raise self.fault
        changed: dict[str, Any] = self.answers.get(name, {})
        return answer | changed

    def search(self, query: Query) -> dict[str, Any]:
        hit = {
            "chunk_id": 1,
            "collection": "docs",
            "root": "/docs",
            "path": "guide/install.md",
            "title": "Guide",
            "heading": "Guide > Install",
            "page": 3,
            "start": 0,
            "end": 40,
            "text": "Install the daemon\nwith one command. \x1b[31mRed\x1b[0m",
            "score": 0.91,
            "parts": {"dense": 0.7, "words": 3.2},
            "modified_at": 1.0,
        }
        freshness = {"pending": 2, "words_only": 1, "is_current": False}
        answer = {"query": query.text, "mode": str(query.mode), "took_ms": 1.5, "freshness": freshness}
        return self._told("search", query, answer | {"notes": [], "hits": [hit]})

    def status(self) -> dict[str, Any]:
        return self._told(
            "status",
            None,
            {
                "state": "degraded",
                "reasons": ["no inotify watches left: folders are walked instead"],
                "documents": {"pending": 1, "text": 2, "searchable": 1203, "failed": 4},
                "chunks": {"total": 20411, "with_vectors": 20390},
                "index": {"kind": "ivf", "chunks": 20390, "lists": 512, "size_bytes": 15_000_000},
                "queues": {"extract": 0, "embed": 3},
                "workers": [
                    {"name": "a", "queue": "embed", "host": "h1", "is_busy": True},
                    {"name": "b", "queue": "embed", "host": "h2", "is_busy": False},
                    {"name": "c", "queue": "extract", "host": "h1", "is_busy": False},
                ],
                "watch": [
                    {"folder": "/docs", "state": "ok", "hearing": "watching", "files": 1210, "waiting": 1},
                    {"folder": "/gone", "state": "missing", "hearing": "", "files": 0},
                ],
                "redis": {"kind": "configured", "url": "redis://h/0", "version": "7.2", "memory_bytes": 2048},
                "model": {"model": "minilm", "encoder": "onnx", "dimension": 384, "max_tokens": 256},
                "version": "0.1.0",
                "uptime_s": 7300.0,
                "proof": {"at": time.time() - 600, "depth": "rows", "wrong": 0, "is_equal": True, "seconds": 0.02},
                "progress": {"scanning": True, "files_in_flight": 2, "chunks_in_flight": 0},
            },
        )

    def documents(self, **asked: Any) -> dict[str, Any]:
        document = {
            "id": 7,
            "collection": "docs",
            "root": "/docs",
            "path": "broken.pdf",
            "kind": "pdf",
            "state": "failed",
            "title": "",
            "size_bytes": 2048,
            "modified_at": time.time() - 7200,
            "chunks": 4,
            "chunks_embedded": 3,
            "reason": "the PDF has no end",
            "hint": "open it and save it again",
        }
        return self._told("documents", asked, {"documents": [document], "next": "c2"})

    def receipts(self, **asked: Any) -> dict[str, Any]:
        seen = time.time() - 60
        steps = ("stable", "planned", "extracted", "text_searchable")
        receipt: dict[str, Any] = {f"{step}_at": seen + 0.3 + i / 100 for i, step in enumerate(steps)}
        receipt |= {"id": 41, "collection": "docs", "path": "a.md", "action": "modify", "seen_at": seen}
        receipt |= {"searchable_at": None, "encoded_chars": 0, "outcome": ""}
        return self._told("receipts", asked, {"receipts": [receipt]})

    def retry(self, paths: Sequence[str] | None) -> int:
        self._told("retry", paths, {})
        return 1 if paths else 4

    def reread(self, documents: Sequence[int]) -> int:
        self._told("reread", list(documents), {})
        return len(documents)

    def rescan(self, folder: str | None) -> None:
        self.asked.append(("rescan", folder))

    def confirm_delete(self, folder: str | None, most: int | None) -> list[dict[str, Any]]:
        self.asked.append(("confirm_delete", (folder, most)))
        return [{"folder": "/kb", "missing": 30}]

    def reload(self) -> dict[str, Any]:
        return self._told("reload", None, {"changed": ["search.limit", "log.level"], "needs_restart": ["redis.url"]})

    def verify(self, repair: bool, full: bool) -> dict[str, Any]:
        answer = {"clean": True, "catalog_chunks": 10, "index_chunks": 10, "missing": [], "ghosts": []}
        answer |= {"differing": [], "miscounted": False, "faults": [], "repaired": False, "seconds": 0.02}
        return self._told("verify", (repair, full), answer)

    def latest_receipt(self) -> int | None:
        return 41

    def wait_for(self, receipt: int, timeout_s: float) -> None:
        self.asked.append(("wait_for", receipt))
        if receipt == 99:
            raise NotFound("there is no receipt 99")
        if receipt == 100:
            raise TimedOut("not yet")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder, with an environment and a current folder that hold no configuration."""
    for name in [name for name in os.environ if name.startswith("RAGD_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home/.config"))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Backend, Path]]:
    """A backend that is served on a socket, and the socket: one for all tests: an application takes time to make."""
    backend, socket = Backend(), tmp_path_factory.mktemp("served") / "ragd.sock"
    server = Server(create_app(backend, "0.1.0"), socket)
    server.start()
    yield backend, socket
    server.stop()


@pytest.fixture
def backend(served: tuple[Backend, Path], state: Path) -> Backend:
    """A backend that was asked nothing yet, served on the state folder's socket."""
    backend, socket = served
    vars(backend).clear()
    backend.__init__()  # type: ignore[misc] # as if it were new: who serves it knows only this one
    (state / "ragd.sock").hardlink_to(socket)
    return backend


@pytest.fixture(scope="session")
def app() -> Iterator[typer.Typer]:
    """The whole command line, whose commands typer's runner makes once instead of for every line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("typer.testing._get_command", functools.cache(typer.main.get_command))
        yield build()


@pytest.fixture
def ragd(app: typer.Typer, state: Path) -> Run:
    """Runs a command line against the state folder."""

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["--state", str(state), *arguments], prog_name="ragd")

    return run
