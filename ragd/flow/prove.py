"""Proves that every live index equals the catalog, makes it so where it is not, and remembers when it last did."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ragd.catalog.audit import audit, put_right
from ragd.catalog.digests import recount
from ragd.catalog.store import Store
from ragd.config.events import get_log
from ragd.domain.index import Depth, VerifyReport
from ragd.domain.ports import VectorSource
from ragd.flow.generations import Generations, Live
from ragd.index.verify import repair, verify

_LOG = get_log("ragd.daemon")


@dataclass(frozen=True, slots=True)
class Proof:
    """One proof of all live generations: when (Unix seconds), how deep, how long it took and what it found.

    `chunks` is what the serving index holds. `wrong` rows were found in any generation; `is_equal` says whether
    index and catalog are equal now, by themselves or since they were repaired.
    """

    at: float
    depth: Depth
    chunks: int
    wrong: int
    is_equal: bool
    seconds: float


class Prover:
    """Compares and repairs in the main thread, the only one in which nothing changes meanwhile.

    A full proof audits the catalog's own books as well: from documents to contents, chunks, words and vectors.

    `last` may be read from any thread. Repairs take stored vectors: nothing is embedded.
    """

    def __init__(
        self,
        generations: Generations,
        source: VectorSource,
        store: Store,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._generations = generations
        self._source = source
        self._store = store
        self._clock = clock
        self.last: Proof | None = None
        self._builds: dict[int, int] = {}

    @property
    def proven_at(self) -> float | None:
        """When index and catalog were last proven equal, Unix seconds; None when the last look found them different."""
        return self.last.at if self.last is not None and self.last.is_equal else None

    @property
    def is_due(self) -> bool:
        """True when an index was built anew since the last proof: its rows came by another way than the catalog's."""
        return self._builds != self._counted_builds()

    def _counted_builds(self) -> dict[int, int]:
        return {live.id: live.index.builds for live in self._generations.all if live.index.builds}

    def prove(self, depth: Depth, *, should_repair: bool) -> tuple[VerifyReport, bool]:
        """What was found in all live generations together, and whether it was repaired."""
        books = audit(self._store.connection) if depth is Depth.FULL else None
        if books is not None and books.faults and should_repair:
            put_right(self._store, books, self._clock)
        found = [(live, verify(live.index, self._source, live.id, depth=depth)) for live in self._generations.all]
        report = merged([each for _, each in found])
        if books is not None:
            report = replace(report, faults=books.faults)
        is_repaired = False
        if not report.is_clean:
            counted = {name: len(getattr(report, name)) for name in ("missing", "ghosts", "differing")}
            _LOG.error("index_differs", **counted, miscounted=report.is_miscounted, faults="; ".join(report.faults))
            is_repaired = should_repair and self._repair(found)
        if depth is not Depth.DIGEST:
            self._builds = self._counted_builds()
        wrong = len(report.missing) + len(report.ghosts) + len(report.differing)
        is_equal = report.is_clean or is_repaired
        self.last = Proof(self._clock(), depth, report.index_chunks, wrong, is_equal, report.seconds)
        return report, is_repaired

    def _repair(self, found: Sequence[tuple[Live, VerifyReport]]) -> bool:
        is_mended = True
        for live, report in found:
            if report.is_clean:
                continue
            repair(live.index, self._source, live.id, report)
            if live.index.digest != self._source.digest(live.id):
                # The rows were read from the catalog just now, so it is the catalog's own count that is wrong.
                with self._store.transaction() as db:
                    recount(db, live.id)
            is_mended = is_mended and live.index.digest == self._source.digest(live.id)
        _LOG.warning("index_repaired", equal=is_mended)
        return is_mended


def merged(reports: Sequence[VerifyReport]) -> VerifyReport:
    """One report: the counts of the first, which serves, and what is wrong in any of them."""
    return VerifyReport(
        catalog_chunks=reports[0].catalog_chunks,
        index_chunks=reports[0].index_chunks,
        missing=tuple(sorted({i for report in reports for i in report.missing})),
        ghosts=tuple(sorted({i for report in reports for i in report.ghosts})),
        differing=tuple(sorted({i for report in reports for i in report.differing})),
        is_miscounted=any(report.is_miscounted for report in reports),
        seconds=sum(report.seconds for report in reports),
    )


def report_json(report: VerifyReport, *, repaired: bool) -> Mapping[str, Any]:
    """A verification in the shape of `/v1/verify`."""
    return {
        "clean": report.is_clean,
        "catalog_chunks": report.catalog_chunks,
        "index_chunks": report.index_chunks,
        "missing": list(report.missing),
        "ghosts": list(report.ghosts),
        "differing": list(report.differing),
        "miscounted": report.is_miscounted,
        "faults": list(report.faults),
        "repaired": repaired,
        "seconds": report.seconds,
    }
