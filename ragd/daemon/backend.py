"""The daemon behind its HTTP door: reads at once from any thread, changes through the main thread."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from ragd import __version__
from ragd.app import App
from ragd.daemon.errands import Errands
from ragd.daemon.learning import DaemonLearning
from ragd.daemon.sight import Sight, SightDoor
from ragd.domain.documents import display_path
from ragd.domain.errors import NotFound, RagdError, TimedOut
from ragd.domain.index import Depth
from ragd.domain.search import Query
from ragd.flow.prove import report_json
from ragd.flow.shown import generation_json, serving_json
from ragd.watch.roots import Hold

_POLL_S = 0.004
_HEARING_S = 0.05


class Walks(Protocol):
    """The watcher, as far as a person may ask it for something; folders are absolute paths, None means all."""

    def rescan(self, folder: bytes | None = None) -> object: ...

    def confirm(self, folder: bytes | None = None, most: int | None = None) -> Mapping[bytes, Hold]: ...


class DaemonBackend:
    """A web.backend.Backend over one App.

    `facts` gives the parts of the status that others know (queues, workers, watch, redis, progress) and
    the reasons why the daemon is degraded; `is_planned` is true when every change heard of has its receipt;
    `reload` reads the configuration again, in the main thread.
    """

    def __init__(
        self,
        app: App,
        errands: Errands,
        learning: DaemonLearning,
        sight: Sight,
        *,
        facts: Callable[[], dict[str, Any]],
        walks: Walks,
        is_planned: Callable[[], bool],
        reload: Callable[[], dict[str, Any]],
    ) -> None:
        self._app = app
        self._errands = errands
        self.learning = learning
        self._sight = sight
        self.sight = SightDoor(sight, self.status)
        self._facts = facts
        self._walks = walks
        self._is_planned = is_planned
        self._reload = reload
        self._started = time.monotonic()

    def search(self, query: Query) -> dict[str, object]:
        """Hits for a query."""
        try:
            answered = self._app.answer.search(query)
        except RagdError as error:
            self._sight.meters.search_failed(error.code)
            raise
        self._sight.meters.searched(query.mode, answered.took_ms / 1000)
        return answered.as_json()

    def status(self) -> dict[str, Any]:
        """How the daemon is, in one object."""
        app = self._app
        overview, registry, serving = app.reader.overview, app.reader.registry, app.generations.serving
        documents = overview.documents_by_state()
        proof = asdict(app.prover.last) if app.prover.last is not None else None
        facts = {**self._facts(), "proof": proof}
        decided = self._sight.decided(facts)
        busy = documents["pending"] or documents["text"] or facts["progress"].get("scanning")
        return {
            **facts,
            "state": "indexing" if busy and decided.state == "ready" else decided.state.value,
            "reasons": list(decided.reasons),
            "documents": documents,
            "chunks": overview.chunk_counts(),
            "index": {
                **asdict(app.index.facts()),
                "sequence": app.index.sequence,
                "is_settling": app.index.is_settling,
                "restored": app.restored,
            },
            "model": {**serving_json(registry, app.generations, app.routes.current), **overview.work()},
            "generations": [
                {
                    **generation_json(registry, live, overview.lacking(live.id), is_serving=live is serving),
                    **self._sight.index_facts(live.id, live.index.sequence),
                }
                for live in (serving, *app.generations.others)
            ],
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": time.monotonic() - self._started,
            **self._sight.facts(is_redis_up=bool(facts["redis"].get("version"))),
        }

    def documents(self, **conditions: Any) -> dict[str, Any]:
        """A page of documents."""
        return self._app.reader.overview.documents(**conditions)

    def receipts(self, **conditions: Any) -> dict[str, Any]:
        """Receipts, newest first."""
        return self._app.reader.overview.receipts(**conditions)

    def retry(self, paths: Sequence[str] | None) -> int:
        """Reads failed documents again. Raises NotFound when one of `paths` names none."""
        if paths is None:
            return self._errands.ask(lambda: self._app.ingest.retry(None))
        raw = [self._below_root(path) for path in paths]
        count = self._errands.ask(lambda: self._app.ingest.retry(raw))
        if paths and not count:
            raise NotFound(f"no failed document at {', '.join(paths)}", hint="`ragd failed` lists them")
        return count

    def reread(self, documents: Sequence[int]) -> int:
        """Reads these documents again, whatever their times say; how many there are."""
        return self._errands.ask(lambda: self._app.ingest.reread(documents))

    def rescan(self, folder: str | None) -> None:
        """Starts a scan. Raises NotFound for a folder that is not watched."""
        wanted = _absolute(folder)
        if wanted is not None and not any(_is_at_or_below(wanted, root) for root in self._app.roots.values()):
            raise NotFound(f"{folder} is not a watched folder, nor below one", hint="`ragd status` lists the folders")
        self._walks.rescan(wanted)

    def confirm_delete(self, folder: str | None, most: int | None) -> list[dict[str, Any]]:
        """Lets deletions go that are held. Raises NotFound for a folder that is none, BadRequest above `most`."""
        wanted = _absolute(folder)
        if wanted is not None and wanted not in self._app.roots.values():
            raise NotFound(f"{folder} is not a watched folder", hint="`ragd status` lists the folders")
        agreed = self._walks.confirm(wanted, most)
        return [{"folder": display_path(path), "missing": held.missing} for path, held in agreed.items()]

    def verify(self, repair: bool, full: bool) -> Mapping[str, Any]:
        """Compares catalog and index where nothing changes meanwhile: in the main thread."""
        depth = Depth.FULL if full else Depth.DIGEST
        report, is_repaired = self._errands.ask(
            lambda: self._app.prover.prove(depth, should_repair=repair), timeout_s=300.0
        )
        return report_json(report, repaired=is_repaired)

    def reload(self) -> dict[str, Any]:
        """Reads the configuration again. Raises ConfigInvalid, and the one before goes on."""
        return self._errands.ask(self._reload)

    def latest_receipt(self) -> int | None:
        """The newest receipt's id, once every change heard of so far has one: whoever saves and asks means that one."""
        time.sleep(_HEARING_S)  # the event of a file saved just now is on its way
        deadline = time.monotonic() + self._app.config.watch.max_wait_s
        while not self._is_planned() and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return self._app.reader.overview.newest_receipt() or None

    def wait_for(self, receipt: int, timeout_s: float) -> None:
        """Returns once the change is in the index, or ended another way."""
        deadline = time.monotonic() + timeout_s
        while self._app.reader.overview.receipt_outcome(receipt) == "pending":
            if time.monotonic() > deadline:
                raise TimedOut(
                    f"the change of receipt {receipt} is not searchable after {timeout_s:g} s",
                    hint="`ragd receipts` shows where it stands",
                )
            time.sleep(_POLL_S)
        with self._app.ingest.committing:
            return

    def _below_root(self, path: str) -> bytes:
        raw = os.fsencode(path)
        for root in self._app.roots.values():
            prefix = root.rstrip(b"/") + b"/"
            if raw.startswith(prefix):
                return raw[len(prefix) :]
        return raw.removeprefix(b"./")


def _absolute(folder: str | None) -> bytes | None:
    return None if folder is None else os.path.abspath(os.fsencode(folder))


def _is_at_or_below(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root.rstrip(b"/") + b"/")
