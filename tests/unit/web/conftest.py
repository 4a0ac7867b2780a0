"""A backend that answers from values, strict about what it is asked, and the real server in front of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from ragd.domain.errors import EncoderFailed, GateRefused, NotFound, TimedOut
from ragd.domain.search import Query
from ragd.web.door import Door, Limits
from ragd.web.routes import create_app
from ragd.web.server import Server
from ragd.web.tokens import Role, TokenBook, TokenFile

HIT: dict[str, object] = {
    "chunk_id": 7,
    "collection": "notes",
    "root": "/notes",
    "path": "guide/a.md",
    "title": "A",
    "heading": "A > B",
    "page": None,
    "start": 0,
    "end": 18,
    "text": "beavers build dams",
    "score": 0.5,
    "parts": {"words": 2.0, "words_rank": 1.0},
    "modified_at": 1000.5,
}

STATUS: dict[str, object] = {
    "state": "ready",
    "reasons": [],
    "documents": {"pending": 0, "text": 0, "searchable": 1, "failed": 0},
    "chunks": {"total": 1, "with_vectors": 1},
    "index": {"kind": "exact"},
    "queues": {},
    "workers": [],
    "watch": [],
    "redis": {},
    "model": {},
    "version": "9.9",
    "uptime_s": 1.5,
    "proof": None,
    "progress": {},
}


RUN: dict[str, object] = {
    "id": "20261124-nudge",
    "trainer": "nudge",
    "role": "query-adapter",
    "state": "running",
    "metrics": {"loss": 0.5},
}
MODEL: dict[str, object] = {"id": 7, "role": "query-adapter", "name": "nudge", "version": 3, "status": "champion"}
PROMOTED: dict[str, object] = {"role": "query-adapter", "model": "nudge/3", "stage": "serving"}


class LearningShelf:
    """A LearningBackend of fixed answers that notes what it was asked in the same list."""

    def __init__(self, asked: list[object]) -> None:
        self._asked = asked

    def plugins(self) -> Mapping[str, object]:
        self._asked.append(("plugins",))
        return {"plugins": []}

    def triggers(self) -> Mapping[str, object]:
        self._asked.append(("triggers",))
        return {"triggers": []}

    def trigger(self, trainer: str) -> Mapping[str, object]:
        self._asked.append(("trigger", trainer))
        return {"trainer": trainer, "fires": False, "reasons": [], "ladder": [], "history": []}

    def train(self, trainer: str, *, on: str | None, cause: str) -> Mapping[str, object]:
        self._asked.append(("train", trainer, on, cause))
        return {"run": "20261124-nudge"}

    def runs(self, *, limit: int, trainer: str | None) -> Mapping[str, object]:
        self._asked.append(("runs", limit, trainer))
        return {"runs": [RUN]}

    def run(self, run: str) -> Mapping[str, object]:
        self._asked.append(("run", run))
        return RUN

    def log(self, run: str, offset: int) -> Mapping[str, object]:
        self._asked.append(("log", run, offset))
        return {"text": "step 1\n", "next": offset + 7, "ended": False}

    def stop(self, run: str) -> Mapping[str, object]:
        self._asked.append(("stop", run))
        return RUN

    def resume(self, run: str) -> Mapping[str, object]:
        self._asked.append(("resume", run))
        return RUN

    def models(self) -> Mapping[str, object]:
        self._asked.append(("models",))
        return {"models": [MODEL], "champions": []}

    def model(self, model: str) -> Mapping[str, object]:
        self._asked.append(("model", model))
        return MODEL

    def compare(self, a: str, b: str) -> Mapping[str, object]:
        self._asked.append(("compare", a, b))
        return {"a": MODEL, "b": MODEL, "differences": {}}

    def promote(self, model: str, *, force: bool) -> Mapping[str, object]:
        self._asked.append(("promote", model, force))
        if model == "worse/1":
            raise GateRefused("worse/1 lost", hint="see its report")
        return PROMOTED

    def rollback(self, role: str) -> Mapping[str, object]:
        self._asked.append(("rollback", role))
        return PROMOTED

    def prune(self, keep: int) -> Mapping[str, object]:
        self._asked.append(("prune", keep))
        return {"pruned": [], "freed_bytes": 0}

    def spend(self) -> Mapping[str, object]:
        self._asked.append(("spend",))
        return {"lines": []}

    def feedback(self, query: int, chunk: int, *, good: bool) -> None:
        self._asked.append(("feedback", query, chunk, good))


class SightShelf:
    """A SightBackend that says what a test wants."""

    def __init__(self) -> None:
        self.state, self.reasons = "ready", ("all is well",)
        self.alive = True

    def metrics(self, accept: str) -> tuple[bytes, str]:
        return f"asked_for {len(accept)}\n".encode(), "text/plain; version=0.0.4; charset=utf-8"

    def is_alive(self) -> bool:
        return self.alive

    def readiness(self) -> tuple[str, tuple[str, ...]]:
        return self.state, self.reasons


class Shelf:
    """A Backend of fixed answers that notes what it was asked; receipt 5 is searchable once `done` is set."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.done = threading.Event()
        self.learning = LearningShelf(self.asked)
        self.sight = SightShelf()

    def search(self, query: Query) -> Mapping[str, object]:
        self.asked.append(query)
        if query.text == "bug":
            raise ZeroDivisionError("a secret detail")
        if query.text == "down":
            raise EncoderFailed("the endpoint is down", hint="wait")
        return {
            "query": query.text,
            "mode": query.mode.value,
            "took_ms": 1.0,
            "freshness": {"pending": 0, "words_only": 0, "is_current": True},
            "notes": [],
            "hits": [HIT],
        }

    def status(self) -> Mapping[str, object]:
        return STATUS

    def documents(
        self, *, state: str | None, collection: str | None, path: str | None, limit: int, cursor: str | None
    ) -> Mapping[str, object]:
        self.asked.append((state, collection, path, limit, cursor))
        return {"documents": [], "next": "c2"}

    def receipts(self, *, path: str | None, limit: int, pending: bool | None) -> Mapping[str, object]:
        self.asked.append((path, limit, pending))
        return {"receipts": []}

    def retry(self, paths: Sequence[str] | None) -> int:
        self.asked.append(paths)
        if paths == ["missing.md"]:
            raise NotFound("no failed document missing.md", hint="see ragd failed")
        return 3

    def reread(self, documents: Sequence[int]) -> int:
        self.asked.append(list(documents))
        return len(documents)

    def rescan(self, folder: str | None) -> None:
        self.asked.append(folder)

    def confirm_delete(self, folder: str | None, most: int | None) -> Sequence[Mapping[str, object]]:
        self.asked.append((folder, most))
        return [{"folder": "/notes", "missing": 30}]

    def reload(self) -> Mapping[str, object]:
        self.asked.append("reload")
        return {"changed": ["search.limit"], "needs_restart": []}

    def verify(self, repair: bool, full: bool) -> Mapping[str, object]:
        self.asked.append((repair, full))
        return {
            "clean": True,
            "catalog_chunks": 1,
            "index_chunks": 1,
            "miscounted": False,
            "faults": [],
            "missing": [],
            "ghosts": [],
            "differing": [],
            "repaired": repair,
            "seconds": 0.1,
        }

    def latest_receipt(self) -> int | None:
        return 5

    def wait_for(self, receipt: int, timeout_s: float) -> None:
        self.asked.append(("wait", receipt))
        if receipt != 5:
            raise NotFound(f"no receipt {receipt}", hint="see ragd receipts")
        if not self.done.wait(timeout_s):
            raise TimedOut("not yet")


@dataclass(frozen=True, slots=True)
class Served:
    """A running server, what is behind it, and its socket."""

    shelf: Shelf
    server: Server
    socket: Path


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    """One server for all tests of a module; what they ask is forgotten between them."""
    # A Unix socket's path is short; pytest's own folders need not be.
    with TemporaryDirectory(prefix="ragd") as folder:
        shelf, path = Shelf(), Path(folder) / "ragd.sock"
        server = Server(create_app(shelf, "9.9"), path, "127.0.0.1:0")
        server.start()
        yield Served(shelf, server, path)
        shelf.done.set()
        server.stop(2.0)


@pytest.fixture
def shelf(served: Served) -> Shelf:
    served.shelf.asked.clear()
    served.shelf.done.clear()
    return served.shelf


@pytest.fixture
def client(served: Served, shelf: Shelf) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(served.socket))
    with httpx.Client(transport=transport, base_url="http://ragd", timeout=10) as made:
        yield made


@pytest.fixture
def tcp(served: Served, shelf: Shelf) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{served.server.tcp_port}", timeout=10, trust_env=False) as made:
        yield made


@pytest.fixture
def socket_path() -> Iterator[Path]:
    with TemporaryDirectory(prefix="ragd") as folder:
        yield Path(folder) / "ragd.sock"


@dataclass(frozen=True, slots=True)
class Guarded:
    """A server whose rules are those of a door beyond loopback, and the secret of a token of each role."""

    address: str
    secrets: Mapping[Role, str]
    tokens: TokenFile
    socket: Path


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """It listens on loopback, as tests must; its rules believe otherwise."""
    with TemporaryDirectory(prefix="ragd") as folder:
        tokens = TokenFile(Path(folder))
        secrets = {role: tokens.add(role.value, role, now=0.0)[0] for role in Role}
        door = Door("192.0.2.1:8377", frozenset({"ragd.example"}), limits=Limits(requests_per_s=0.0))
        check = TokenBook(Path(folder), time.time).check
        shelf, path = Shelf(), Path(folder) / "ragd.sock"
        shelf.done.set()
        running = Server(create_app(shelf, "9.9", door=door, check=check), path, "127.0.0.1:0", door.limits)
        running.start()
        yield Guarded(f"http://127.0.0.1:{running.tcp_port}", secrets, tokens, path)
        running.stop(2.0)


@pytest.fixture
def stranger(guarded: Guarded) -> Iterator[httpx.Client]:
    """A client of the guarded server that has no token."""
    with httpx.Client(base_url=guarded.address, timeout=10, trust_env=False) as made:
        yield made


@pytest.fixture
def server(shelf: Shelf, socket_path: Path) -> Iterator[Server]:
    """A server of the test's own, for what changes it."""
    running = Server(create_app(shelf, "9.9"), socket_path, "127.0.0.1:0")
    running.start()
    yield running
    shelf.done.set()
    running.stop(2.0)
