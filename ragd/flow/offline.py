"""A state folder without its daemon: search and look, change nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ragd import __version__
from ragd.catalog.reader import CatalogReader
from ragd.domain.index import VerifyReport
from ragd.domain.search import Query
from ragd.flow.answer import Answer
from ragd.index.generation import Generation
from ragd.index.verify import verify


class Offline:
    """Answers from the catalog and the last snapshot of the index, brought up to the catalog in memory.

    Its methods answer as the daemon's HTTP interface does.
    """

    def __init__(
        self,
        reader: CatalogReader,
        generation_id: int,
        index: Generation | None,
        answer: Answer,
        notes: tuple[str, ...],
    ) -> None:
        self._reader = reader
        self._generation_id = generation_id
        self._index = index
        self._answer = answer
        self._notes = notes

    def search(self, query: Query) -> dict[str, Any]:
        """As `/v1/search`."""
        found = self._answer.search(query).as_json()
        return {**found, "notes": [*self._notes, *found["notes"]]}  # type: ignore[misc] # a list by its own docstring

    def status(self) -> dict[str, Any]:
        """As `/v1/status`, with what only a daemon knows left empty."""
        overview = self._reader.overview
        return {
            "state": "degraded",
            "reasons": ["no daemon is running: nothing is updated"],
            "documents": overview.documents_by_state(),
            "chunks": overview.chunk_counts(),
            "index": asdict(self._index.facts()) if self._index is not None else {},
            "queues": {},
            "workers": [],
            "watch": [{**root, "state": "not watched"} for root in overview.roots()],
            "redis": {},
            "model": {},
            "version": __version__,
            "uptime_s": 0.0,
            "progress": {},
        }

    def documents(self, **conditions: Any) -> dict[str, Any]:
        """As `/v1/documents`."""
        return self._reader.overview.documents(**conditions)

    def receipts(self, **conditions: Any) -> dict[str, Any]:
        """As `/v1/receipts`."""
        return self._reader.overview.receipts(**conditions)

    def verify(self) -> dict[str, Any]:
        """As `/v1/verify` without repair."""
        if self._index is None:
            return report_json(VerifyReport(0, 0, (), (), (), 0.0), repaired=False)
        return report_json(verify(self._index, self._reader.replay, self._generation_id), repaired=False)

    def close(self) -> None:
        """Closes the catalog."""
        self._reader.close()


def report_json(report: VerifyReport, *, repaired: bool) -> dict[str, Any]:
    """A verification in the shape of `/v1/verify`."""
    return {
        "clean": report.is_clean,
        "catalog_chunks": report.catalog_chunks,
        "index_chunks": report.index_chunks,
        "missing": list(report.missing),
        "ghosts": list(report.ghosts),
        "differing": list(report.differing),
        "repaired": repaired,
        "seconds": report.seconds,
    }
